//! A Pod object to facts: for the API, and for `--pod`.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::facts::field::{Field, List};
use crate::facts::owner::Owner;
use crate::facts::{Facts, Note, Told, Value};
use crate::kubernetes::object::{self, ObjectError};
use crate::kubernetes::quantity::Quantity;

/// What should be a Pod object is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PodError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("it is a {kind}, not a Pod{}", if kind.ends_with("List") { ": name one pod" } else { "" })]
    NotAPod { kind: String },
    #[error("it is not a Pod: it has no {0}")]
    Incomplete(&'static str),
}

/// The Pod object in `content`.
pub(crate) fn parse(content: &[u8]) -> Result<Json, PodError> {
    let pod = object::parse(content)?;
    match pod["kind"].as_str() {
        Some("Pod") => {}
        Some(kind) => return Err(PodError::NotAPod { kind: kind.to_owned() }),
        None => return Err(PodError::Incomplete("kind")),
    }
    if !pod["metadata"]["name"].is_string() {
        return Err(PodError::Incomplete("metadata.name"));
    }
    Ok(pod)
}

/// Tells what a Pod object holds; of its containers that which `facts` name, else the only one.
pub(crate) fn tell(pod: &Json, facts: &Facts) -> Told {
    let mut told = Told::default();
    let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    let texts = [
        (Field::PodName, &metadata["name"]),
        (Field::PodNamespace, &metadata["namespace"]),
        (Field::PodUid, &metadata["uid"]),
        (Field::NodeName, &spec["nodeName"]),
        (Field::ServiceAccount, &spec["serviceAccountName"]),
        (Field::PodIp, &status["podIP"]),
        (Field::HostIp, &status["hostIP"]),
        (Field::QosClass, &status["qosClass"]),
    ];
    for (field, value) in texts {
        told.text(field, value.as_str().unwrap_or_default());
    }
    told.text(Field::PodIps, addresses(&status["podIPs"]));
    told.text(Field::HostIps, addresses(&status["hostIPs"]));
    let labels = string_map(&metadata["labels"]);
    tell_owner(metadata, &labels, &mut told);
    told.value(Field::Labels, Value::Map(labels));
    told.value(Field::Annotations, Value::Map(annotations(metadata)));
    match container(pod, facts.text(&Field::ContainerName)) {
        Ok(container) => tell_container(pod, container, &mut told),
        Err(why) => told.notes.push(why),
    }
    told
}

fn addresses(list: &Json) -> String {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let addresses: Vec<&str> = items.iter().filter_map(|item| item["ip"].as_str()).collect();
    addresses.join(",")
}

/// A JSON object's strings.
pub(crate) fn string_map(object: &Json) -> BTreeMap<String, String> {
    let entries = object.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The annotations without the kubelet's own, which the API knows of static pods only.
fn annotations(metadata: &Json) -> BTreeMap<String, String> {
    let mut annotations = string_map(&metadata["annotations"]);
    annotations.retain(|key, _| !crate::sources::volume::is_of_kubelet(key));
    annotations
}

/// The owner that controls the pod (`GetControllerOf` in `k8s.io/apimachinery/pkg/apis/meta/v1`).
fn tell_owner(metadata: &Json, labels: &BTreeMap<String, String>, told: &mut Told) {
    let references = metadata["ownerReferences"].as_array().into_iter().flatten();
    let controller = references.into_iter().find(|reference| reference["controller"] == true);
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    match controller {
        Some(reference) => {
            let owner = Owner { kind: text(&reference["kind"]), name: text(&reference["name"]) };
            told.values.extend(owner.values(Some(labels)));
        }
        None => {
            let fields = [Field::OwnerKind, Field::OwnerName, Field::WorkloadKind, Field::WorkloadName];
            told.values.extend(fields.map(|field| (field, Value::Nothing)));
        }
    }
}

/// The lists of containers in a Pod's spec, and of their statuses.
const CONTAINERS: [(&str, &str); 3] = [
    ("containers", "containerStatuses"),
    ("initContainers", "initContainerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
];

/// A container's spec and status.
#[derive(Clone, Copy)]
struct Container<'a> {
    spec: &'a Json,
    status: &'a Json,
}

fn container<'a>(pod: &'a Json, name: Option<&str>) -> Result<Container<'a>, Note> {
    let all = || CONTAINERS.iter().flat_map(|(specs, statuses)| containers(pod, specs, statuses));
    let names: Vec<&str> = all().filter_map(|container| container.spec["name"].as_str()).collect();
    let (found, text, is_broken) = match name {
        Some(name) => {
            let found = all().find(|container| container.spec["name"] == name);
            (found, format!("the pod has no container {name:?}, but {}", names.join(", ")), true)
        }
        None => {
            let only = all().next().filter(|_| names.len() == 1);
            let text =
                format!("the pod has several containers: say which by --container ({})", names.join(", "));
            (only, text, false)
        }
    };
    found.ok_or_else(|| Note::new(text, is_broken))
}

fn containers<'a>(pod: &'a Json, specs: &str, statuses: &str) -> impl Iterator<Item = Container<'a>> {
    let specs = pod["spec"][specs].as_array().map(Vec::as_slice).unwrap_or_default();
    let statuses = pod["status"][statuses].as_array().map(Vec::as_slice).unwrap_or_default();
    specs.iter().map(move |spec| {
        let status = statuses.iter().find(|status| status["name"] == spec["name"]);
        Container { spec, status: status.unwrap_or(&Json::Null) }
    })
}

fn tell_container(pod: &Json, container: Container, told: &mut Told) {
    let Container { spec, status } = container;
    told.text(Field::ContainerName, spec["name"].as_str().unwrap_or_default());
    told.text(Field::ContainerImage, spec["image"].as_str().unwrap_or_default());
    if !is_of_last_instance(pod, container) {
        told.text(Field::ContainerImageId, status["imageID"].as_str().unwrap_or_default());
        let id = status["containerID"].as_str().unwrap_or_default();
        told.text(Field::ContainerId, id.split_once("://").map_or(id, |(_, id)| id));
    }
    for list in [List::Limits, List::Requests] {
        tell_resources(pod, container, list, told);
    }
}

/// Whether the status still shows an instance that has ended: of a container that is started again,
/// until the kubelet has seen the new one run. What has ended for good is not started again.
fn is_of_last_instance(pod: &Json, container: Container) -> bool {
    let state = &container.status["state"];
    let init = pod["spec"]["initContainers"].as_array().into_iter().flatten();
    let is_init = init.into_iter().any(|spec| std::ptr::eq(spec, container.spec));
    let is_sidecar = container.spec["restartPolicy"] == "Always";
    let is_completed = is_init && !is_sidecar && state["terminated"]["exitCode"] == 0;
    let is_pod_over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let has_ended = state["terminated"].is_object() || state["waiting"].is_object();
    has_ended && !is_completed && !is_pod_over
}

/// The status is what the kubelet gave last, for a resize may be deferred; the spec is what was asked for.
/// A pod-level limit holds for a container that has none; requests are not inherited (KEP-2837).
fn tell_resources(pod: &Json, container: Container, list: List, told: &mut Told) {
    let is_set = |resources: &&Json| resources.as_object().is_some_and(|map| !map.is_empty());
    let of_container = Some(&container.status["resources"]).filter(is_set);
    let of_container = &of_container.unwrap_or(&container.spec["resources"])[list.name()];
    let mut quantities = match list {
        List::Limits => string_map(&pod["spec"]["resources"][list.name()]),
        List::Requests => BTreeMap::new(),
    };
    quantities.extend(string_map(of_container));
    for standard in ["cpu", "memory"] {
        quantities.entry(standard.to_owned()).or_default();
    }
    for (resource, text) in quantities {
        let value = match Quantity::parse(&text) {
            // A limit of 0 is none (`MergeContainerResourceLimits` in `pkg/api/v1/resource/helpers.go`).
            Ok(quantity) if list == List::Limits && quantity.milli_value() == 0 => Value::Nothing,
            Ok(quantity) => Value::Quantity(quantity),
            Err(_) if text.is_empty() => Value::Nothing,
            Err(error) => {
                let field = Field::Resource(list, resource.into());
                let why = format!("{} is {text:?}: {error}", field.path());
                told.broken_field(field, why);
                continue;
            }
        };
        told.value(Field::Resource(list, resource.into()), value);
    }
}
