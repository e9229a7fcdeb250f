//! The labels that a cluster copies from nodes onto their pods: Kubernetes 1.35 and later does so (KEP-4742).

use crate::facts::field::{Field, Source};
use crate::facts::reference::Reference;
use crate::facts::{Facts, Value};
use crate::kubernetes::key_value::map_from;

/// The prefix of the copied labels.
const PREFIX: &str = "topology.kubernetes.io/";

/// Whether the cluster may have copied the label of the node onto the pod.
pub(crate) fn is_copied(reference: &Reference) -> bool {
    matches!(reference, Reference::Entry(field, key) if *field == Field::NODE_LABELS && key.starts_with(PREFIX))
}

/// Adds the pod's copies as labels of the node. The pod's author can set these labels, so the Node outranks them.
pub(crate) fn copy(facts: &mut Facts) {
    let (labels, _) = facts.entries(Field::LABELS, PREFIX);
    let copied: Vec<_> =
        labels.into_iter().map(|(key, value, _)| (key.to_owned(), value.to_owned())).collect();
    if !copied.is_empty() {
        facts.add(Source::Labels, vec![(Field::NODE_LABELS, Value::Part(map_from(copied)))]);
    }
}
