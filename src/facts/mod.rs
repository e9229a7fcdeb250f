//! Facts: the known values of fields, each with its source.

pub(crate) mod field;
pub(crate) mod limits;
pub(crate) mod owner;
#[cfg(test)]
#[path = "../../tests/inside/policy.rs"]
mod policy;
pub(crate) mod reference;
pub(crate) mod subject;
pub(crate) mod wanted;

use std::collections::BTreeMap;

use crate::facts::field::{Field, Kind, Source, TABLE};
use crate::facts::limits::{Machine, Quota};
use crate::facts::owner::Ownership;
use crate::kubernetes::quantity::Quantity;

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Map(BTreeMap<String, String>),
    Quantity(Quantity),
    /// A quantity that the kubelet rounded up to a larger unit.
    Rounded(Quantity),
    /// A CPU limit in the kernel's form.
    Quota(Quota),
    /// The field is known to have no value, such as a limit that is not set.
    Nothing,
}

impl Value {
    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A value and its source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fact {
    pub(crate) value: Value,
    pub(crate) source: Source,
}

/// The report of one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) values: Vec<(Field, Value)>,
    pub(crate) notes: Vec<Note>,
}

/// Why a source does not know something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) text: String,
    /// Something is broken, not only absent, so it is logged as a warning.
    pub(crate) is_broken: bool,
    /// What to do about it, for a line of its own.
    pub(crate) advice: Option<String>,
    /// The field that it is about; none if it is about all fields of the source.
    pub(crate) about: Option<Field>,
}

impl Note {
    /// A note without advice, about all fields of the source.
    pub(crate) fn new(text: impl Into<String>, is_broken: bool) -> Self {
        Note { text: text.into(), is_broken, advice: None, about: None }
    }
}

impl Told {
    /// Adds the text of a field, unless it is empty.
    pub(crate) fn text(&mut self, field: Field, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() {
            self.values.push((field, Value::Text(text)));
        }
    }

    /// The reported text of `field`.
    pub(crate) fn text_of(&self, field: Field) -> Option<&str> {
        self.values.iter().find(|(told, _)| *told == field).and_then(|(_, value)| value.text())
    }

    /// Removes the values of `fields`.
    pub(crate) fn drop(&mut self, fields: &[Field]) {
        self.values.retain(|(field, _)| !fields.contains(field));
    }

    /// Adds the value of a field.
    pub(crate) fn value(&mut self, field: Field, value: Value) {
        self.values.push((field, value));
    }

    /// Adds the values and notes of `other`.
    pub(crate) fn extend(&mut self, other: Told) {
        self.values.extend(other.values);
        self.notes.extend(other.notes);
    }

    /// Adds a note on something that the source does not know.
    pub(crate) fn absent(&mut self, text: impl Into<String>) {
        self.notes.push(Note::new(text, false));
    }

    /// Adds a note on something that is broken.
    pub(crate) fn broken(&mut self, text: impl Into<String>) {
        self.notes.push(Note::new(text, true));
    }

    /// Adds a note on something that is broken, with what to do about it.
    pub(crate) fn broken_with_advice(&mut self, text: impl Into<String>, advice: impl Into<String>) {
        self.notes.push(Note { advice: Some(advice.into()), ..Note::new(text, true) });
    }

    /// Adds a note on why `field` alone is not known.
    pub(crate) fn absent_field(&mut self, field: Field, text: impl Into<String>) {
        self.notes.push(Note { about: Some(field), ..Note::new(text, false) });
    }

    /// Adds a note on something that is broken about `field` alone.
    pub(crate) fn broken_field(&mut self, field: Field, text: impl Into<String>) {
        self.notes.push(Note { about: Some(field), ..Note::new(text, true) });
    }
}

/// Everything that the sources reported, and for each field the value that wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    // There are a few dozen at most, so a list is faster and smaller than a tree.
    known: Vec<(Field, Fact)>,
    /// The values that did not win and, for resources, every reported value.
    told: Vec<(Field, Fact)>,
    /// The machine, for the choice of a limit.
    pub(crate) machine: Machine,
    /// When the pod was created, in minutes since 1970: at the latest, if only the token says it.
    pub(crate) created: u64,
    /// What the API says about the pod's owners.
    pub(crate) ownership: Option<Ownership>,
}

impl Facts {
    pub(crate) fn new(page_size: u64) -> Self {
        let machine = Machine { page_size, ..Machine::default() };
        Facts {
            known: Vec::with_capacity(TABLE.len()),
            told: Vec::with_capacity(TABLE.len()),
            machine,
            ..Facts::default()
        }
    }

    /// Adds the values that `source` reported.
    pub(crate) fn add(&mut self, source: Source, values: Vec<(Field, Value)>) {
        for (field, value) in values {
            let fact = Fact { value, source };
            match field.kind {
                Kind::Resource { .. } => self.settle_resource(field, fact),
                _ => self.settle(field, fact),
            }
        }
    }

    /// Removes the value that `source` reported for `field`.
    pub(crate) fn retract(&mut self, source: Source, field: Field) {
        self.known.retain(|(known, fact)| *known != field || fact.source != source);
        self.told.retain(|(told, fact)| *told != field || fact.source != source);
    }

    /// The higher-ranked source wins. Within one source, the first value wins.
    fn settle(&mut self, field: Field, mut fact: Fact) {
        let rank = |source: Source| field.sources.iter().position(|it| *it == source);
        let own = rank(fact.source);
        match self.known.iter_mut().find(|(known, _)| *known == field) {
            None if own.is_some() => return self.known.push((field, fact)),
            Some((_, known)) if own.is_some_and(|own| rank(known.source).is_some_and(|it| own < it)) => {
                std::mem::swap(known, &mut fact);
            }
            _ => {}
        }
        self.told.push((field, fact));
    }

    fn settle_resource(&mut self, field: Field, fact: Fact) {
        self.told.push((field, fact));
        let of_field = self.told.iter().filter(|(told, _)| *told == field);
        let told: Vec<&Fact> = of_field.map(|(_, fact)| fact).collect();
        let known = limits::resolve(field, &told, &self.machine);
        self.known.retain(|(known, _)| *known != field);
        self.known.extend(known.map(|fact| (field, fact)));
    }

    /// The fact about `field`, if there is one.
    pub(crate) fn get(&self, field: Field) -> Option<&Fact> {
        self.look_up(field).filter(|fact| fact.value != Value::Nothing)
    }

    /// The text of `field`.
    pub(crate) fn text(&self, field: Field) -> Option<&str> {
        self.get(field)?.value.text()
    }

    /// The map of `field`: labels, annotations or node labels.
    pub(crate) fn map(&self, field: Field) -> Option<&BTreeMap<String, String>> {
        match &self.get(field)?.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Whether the question is answered: there is a value, or the field is known to have none.
    pub(crate) fn is_settled(&self, field: Field) -> bool {
        self.look_up(field).is_some()
    }

    fn look_up(&self, field: Field) -> Option<&Fact> {
        self.known.iter().find(|(known, _)| *known == field).map(|(_, fact)| fact)
    }

    /// Whether `told` is the value `known` of the same field, as another source writes it.
    pub(crate) fn agree(&self, known: &Value, told: &Value) -> bool {
        known == told || limits::agree(known, told, &self.machine)
    }

    /// The value that `source` reported for `field`, even if it did not win.
    pub(crate) fn told_by(&self, source: Source, field: Field) -> Option<&Value> {
        // The known value of a resource may combine two sources.
        let known = self.known.iter().filter(|(known, _)| !matches!(known.kind, Kind::Resource { .. }));
        let mut all = known.chain(&self.told);
        all.find(|(told, fact)| fact.source == source && *told == field).map(|(_, fact)| &fact.value)
    }
}
