//! What may follow `--set NAME=`.
//!
//! ```text
//! expression = field | resource [ "*" percent ] [ "/" divisor ]
//! ```

use std::borrow::Cow;

use crate::facts::field::{Field, Kind, List, Row, Source, TABLE, by_path};
use crate::facts::reference::{Reference, topology_label};
use crate::facts::{Facts, Value};
use crate::kubernetes::key_value;
use crate::kubernetes::qualified_name;
use crate::kubernetes::quantity::{Quantity, is_valid_divisor, resource_field, valid_divisors};

/// What is wrong with an expression.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ExpressionError {
    #[error("unknown field {path:?}; the nearest is {nearest}")]
    UnknownField { path: String, nearest: String },
    #[error("invalid key in {path}: {reason}")]
    InvalidKey { path: String, reason: String },
    #[error("{path} takes no subscript")]
    Subscript { path: String },
    #[error("only a resource can be scaled or divided, and {path} is none; a resource is limits.memory")]
    NotAResource { path: String },
    #[error("{text:?} is not a percentage of 100% or less; write it so: limits.memory*75%")]
    Percent { text: String },
    #[error("{divisor:?} is not a divisor of {resource}; it takes {valid}")]
    Divisor { divisor: String, resource: String, valid: String },
}

/// A value to be had from facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    pub(crate) reference: Reference,
    /// The share to take, in thousandths of a percent.
    percent: Option<u32>,
    divisor: Option<Quantity>,
}

/// Whole, in the unit of [`Expression::percent`].
const WHOLE: u32 = 100_000;

impl Expression {
    /// Parses an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, ExpressionError> {
        // A key may hold the signs that follow a resource.
        let end = text.rfind(']').unwrap_or_default();
        let operator = text[end..].find(['*', '/']).map_or(text.len(), |position| end + position);
        let (path, scale) = text.split_at(operator);
        let reference = parse_reference(path)?;
        if scale.is_empty() {
            return Ok(Expression { reference, percent: None, divisor: None });
        }
        let Reference::Field(Field::Resource(_, resource)) = &reference else {
            return Err(ExpressionError::NotAResource { path: path.to_owned() });
        };
        let (percent, divisor) = match scale.split_once('/') {
            Some((percent, divisor)) => (percent, Some(parse_divisor(resource, divisor)?)),
            None => (scale, None),
        };
        let percent = percent.strip_prefix('*').map(parse_percent).transpose()?;
        Ok(Expression { reference, percent, divisor })
    }

    /// The value and its source; none if no source knows the field.
    ///
    /// A label or annotation that the pod is known not to have is the empty string, as in the
    /// downward API (`ExtractFieldPathAsString` in `pkg/fieldpath/fieldpath.go`).
    pub(crate) fn evaluate(&self, facts: &Facts) -> Option<(String, Source)> {
        if let Some(label) = topology_label(&self.reference, facts) {
            return Some(label);
        }
        let fact = facts.get(self.reference.field())?;
        let value = match (&self.reference, &fact.value) {
            (Reference::Entry(_, key), Value::Map(map)) => map.get(key).cloned().unwrap_or_default(),
            (_, Value::Map(map)) => key_value::format(map),
            (_, Value::Text(text)) => text.clone(),
            (Reference::Field(Field::Resource(_, resource)), Value::Quantity(quantity)) => {
                self.scale(resource, quantity)
            }
            _ => return None,
        };
        Some((value, fact.source))
    }

    fn scale(&self, resource: &str, quantity: &Quantity) -> String {
        let one = Quantity::from_bytes(1);
        let divisor = self.divisor.as_ref().unwrap_or(&one);
        let Some(percent) = self.percent else {
            return resource_field(resource, quantity, divisor);
        };
        // Thousandths only for CPU: elsewhere they would overflow where whole units do not.
        let (amount, divisor) = match resource {
            "cpu" => (quantity.milli_value(), divisor.milli_value()),
            _ => (quantity.value(), divisor.value()),
        };
        let share = i128::from(amount) * i128::from(percent);
        let whole = i128::from(WHOLE) * i128::from(divisor.max(1));
        (share / whole).max(1).to_string()
    }
}

fn parse_reference(path: &str) -> Result<Reference, ExpressionError> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|rest| rest.split_once("['")) {
        return parse_entry(path, map, key);
    }
    if let Some(row) = by_path(path).filter(|row| !row.needs_key) {
        return Ok(Reference::Field(row.field()));
    }
    let resource = [List::Limits, List::Requests].into_iter().find_map(|list| {
        let name = path.strip_prefix(list.name())?.strip_prefix('.')?;
        let is_known = name == "ephemeral-storage" || is_hugepages(name);
        is_known.then(|| Field::Resource(list, Cow::Owned(name.to_owned())))
    });
    resource.map(Reference::Field).ok_or_else(|| unknown(path))
}

fn parse_entry(path: &str, map: &str, key: &str) -> Result<Reference, ExpressionError> {
    let row = by_path(map).ok_or_else(|| unknown(path))?;
    let checked = match row.kind {
        Kind::Map if row.field() == Field::Annotations => qualified_name::check_annotation(key),
        Kind::Map => qualified_name::check(key),
        _ => return Err(ExpressionError::Subscript { path: map.to_owned() }),
    };
    checked.map_err(|reason| ExpressionError::InvalidKey { path: path.to_owned(), reason })?;
    Ok(Reference::Entry(row.field(), key.to_owned()))
}

fn is_hugepages(resource: &str) -> bool {
    let size = resource.strip_prefix("hugepages-").map(Quantity::parse);
    size.is_some_and(|size| size.is_ok_and(|size| size.value() > 0))
}

fn parse_percent(text: &str) -> Result<u32, ExpressionError> {
    let wrong = || ExpressionError::Percent { text: text.to_owned() };
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(wrong());
    }
    let thousandths = Quantity::parse(number).map_err(|_| wrong())?.milli_value();
    u32::try_from(thousandths).ok().filter(|share| (1..=WHOLE).contains(share)).ok_or_else(wrong)
}

fn parse_divisor(resource: &str, divisor: &str) -> Result<Quantity, ExpressionError> {
    let wrong = || ExpressionError::Divisor {
        divisor: divisor.to_owned(),
        resource: resource.to_owned(),
        valid: valid_divisors(resource).join(", "),
    };
    if !is_valid_divisor(resource, divisor) {
        return Err(wrong());
    }
    let quantity = Quantity::parse(divisor).map_err(|_| wrong())?;
    // 0 is how the API writes the default.
    Ok(if quantity.value() == 0 { Quantity::from_bytes(1) } else { quantity })
}

fn unknown(path: &str) -> ExpressionError {
    let subscripted = ["metadata.labels['KEY']", "metadata.annotations['KEY']", "node.labels['KEY']"];
    let resources = ["limits.ephemeral-storage", "requests.ephemeral-storage", "limits.hugepages-2Mi"];
    let paths = TABLE.iter().filter(|row| !row.needs_key).map(|row: &Row| row.path);
    let known = paths.chain(subscripted).chain(resources);
    let nearest =
        known.min_by_key(|known| (!known.starts_with(path), distance(path, known))).unwrap_or_default();
    ExpressionError::UnknownField { path: path.to_owned(), nearest: nearest.to_owned() }
}

/// Levenshtein's distance between two names, in which letters in another case count for little.
pub(crate) fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).map(|column| column * 4).collect();
    for (line, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], (line + 1) * 4);
        for (column, b) in other.iter().enumerate() {
            let replaced = match a {
                a if a == *b => 0,
                a if a.eq_ignore_ascii_case(b) => 1,
                _ => 4,
            };
            let least = (diagonal + replaced).min(row[column] + 4).min(row[column + 1] + 4);
            diagonal = std::mem::replace(&mut row[column + 1], least);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn facts(resource: &'static str, quantity: &str) -> Facts {
        let mut facts = Facts::new(4096);
        let quantity = Value::Quantity(Quantity::parse(quantity).unwrap());
        let field = Field::Resource(List::Limits, Cow::Borrowed(resource));
        let labels = BTreeMap::from([("team".to_owned(), "core".to_owned())]);
        let values = vec![(field, quantity), (Field::Labels, Value::Map(labels))];
        facts.add(Source::Api, values);
        facts
    }

    fn evaluate(expression: &str, facts: &Facts) -> Option<String> {
        Expression::parse(expression).unwrap().evaluate(facts).map(|(value, _)| value)
    }

    fn error(expression: &str) -> String {
        Expression::parse(expression).unwrap_err().to_string()
    }

    #[test]
    fn without_a_share_it_is_rounded_up_as_the_kubelet_does() {
        let facts = facts("memory", "100Mi");
        assert_eq!(evaluate("limits.memory", &facts).unwrap(), "104857600");
        assert_eq!(evaluate("limits.memory/1Mi", &facts).unwrap(), "100");
        assert_eq!(evaluate("limits.memory/1Gi", &facts).unwrap(), "1");
        assert_eq!(evaluate("limits.memory/0", &facts).unwrap(), "104857600");
    }

    #[test]
    fn a_share_is_rounded_down_and_at_least_1() {
        let facts = facts("memory", "101Mi");
        assert_eq!(evaluate("limits.memory*75%/1Mi", &facts).unwrap(), "75");
        assert_eq!(evaluate("limits.memory*66.7%", &facts).unwrap(), "70639419");
        assert_eq!(evaluate("limits.memory*100%/1Mi", &facts).unwrap(), "101");
        assert_eq!(evaluate("limits.memory*1%/1Gi", &facts).unwrap(), "1");
    }

    #[test]
    fn a_share_of_a_cpu() {
        let facts = facts("cpu", "2500m");
        assert_eq!(evaluate("limits.cpu", &facts).unwrap(), "3");
        assert_eq!(evaluate("limits.cpu*100%", &facts).unwrap(), "2");
        assert_eq!(evaluate("limits.cpu*50%/1m", &facts).unwrap(), "1250");
        assert_eq!(evaluate("limits.cpu*10%", &facts).unwrap(), "1");
    }

    #[test]
    fn a_label_that_the_pod_does_not_have_is_empty() {
        let facts = facts("cpu", "1");
        assert_eq!(evaluate("metadata.labels['team']", &facts).unwrap(), "core");
        assert_eq!(evaluate("metadata.labels['other']", &facts).unwrap(), "");
        assert_eq!(evaluate("metadata.annotations['other']", &facts), None);
        assert_eq!(evaluate("limits.memory", &facts), None);
    }

    #[test]
    fn a_key_may_hold_a_slash() {
        let expression = Expression::parse("metadata.labels['app.kubernetes.io/name']").unwrap();
        let key = "app.kubernetes.io/name".to_owned();
        assert_eq!(expression.reference, Reference::Entry(Field::Labels, key));
    }

    #[test]
    fn errors_name_the_nearest_or_what_is_valid() {
        assert!(error("spec.nodename").ends_with("the nearest is spec.nodeName"));
        assert!(error("metadata.label['a']").ends_with("the nearest is metadata.labels['KEY']"));
        assert!(error("limit.memory/1Mi").ends_with("the nearest is limits.memory"));
        assert!(error("").contains("unknown field"));
        assert!(error("node.labels").contains("node.labels['KEY']"));
        assert!(error("limits.memory/3").contains("1Ki"));
        assert!(error("limits.memory/").contains("1Ki"));
        assert!(error("limits.cpu/1Ki").contains("1m"));
        for share in ["0%", "101%", "50", "%", "-5%", "5e1%", "1.2.3%", "75% "] {
            assert!(error(&format!("limits.memory*{share}")).contains("percentage"), "{share}");
        }
        assert!(error("metadata.name*5%").contains("only a resource"));
        assert!(error("metadata.labels['a']/1").contains("only a resource"));
        assert!(error("metadata.name['x']").contains("no subscript"));
        assert!(error("metadata.labels['bad key']").contains("name part"));
        assert!(error("limits.hugepages-").contains("unknown field"));
    }
}
