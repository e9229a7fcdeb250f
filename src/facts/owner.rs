//! The pod's owner, workload and ordinal, derived from its labels and its name.
//!
//! Controllers set labels on their pods. But a copied, orphaned or isolated pod keeps its labels, and
//! the pod's author can set them. So the API's `ownerReferences` outrank them. If the controller
//! truncated the name, nothing is derived from it.

use std::collections::BTreeMap;

use crate::facts::field::{Field, Source};
use crate::facts::{Facts, Value};

/// The letters of generated names (`k8s.io/apimachinery/pkg/util/rand`).
const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";
/// The number of generated letters at the end of a name, and the longest name in bytes
/// (`k8s.io/apiserver/pkg/storage/names/generate.go`).
const GENERATED_LENGTH: usize = 5;
const NAME_LIMIT: usize = 63;

/// A controller's kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) kind: String,
    pub(crate) name: String,
}

impl Owner {
    fn new(kind: &str, name: &str) -> Option<Self> {
        let is_named = !name.is_empty();
        is_named.then(|| Owner { kind: kind.to_owned(), name: name.to_owned() })
    }

    /// The workload: for a ReplicaSet of a Deployment it is the Deployment. `hash` is the pod's label
    /// `pod-template-hash`.
    pub(crate) fn workload(&self, hash: Option<&str>) -> Owner {
        let deployment = hash.filter(|_| self.kind == "ReplicaSet").and_then(|hash| {
            let name = self.name.strip_suffix(hash)?.strip_suffix('-')?;
            Owner::new("Deployment", name).filter(|_| !hash.is_empty())
        });
        deployment.unwrap_or_else(|| self.clone())
    }

    /// The values of the fields of owner and workload.
    pub(crate) fn values(&self, hash: Option<&str>) -> Vec<(Field, Value)> {
        let workload = self.workload(hash);
        vec![
            (Field::OWNER_KIND, Value::Text(self.kind.clone())),
            (Field::OWNER_NAME, Value::Text(self.name.clone())),
            (Field::WORKLOAD_KIND, Value::Text(workload.kind)),
            (Field::WORKLOAD_NAME, Value::Text(workload.name)),
        ]
    }
}

/// Adds the facts that labels and name imply, with the source [`Source::Labels`].
pub(crate) fn derive(facts: &mut Facts) {
    let Some(labels) = facts.map(Field::LABELS) else { return };
    let name = facts.text(Field::POD_NAME).unwrap_or_default();
    let owner = from_labels(labels, name);
    let hash = labels.get("pod-template-hash").map(String::as_str);
    let kind = match facts.told_by(Source::Api, Field::OWNER_KIND) {
        Some(told) => told.text(),
        None => owner.as_ref().map(|owner| owner.kind.as_str()),
    };
    let ordinal =
        ordinal(labels, name, kind).map(|ordinal| (Field::ORDINAL, Value::Text(ordinal.to_string())));
    let values: Vec<_> = owner.iter().flat_map(|owner| owner.values(hash)).chain(ordinal).collect();
    if facts.told_by(Source::Api, Field::OWNER_KIND).is_some() {
        // Before the API's answer, the labels may have named another owner.
        facts.retract(Source::Labels, Field::ORDINAL);
        facts.add(Source::Api, vec![(Field::ORDINAL, Value::Nothing)]);
    }
    facts.add(Source::Labels, values);
}

/// The owner, derived from the labels that the built-in controllers set.
fn from_labels(labels: &BTreeMap<String, String>, pod: &str) -> Option<Owner> {
    let label = |key: &str| labels.get(key).map(String::as_str).filter(|value| !value.is_empty());
    if let Some(hash) = label("pod-template-hash") {
        let replica_set = without_generated(pod)?;
        let has_hash = replica_set.strip_suffix(hash).is_some_and(|rest| rest.ends_with('-'));
        return has_hash.then(|| Owner::new("ReplicaSet", replica_set)).flatten();
    }
    if let Some(name) = label("statefulset.kubernetes.io/pod-name") {
        return Owner::new("StatefulSet", split_ordinal(name).filter(|_| name == pod)?.0);
    }
    if let Some(job) = label("batch.kubernetes.io/job-name") {
        return Owner::new("Job", job);
    }
    let hash = label("controller-revision-hash")?;
    // Other controllers put their own name before the hash. A name of the maximum length may have
    // been truncated.
    let is_daemon_set = !hash.contains('-') && pod.len() < NAME_LIMIT;
    is_daemon_set.then(|| Owner::new("DaemonSet", without_generated(pod)?)).flatten()
}

/// `pod` without the hyphen and the generated letters at its end.
fn without_generated(pod: &str) -> Option<&str> {
    let (name, generated) = pod.rsplit_once('-')?;
    let is_generated =
        generated.len() == GENERATED_LENGTH && generated.chars().all(|letter| GENERATED.contains(letter));
    is_generated.then_some(name)
}

/// A StatefulSet's name and the ordinal of its pod.
fn split_ordinal(pod: &str) -> Option<(&str, u32)> {
    let (name, ordinal) = pod.rsplit_once('-')?;
    let is_number = ordinal.bytes().all(|byte| byte.is_ascii_digit());
    Some((name, ordinal.parse().ok().filter(|_| is_number)?))
}

fn ordinal(labels: &BTreeMap<String, String>, pod: &str, owner: Option<&str>) -> Option<u32> {
    let keys = ["apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index"];
    let label = keys.iter().find_map(|key| labels.get(*key)?.parse().ok());
    label.or_else(|| split_ordinal(pod).filter(|_| owner == Some("StatefulSet")).map(|(_, number)| number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(labels: &[(&str, &str)], pod: &str) -> Option<(String, String, String)> {
        let labels = labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let owner = from_labels(&labels, pod)?;
        let workload = owner.workload(labels.get("pod-template-hash").map(String::as_str));
        Some((owner.kind, owner.name, format!("{} {}", workload.kind, workload.name)))
    }

    fn is(kind: &str, name: &str, workload: &str) -> Option<(String, String, String)> {
        Some((kind.to_owned(), name.to_owned(), workload.to_owned()))
    }

    #[test]
    fn a_deployment_s_pod() {
        let labels = [("pod-template-hash", "c8d954974")];
        let known = is("ReplicaSet", "web-c8d954974", "Deployment web");
        assert_eq!(owner(&labels, "web-c8d954974-zskd9"), known);
        // Not generated by the controller, or truncated by it.
        for pod in ["web", "web-zskd9", "web-c8d954974-abc", "web-c8d954974-zskd1", "web-c8d9549zskd9", ""] {
            assert_eq!(owner(&labels, pod), None, "{pod}");
        }
        assert_eq!(owner(&[("pod-template-hash", "")], "web--zskd9"), None);
    }

    #[test]
    fn a_stateful_set_s_pod() {
        let labels = [
            ("statefulset.kubernetes.io/pod-name", "my-db-10"),
            ("controller-revision-hash", "my-db-698c9565f8"),
        ];
        assert_eq!(owner(&labels, "my-db-10"), is("StatefulSet", "my-db", "StatefulSet my-db"));
        assert_eq!(owner(&labels, "other-10"), None);
    }

    #[test]
    fn a_job_s_pod() {
        let labels = [("batch.kubernetes.io/job-name", "backup-29")];
        assert_eq!(owner(&labels, "backup-29-0-x7k2p"), is("Job", "backup-29", "Job backup-29"));
    }

    #[test]
    fn a_daemon_set_s_pod() {
        let labels = [("controller-revision-hash", "5d4f8c7b9"), ("pod-template-generation", "1")];
        assert_eq!(owner(&labels, "node-agent-x7k2p"), is("DaemonSet", "node-agent", "DaemonSet node-agent"));
        let cut = format!("{}-x7k2p", "a".repeat(57));
        assert_eq!(owner(&labels, &cut), None);
        assert_eq!(owner(&[("controller-revision-hash", "clone-5d4f8c7b9")], "clone-x7k2p"), None);
    }

    #[test]
    fn a_pod_of_its_own() {
        assert_eq!(owner(&[("app", "web")], "web-c8d954974-zskd9"), None);
    }

    #[test]
    fn ordinals() {
        let of = |labels: &[(&str, &str)], pod: &str, owner: Option<&str>| {
            let labels = labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            ordinal(&labels, pod, owner)
        };
        assert_eq!(of(&[("apps.kubernetes.io/pod-index", "3")], "db-3", None), Some(3));
        assert_eq!(of(&[("batch.kubernetes.io/job-completion-index", "7")], "x", None), Some(7));
        assert_eq!(of(&[], "db-12", Some("StatefulSet")), Some(12));
        assert_eq!(of(&[], "db-12", None), None);
        assert_eq!(of(&[], "db-+1", Some("StatefulSet")), None);
        assert_eq!(of(&[], "db", Some("StatefulSet")), None);
    }
}
