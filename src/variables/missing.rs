//! Why a variable is missing, and what would make it known.

use crate::facts::field::{self, Field};
use crate::facts::reference::Reference;
use crate::sources::gather::Gathered;
use crate::system::environment::Environment;
use crate::variables::Selection;
use crate::variables::definition::Definition;
use crate::variables::expression::Expression;
use crate::variables::labels::Map;
use crate::variables::template::NoValue;
use crate::variables::variable::{Scope, Variables};

/// Why there is no variable `name` among `variables`, or why it is not shown.
pub(crate) fn why_missing(
    name: &str,
    variables: &Variables,
    gathered: &Gathered,
    selection: &Selection,
) -> String {
    if variables.get(name).is_some_and(|variable| variable.is_private) {
        return match field::by_variable(name) {
            Some(row) => format!("the value that was set is not {}, and is not shown", row.kind.noun()),
            None => "its value comes from the environment, and is not shown".to_owned(),
        };
    }
    if let Some((_, definition)) = selection.set.iter().find(|(set, _)| set == name) {
        return match definition {
            Definition::Expression(expression) => why_no_value(expression, gathered),
            Definition::Template(template) => {
                let nobody = Environment::default();
                let scope = Scope { variables, environments: [&nobody; 2] };
                let value = |name: &str| std::str::from_utf8(scope.get(name.as_bytes())?.0).ok();
                match template.render(value) {
                    Err(no_value) => why_not_rendered(&no_value, gathered, selection),
                    Ok(_) => "its value contains NUL, which no variable can".to_owned(),
                }
            }
        };
    }
    if let Some(row) = field::by_variable(name) {
        return why_unknown(&Reference::Field(row.field()), gathered);
    }
    match Map::of_variable(name) {
        Some(map) if gathered.facts.get(&map.field()).is_some() => {
            format!("the pod has no {} from which it could come", map.entry())
        }
        Some(map) => why_unknown(&Reference::Field(map.field()), gathered),
        None => "it is not in the environment, and no option sets it; use --set NAME=EXPRESSION".to_owned(),
    }
}

/// Why no operand of `expression` has a value.
pub(crate) fn why_no_value(expression: &Expression, gathered: &Gathered) -> String {
    let reasons: Vec<String> =
        expression.references().map(|reference| why_unknown(reference, gathered)).collect();
    reasons.join("; ")
}

/// Why a template has no value.
pub(crate) fn why_not_rendered(no_value: &NoValue, gathered: &Gathered, selection: &Selection) -> String {
    let NoValue::Unknown(names) = no_value else {
        return "its value would be longer than 1 MiB".to_owned();
    };
    let reasons = names.iter().map(|name| {
        let is_set = selection.set.iter().any(|(set, _)| set == name);
        match field::by_variable(name).filter(|_| !is_set) {
            Some(row) => {
                format!("$({name}): {}", why_unknown(&Reference::Field(row.field()), gathered))
            }
            None => format!("$({name}) is not set"),
        }
    });
    reasons.collect::<Vec<_>>().join("; ")
}

/// Why there is no value of `reference`, and what to do.
fn why_unknown(reference: &Reference, gathered: &Gathered) -> String {
    let field = reference.field();
    if gathered.facts.is_settled(field) {
        let whose = if matches!(field, Field::Resource(..)) { "container" } else { "pod" };
        return format!("the {whose} has no {reference}");
    }
    match gathered.why_unknown(field) {
        Some(note) => format!("{reference} is not known: {}", note.text),
        None => format!("{reference} is not known: no source has it; print --explain shows why"),
    }
}

/// Why the entries of `map` are not known, unless a warning has said so already.
pub(crate) fn why_no_map(map: Map, gathered: &Gathered) -> String {
    let field = map.field();
    match gathered.why_unknown(&field) {
        Some(note) if note.is_broken && !gathered.facts.is_settled(&field) => {
            format!("{} is not known", field.path())
        }
        _ => why_unknown(&Reference::Field(field), gathered),
    }
}
