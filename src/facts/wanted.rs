//! The fields that the user requested, for which the API server may be queried.

use crate::facts::field::Field;
use crate::facts::reference::{Reference, topology_label};
use crate::facts::{Facts, Value};

/// The fields that the user requested, for which the API server may be queried.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Chains of references. In each chain, the first reference that has a value is enough. If the API
    /// does not have it yet, introspod waits for it.
    pub(crate) awaited: Vec<Vec<Reference>>,
    /// Optional fields, which depend on the known facts. introspod does not wait for them.
    pub(crate) welcome: Option<fn(&Facts) -> Vec<Field>>,
    /// The facts describe no container ([`Subject::Pod`](crate::facts::subject::Subject::Pod)).
    pub(crate) of_nobody: bool,
}

impl Wanted {
    /// The requested references that `facts` do not settle.
    pub(crate) fn unsettled(&self, facts: &Facts) -> Vec<Reference> {
        let welcome = self.welcome.map(|welcome| welcome(facts)).unwrap_or_default();
        let welcome = welcome.into_iter().map(Reference::Field);
        let welcome =
            welcome.filter(|reference| self.can_be_told(reference) && !is_settled(reference, facts));
        self.awaited(facts).cloned().chain(welcome).collect()
    }

    /// The references to wait for that `facts` do not settle.
    pub(crate) fn awaited<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = &'a Reference> {
        let open =
            |chain: &'a Vec<Reference>| chain.iter().take_while(|reference| !has_value(reference, facts));
        let all = self.awaited.iter().flat_map(open);
        all.filter(|reference| self.can_be_told(reference) && !is_settled(reference, facts))
    }

    /// Whether `field` was requested by name.
    pub(crate) fn names(&self, field: Field) -> bool {
        self.awaited.iter().flatten().any(|reference| reference.field() == field)
    }

    /// Whether the subject can have the field.
    fn can_be_told(&self, reference: &Reference) -> bool {
        !(self.of_nobody && reference.field().is_of_container)
    }
}

/// Whether `reference` has a value, or is known to have none.
fn is_settled(reference: &Reference, facts: &Facts) -> bool {
    facts.is_settled(reference.field()) || topology_label(reference, facts).is_some()
}

/// Whether `reference` has a value that is not empty.
fn has_value(reference: &Reference, facts: &Facts) -> bool {
    if let Some((label, _)) = topology_label(reference, facts) {
        return !label.is_empty();
    }
    match (reference, facts.get(reference.field()).map(|fact| &fact.value)) {
        (_, None) => false,
        (Reference::Entry(_, key), Some(Value::Map(map))) => {
            map.get(key).is_some_and(|value| !value.is_empty())
        }
        (_, Some(Value::Map(map))) => !map.is_empty(),
        (_, Some(Value::Text(text))) => !text.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::field::Source;
    use std::collections::BTreeMap;

    const LIMIT: Reference = Reference::Field(Field::CPU_LIMIT);
    const REQUEST: Reference = Reference::Field(Field::CPU_REQUEST);

    #[test]
    fn of_a_chain_nothing_is_asked_for_after_the_first_that_has_a_value() {
        let label = Reference::Entry(Field::LABELS, "team".to_owned());
        let name = Reference::Field(Field::POD_NAME);
        let chain = vec![LIMIT, label.clone(), name.clone(), REQUEST];
        let wanted = Wanted { awaited: vec![chain], ..Wanted::default() };
        let mut facts = Facts::new(1);
        let all = [LIMIT, label, name.clone(), REQUEST];
        assert_eq!(wanted.unsettled(&facts), all);
        let nothing = (LIMIT.field(), Value::Nothing);
        let labels = BTreeMap::from([("team".to_owned(), String::new())]);
        facts.add(Source::Api, vec![nothing, (Field::LABELS, Value::Map(labels))]);
        assert_eq!(wanted.unsettled(&facts), [name, REQUEST]);
        facts.add(Source::Api, vec![(Field::POD_NAME, Value::Text("web-0".to_owned()))]);
        assert_eq!(wanted.unsettled(&facts), []);
    }
}
