//! The pod's owner, workload and ordinal: from its `ownerReferences`, its labels and its name.
//!
//! Controllers set labels on their pods. But a copied, orphaned or isolated pod keeps its labels, and
//! the pod's author can set them. So the API's `ownerReferences` outrank them. If the controller
//! truncated the name, nothing is concluded from it.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::facts::field::{Field, Source};
use crate::facts::{Facts, Value};

/// The letters of generated names and of hashes (`k8s.io/apimachinery/pkg/util/rand`).
const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";
/// The number of generated letters at the end of a name, and the longest name in bytes
/// (`k8s.io/apiserver/pkg/storage/names/generate.go`).
const GENERATED_LENGTH: usize = 5;
const NAME_LIMIT: usize = 63;

/// The annotation by which OpenShift names the DeploymentConfig of a ReplicationController, and the label on pods.
const DEPLOYMENT_CONFIG: [&str; 2] = ["openshift.io/deployment-config.name", "deploymentconfig"];

/// A CronJob names each Job after the minute that it is for (`getJobName` in `pkg/controller/cronjob/utils.go`).
/// The pod is created at most so many minutes after it, or so many before it, where clocks differ. Other Jobs end
/// in a date, which as minutes is decades ago.
const LATEST: u64 = 30 * 24 * 60;
const EARLIEST: u64 = 24 * 60;

/// A controller's kind and name, and the group of its API, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) group: Option<String>,
    pub(crate) kind: String,
    pub(crate) name: String,
}

impl Owner {
    fn new(kind: &str, name: &str) -> Option<Self> {
        let is_named = !name.is_empty();
        is_named.then(|| Owner { group: None, kind: kind.to_owned(), name: name.to_owned() })
    }

    /// Whether it is one of Kubernetes' own controllers. A `Job` of another API group can be anything.
    fn is_of_kubernetes(&self) -> bool {
        let group = match self.kind.as_str() {
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => "apps",
            "Job" | "CronJob" => "batch",
            "ReplicationController" => "",
            _ => return false,
        };
        self.group.as_deref().is_none_or(|of_owner| of_owner == group)
    }
}

/// What a Pod object says about its owners.
#[derive(Clone, Debug)]
pub(crate) struct Ownership {
    /// The owner that controls the pod (`GetControllerOf` in `k8s.io/apimachinery/pkg/apis/meta/v1`).
    controller: Option<Owner>,
    /// The pod has an owner, which may not control it.
    is_owned: bool,
    /// The API server generated the name, so that there may be a new one for each run.
    is_generated: bool,
}

impl Ownership {
    /// The ownership in the Pod object `pod`.
    pub(crate) fn of(pod: &Json) -> Self {
        let metadata = &pod["metadata"];
        let references = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let owner = |reference: &Json| Owner {
            group: reference["apiVersion"]
                .as_str()
                .map(|of| of.rsplit_once('/').map_or("", |it| it.0).to_owned()),
            kind: text(&reference["kind"]),
            name: text(&reference["name"]),
        };
        Ownership {
            controller: references.iter().find(|reference| reference["controller"] == true).map(owner),
            is_owned: !references.is_empty(),
            is_generated: !text(&metadata["generateName"]).is_empty(),
        }
    }

    /// Whether the pod is alone, under a name that somebody gave it.
    pub(crate) fn is_named_alone(&self) -> bool {
        !self.is_owned && !self.is_generated
    }

    /// Why the service is not called after the pod.
    pub(crate) fn why_no_service(&self) -> &'static str {
        if self.is_owned {
            "an owner that does not control it owns the pod"
        } else {
            "the pod's name was generated"
        }
    }

    /// Whether one of Kubernetes' own controllers controls the pod.
    pub(crate) fn is_of_kubernetes(&self) -> bool {
        self.controller.as_ref().is_some_and(Owner::is_of_kubernetes)
    }
}

/// What conclusions are drawn from.
struct Marks<'a> {
    pod: &'a str,
    labels: Option<&'a BTreeMap<String, String>>,
    annotations: Option<&'a BTreeMap<String, String>>,
    /// When the pod was created, in minutes since 1970.
    created: u64,
}

/// Adds the facts that owners, labels and name imply. From the name alone an ordinal is concluded only if
/// `is_ordinal_named`: then the author says that the name has one.
pub(crate) fn conclude(facts: &mut Facts, is_ordinal_named: bool) {
    let marks = Marks::of(facts);
    let by_labels = marks.owner();
    let ownership = facts.ownership.as_ref();
    let owner = match ownership {
        Some(ownership) => ownership.controller.as_ref(),
        None => by_labels.as_ref(),
    };
    let is_set = owner.is_some_and(|owner| owner.kind == "StatefulSet");
    let is_alone = ownership.is_some_and(|ownership| !ownership.is_owned);
    let by_label = if is_alone { None } else { marks.ordinal() };
    let by_name = split_ordinal(marks.pod);
    let is_in_environment = facts.reported_by(Source::Environment, Field::ORDINAL).is_some();
    let is_in_name = is_ordinal_named && !is_set && by_label.is_none() && !is_in_environment;
    let named = by_name.filter(|(_, ordinal)| is_in_name && !may_be_generated(ordinal));
    let in_name = if is_set { by_name } else { named };
    let ordinal = by_label.or_else(|| in_name.map(|(_, ordinal)| ordinal.to_owned()));
    let mut concluded = by_labels.as_ref().map(|owner| marks.values(owner)).unwrap_or_default();
    if let (Some((name, _)), None) = (named, &by_labels) {
        let name = || Value::Text(name.to_owned());
        concluded.extend([(Field::OWNER_NAME, name()), (Field::WORKLOAD_NAME, name())]);
    }
    concluded.extend(ordinal.map(|ordinal| (Field::ORDINAL, Value::Text(ordinal))));
    let report = ownership.map(|ownership| match &ownership.controller {
        Some(controller) => marks.values(controller),
        None => NOBODY.map(|field| (field, Value::Nothing)).to_vec(),
    });
    // Before the API's answer, the labels may have named another owner.
    facts.forget(Source::Labels);
    if let Some(mut report) = report {
        report.push((Field::ORDINAL, Value::Nothing));
        report.iter().for_each(|(field, _)| facts.retract(Source::Api, *field));
        facts.add(Source::Api, report);
    }
    facts.add(Source::Labels, concluded);
}

/// The fields that have no value if nothing controls the pod.
const NOBODY: [Field; 4] = [Field::OWNER_KIND, Field::OWNER_NAME, Field::WORKLOAD_KIND, Field::WORKLOAD_NAME];

impl<'a> Marks<'a> {
    fn of(facts: &'a Facts) -> Self {
        Marks {
            pod: facts.text(Field::POD_NAME).unwrap_or_default(),
            labels: facts.map(Field::LABELS),
            annotations: facts.map(Field::ANNOTATIONS),
            created: facts.created,
        }
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels?.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations?.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The values of the fields of owner and workload.
    fn values(&self, owner: &Owner) -> Vec<(Field, Value)> {
        let workload = self.workload(owner);
        let (kind, name) = workload.unwrap_or((&owner.kind, &owner.name));
        let texts = [&owner.kind, &owner.name, kind, name];
        NOBODY.into_iter().zip(texts).map(|(field, text)| (field, Value::Text(text.to_owned()))).collect()
    }

    /// The workload that `owner` belongs to, if it is another: its kind and name.
    fn workload<'o>(&self, owner: &'o Owner) -> Option<(&'static str, &'o str)> {
        if !owner.is_of_kubernetes() {
            return None;
        }
        let without =
            |hash: &str| owner.name.strip_suffix(hash)?.strip_suffix('-').filter(|name| !name.is_empty());
        let before_number = || {
            let (name, number) = owner.name.rsplit_once('-')?;
            number.bytes().all(|byte| byte.is_ascii_digit()).then_some((name, number))
        };
        match owner.kind.as_str() {
            "ReplicaSet" => {
                let hash = self.label("pod-template-hash").filter(|hash| is_generated(hash));
                let deployment = hash.and_then(without).map(|name| ("Deployment", name));
                let rollout = || Some(("Rollout", without(self.label("rollouts-pod-template-hash")?)?));
                deployment.or_else(rollout)
            }
            "ReplicationController" => {
                let [annotation, label] = DEPLOYMENT_CONFIG;
                let config = self.annotation(annotation).or(self.label(label));
                let (name, _) = before_number().filter(|(name, _)| config == Some(name))?;
                Some(("DeploymentConfig", name))
            }
            "Job" => {
                let (name, minutes) = before_number().filter(|(_, minutes)| minutes.len() == 8)?;
                let minutes: u64 = minutes.parse().ok()?;
                let is_schedule = minutes + LATEST >= self.created && minutes <= self.created + EARLIEST;
                (is_schedule && !name.is_empty()).then_some(("CronJob", name))
            }
            _ => None,
        }
    }

    /// The owner, concluded from the labels that controllers set.
    fn owner(&self) -> Option<Owner> {
        let has_hash = |replica_set: &str, hash| {
            replica_set.strip_suffix(hash).is_some_and(|name| name.len() > 1 && name.ends_with('-'))
        };
        if let Some(hash) = self.label("pod-template-hash") {
            let name =
                without_generated(self.pod).filter(|name| is_generated(hash) && has_hash(name, hash))?;
            return Owner::new("ReplicaSet", name);
        }
        if let Some(hash) = self.label("rollouts-pod-template-hash") {
            return Owner::new(
                "ReplicaSet",
                without_generated(self.pod).filter(|name| has_hash(name, hash))?,
            );
        }
        if let Some(config) = self.label(DEPLOYMENT_CONFIG[1]) {
            let name = without_generated(self.pod)?;
            let version = name.strip_prefix(config)?.strip_prefix('-')?;
            let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
            return is_version.then(|| Owner::new("ReplicationController", name)).flatten();
        }
        let revision = self.label("controller-revision-hash");
        if self.label("statefulset.kubernetes.io/pod-name").is_some_and(|name| name == self.pod) {
            // Other controllers set that label too, but not a revision with the set's name.
            let (name, _) = split_ordinal(self.pod)?;
            let is_of_set = revision?.strip_prefix(name)?.strip_prefix('-').is_some_and(is_generated);
            return is_of_set.then(|| Owner::new("StatefulSet", name)).flatten();
        }
        // Kubeflow sets `job-name` alone.
        let job = self.label("batch.kubernetes.io/job-name");
        let before = || self.label("controller-uid").and_then(|_| self.label("job-name"));
        if let Some(job) = job.or_else(before) {
            return Owner::new("Job", job);
        }
        // Other controllers set the revision alone. A name of the maximum length may have been truncated.
        let is_daemon_set = revision.is_some_and(is_generated)
            && self.label("pod-template-generation").is_some()
            && self.pod.len() < NAME_LIMIT;
        is_daemon_set.then(|| Owner::new("DaemonSet", without_generated(self.pod)?)).flatten()
    }

    /// The ordinal in a label or annotation.
    fn ordinal(&self) -> Option<String> {
        let index = "batch.kubernetes.io/job-completion-index";
        let label =
            self.label("apps.kubernetes.io/pod-index").or(self.label(index)).or(self.annotation(index))?;
        label.parse::<u32>().ok().map(|ordinal| ordinal.to_string())
    }
}

/// Whether all letters of `text` are those of generated names.
fn is_generated(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| GENERATED.contains(letter))
}

/// `pod` without the hyphen and the generated letters at its end.
fn without_generated(pod: &str) -> Option<&str> {
    let (name, generated) = pod.rsplit_once('-')?;
    (generated.len() == GENERATED_LENGTH && is_generated(generated)).then_some(name)
}

/// A name before the last hyphen, and the number after it, which has no leading zero.
fn split_ordinal(pod: &str) -> Option<(&str, &str)> {
    let (name, ordinal) = pod.rsplit_once('-').filter(|(name, _)| !name.is_empty())?;
    let number: u32 = ordinal.parse().ok()?;
    (number.to_string() == ordinal).then_some((name, ordinal))
}

/// Whether a number can be the generated end of a name.
fn may_be_generated(ordinal: &str) -> bool {
    ordinal.len() == GENERATED_LENGTH && is_generated(ordinal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The facts about a pod with these labels: kind and name of owner and workload, and the ordinal.
    fn concluded(labels: &[(&str, &str)], pod: &str, is_named: bool) -> [Option<String>; 5] {
        let labels = labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let mut facts = Facts { created: 28_493_760, ..Facts::new(1) };
        facts.add(Source::Volume, vec![(Field::LABELS, Value::Map(labels))]);
        facts.add(Source::Token, vec![(Field::POD_NAME, Value::Text(pod.to_owned()))]);
        conclude(&mut facts, is_named);
        let [kind, name, workload, of_workload] = NOBODY;
        [kind, name, workload, of_workload, Field::ORDINAL].map(|field| facts.text(field).map(str::to_owned))
    }

    fn owner(labels: &[(&str, &str)], pod: &str) -> Option<(String, String, String)> {
        let [kind, name, workload, of_workload, _] = concluded(labels, pod, false);
        Some((kind?, name?, format!("{} {}", workload?, of_workload?)))
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
    fn a_hash_has_only_the_letters_that_the_controller_uses() {
        for (pod, hash) in [("web-prod-zskd9", "prod"), ("web-canary-zskd9", "canary"), ("web-1-zskd9", "1")]
        {
            assert_eq!(owner(&[("pod-template-hash", hash)], pod), None, "{pod}");
        }
    }

    #[test]
    fn a_rollout_s_and_a_deployment_config_s_pod() {
        let known = is("ReplicaSet", "web-6d4cf56db6", "Rollout web");
        assert_eq!(owner(&[("rollouts-pod-template-hash", "6d4cf56db6")], "web-6d4cf56db6-x2k4q"), known);
        let labels = [("deploymentconfig", "shop"), ("deployment", "shop-3")];
        assert_eq!(
            owner(&labels, "shop-3-7xk2p"),
            is("ReplicationController", "shop-3", "DeploymentConfig shop")
        );
        for pod in ["shop-7xk2p", "shop-x-7xk2p", "shop-3-deploy", "other-3-7xk2p"] {
            assert_eq!(owner(&labels, pod), None, "{pod}");
        }
    }

    #[test]
    fn a_stateful_set_s_pod() {
        let labels = [
            ("statefulset.kubernetes.io/pod-name", "my-db-10"),
            ("controller-revision-hash", "my-db-698c9565f8"),
        ];
        assert_eq!(owner(&labels, "my-db-10"), is("StatefulSet", "my-db", "StatefulSet my-db"));
        assert_eq!(concluded(&labels, "my-db-10", false)[4].as_deref(), Some("10"));
        assert_eq!(owner(&labels, "other-10"), None);
        // A StrimziPodSet's.
        assert_eq!(owner(&labels[..1], "my-db-10"), None);
        let other = [labels[0], ("controller-revision-hash", "698c9565f8")];
        assert_eq!(owner(&other, "my-db-10"), None);
    }

    #[test]
    fn a_job_s_pod() {
        let label = |name| [("batch.kubernetes.io/job-name", name)];
        assert_eq!(owner(&label("backup-29"), "backup-29-0-x7k2p"), is("Job", "backup-29", "Job backup-29"));
        let before = [("job-name", "backup"), ("controller-uid", "c")];
        assert_eq!(owner(&before, "backup-x7k2p"), is("Job", "backup", "Job backup"));
        assert_eq!(owner(&before[..1], "backup-x7k2p"), None);
        for (job, workload) in [
            ("my-job-28493760", "CronJob my-job"),
            ("my-job-28495200", "CronJob my-job"),
            ("my-job-28450560", "CronJob my-job"),
            ("my-job-28495201", "Job my-job-28495201"),
            ("my-job-28450559", "Job my-job-28450559"),
            ("report-20240305", "Job report-20240305"),
            ("my-job-028493760", "Job my-job-028493760"),
            ("-28493760", "Job -28493760"),
        ] {
            assert_eq!(owner(&label(job), "x"), is("Job", job, workload), "{job}");
        }
    }

    #[test]
    fn a_daemon_set_s_pod() {
        let labels = [("controller-revision-hash", "5d4f8c7b9"), ("pod-template-generation", "1")];
        assert_eq!(owner(&labels, "node-agent-x7k2p"), is("DaemonSet", "node-agent", "DaemonSet node-agent"));
        let cut = format!("{}-x7k2p", "a".repeat(57));
        assert_eq!(owner(&labels, &cut), None);
        // CloneSets of Kruise.
        assert_eq!(owner(&labels[..1], "clone-x7k2p"), None);
        assert_eq!(owner(&[("controller-revision-hash", "clone-5d4f8c7b9"), labels[1]], "clone-x7k2p"), None);
    }

    #[test]
    fn a_pod_of_its_own() {
        assert_eq!(owner(&[("app", "web")], "web-c8d954974-zskd9"), None);
    }

    #[test]
    fn owners_of_other_groups_and_owners_that_do_not_control() {
        let of = |metadata: &str| {
            let pod = serde_json::from_str(&format!("{{\"metadata\":{metadata}}}")).unwrap();
            let mut facts = Facts { ownership: Some(Ownership::of(&pod)), ..Facts::new(1) };
            let labels = [("pod-template-hash", "c8d954974"), ("apps.kubernetes.io/pod-index", "3")];
            let labels = labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            facts.add(Source::Volume, vec![(Field::LABELS, Value::Map(labels))]);
            facts.add(Source::Token, vec![(Field::POD_NAME, Value::Text("web-c8d954974-zskd9".to_owned()))]);
            conclude(&mut facts, false);
            let text = |field| facts.text(field).unwrap_or("-");
            format!("{} {} {}", text(Field::OWNER_KIND), text(Field::WORKLOAD_NAME), text(Field::ORDINAL))
        };
        let owned = |version: &str, controls: bool| {
            of(&format!(
                r#"{{"ownerReferences":[{{"apiVersion":"{version}","kind":"ReplicaSet","name":"web-c8d954974","controller":{controls}}}]}}"#
            ))
        };
        assert_eq!(owned("apps/v1", true), "ReplicaSet web 3");
        assert_eq!(owned("apps.example.com/v1", true), "ReplicaSet web-c8d954974 3");
        assert_eq!(owned("v1", true), "ReplicaSet web-c8d954974 3");
        assert_eq!(owned("apps/v1", false), "- - 3");
        assert_eq!(of("{}"), "- - -");
    }

    #[test]
    fn an_ordinal_is_a_label_s_or_the_number_after_the_last_hyphen() {
        let of = |labels: &[(&str, &str)], pod: &str, is_named| concluded(labels, pod, is_named)[4].clone();
        let is = |ordinal: &str| Some(ordinal.to_owned());
        assert_eq!(of(&[("apps.kubernetes.io/pod-index", "3")], "db-4", true), is("3"));
        assert_eq!(of(&[("batch.kubernetes.io/job-completion-index", "7")], "x", false), is("7"));
        assert_eq!(of(&[], "db-12", false), None);
        for (pod, ordinal) in [("db-12", Some("12")), ("db-0", Some("0")), ("db-24560", Some("24560"))] {
            assert_eq!(of(&[], pod, true).as_deref(), ordinal, "{pod}");
            assert_eq!(concluded(&[], pod, true)[1].as_deref(), Some("db"));
        }
        for pod in ["db-24567", "db-007", "db-+1", "db", "-1", "db-99999999999"] {
            assert_eq!(of(&[], pod, true), None, "{pod}");
        }
    }
}
