//! Facts from the API's objects: the Pod, and the fields that the table finds in other objects.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::facts::field::{Field, Kind, Object, Source};
use crate::facts::owner::Ownership;
use crate::facts::subject::Subject;
use crate::facts::{Facts, Note, Report, Value};
use crate::kubernetes::key_value::map_from;
use crate::kubernetes::object::{self, ObjectError};
use crate::kubernetes::path::Path;
use crate::kubernetes::quantity::Quantity;

/// Not a valid Pod object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PodError {
    #[error("this is UTF-16; JSON is UTF-8")]
    Utf16,
    #[error("not a valid Pod object: {0}")]
    Object(#[from] ObjectError),
    #[error("not a valid Pod object: its kind is {kind}{}", if kind.ends_with("List") { "; use a single pod" } else { "" })]
    NotAPod { kind: String },
    #[error("not a valid Pod object: it has no {0}")]
    Incomplete(&'static str),
}

/// The Pod object in `content`, with what `paths` name.
pub(crate) fn parse(content: &[u8], paths: &[Path]) -> Result<Json, PodError> {
    // Editors of Windows and PowerShell write a byte order mark, or UTF-16.
    let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
    if matches!(content, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'{', 0, ..] | [0, b'{', ..]) {
        return Err(PodError::Utf16);
    }
    let pod = object::parse(content, paths)?;
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

/// Adds the facts about the pod and the described container from a Pod object, and what is at `paths`. Names of
/// containers that the pod does not have are dropped. Without a name, `or_default` chooses the container.
pub(crate) fn read(pod: &Json, subject: &Subject, paths: &[Path], or_default: Choice, facts: &mut Facts) {
    drop_wrong_name(pod, Source::Environment, facts);
    facts.ownership = Some(Ownership::of(pod));
    let created = pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default();
    if let Ok(created) = humantime::parse_rfc3339(created) {
        facts.created = super::minutes(created);
    }
    let mut report = read_fields(Object::Pod, pod);
    if subject.is_container() {
        match container(pod, facts.text(Field::CONTAINER_NAME), or_default) {
            Ok(container) => report_container(pod, container, &mut report),
            Err(why) => report.notes.push(why),
        }
    }
    drop_wrong_name(pod, Source::Option, facts);
    facts.add(Source::Api, report);
    read_paths(Object::Pod, pod, paths, facts);
}

/// Removes the container's name that `source` reported if the pod has no such container.
fn drop_wrong_name(pod: &Json, source: Source, facts: &mut Facts) {
    let named = facts.reported_by(source, Field::CONTAINER_NAME).and_then(Value::text);
    if named.is_some_and(|name| !has_container(pod, name)) {
        facts.retract(source, Field::CONTAINER_NAME);
    }
}

/// Adds what an object has at those of `paths` that lead into it.
pub(crate) fn read_paths(object: Object, json: &Json, paths: &[Path], facts: &mut Facts) {
    for path in paths.iter().filter(|path| path.object == object) {
        let found = path.resolve(json);
        facts.add_path(path.clone(), found.map_err(|missing| Note::new(missing, false)));
    }
}

/// The container that is described if no source names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The only container of the pod.
    Only,
    /// That of the annotation `kubectl.kubernetes.io/default-container`, else the only one in `spec.containers`,
    /// as `kubectl logs` chooses.
    Default,
}

/// Reads the fields of the rows whose place is in `object`.
pub(crate) fn read_fields(object: Object, json: &Json) -> Report {
    let mut report = Report::default();
    for field in Field::all() {
        let Some(place) = field.place.filter(|place| place.object == object) else { continue };
        if let Some(value) = value(field, json.pointer(place.pointer)) {
            report.value(field, value);
        }
    }
    report
}

/// The value of a field; none if the object does not have it, or not yet.
fn value(field: Field, json: Option<&Json>) -> Option<Value> {
    let text = json.and_then(Json::as_str).unwrap_or_default();
    let text = match field.kind {
        Kind::Ordinal | Kind::Controller | Kind::Resource { .. } | Kind::Quantities => return None,
        Kind::Map if field == Field::ANNOTATIONS => return Some(Value::Map(annotations(json))),
        Kind::Map => return Some(Value::Map(string_map(json))),
        Kind::Addresses => addresses(json),
        Kind::ContainerId => text.split_once("://").map_or(text, |(_, id)| id).to_owned(),
        Kind::Text | Kind::Subdomain | Kind::Label | Kind::Uid | Kind::Address => text.to_owned(),
    };
    if text.is_empty() {
        return (!field.is_late_in_api).then_some(Value::Nothing);
    }
    Some(Value::Text(text))
}

fn addresses(list: Option<&Json>) -> String {
    let items = list.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let addresses: Vec<&str> = items.iter().filter_map(|item| item["ip"].as_str()).collect();
    addresses.join(",")
}

/// The entries of a JSON object whose values are strings.
fn string_map(object: Option<&Json>) -> BTreeMap<String, String> {
    let entries = object.and_then(Json::as_object).into_iter().flatten();
    map_from(entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
}

/// The annotations without those of the kubelet, which only static pods have in the API.
fn annotations(object: Option<&Json>) -> BTreeMap<String, String> {
    let mut annotations = string_map(object);
    annotations.retain(|key, _| !super::volume::is_of_kubelet(key));
    annotations
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
    list: &'static str,
}

impl Container<'_> {
    fn is_init(&self) -> bool {
        self.list == "initContainers"
    }

    fn is_ephemeral(&self) -> bool {
        self.list == "ephemeralContainers"
    }

    /// A native sidecar: an initContainer that keeps running (KEP-753).
    fn is_sidecar(&self) -> bool {
        self.is_init() && self.spec["restartPolicy"] == "Always"
    }
}

/// The containers of a pod.
fn all(pod: &Json) -> impl Iterator<Item = Container<'_>> {
    CONTAINERS.iter().flat_map(move |(specs, statuses)| containers(pod, specs, statuses))
}

fn containers<'a>(pod: &'a Json, list: &'static str, statuses: &str) -> impl Iterator<Item = Container<'a>> {
    let specs = pod["spec"][list].as_array().map(Vec::as_slice).unwrap_or_default();
    let statuses = pod["status"][statuses].as_array().map(Vec::as_slice).unwrap_or_default();
    specs.iter().map(move |spec| {
        let status = statuses.iter().find(|status| status["name"] == spec["name"]);
        Container { spec, status: status.unwrap_or(&Json::Null), list }
    })
}

fn container<'a>(pod: &'a Json, name: Option<&str>, or_default: Choice) -> Result<Container<'a>, Note> {
    let names: Vec<&str> = all(pod).filter_map(|container| container.spec["name"].as_str()).collect();
    let list = names.join(", ");
    let named = |name: &str| all(pod).find(|container| container.spec["name"] == name);
    if let Some(name) = name {
        let why = format!("no container {name:?}; containers: {list}");
        return named(name).ok_or_else(|| Note { about: of_container(), ..Note::new(why, true) });
    }
    let only = if names.len() == 1 { all(pod).next() } else { None };
    let chosen = match or_default {
        Choice::Only => only,
        Choice::Default => {
            let annotation =
                pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
            let main: Vec<_> = all(pod).filter(|container| container.list == CONTAINERS[0].0).collect();
            let only_main = if let [only] = main[..] { Some(only) } else { None };
            annotation.and_then(named).or(only_main).or(only)
        }
    };
    chosen.ok_or_else(|| {
        let why = format!("facts about a container are left out; choose one with --container: {list}");
        Note { about: of_container(), ..Note::new(why, or_default == Choice::Default && !names.is_empty()) }
    })
}

/// The fields about a container.
pub(crate) fn of_container() -> Vec<Field> {
    Field::all().filter(|field| field.is_of_container).collect()
}

/// Whether the pod has a container of this name.
pub(crate) fn has_container(pod: &Json, name: &str) -> bool {
    all(pod).any(|container| container.spec["name"] == name)
}

/// Whether the container `name` can have started while the container `own` runs. If `own` is an
/// initContainer and not a sidecar, the containers after it wait for its end. A container that the pod does not
/// have never starts.
pub(crate) fn can_have_started(pod: &Json, name: &str, own: Option<&str>) -> bool {
    if !has_container(pod, name) {
        return false;
    }
    let init: Vec<_> = all(pod).filter(Container::is_init).collect();
    let position = |name: &str| init.iter().position(|container| container.spec["name"] == name);
    let Some(own) = own.and_then(position).filter(|own| !init[*own].is_sidecar()) else { return true };
    match position(name) {
        Some(other) => other <= own,
        None => !all(pod).any(|container| container.spec["name"] == name && !container.is_ephemeral()),
    }
}

fn report_container(pod: &Json, container: Container, report: &mut Report) {
    report.extend(read_fields(Object::ContainerSpec, container.spec));
    if !is_of_last_instance(pod, container) {
        report.extend(read_fields(Object::ContainerStatus, container.status));
    }
    for list in [Field::LIMITS, Field::REQUESTS] {
        report_resources(pod, container, list, report);
    }
}

/// Whether the status shows an earlier instance of a container that the kubelet starts again. It does
/// so until the kubelet has seen the new instance.
fn is_of_last_instance(pod: &Json, container: Container) -> bool {
    let state = &container.status["state"];
    let is_completed = container.is_init() && !container.is_sidecar() && state["terminated"]["exitCode"] == 0;
    let is_pod_over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let has_ended = state["terminated"].is_object() || state["waiting"].is_object();
    has_ended && !is_completed && !is_pod_over
}

/// Adds the resources. The status has the values in effect, and the spec the requested ones: the kubelet
/// may defer a resize. A container without a limit has the pod's limit, but not its request (KEP-2837).
fn report_resources(pod: &Json, container: Container, list: Field, report: &mut Report) {
    let is_set = |resources: &&Json| resources.as_object().is_some_and(|map| !map.is_empty());
    let of_container = Some(&container.status["resources"]).filter(is_set);
    let of_container = &of_container.unwrap_or(&container.spec["resources"])[list.path];
    let mut quantities = if list == Field::LIMITS {
        string_map(pod.pointer("/spec/resources/limits"))
    } else {
        BTreeMap::new()
    };
    quantities.extend(string_map(Some(of_container)));
    for standard in ["cpu", "memory"] {
        quantities.entry(standard.to_owned()).or_default();
    }
    let mut others = BTreeMap::new();
    for (resource, text) in quantities {
        let field = list.at(&resource);
        let quantity = match Quantity::parse(&text) {
            Err(error) if !text.is_empty() => {
                let why = format!("{}.{resource} is {text:?}: {error}", list.path);
                report.broken_field(field.unwrap_or(list), why);
                continue;
            }
            // 0 means no limit (`MergeContainerResourceLimits` in `pkg/api/v1/resource/helpers.go`).
            quantity => quantity.ok().filter(|it| list != Field::LIMITS || it.milli_value() != 0),
        };
        match field {
            Some(field) => report.value(field, quantity.map_or(Value::Nothing, Value::Quantity)),
            None => others.extend(quantity.map(|quantity| (resource, quantity))),
        }
    }
    report.value(list, Value::Quantities(others));
}
