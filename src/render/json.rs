//! One JSON object with sorted keys and a newline at its end. Unknown values are absent.

use serde_json::{Map, Value as Json};

use super::Document;
use crate::facts::Value;
use crate::facts::field::{Field, Kind};

/// The name and version of the document's schema.
const SCHEMA: &str = "introspod/v1";

/// Renders facts and variables.
pub(super) fn render(document: &Document) -> Vec<u8> {
    let mut root = Map::new();
    root.insert("schema".to_owned(), SCHEMA.into());
    for field in Field::all() {
        if let Some(fact) = document.facts.get(field)
            && let Some(value) = json(field.kind, &fact.value)
        {
            put(&mut root, field.document, value);
        }
    }
    let mut variables = Map::new();
    let mut sources = Map::new();
    for (name, variable) in document.shown() {
        variables.insert(name.clone(), variable.value.as_str().into());
        sources.insert(name.clone(), variable.source.as_ref().into());
    }
    root.insert("variables".to_owned(), variables.into());
    root.insert("sources".to_owned(), sources.into());
    if let Some(explanation) = &document.explanation {
        let lines = explanation.sources.iter().map(|(source, why)| format!("{source}: {why}"));
        root.insert("explanation".to_owned(), lines.collect::<Vec<_>>().into());
        let unknown = explanation.unknown.iter().map(|(name, why)| (name.clone(), why.as_str().into()));
        root.insert("unknown".to_owned(), Json::Object(unknown.collect()));
    }
    let mut text = serde_json::to_vec_pretty(&Json::Object(root)).unwrap_or_default();
    text.push(b'\n');
    text
}

fn json(kind: Kind, value: &Value) -> Option<Json> {
    match (kind, value) {
        (Kind::Addresses, Value::Text(text)) => Some(text.split(',').collect::<Vec<_>>().into()),
        (Kind::Ordinal, Value::Text(text)) => Some(text.parse::<u32>().ok()?.into()),
        (_, Value::Text(text)) => Some(text.as_str().into()),
        (_, Value::Quantity(quantity)) => Some(quantity.to_string().into()),
        // Without CPU and memory there may be no other resource.
        (_, Value::Quantities(map)) if map.is_empty() => None,
        (_, Value::Quantities(map)) => {
            let entries = map.iter().map(|(name, quantity)| (name.clone(), quantity.to_string().into()));
            Some(Json::Object(entries.collect()))
        }
        (_, Value::Map(map)) => {
            let entries = map.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
            Some(Json::Object(entries.collect()))
        }
        _ => None,
    }
}

/// Inserts `value` at a path of keys, and creates the objects on the path.
fn put(object: &mut Map<String, Json>, path: &[&str], value: Json) {
    match path {
        [] => {}
        [key] => {
            object.insert((*key).to_owned(), value);
        }
        [key, rest @ ..] => {
            let child = object.entry(*key).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(child) = child {
                put(child, rest, value);
            }
        }
    }
}
