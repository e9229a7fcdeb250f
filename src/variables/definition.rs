//! The value of `--set NAME=`, which is an expression or a template, and the order of evaluation.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::field::Field;
use crate::facts::reference::Reference;
use crate::variables::expression::{Expression, has_default, has_unquoted};
use crate::variables::operand::OperandError;
use crate::variables::template::{Template, TemplateError};

/// A definition is not valid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum DefinitionError {
    #[error(transparent)]
    Operand(#[from] OperandError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("a default must be a field, a number or text in single quotes, not a reference such as $(NAME)")]
    TemplateAsDefault,
}

/// The definitions are not valid together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum OrderError {
    #[error("--set {0} is given twice")]
    Twice(String),
    #[error("--set values must not refer to each other in a cycle: {0}")]
    Cycle(String),
}

/// How the value of a variable is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Definition {
    /// From facts.
    Expression(Expression),
    /// From other variables.
    Template(Template),
}

impl Definition {
    /// Parses a template if `text` contains `$(` outside quotes, else an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, DefinitionError> {
        if !has_unquoted(text, "$(") {
            return Ok(Definition::Expression(Expression::parse(text)?));
        }
        match has_default(text) {
            true => Err(DefinitionError::TemplateAsDefault),
            false => Ok(Definition::Template(Template::parse(text)?)),
        }
    }

    /// The facts that it needs: one chain for each, in which the first reference with a value wins.
    pub(crate) fn wanted(&self) -> Vec<Vec<Reference>> {
        match self {
            Definition::Expression(expression) => vec![expression.references().cloned().collect()],
            Definition::Template(template) => {
                let fields = template.references().filter_map(Field::of_variable);
                fields.map(|field| vec![Reference::Field(field)]).collect()
            }
        }
    }

    fn variables(&self) -> impl Iterator<Item = &str> {
        let template = match self {
            Definition::Expression(_) => None,
            Definition::Template(template) => Some(template),
        };
        template.into_iter().flat_map(Template::references)
    }
}

/// Sorts `definitions`: each comes after those that it refers to, else the order stays.
pub(crate) fn in_order(
    definitions: Vec<(String, Definition)>,
) -> Result<Vec<(String, Definition)>, OrderError> {
    let mut positions = BTreeMap::new();
    for (position, (name, _)) in definitions.iter().enumerate() {
        if positions.insert(name.as_str(), position).is_some() {
            return Err(OrderError::Twice(name.clone()));
        }
    }
    let references: Vec<BTreeSet<usize>> = definitions
        .iter()
        .map(|(_, definition)| {
            definition.variables().filter_map(|name| positions.get(name).copied()).collect()
        })
        .collect();
    let order = sorted(&references).map_err(|circle| {
        let names: Vec<&str> = circle.into_iter().map(|position| definitions[position].0.as_str()).collect();
        OrderError::Cycle(names.join(" -> "))
    })?;
    let mut definitions: Vec<Option<(String, Definition)>> = definitions.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|position| definitions[position].take()).collect())
}

/// The positions in `references`, each after those that it refers to (Kahn's algorithm), or a cycle.
fn sorted(references: &[BTreeSet<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut missing: Vec<usize> = references.iter().map(BTreeSet::len).collect();
    let mut referring = vec![Vec::new(); references.len()];
    for (position, own) in references.iter().enumerate() {
        own.iter().for_each(|other| referring[*other].push(position));
    }
    let mut ready: BTreeSet<usize> =
        (0..references.len()).filter(|position| missing[*position] == 0).collect();
    let mut order = Vec::with_capacity(references.len());
    while let Some(position) = ready.pop_first() {
        order.push(position);
        for other in &referring[position] {
            missing[*other] -= 1;
            if missing[*other] == 0 {
                ready.insert(*other);
            }
        }
    }
    match missing.iter().position(|count| *count > 0) {
        None => Ok(order),
        Some(left) => Err(circle(references, &missing, left)),
    }
}

/// A cycle that can be reached from `start`. Its first position is also its last.
fn circle(references: &[BTreeSet<usize>], missing: &[usize], start: usize) -> Vec<usize> {
    let mut path = Vec::new();
    let mut seen = vec![false; references.len()];
    let mut position = start;
    while !std::mem::replace(&mut seen[position], true) {
        path.push(position);
        // Every remaining definition refers to another remaining one.
        let next = references[position].iter().find(|other| missing[**other] > 0);
        position = next.copied().unwrap_or(position);
    }
    let first = path.iter().position(|other| *other == position).unwrap_or_default();
    path.drain(..first);
    path.push(position);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Definition, String> {
        Definition::parse(text).map_err(|error| error.to_string())
    }

    fn ordered(definitions: &[(&str, &str)]) -> Result<String, String> {
        let parsed = definitions.iter().map(|(name, text)| (name.to_string(), parse(text).unwrap()));
        let ordered = in_order(parsed.collect()).map_err(|error| error.to_string())?;
        Ok(ordered.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_reference_outside_of_a_quoted_default_makes_a_template() {
        for text in ["$(A)", "x$(A)y", "$$(A)", "it's $(A)", "a:-$(A)", "metadata.name$(A)"] {
            assert!(matches!(parse(text), Ok(Definition::Template(_))), "{text}");
        }
        for text in ["metadata.name", "metadata.name:-'$(A)'", "limits.cpu:-'$(A':-2"] {
            assert!(matches!(parse(text), Ok(Definition::Expression(_))), "{text}");
        }
        assert!(parse("metadata.nam:-'$(A)'").unwrap_err().contains("did you mean metadata.name?"));
        for text in ["limits.cpu:-$(A)", "metadata.name:-x$(A)", "limits.cpu:-'a'$(A)"] {
            assert!(parse(text).unwrap_err().contains("a default must be"), "{text}");
        }
    }

    #[test]
    fn each_comes_after_those_that_it_refers_to() {
        let definitions = [("C", "$(B)$(A)"), ("B", "$(A)$(OTHER)"), ("D", "metadata.name"), ("A", "$(D)")];
        assert_eq!(ordered(&definitions).unwrap(), "D A B C");
        assert_eq!(ordered(&[("B", "metadata.name"), ("A", "metadata.uid")]).unwrap(), "B A");
    }

    #[test]
    fn circles_are_named() {
        for (definitions, circle) in [
            (&[("A", "$(A)")] as &[_], ": A -> A"),
            (&[("A", "$(B)"), ("B", "$(A)")], ": A -> B -> A"),
            (
                &[("X", "$(A)"), ("A", "$(B)"), ("B", "$(C)"), ("C", "$(D)$(A)"), ("D", "metadata.name")],
                ": A -> B -> C -> A",
            ),
            (&[("A", "metadata.name"), ("A", "metadata.uid")], "--set A is given twice"),
        ] {
            let error = ordered(definitions).unwrap_err();
            assert!(error.ends_with(circle), "{error}");
        }
    }

    #[test]
    fn a_long_chain_is_no_trouble() {
        let definitions: Vec<_> = (0..20_000)
            .map(|number| (format!("V{number}"), Definition::parse(&format!("$(V{})", number + 1)).unwrap()))
            .collect();
        assert_eq!(in_order(definitions).unwrap()[0].0, "V19999");
    }
}
