//! An expression: a chain of operands. The first operand that has a value wins.
//!
//! ```text
//! expression = operand { ":-" operand }
//! ```

use crate::facts::Facts;
use crate::facts::reference::Reference;
use crate::variables::operand::{Operand, OperandError};

/// The separator between an operand and its default, as in a shell's `${NAME:-default}`.
const SEPARATOR: &str = ":-";

/// A chain of operands. The first that is known and not empty wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    /// At least one.
    operands: Vec<Operand>,
}

impl Expression {
    /// Parses an expression. Its first operand must be a field.
    pub(crate) fn parse(text: &str) -> Result<Self, OperandError> {
        let mut parts = split(text).into_iter();
        let first = parts.next().map(Operand::parse_field);
        let operands = first.into_iter().chain(parts.map(Operand::parse_default));
        Ok(Expression { operands: operands.collect::<Result<_, _>>()? })
    }

    /// The value of the first operand that is known and not empty, and the name of its source.
    ///
    /// If there is no such operand, it is the value of the last one; none if that is unknown.
    pub(crate) fn evaluate(&self, facts: &Facts) -> Option<(String, &'static str)> {
        let (last, others) = self.operands.split_last()?;
        let values = others.iter().filter_map(|operand| operand.evaluate(facts));
        values.into_iter().find(|(value, _)| !value.is_empty()).or_else(|| last.evaluate(facts))
    }

    /// Its references in order. A literal ends the list, because it always has a value.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        let is_final = |operand: &&Operand| matches!(operand, Operand::Literal(text) if !text.is_empty());
        self.operands.iter().take_while(move |operand| !is_final(operand)).filter_map(Operand::reference)
    }
}

/// Splits `text` into operands. Separators in quotes after the first operand do not count.
fn split(text: &str) -> Vec<&str> {
    let mut operands = Vec::new();
    let mut rest = text;
    loop {
        let quoted = if operands.is_empty() { 0 } else { quoted_length(rest) };
        match rest[quoted..].find(SEPARATOR) {
            Some(position) => {
                operands.push(&rest[..quoted + position]);
                rest = &rest[quoted + position + SEPARATOR.len()..];
            }
            None => {
                operands.push(rest);
                return operands;
            }
        }
    }
}

/// The length of the quoted text at the start of `text`, including its quotes.
fn quoted_length(text: &str) -> usize {
    let quoted = text.strip_prefix('\'');
    quoted.map_or(0, |quoted| quoted.find('\'').map_or(text.len(), |end| end + 2))
}

/// Whether `text` contains `needle` outside the quoted text of a default.
pub(crate) fn has_unquoted(text: &str, needle: &str) -> bool {
    split(text).iter().enumerate().any(|(position, operand)| {
        let quoted = if position == 0 { 0 } else { quoted_length(operand) };
        operand[quoted..].contains(needle)
    })
}

/// Whether `text` is a field with a default of any kind.
pub(crate) fn has_default(text: &str) -> bool {
    let operands = split(text);
    operands.len() > 1 && Operand::parse_field(operands[0]).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Value;
    use crate::facts::field::{Field, Source};
    use std::collections::BTreeMap;

    fn evaluate(expression: &str) -> Option<(String, &'static str)> {
        let mut facts = Facts::new(4096);
        let labels = BTreeMap::from([("team".to_owned(), "core".to_owned())]);
        let name = Value::Text("web-0".to_owned());
        facts.add(Source::Api, vec![(Field::POD_NAME, name), (Field::LABELS, Value::Map(labels))]);
        Expression::parse(expression).unwrap().evaluate(&facts)
    }

    #[test]
    fn the_first_operand_that_is_known_and_not_empty_counts() {
        for (expression, expected) in [
            ("metadata.name:-'other'", Some(("web-0", "api"))),
            ("metadata.uid:-metadata.name:-'other'", Some(("web-0", "api"))),
            ("metadata.uid:-'other'", Some(("other", "default"))),
            ("metadata.uid:-2:-metadata.name", Some(("2", "default"))),
            ("metadata.labels['team']:-'none'", Some(("core", "api"))),
            ("metadata.labels['none']:-'none'", Some(("none", "default"))),
            ("metadata.labels['none']:-metadata.labels['nor']", Some(("", "api"))),
            ("metadata.labels['none']:-metadata.uid", None),
            ("metadata.uid:-spec.nodeName", None),
            ("metadata.uid:-''", Some(("", "default"))),
            ("metadata.uid:-'a:-b':-'c'", Some(("a:-b", "default"))),
            ("metadata.uid:-'$(POD_NAME)'", Some(("$(POD_NAME)", "default"))),
        ] {
            let expected = expected.map(|(value, source)| (value.to_owned(), source));
            assert_eq!(evaluate(expression), expected, "{expression}");
        }
    }

    #[test]
    fn what_follows_a_literal_is_not_referred_to() {
        let references = |text: &str| -> Vec<String> {
            let expression = Expression::parse(text).unwrap();
            expression.references().map(ToString::to_string).collect()
        };
        assert_eq!(references("limits.cpu:-requests.cpu:-2:-metadata.name"), ["limits.cpu", "requests.cpu"]);
        assert_eq!(references("limits.cpu:-'':-metadata.name"), ["limits.cpu", "metadata.name"]);
    }

    #[test]
    fn a_separator_without_an_operand_is_an_error() {
        for text in ["", ":-2", "limits.cpu:-", "limits.cpu:-:-2", "limits.cpu:2", "2", "'a':-metadata.name"]
        {
            assert!(Expression::parse(text).is_err(), "{text:?}");
        }
    }
}
