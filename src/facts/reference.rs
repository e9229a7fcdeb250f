//! A reference in an expression: to a field, or to one entry of a map.

use crate::facts::field::{Field, Kind, Source};
use crate::facts::{Facts, Value};

/// The prefix of the labels that a cluster copies from nodes onto pods.
const TOPOLOGY: &str = "topology.kubernetes.io/";

/// A reference in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A whole field.
    Field(Field),
    /// One entry of a field that is a map: `metadata.labels['key']`.
    Entry(Field, String),
}

impl Reference {
    /// The field that it refers to.
    pub(crate) fn field(&self) -> Field {
        match self {
            Reference::Field(field) | Reference::Entry(field, _) => *field,
        }
    }

    /// The name of the resource that it refers to.
    pub(crate) fn resource(&self) -> Option<&str> {
        match self {
            Reference::Field(field) => field.resource(),
            Reference::Entry(field, key) => (field.kind == Kind::Quantities).then_some(key),
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Reference::Field(field) => formatter.write_str(field.path),
            Reference::Entry(field, key) if field.kind == Kind::Quantities && !key.contains('/') => {
                write!(formatter, "{}.{key}", field.path)
            }
            Reference::Entry(field, key) => write!(formatter, "{}['{key}']", field.path),
        }
    }
}

/// The pod's copy of a topology label of its node. Kubernetes 1.35 and later makes it (KEP-4742), so
/// the Node object is not needed.
pub(crate) fn topology_label(reference: &Reference, facts: &Facts) -> Option<(String, Source)> {
    let Reference::Entry(field, key) = reference else { return None };
    if *field != Field::NODE_LABELS || !is_topology(key) {
        return None;
    }
    let fact = facts.get(Field::LABELS)?;
    let Value::Map(labels) = &fact.value else { return None };
    Some((labels.get(key)?.clone(), fact.source))
}

/// Whether the cluster may have copied the node's label `key` onto the pod.
pub(crate) fn is_topology(key: &str) -> bool {
    key.starts_with(TOPOLOGY)
}
