//! A reference in an expression: to a field, to one entry of a map, or into an object of the API.

use crate::facts::field::{Field, Kind, Object, Source};
use crate::kubernetes::path::Path;
use crate::kubernetes::quantity::Quantity;
use crate::system::suggest;

/// A reference in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A whole field.
    Field(Field),
    /// One entry of a field that is a map: `metadata.labels['key']`.
    Entry(Field, String),
    /// A value in an object of the API: `pod.spec.priorityClassName`.
    Path(Path),
}

/// Why a text is not a reference, or not an expression. No message contains the text, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("not a field (introspod help fields){hint}", hint = hint(.0))]
    UnknownField(String),
    #[error("a key must be in single quotes: {0}['KEY']")]
    UnquotedKey(&'static str),
    #[error("{0} takes no key; only labels, annotations and resources do, as in metadata.labels['KEY']")]
    Subscript(&'static str),
    #[error("{0}")]
    Form(&'static str),
}

const INVALID_KEY: &str = "invalid key: a key has at most 63 letters, digits, -, _ and ., a letter or digit first and \
    last, and perhaps a DNS name and / before it";

impl Reference {
    /// Parses a field, an entry of a map or a path: `metadata.name`, `metadata.labels['KEY']`.
    pub(crate) fn parse(path: &str) -> Result<Self, Problem> {
        if Path::is_meant(path) {
            return Path::parse(path).map(Reference::Path).map_err(Problem::Form);
        }
        if let Some((map, key)) = path.strip_suffix("']").and_then(|rest| rest.split_once("['")) {
            return parse_entry(path, map, key);
        }
        if let Some(field) = Field::of_path(path).filter(|field| !field.needs_key) {
            return Ok(Reference::Field(field));
        }
        if let Some(map) = path.strip_suffix(']').and_then(|path| Field::of_path(path.split_once('[')?.0)) {
            let error = if map.keys.is_some() { Problem::UnquotedKey } else { Problem::Subscript };
            return Err(error(map.path));
        }
        let resource = [Field::LIMITS, Field::REQUESTS].into_iter().find_map(|list| {
            let name = path.strip_prefix(list.path)?.strip_prefix('.')?;
            let is_known = name == "ephemeral-storage" || is_hugepages(name);
            is_known.then(|| Reference::Entry(list, name.to_owned()))
        });
        resource.ok_or_else(|| Problem::UnknownField(path.to_owned()))
    }

    /// The field that it refers to. A path has none.
    pub(crate) fn field(&self) -> Option<Field> {
        match self {
            Reference::Field(field) | Reference::Entry(field, _) => Some(*field),
            Reference::Path(_) => None,
        }
    }

    /// The object of the API that has the value.
    pub(crate) fn object(&self) -> Option<Object> {
        match self {
            Reference::Field(field) | Reference::Entry(field, _) => field.object(),
            Reference::Path(path) => Some(path.object),
        }
    }

    /// Whether it is about one container, and not about the whole pod.
    pub(crate) fn is_of_container(&self) -> bool {
        self.field().is_some_and(|field| field.is_of_container)
    }

    /// Whether the downward API has it as a `resourceFieldRef`.
    pub(crate) fn is_limit_or_request(&self) -> bool {
        let is_list = |field: Field| ["limits", "requests"].iter().any(|list| field.path.starts_with(list));
        self.resource().is_some() && self.field().is_some_and(is_list)
    }

    /// Whether the value may be a secret.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self, Reference::Path(path) if path.is_private())
    }

    /// Whether the API may lack the value during the pod's first second, and then has it.
    pub(crate) fn is_late_in_api(&self) -> bool {
        match self {
            Reference::Field(field) | Reference::Entry(field, _) => field.is_late_in_api,
            Reference::Path(path) => path.is_late(),
        }
    }

    /// Whether only the API can have the value.
    pub(crate) fn is_only_in_api(&self) -> bool {
        self.field().is_none_or(|field| field.sources == [Source::Api])
    }

    /// The name of the resource that it refers to.
    pub(crate) fn resource(&self) -> Option<&str> {
        match self {
            Reference::Field(field) => field.resource(),
            Reference::Entry(field, key) => (field.kind == Kind::Quantities).then_some(key),
            Reference::Path(_) => None,
        }
    }
}

fn parse_entry(path: &str, map: &str, key: &str) -> Result<Reference, Problem> {
    let field = Field::of_path(map).ok_or_else(|| Problem::UnknownField(path.to_owned()))?;
    let check = field.keys.ok_or(Problem::Subscript(field.path))?;
    if !check(key) {
        return Err(Problem::Form(INVALID_KEY));
    }
    // CPU and memory are fields of their own: limits['cpu'] is limits.cpu.
    Ok(field.at(key).map_or_else(|| Reference::Entry(field, key.to_owned()), Reference::Field))
}

fn is_hugepages(resource: &str) -> bool {
    let size = resource.strip_prefix("hugepages-").map(Quantity::parse);
    size.is_some_and(|size| size.is_ok_and(|size| size.value() > 0))
}

impl Problem {
    /// The field that is nearest to the misspelt one, if one is near.
    pub(crate) fn nearest(&self) -> Option<String> {
        match self {
            Problem::UnknownField(path) => nearest(path),
            _ => None,
        }
    }
}

fn hint(path: &str) -> String {
    if let Some(near) = nearest(path) {
        return format!("; did you mean {near}?");
    }
    // The text itself may be a secret, so the rest of the path is not shown.
    let part = ["metadata", "spec", "status"].into_iter().find(|part| {
        let below = path.strip_prefix(part);
        below.is_some_and(|below| below.starts_with('.'))
    });
    part.map_or(String::new(), |part| {
        format!("; a path into the Pod object begins with pod., as in pod.{part}.…")
    })
}

fn nearest(path: &str) -> Option<String> {
    const RESOURCES: [&str; 3] =
        ["limits.ephemeral-storage", "requests.ephemeral-storage", "limits.hugepages-2Mi"];
    // The key does not help to guess the map.
    let (map, has_key) = path.split_once('[').map_or((path, false), |(map, _)| (map, true));
    let fields = Field::all().filter(|field| !has_key || field.keys.is_some());
    let resources = if has_key { &[][..] } else { &RESOURCES };
    let paths = fields.map(|field| field.path).chain(resources.iter().copied());
    suggest::nearest(map, paths).map(|near| {
        let needs_key =
            Field::of_path(near).is_some_and(|field| field.needs_key || (has_key && field.keys.is_some()));
        format!("{near}{}", if needs_key { "['KEY']" } else { "" })
    })
}

impl std::fmt::Display for Reference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Reference::Field(field) => formatter.write_str(field.path),
            Reference::Entry(field, key) if field.kind == Kind::Quantities && !key.contains('/') => {
                write!(formatter, "{}.{key}", field.path)
            }
            Reference::Entry(field, key) => write!(formatter, "{}['{key}']", field.path),
            Reference::Path(path) => path.fmt(formatter),
        }
    }
}
