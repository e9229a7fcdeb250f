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
use crate::variables::variable::Variable;

const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
pub(crate) const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// An annotation with this prefix becomes the attribute whose name follows the prefix.
const ANNOTATION: &str = "resource.opentelemetry.io/";
const NAME_LABELS: [&str; 2] = ["app.kubernetes.io/instance", "app.kubernetes.io/name"];
const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// The JavaScript SDK drops all attributes if one value is longer, encoded or not
/// (`_MAX_LENGTH` in `opentelemetry-resources/src/detectors/EnvDetector.ts`).
const VALUE_LIMIT: usize = 255;

/// The kinds of workload for which the conventions have an attribute, and those after which only the service is
/// called.
const WORKLOADS: [&str; 6] = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"];
const NAMING: [&str; 2] = ["Rollout", "DeploymentConfig"];
/// Knative makes a Deployment for each revision. This label names the service of all of them.
const KNATIVE_LABEL: &str = "serving.knative.dev/service";

/// The longest attribute with its name and the longest variable, in bytes, encoded. The kernel allows 128 KiB for one variable, and
/// annotations have at most 256 KiB.
const ATTRIBUTE_LIMIT: usize = 1 << 10;
const VARIABLE_LIMIT: usize = 32 << 10;

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
    let mut attributes = Attributes::new(facts);
    attributes.add_what_is_said();
    // The image is needed only for the version.
    if !attributes.known.contains_key("service.version") {
        fields.push(Field::CONTAINER_IMAGE);
    }
    if !attributes.known.contains_key("service.name") {
        fields.push(Field::WORKLOAD_NAME);
    }
    fields
}

/// The variables that `--otel` sets. It merges the attributes with those that are already set. It sets
/// the service's name unless that is set, or `is_named` says that another option names the service. It adds to `warnings`.
pub(crate) fn variables(
    facts: &Facts,
    environment: &Environment,
    is_named: bool,
    warnings: &mut Vec<String>,
) -> Vec<(String, Variable)> {
    let set = environment.get_bytes(ATTRIBUTES.as_bytes()).unwrap_or_default();
    let Ok(set) = std::str::from_utf8(set) else {
        warnings.push(format!("{ATTRIBUTES} stays as it is set: it is not UTF-8"));
        return Vec::new();
    };
    let mut attributes = Attributes::of(facts);
    attributes.retain(|name, attribute| {
        let fits = pair(name, &attribute.value).len() <= ATTRIBUTE_LIMIT;
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
    let service_name = attributes.get("service.name").and_then(|name| name.as_variable(warnings));
    let service_name = service_name.map(|variable| (SERVICE_NAME.to_owned(), variable));
    let merged = merge(set, &attributes, warnings).map(|variable| (ATTRIBUTES.to_owned(), variable));
    merged.into_iter().chain(service_name).collect()
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

/// The attributes that are set, followed by those that are not.
fn merge(
    set: &str,
    attributes: &BTreeMap<String, Attribute>,
    warnings: &mut Vec<String>,
) -> Option<Variable> {
    let set = Some(set.trim_end_matches([',', ' '])).filter(|set| !set.is_empty());
    let pairs = that_fit(set.unwrap_or_default().len(), attributes, warnings);
    if pairs.is_empty() {
        return None;
    }
    let sources = pairs.keys().map(|name| attributes[*name].source);
    let sources: BTreeSet<&str> = sources.chain(set.map(|_| Source::Environment.name())).collect();
    let sources: Vec<&str> = sources.into_iter().collect();
    let pairs: Vec<String> = set.map(str::to_owned).into_iter().chain(pairs.into_values()).collect();
    Some(Variable::new(pairs.join(","), sources.join(",")))
}

/// The encoded attributes that a variable of `length` bytes has room for.
fn that_fit<'a>(
    mut length: usize,
    attributes: &'a BTreeMap<String, Attribute>,
    warnings: &mut Vec<String>,
) -> BTreeMap<&'a str, String> {
    // What an author adds does not displace what a pod has anyway.
    let is_own = |name: &str| ["service.", "k8s.", "container."].iter().any(|group| name.starts_with(group));
    let (own, added): (Vec<_>, Vec<_>) = attributes.iter().partition(|(name, _)| is_own(name));
    let mut pairs = BTreeMap::new();
    for (name, attribute) in own.into_iter().chain(added) {
        let pair = pair(name, &attribute.value);
        if length + pair.len() >= VARIABLE_LIMIT {
            warnings
                .push(format!("{ATTRIBUTES}: {name} is left out: the variable would be longer than 32 KiB"));
            continue;
        }
        if pair.len() > encode(name).len() + 1 + VALUE_LIMIT {
            warnings.push(format!(
                "{ATTRIBUTES}: {name} is longer than {VALUE_LIMIT} characters, so the JavaScript SDK drops all attributes"
            ));
        }
        length += pair.len() + 1;
        pairs.insert(name.as_str(), pair);
    }
    pairs
}

/// An attribute's value and the name of its source.
#[derive(Debug)]
struct Attribute {
    value: String,
    source: &'static str,
}

impl Attribute {
    fn as_variable(&self, warnings: &mut Vec<String>) -> Option<Variable> {
        if self.value.contains('\0') {
            warnings.push(format!(
                "{SERVICE_NAME} is left out: its value contains NUL, which no variable can contain"
            ));
            return None;
        }
        Some(Variable::new(self.value.clone(), self.source))
    }
}

/// Collects attributes. The first value of each wins.
struct Attributes<'a> {
    facts: &'a Facts,
    known: BTreeMap<String, Attribute>,
}

impl<'a> Attributes<'a> {
    fn new(facts: &'a Facts) -> Self {
        Attributes { facts, known: BTreeMap::new() }
    }

    /// All attributes that `facts` give, in the order of precedence of the semantic conventions.
    fn of(facts: &'a Facts) -> BTreeMap<String, Attribute> {
        let mut attributes = Attributes::new(facts);
        attributes.add_what_is_said();
        for (name, field) in [
            ("k8s.pod.name", Field::POD_NAME),
            ("k8s.pod.uid", Field::POD_UID),
            ("k8s.namespace.name", Field::POD_NAMESPACE),
            ("k8s.node.name", Field::NODE_NAME),
            ("k8s.container.name", Field::CONTAINER_NAME),
            ("container.id", Field::CONTAINER_ID),
            ("service.namespace", Field::POD_NAMESPACE),
        ] {
            attributes.add_text(name, field);
        }
        attributes.add_workload();
        // The name of a pod of a workload is not used: every pod would be a service of its own.
        if facts.ownership.as_ref().is_some_and(Ownership::is_named_alone) {
            attributes.add_text("service.name", Field::POD_NAME);
        }
        let version = facts.text(Field::CONTAINER_IMAGE).and_then(version_of);
        attributes.add("service.version", Field::CONTAINER_IMAGE, &version.unwrap_or_default());
        attributes.add("service.instance.id", Field::POD_NAME, &instance_id(facts).unwrap_or_default());
        attributes.known
    }

    /// The attributes in the pod's annotations, then those in its well-known labels.
    fn add_what_is_said(&mut self) {
        for (key, (value, source)) in self.facts.entries(Field::ANNOTATIONS, ANNOTATION).0 {
            if let Some(name) = key.strip_prefix(ANNOTATION).filter(|name| !name.is_empty()) {
                self.insert(name, value, source);
            }
        }
        for label in NAME_LABELS {
            self.add_label("service.name", label);
        }
        self.add_label("service.version", VERSION_LABEL);
    }

    /// The attribute of the workload, and the service's name that follows from it.
    fn add_workload(&mut self) {
        let is_known = self.facts.ownership.as_ref().is_none_or(Ownership::is_of_kubernetes);
        let kind = self.facts.text(Field::WORKLOAD_KIND).filter(|_| is_known).unwrap_or_default();
        if WORKLOADS.contains(&kind) {
            self.add_text(&format!("k8s.{}.name", kind.to_ascii_lowercase()), Field::WORKLOAD_NAME);
        }
        if kind == "Deployment" {
            self.add_label("service.name", KNATIVE_LABEL);
        }
        if WORKLOADS.contains(&kind) || NAMING.contains(&kind) {
            self.add_text("service.name", Field::WORKLOAD_NAME);
        }
    }

    fn add_label(&mut self, name: &str, label: &str) {
        if let Some((Found::Text(value), source)) =
            self.facts.find(&Reference::Entry(Field::LABELS, label.to_owned()))
        {
            self.insert(name, value, source);
        }
    }

    fn add_text(&mut self, name: &str, field: Field) {
        let value = self.facts.text(field).unwrap_or_default();
        self.add(name, field, value);
    }

    /// Adds the attribute `name` from `field`, unless it exists or `value` is empty.
    fn add(&mut self, name: &str, field: Field, value: &str) {
        if let Some(fact) = self.facts.get(field) {
            self.insert(name, value, fact.source);
        }
    }

    fn insert(&mut self, name: &str, value: &str, source: Source) {
        if !value.is_empty() {
            let attribute = Attribute { value: value.to_owned(), source: source.name() };
            self.known.entry(name.to_owned()).or_insert(attribute);
        }
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
