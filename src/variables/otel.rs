//! Makes OpenTelemetry's resource attributes from facts.
//!
//! The rules are in the semantic conventions (`docs/non-normative/k8s-attributes.md` and
//! `docs/resource/k8s.md` in open-telemetry/semantic-conventions). They read well-known labels only
//! if the user opts in: `--otel` does so.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::field::{Field, Source};
use crate::facts::owner::Ownership;
use crate::facts::reference::Reference;
use crate::facts::{Facts, Found};
use crate::kubernetes::image_reference;
use crate::system::environment::Environment;
use crate::variables::variable::{Variable, Variables};

const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
pub(crate) const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// An annotation with this prefix becomes the attribute whose name follows the prefix.
const ANNOTATION: &str = "resource.opentelemetry.io/";
const NAME_LABELS: [&str; 2] = ["app.kubernetes.io/instance", "app.kubernetes.io/name"];
const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// The JavaScript SDK drops all attributes if one value is longer, encoded or not
/// (`_MAX_LENGTH` in `opentelemetry-resources/src/detectors/EnvDetector.ts`).
const VALUE_LIMIT: usize = 255;

/// The kinds of workload for which the conventions have an attribute.
const WORKLOADS: [&str; 6] = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"];
/// The kinds of workload that name the service but have no attribute.
const NAMING: [&str; 2] = ["Rollout", "DeploymentConfig"];
/// Knative makes a Deployment for each revision. This label names the service of all of them.
const KNATIVE_LABEL: &str = "serving.knative.dev/service";

/// The longest attribute with its name and the longest variable, in bytes, encoded. The kernel allows 128 KiB for one
/// variable, and annotations have at most 256 KiB.
const ATTRIBUTE_LIMIT: usize = 1 << 10;
const VARIABLE_LIMIT: usize = 32 << 10;

/// The attributes by name, each with its value and its source.
type Attributes = BTreeMap<String, (String, Source)>;

/// The fields that `--otel` uses.
pub(crate) fn wanted(facts: &Facts) -> Vec<Field> {
    let mut fields = vec![
        Field::POD_NAME,
        Field::POD_UID,
        Field::POD_NAMESPACE,
        Field::NODE_NAME,
        Field::CONTAINER_NAME,
        Field::LABELS,
        Field::ANNOTATIONS,
    ];
    let explicit = explicit(facts);
    // The image is needed only for the version.
    if !explicit.contains_key("service.version") {
        fields.push(Field::CONTAINER_IMAGE);
    }
    if !explicit.contains_key("service.name") {
        fields.push(Field::WORKLOAD_NAME);
    }
    fields
}

/// Adds the variables that `--otel` sets. It merges the attributes with those that are already set. It sets
/// the service's name unless that is set, or `is_named` says that another option names the service.
pub(crate) fn add(facts: &Facts, environment: &Environment, is_named: bool, variables: &mut Variables) {
    let warnings = &mut variables.warnings;
    let set = environment.get_bytes(ATTRIBUTES.as_bytes()).unwrap_or_default();
    let Ok(set) = std::str::from_utf8(set) else {
        return warnings.push(format!("{ATTRIBUTES} stays as it is set: it is not UTF-8"));
    };
    let mut attributes = attributes(facts);
    attributes.retain(|name, (value, _)| {
        let fits = pair(name, value).len() <= ATTRIBUTE_LIMIT;
        if !fits {
            warnings.push(format!("{ATTRIBUTES}: {name} is left out: it is longer than 1 KiB"));
        }
        fits
    });
    let has_name = attributes.contains_key("service.name");
    let is_name_set = environment.get_bytes(SERVICE_NAME.as_bytes()).is_some_and(|name| !name.is_empty());
    if is_name_set {
        attributes.remove("service.name");
    }
    let is_named = is_named || is_name_set || names(set).any(|name| name == "service.name");
    if !has_name && !is_named {
        warnings.push(why_no_name(facts));
    }
    for name in names(set) {
        attributes.remove(name);
    }
    if let Some(merged) = merge(set, &attributes, warnings) {
        variables.add(ATTRIBUTES, merged);
    }
    if let Some((value, source)) = attributes.remove("service.name") {
        variables.add(SERVICE_NAME, Variable::new(value, source.name()));
    }
}

fn why_no_name(facts: &Facts) -> String {
    let kind = facts.text(Field::WORKLOAD_KIND);
    let (why, remedy) = match (&facts.ownership, kind) {
        (Some(ownership), None) => (ownership.why_no_service().to_owned(), ""),
        (_, Some(kind)) => (format!("its workload is a {kind}"), ""),
        (None, None) => (
            "the workload of the pod is not known".to_owned(),
            ", mount the labels in a downwardAPI volume, or allow the pod to get itself from the API server",
        ),
    };
    format!(
        "service.name and {SERVICE_NAME} are left out: {why}; \
         set {SERVICE_NAME}, or the label {}{remedy}",
        NAME_LABELS[1]
    )
}

/// The names in a comma-separated list of `NAME=VALUE`.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter_map(|pair| Some(pair.split_once('=')?.0.trim()))
}

/// The pairs of `set`, followed by the pairs of `attributes` that still fit into the variable.
fn merge(set: &str, attributes: &Attributes, warnings: &mut Vec<String>) -> Option<Variable> {
    let set = set.trim_end_matches([',', ' ']);
    // What an author adds does not displace what a pod has anyway.
    let is_own = |name: &str| ["service.", "k8s.", "container."].iter().any(|group| name.starts_with(group));
    let (own, added): (Vec<_>, Vec<_>) = attributes.iter().partition(|(name, _)| is_own(name));
    let mut length = set.len();
    let (mut pairs, mut sources) = (BTreeMap::new(), BTreeSet::new());
    for (name, (value, source)) in own.into_iter().chain(added) {
        let pair = pair(name, value);
        if length + pair.len() >= VARIABLE_LIMIT {
            warnings
                .push(format!("{ATTRIBUTES}: {name} is left out: the variable would be longer than 32 KiB"));
            continue;
        }
        if encode(value).len() > VALUE_LIMIT {
            warnings.push(format!(
                "{ATTRIBUTES}: {name} is longer than {VALUE_LIMIT} characters, so the JavaScript SDK drops all attributes"
            ));
        }
        length += pair.len() + 1;
        pairs.insert(name, pair);
        sources.insert(source.name());
    }
    if pairs.is_empty() {
        return None;
    }
    let mut texts: Vec<&str> = pairs.values().map(String::as_str).collect();
    if !set.is_empty() {
        texts.insert(0, set);
        sources.insert(Source::Environment.name());
    }
    let sources: Vec<&str> = sources.into_iter().collect();
    Some(Variable::new(texts.join(","), sources.join(",")))
}

/// All attributes that `facts` give, in the order of precedence of the semantic conventions.
fn attributes(facts: &Facts) -> Attributes {
    let mut attributes = explicit(facts);
    for (name, field) in [
        ("k8s.pod.name", Field::POD_NAME),
        ("k8s.pod.uid", Field::POD_UID),
        ("k8s.namespace.name", Field::POD_NAMESPACE),
        ("k8s.node.name", Field::NODE_NAME),
        ("k8s.container.name", Field::CONTAINER_NAME),
        ("container.id", Field::CONTAINER_ID),
        ("service.namespace", Field::POD_NAMESPACE),
    ] {
        put(&mut attributes, name, text(facts, field));
    }
    add_workload(&mut attributes, facts);
    // The name of a pod of a workload is not used: every pod would be a service of its own.
    if facts.ownership.as_ref().is_some_and(Ownership::is_named_alone) {
        put(&mut attributes, "service.name", text(facts, Field::POD_NAME));
    }
    for (name, field, value) in [
        ("service.version", Field::CONTAINER_IMAGE, facts.text(Field::CONTAINER_IMAGE).and_then(version_of)),
        ("service.instance.id", Field::POD_NAME, instance_id(facts)),
    ] {
        let value = value.as_deref();
        put(&mut attributes, name, text(facts, field).and_then(|(_, source)| Some((value?, source))));
    }
    attributes
}

/// The attributes in the pod's annotations, then those in its well-known labels.
fn explicit(facts: &Facts) -> Attributes {
    let mut attributes = Attributes::new();
    for (key, value, source) in facts.entries(Field::ANNOTATIONS, ANNOTATION).0 {
        if let Some(name) = key.strip_prefix(ANNOTATION).filter(|name| !name.is_empty()) {
            put(&mut attributes, name, Some((value, source)));
        }
    }
    for name in NAME_LABELS {
        put(&mut attributes, "service.name", label(facts, name));
    }
    put(&mut attributes, "service.version", label(facts, VERSION_LABEL));
    attributes
}

/// Adds the attribute of the workload, and the service's name that follows from it.
fn add_workload(attributes: &mut Attributes, facts: &Facts) {
    let is_known = facts.ownership.as_ref().is_none_or(Ownership::is_of_kubernetes);
    let kind = facts.text(Field::WORKLOAD_KIND).unwrap_or_default();
    let kind = if is_known { kind } else { "" };
    let workload = text(facts, Field::WORKLOAD_NAME);
    if WORKLOADS.contains(&kind) {
        put(attributes, &format!("k8s.{}.name", kind.to_ascii_lowercase()), workload);
    }
    if kind == "Deployment" {
        put(attributes, "service.name", label(facts, KNATIVE_LABEL));
    }
    if WORKLOADS.contains(&kind) || NAMING.contains(&kind) {
        put(attributes, "service.name", workload);
    }
}

/// Adds the attribute `name`, unless it exists or the value is empty.
fn put(attributes: &mut Attributes, name: &str, found: Option<(&str, Source)>) {
    if let Some((value, source)) = found.filter(|(value, _)| !value.is_empty()) {
        attributes.entry(name.to_owned()).or_insert_with(|| (value.to_owned(), source));
    }
}

fn text(facts: &Facts, field: Field) -> Option<(&str, Source)> {
    facts.get(field).and_then(|fact| Some((fact.value.text()?, fact.source)))
}

fn label<'a>(facts: &'a Facts, key: &str) -> Option<(&'a str, Source)> {
    match facts.find(&Reference::Entry(Field::LABELS, key.to_owned()))? {
        (Found::Text(value), source) => Some((value, source)),
        _ => None,
    }
}

/// The version in an image's name: `tag@digest`, the digest or the tag.
fn version_of(image: &str) -> Option<String> {
    let (tag, digest) = image_reference::tag_and_digest(image)?;
    match (tag, digest) {
        (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
        (tag, digest) => digest.or(tag).map(str::to_owned),
    }
}

fn instance_id(facts: &Facts) -> Option<String> {
    let fields = [Field::POD_NAMESPACE, Field::POD_NAME, Field::CONTAINER_NAME];
    let parts: Option<Vec<&str>> = fields.iter().map(|field| facts.text(*field)).collect();
    Some(parts?.join("."))
}

fn pair(name: &str, value: &str) -> String {
    format!("{}={}", encode(name), encode(value))
}

/// Percent-encodes `text` so that all SDKs decode it alike.
///
/// The baggage octets of W3C Baggage stay as they are, except for three. `%` starts an encoded byte.
/// Some SDKs split again at `=` (`OTEL_RESOURCE_ATTRIBUTES` in the specification's `resource/sdk.md`).
/// Ruby's SDK reads `+` as a blank, and those of Java, Go and .NET did so for long
/// (open-telemetry/opentelemetry-java#8030, open-telemetry/opentelemetry-go#4698).
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            0x21 | 0x23..=0x24 | 0x26..=0x2a | 0x2d..=0x3a | 0x3c | 0x3e..=0x5b | 0x5d..=0x7e => {
                encoded.push(char::from(byte))
            }
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
        assert_eq!(encode("a,b=c%d e\"f;g\\hé+"), "a%2Cb%3Dc%25d%20e%22f%3Bg%5Ch%C3%A9%2B");
        assert_eq!(encode("sha256:0a/b-c_d.e~"), "sha256:0a/b-c_d.e~");
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
