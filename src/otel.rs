//! OpenTelemetry's resource attributes from facts.
//!
//! The Kubernetes part of the semantic conventions (`docs/non-normative/k8s-attributes.md` and
//! `docs/resource/k8s.md` in open-telemetry/semantic-conventions) says which attribute comes from
//! where, and that well-known labels are read only where somebody opted in: `--otel` does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::environment::Environment;
use crate::facts::Facts;
use crate::field::Field;
use crate::kubernetes::image_reference::ImageReference;
use crate::variables::Variable;

const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// Annotations of this prefix become the attribute that follows it.
const ANNOTATION: &str = "resource.opentelemetry.io/";
const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// The greatest length of a value that W3C's Correlation Context, and so the SDKs, promise to take.
const VALUE_LIMIT: usize = 255;

/// What `--otel` wants to know.
pub(crate) fn wanted(facts: &Facts) -> Vec<Field> {
    let mut fields = vec![
        Field::PodName,
        Field::PodUid,
        Field::PodNamespace,
        Field::NodeName,
        Field::ContainerName,
        Field::Labels,
        Field::Annotations,
    ];
    // The image is for its version only.
    let annotated = facts
        .map(&Field::Annotations)
        .is_some_and(|it| it.contains_key(&(ANNOTATION.to_owned() + "service.version")));
    let labelled = facts.map(&Field::Labels).is_some_and(|labels| labels.contains_key(VERSION_LABEL));
    if !annotated && !labelled {
        fields.push(Field::ContainerImage);
    }
    fields
}

/// Attributes with the names of the sources that they came from.
#[derive(Default)]
struct Attributes {
    values: BTreeMap<String, String>,
    sources: Vec<&'static str>,
}

impl Attributes {
    /// Adds an attribute unless it is there already.
    fn add(&mut self, facts: &Facts, field: &Field, name: &str, value: &str) {
        if value.is_empty() || self.values.contains_key(name) {
            return;
        }
        self.values.insert(name.to_owned(), value.to_owned());
        let source = facts.get(field).map(|fact| fact.source.name());
        self.sources.extend(source.filter(|source| !self.sources.contains(source)));
    }

    fn add_text(&mut self, facts: &Facts, name: &str, field: Field) {
        let value = facts.text(&field).unwrap_or_default();
        self.add(facts, &field, name, value);
    }
}

/// The variables that `--otel` sets: attributes merged with what is set already, and the service's
/// name unless it is.
pub(crate) fn variables(facts: &Facts, environment: &Environment) -> Vec<(String, Variable)> {
    let set = environment.get_nonempty(ATTRIBUTES).unwrap_or_default();
    let set_names: Vec<&str> = pairs(set).collect();
    let is_named = set_names.contains(&"service.name") || environment.get_nonempty(SERVICE_NAME).is_some();
    let mut attributes = attributes(facts);
    let service_name = attributes.values.get("service.name").cloned();
    if is_named {
        attributes.values.remove("service.name");
    }
    let added = attributes.values.iter().filter(|(name, _)| !set_names.contains(&name.as_str()));
    let added: Vec<String> = added.map(|(name, value)| format!("{name}={}", encode(name, value))).collect();
    let mut sources = attributes.sources.clone();
    let mut all: Vec<&str> = added.iter().map(String::as_str).collect();
    let set = set.trim_end_matches([',', ' ']);
    if !set.is_empty() {
        all.insert(0, set);
        sources.push("env");
    }
    let variable = |value: String, sources: &[&str]| Variable {
        value,
        source: Cow::Owned(sources.join(",")),
        is_set: false,
    };
    let mut variables = Vec::new();
    if !added.is_empty() {
        variables.push((ATTRIBUTES.to_owned(), variable(all.join(","), &sources)));
    }
    if let Some(name) = service_name.filter(|_| !is_named) {
        variables.push((SERVICE_NAME.to_owned(), variable(name, &attributes.sources)));
    }
    variables
}

/// The names of the pairs in a variable.
fn pairs(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter_map(|pair| Some(pair.split_once('=')?.0.trim()))
}

fn attributes(facts: &Facts) -> Attributes {
    let mut attributes = Attributes::default();
    for (key, value) in facts.map(&Field::Annotations).into_iter().flatten() {
        if let Some(name) = key.strip_prefix(ANNOTATION) {
            attributes.add(facts, &Field::Annotations, name, value);
        }
    }
    for (name, field) in [
        ("k8s.pod.name", Field::PodName),
        ("k8s.pod.uid", Field::PodUid),
        ("k8s.namespace.name", Field::PodNamespace),
        ("k8s.node.name", Field::NodeName),
        ("k8s.container.name", Field::ContainerName),
        ("container.id", Field::ContainerId),
        ("service.namespace", Field::PodNamespace),
    ] {
        attributes.add_text(facts, name, field);
    }
    let workload = workload_attribute(facts);
    if let Some(name) = workload {
        attributes.add_text(facts, name, Field::WorkloadName);
    }
    for label in ["app.kubernetes.io/instance", "app.kubernetes.io/name"] {
        attributes.add(facts, &Field::Labels, "service.name", label_of(facts, label));
    }
    if workload.is_some() {
        attributes.add_text(facts, "service.name", Field::WorkloadName);
    }
    attributes.add_text(facts, "service.name", Field::PodName);
    attributes.add_text(facts, "service.name", Field::ContainerName);
    attributes.add(facts, &Field::Labels, "service.version", label_of(facts, VERSION_LABEL));
    let version = facts.text(&Field::ContainerImage).and_then(version_of).unwrap_or_default();
    attributes.add(facts, &Field::ContainerImage, "service.version", &version);
    attributes.add(facts, &Field::PodName, "service.instance.id", &instance_id(facts).unwrap_or_default());
    attributes
}

fn label_of<'a>(facts: &'a Facts, key: &str) -> &'a str {
    facts.map(&Field::Labels).and_then(|labels| labels.get(key)).map(String::as_str).unwrap_or_default()
}

fn workload_attribute(facts: &Facts) -> Option<&'static str> {
    match facts.text(&Field::WorkloadKind)? {
        "Deployment" => Some("k8s.deployment.name"),
        "ReplicaSet" => Some("k8s.replicaset.name"),
        "StatefulSet" => Some("k8s.statefulset.name"),
        "DaemonSet" => Some("k8s.daemonset.name"),
        "Job" => Some("k8s.job.name"),
        _ => None,
    }
}

/// `tag@digest`, digest, or tag of an image as it is written in the spec.
fn version_of(image: &str) -> Option<String> {
    let image = ImageReference::parse(image)?;
    match (image.tag, image.digest) {
        (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
        (tag, digest) => digest.or(tag).map(str::to_owned),
    }
}

fn instance_id(facts: &Facts) -> Option<String> {
    let fields = [Field::PodNamespace, Field::PodName, Field::ContainerName];
    let parts: Option<Vec<&str>> = fields.iter().map(|field| facts.text(field)).collect();
    Some(parts?.join("."))
}

/// `value` as the SDKs decode it: percent-encoded but for W3C's baggage octets
/// (`baggage-octet` in the W3C Baggage specification), and `=`, at which some SDKs split.
fn encode(name: &str, value: &str) -> String {
    if value.chars().count() > VALUE_LIMIT {
        log::warn!("{ATTRIBUTES}: {name} has over {VALUE_LIMIT} characters, which some SDKs do not take");
    }
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'%' | b'=' => encoded += &format!("%{byte:02X}"),
            0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e => encoded.push(char::from(byte)),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_percent_encoded() {
        assert_eq!(encode("a", "a,b=c%d e\"f;g\\hé"), "a%2Cb%3Dc%25d%20e%22f%3Bg%5Ch%C3%A9");
        assert_eq!(encode("a", "sha256:0a/b-c_d.e~"), "sha256:0a/b-c_d.e~");
    }

    #[test]
    fn versions_of_images() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (image, version) in [
            ("busybox", None),
            ("localhost:5000/app", None),
            ("localhost:5000/app:1.2", Some("1.2".to_owned())),
            (&format!("registry.example/a/b@{digest}"), Some(digest.clone())),
            (&format!("registry.example:443/a/b:v1@{digest}"), Some(format!("v1@{digest}"))),
            ("not an image", None),
        ] {
            assert_eq!(version_of(image), version, "{image}");
        }
    }
}
