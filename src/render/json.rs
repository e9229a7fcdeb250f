//! One JSON object with sorted keys and a newline at its end. Unknown values are absent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::Explanation;
use crate::facts::Value;
use crate::facts::field::{Field, Kind};
use crate::variables::Run;
use crate::variables::variable::Variables;

/// The name and version of the document's schema.
const SCHEMA: &str = "introspod/v1";

/// Renders facts and variables.
pub(super) fn render(run: &Run, explanation: Option<&Explanation>) -> Vec<u8> {
    let mut root = BTreeMap::new();
    root.insert("schema", Node::Text(SCHEMA.into()));
    for field in Field::all() {
        // The pod has copies of some labels of its node. The document has all or none.
        if let Some(fact) = run.facts.get_part(field)
            && !(field == Field::NODE_LABELS && matches!(fact.value, Value::Part(_)))
            && let Some(value) = node(field.kind, &fact.value)
        {
            put(&mut root, field.document, value);
        }
    }
    root.insert("variables", Node::Variables(&run.variables, false));
    root.insert("sources", Node::Variables(&run.variables, true));
    if let Some(explanation) = explanation {
        let lines = explanation.sources.iter().map(|(source, why)| format!("{source}: {why}").into());
        root.insert("explanation", Node::List(lines.collect()));
        root.insert("unknown", Node::Map(&explanation.unknown));
    }
    let mut text = serde_json::to_vec_pretty(&Node::Object(root)).unwrap_or_default();
    text.push(b'\n');
    text
}

/// A part of the document. Facts and variables are not copied, because there may be very many.
enum Node<'a> {
    Text(Cow<'a, str>),
    Number(u32),
    List(Vec<Cow<'a, str>>),
    Object(BTreeMap<&'a str, Node<'a>>),
    Map(&'a BTreeMap<String, String>),
    /// The values of variables, or their sources.
    Variables(&'a Variables, bool),
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Text(text) => serializer.serialize_str(text),
            Node::Number(number) => serializer.serialize_u32(*number),
            Node::List(list) => serializer.collect_seq(list),
            Node::Object(object) => serializer.collect_map(object),
            Node::Map(map) => serializer.collect_map(*map),
            Node::Variables(variables, is_source) => {
                serializer.collect_map(variables.shown().map(|(name, variable)| {
                    (name, if *is_source { &*variable.source } else { variable.value.as_str() })
                }))
            }
        }
    }
}

fn node(kind: Kind, value: &Value) -> Option<Node<'_>> {
    match (kind, value) {
        (Kind::Addresses, Value::Text(text)) => Some(Node::List(text.split(',').map(Cow::from).collect())),
        (Kind::Ordinal, Value::Text(text)) => Some(Node::Number(text.parse().ok()?)),
        (_, Value::Text(text)) => Some(Node::Text(text.into())),
        (_, Value::Quantity(quantity)) => Some(Node::Text(quantity.to_string().into())),
        // CPU and memory are fields of their own, so it may be empty.
        (_, Value::Quantities(map)) => {
            let mut object = BTreeMap::new();
            for (name, quantity) in map {
                object.insert(name.as_str(), Node::Text(quantity.to_string().into()));
            }
            (!map.is_empty()).then_some(Node::Object(object))
        }
        (_, Value::Map(map) | Value::Part(map)) => Some(Node::Map(map)),
        _ => None,
    }
}

/// Inserts `value` at a path of keys, and creates the objects on the path.
fn put<'a>(mut object: &mut BTreeMap<&'a str, Node<'a>>, path: &[&'a str], value: Node<'a>) {
    let Some((key, parents)) = path.split_last() else { return };
    for parent in parents {
        let child = object.entry(parent).or_insert_with(|| Node::Object(BTreeMap::new()));
        let Node::Object(child) = child else { return };
        object = child;
    }
    object.insert(key, value);
}
