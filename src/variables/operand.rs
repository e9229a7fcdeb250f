//! One operand of an expression: a field, a resource in some unit, or a literal.
//!
//! ```text
//! operand = field | resource [ "*" percent ] [ "/" divisor ] | number | "'" text "'"
//! ```

use crate::facts::field::Field;
use crate::facts::reference::{Reference, topology_label};
use crate::facts::{Facts, Value};
use crate::kubernetes::key_value;
use crate::kubernetes::qualified_name::KeyError;
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resource::{
    Percent, PercentError, is_valid_divisor, resource_field, share, valid_divisors,
};
use crate::system::suggest;

/// The source of a literal, in `--explain` and JSON.
const DEFAULT: &str = "default";

/// An operand is not valid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum OperandError {
    #[error("unknown field {path:?}; {hint}docs/expressions.md lists the fields")]
    UnknownField { path: String, hint: String },
    #[error("a key must be in single quotes: write {map}['{key}']")]
    UnquotedKey { map: &'static str, key: String },
    #[error("invalid key in {path}: {source}")]
    InvalidKey { path: String, source: KeyError },
    #[error("{path} takes no key; only labels and annotations do, as metadata.labels['KEY']")]
    Subscript { path: String },
    #[error("{path} is not a resource; only a resource, such as limits.memory, can be scaled or divided")]
    NotAResource { path: String },
    #[error("{text:?} is not a percentage: {source}; write limits.memory*75%")]
    Percent { text: String, source: PercentError },
    #[error("{divisor:?} is not a divisor of {resource}; use one of {valid}")]
    Divisor { divisor: String, resource: String, valid: String },
    #[error("{text} can only be a default: write it after a field and \":-\", as limits.cpu:-{text}")]
    FirstLiteral { text: String },
    #[error("the text {text} must end in a single quote, and cannot contain one")]
    Quote { text: String },
}

/// One operand of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A field, or one entry of a map. A resource can be multiplied by a percentage and divided.
    Field { reference: Reference, percent: Option<Percent>, divisor: Option<Quantity> },
    /// A number, or the text between quotes.
    Literal(String),
}

impl Operand {
    /// Parses a field or a scaled resource.
    pub(crate) fn parse_field(text: &str) -> Result<Self, OperandError> {
        if is_number(text) || text.starts_with('\'') {
            return Err(OperandError::FirstLiteral { text: text.to_owned() });
        }
        // `*` and `/` in a key are not operators.
        let end = text.rfind(']').unwrap_or_default();
        let operator = text[end..].find(['*', '/']).map_or(text.len(), |position| end + position);
        let (path, scale) = text.split_at(operator);
        let reference = parse_reference(path)?;
        if scale.is_empty() {
            return Ok(Operand::Field { reference, percent: None, divisor: None });
        }
        let Some(resource) = reference.resource() else {
            return Err(OperandError::NotAResource { path: path.to_owned() });
        };
        let (percent, divisor) = match scale.split_once('/') {
            Some((percent, divisor)) => (percent, Some(parse_divisor(resource, divisor)?)),
            None => (scale, None),
        };
        let percent = percent.strip_prefix('*').map(parse_percent).transpose()?;
        Ok(Operand::Field { reference, percent, divisor })
    }

    /// Parses an operand after `:-`, which may be a literal.
    pub(crate) fn parse_default(text: &str) -> Result<Self, OperandError> {
        if let Some(quoted) = text.strip_prefix('\'') {
            let literal = quoted.strip_suffix('\'').filter(|literal| !literal.contains('\''));
            let literal = literal.ok_or_else(|| OperandError::Quote { text: text.to_owned() })?;
            return Ok(Operand::Literal(literal.to_owned()));
        }
        if is_number(text) {
            return Ok(Operand::Literal(text.to_owned()));
        }
        Operand::parse_field(text).map_err(|error| match error {
            OperandError::UnknownField { path, hint } => {
                let hint = format!("{hint}write '{path}' if it is text; ");
                OperandError::UnknownField { path, hint }
            }
            error => error,
        })
    }

    /// Its reference; none for a literal.
    pub(crate) fn reference(&self) -> Option<&Reference> {
        match self {
            Operand::Field { reference, .. } => Some(reference),
            Operand::Literal(_) => None,
        }
    }

    /// The value and the name of its source; none if no source knows the field.
    ///
    /// If the pod does not have the label or annotation, the value is the empty string, as in the
    /// downward API (`ExtractFieldPathAsString` in `pkg/fieldpath/fieldpath.go`).
    pub(crate) fn evaluate(&self, facts: &Facts) -> Option<(String, &'static str)> {
        let (reference, percent, divisor) = match self {
            Operand::Literal(text) => return Some((text.clone(), DEFAULT)),
            Operand::Field { reference, percent, divisor } => (reference, percent, divisor),
        };
        if let Some((label, source)) = topology_label(reference, facts) {
            return Some((label, source.name()));
        }
        let fact = facts.get(reference.field())?;
        let scaled = |resource: &str, quantity: &Quantity| {
            let divisor = divisor.clone().unwrap_or_else(|| Quantity::from_bytes(1));
            match percent {
                Some(percent) => share(resource, quantity, percent, &divisor),
                None => resource_field(resource, quantity, &divisor),
            }
        };
        let value = match (reference, &fact.value, reference.resource()) {
            (_, Value::Quantity(quantity), Some(resource)) => scaled(resource, quantity),
            (Reference::Entry(_, key), Value::Map(map), Some(resource)) => {
                scaled(resource, &Quantity::parse(map.get(key)?).ok()?)
            }
            (Reference::Entry(_, key), Value::Map(map), None) => map.get(key).cloned().unwrap_or_default(),
            (_, Value::Map(map), _) => key_value::format(map),
            (_, Value::Text(text), _) => text.clone(),
            _ => return None,
        };
        Some((value, fact.source.name()))
    }
}

/// Whether `text` is a decimal number.
fn is_number(text: &str) -> bool {
    let (whole, decimals) = match text.strip_prefix('-').unwrap_or(text).split_once('.') {
        Some((whole, decimals)) => (whole, decimals),
        None => (text.strip_prefix('-').unwrap_or(text), "0"),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole) && is_digits(decimals)
}

fn parse_reference(path: &str) -> Result<Reference, OperandError> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|rest| rest.split_once("['")) {
        return parse_entry(path, map, key);
    }
    if let Some(field) = Field::of_path(path).filter(|field| !field.needs_key) {
        return Ok(Reference::Field(field));
    }
    if let Some(error) = unquoted_key(path) {
        return Err(error);
    }
    let resource = [Field::LIMITS, Field::REQUESTS].into_iter().find_map(|list| {
        let name = path.strip_prefix(list.path)?.strip_prefix('.')?;
        let is_known = name == "ephemeral-storage" || is_hugepages(name);
        is_known.then(|| Reference::Entry(list, name.to_owned()))
    });
    resource.ok_or_else(|| unknown(path))
}

fn parse_entry(path: &str, map: &str, key: &str) -> Result<Reference, OperandError> {
    let field = Field::of_path(map).ok_or_else(|| unknown(path))?;
    let check = field.keys.ok_or_else(|| OperandError::Subscript { path: map.to_owned() })?;
    check(key).map_err(|source| OperandError::InvalidKey { path: path.to_owned(), source })?;
    // CPU and memory are fields of their own: limits['cpu'] is limits.cpu.
    Ok(field.at(key).map_or_else(|| Reference::Entry(field, key.to_owned()), Reference::Field))
}

/// The error for `metadata.labels[foo]` and `metadata.labels["foo"]`, which Kubernetes does not accept.
fn unquoted_key(path: &str) -> Option<OperandError> {
    let (map, key) = path.strip_suffix(']')?.split_once('[')?;
    let key = key.trim_matches(['"', '\'']);
    let field = Field::of_path(map)?;
    let is_key = field.keys?(key).is_ok();
    is_key.then(|| OperandError::UnquotedKey { map: field.path, key: key.to_owned() })
}

fn is_hugepages(resource: &str) -> bool {
    let size = resource.strip_prefix("hugepages-").map(Quantity::parse);
    size.is_some_and(|size| size.is_ok_and(|size| size.value() > 0))
}

fn parse_percent(text: &str) -> Result<Percent, OperandError> {
    Percent::parse(text).map_err(|source| OperandError::Percent { text: text.to_owned(), source })
}

fn parse_divisor(resource: &str, divisor: &str) -> Result<Quantity, OperandError> {
    let wrong = || OperandError::Divisor {
        divisor: divisor.to_owned(),
        resource: resource.to_owned(),
        valid: valid_divisors(resource).join(", "),
    };
    if !is_valid_divisor(resource, divisor) {
        return Err(wrong());
    }
    let quantity = Quantity::parse(divisor).map_err(|_| wrong())?;
    // The API writes the default divisor as 0.
    Ok(if quantity.is_zero() { Quantity::from_bytes(1) } else { quantity })
}

fn unknown(path: &str) -> OperandError {
    const RESOURCES: [&str; 3] =
        ["limits.ephemeral-storage", "requests.ephemeral-storage", "limits.hugepages-2Mi"];
    // The key does not help to guess the map.
    let (map, key) = path.split_once('[').map_or((path, None), |(map, key)| (map, Some(key)));
    let fields = Field::all().filter(|field| key.is_none() || field.keys.is_some());
    let paths = fields.map(|field| field.path).chain(RESOURCES.into_iter().filter(|_| key.is_none()));
    let hint = suggest::nearest(map, paths).map(|near| {
        let is_map = Field::of_path(near).is_some_and(|field| field.keys.is_some());
        let key = key.and_then(|key| key.strip_prefix('\'')?.strip_suffix("']"));
        let subscript = if is_map { format!("['{}']", key.unwrap_or("KEY")) } else { String::new() };
        format!("did you mean {near}{subscript}? ")
    });
    OperandError::UnknownField { path: path.to_owned(), hint: hint.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::field::Source;
    use std::collections::BTreeMap;

    fn facts(field: Field, quantity: &str) -> Facts {
        let mut facts = Facts::new(4096);
        let quantity = Value::Quantity(Quantity::parse(quantity).unwrap());
        let labels = BTreeMap::from([("team".to_owned(), "core".to_owned())]);
        let values = vec![(field, quantity), (Field::LABELS, Value::Map(labels))];
        facts.add(Source::Api, values);
        facts
    }

    fn evaluate(operand: &str, facts: &Facts) -> Option<String> {
        Operand::parse_field(operand).unwrap().evaluate(facts).map(|(value, _)| value)
    }

    fn error(operand: &str) -> String {
        Operand::parse_field(operand).unwrap_err().to_string()
    }

    #[test]
    fn without_a_share_it_is_rounded_up_as_the_kubelet_does() {
        let facts = facts(Field::MEMORY_LIMIT, "100Mi");
        assert_eq!(evaluate("limits.memory", &facts).unwrap(), "104857600");
        assert_eq!(evaluate("limits.memory/1Mi", &facts).unwrap(), "100");
        assert_eq!(evaluate("limits.memory/1Gi", &facts).unwrap(), "1");
        assert_eq!(evaluate("limits.memory/0", &facts).unwrap(), "104857600");
    }

    #[test]
    fn a_share_is_rounded_down_and_at_least_1() {
        let facts = facts(Field::MEMORY_LIMIT, "101Mi");
        assert_eq!(evaluate("limits.memory*75%/1Mi", &facts).unwrap(), "75");
        assert_eq!(evaluate("limits.memory*66.7%", &facts).unwrap(), "70639419");
        assert_eq!(evaluate("limits.memory*100%/1Mi", &facts).unwrap(), "101");
        assert_eq!(evaluate("limits.memory*1%/1Gi", &facts).unwrap(), "1");
    }

    #[test]
    fn a_share_of_a_cpu() {
        let facts = facts(Field::CPU_LIMIT, "2500m");
        assert_eq!(evaluate("limits.cpu", &facts).unwrap(), "3");
        assert_eq!(evaluate("limits.cpu*100%", &facts).unwrap(), "2");
        assert_eq!(evaluate("limits.cpu*50%/1m", &facts).unwrap(), "1250");
        assert_eq!(evaluate("limits.cpu*10%", &facts).unwrap(), "1");
    }

    #[test]
    fn a_label_that_the_pod_does_not_have_is_empty() {
        let facts = facts(Field::CPU_LIMIT, "1");
        assert_eq!(evaluate("metadata.labels['team']", &facts).unwrap(), "core");
        assert_eq!(evaluate("metadata.labels['other']", &facts).unwrap(), "");
        assert_eq!(evaluate("metadata.annotations['other']", &facts), None);
        assert_eq!(evaluate("limits.memory", &facts), None);
    }

    #[test]
    fn a_key_may_hold_a_slash() {
        let operand = Operand::parse_field("metadata.labels['app.kubernetes.io/name']").unwrap();
        let key = "app.kubernetes.io/name".to_owned();
        assert_eq!(operand.reference(), Some(&Reference::Entry(Field::LABELS, key)));
    }

    #[test]
    fn literals_are_numbers_and_quoted_text() {
        for (text, literal) in
            [("2", "2"), ("-1", "-1"), ("0.5", "0.5"), ("'a b'", "a b"), ("''", ""), ("'$(X)'", "$(X)")]
        {
            assert_eq!(Operand::parse_default(text), Ok(Operand::Literal(literal.to_owned())), "{text}");
            assert!(error(text).contains("can only be a default"), "{text}");
        }
        for text in ["'", "'a", "'a'b'", "'a'b"] {
            assert!(Operand::parse_default(text).unwrap_err().to_string().contains("single quote"), "{text}");
        }
        for text in ["512Mi", "1.", ".5", "-", "1e3", "none", "\"none\""] {
            let error = Operand::parse_default(text).unwrap_err().to_string();
            assert!(error.contains(&format!("write '{text}' if it is text")), "{error}");
        }
    }

    #[test]
    fn errors_suggest_what_is_near_or_say_what_is_valid() {
        assert!(error("spec.nodename").contains("did you mean spec.nodeName? "));
        assert!(error("metadata.label['a']").contains("did you mean metadata.labels['a']? "));
        assert!(error("limit.memory/1Mi").contains("did you mean limits.memory? "));
        assert_eq!(error("hello"), "unknown field \"hello\"; docs/expressions.md lists the fields");
        assert!(error("").contains("unknown field"));
        assert!(error("node.labels").contains("node.labels['KEY']"));
        assert!(error("metadata.labels[foo]").ends_with("write metadata.labels['foo']"));
        assert!(error("metadata.annotations[\"a/b\"]").ends_with("write metadata.annotations['a/b']"));
        assert!(error("limits.memory/3").contains("1Ki"));
        assert!(error("limits.memory/").contains("1Ki"));
        assert!(error("limits.cpu/1Ki").contains("1m"));
        assert!(error("limits.memory*101%").contains("percentage"));
        assert!(error("metadata.name*5%").contains("only a resource"));
        assert!(error("metadata.labels['a']/1").contains("only a resource"));
        assert!(error("metadata.name['x']").contains("takes no key"));
        assert!(error("metadata.labels['bad key']").contains("name part"));
        assert!(error("limits.hugepages-").contains("unknown field"));
    }
}
