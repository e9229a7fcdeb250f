//! Paths into objects of the API, in kustomize's notation: `pod.spec.containers.[name=app].image`.
//!
//! ```text
//! path    = object "." ( "metadata" | "spec" | "status" ) { segment }
//! segment = "." key | "['" key "']" | "." number | ".[" key "=" value "]"
//! ```

use serde_json::Value as Json;

/// An object of the API that has fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    Pod,
    /// The container in the Pod object's spec.
    ContainerSpec,
    /// The container's status in the Pod object.
    ContainerStatus,
    Node,
    /// The pod's Namespace.
    Namespace,
    /// The Namespace `kube-system`, whose UID identifies the cluster.
    KubeSystem,
}

impl Object {
    /// Whether it is part of the Pod object.
    pub(crate) fn is_in_pod(self) -> bool {
        matches!(self, Object::Pod | Object::ContainerSpec | Object::ContainerStatus)
    }
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// A member of an object, or the number of an element of a list.
    Key(String),
    /// The first element of a list whose member `key` is `value`. Without a key, the element itself is.
    Element { key: String, value: String },
}

/// A path to a scalar in an object of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) object: Object,
    /// At least two: the first is `metadata`, `spec` or `status`.
    pub(crate) segments: Vec<Segment>,
    text: String,
}

/// A scalar as text, and whether it is a number.
pub(crate) type Scalar = (String, bool);

// A text is not a path. No message contains the text, which may be a secret.
const SHORT: &str = "a path names something below metadata, spec or status, as pod.spec.priorityClassName";
const KEY: &str = "a path has a key after each dot; a key with other characters is written ['KEY']";
const ELEMENT: &str =
    "an element of a list is written .[KEY=VALUE] or .0; with other characters .[KEY='VALUE']";

const OBJECTS: [(&str, Object); 3] =
    [("pod", Object::Pod), ("node", Object::Node), ("namespace", Object::Namespace)];
const TOP: [&str; 3] = ["metadata", "spec", "status"];

impl Path {
    /// Whether `text` begins as a path does: with an object, and `metadata`, `spec` or `status`.
    pub(crate) fn is_meant(text: &str) -> bool {
        split(text).is_some()
    }

    /// Parses a path that [`Path::is_meant`].
    ///
    /// # Errors
    /// A segment is not valid, or there are too few.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (object, top, mut rest) = split(text).ok_or(SHORT)?;
        let mut segments = vec![Segment::Key(top.to_owned())];
        while !rest.is_empty() {
            let (segment, after) = segment(rest)?;
            segments.push(segment);
            rest = after;
        }
        if segments.len() < 2 {
            return Err(SHORT);
        }
        Ok(Path { object, segments, text: text.to_owned() })
    }

    /// Whether the value may be a secret: what is below `env`, `args` or `command` in a spec.
    pub(crate) fn is_private(&self) -> bool {
        let is = |segment: &Segment, names: &[&str]| matches!(segment, Segment::Key(key) if names.contains(&&**key));
        // The keys of a node selector are labels.
        let is_secret =
            |pair: &[Segment]| is(&pair[1], &["env", "args", "command"]) && !is(&pair[0], &["nodeSelector"]);
        is(&self.segments[0], &["spec"]) && self.segments.windows(2).any(is_secret)
    }

    /// Whether the API may lack the value during the pod's first second, and then has it.
    pub(crate) fn is_late(&self) -> bool {
        const LATE: [&str; 6] = ["podIP", "podIPs", "hostIP", "hostIPs", "startTime", "containerStatuses"];
        let is_status = |top: &str, key: &str| top == "status" && LATE.contains(&key);
        self.object == Object::Pod
            && matches!(&self.segments[..], [Segment::Key(top), Segment::Key(key), ..] if is_status(top, key))
    }

    /// The container whose status it names.
    pub(crate) fn container(&self) -> Option<&str> {
        match &self.segments[..] {
            [_, Segment::Key(list), Segment::Element { key, value }, ..]
                if list == "containerStatuses" && key == "name" =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    /// The scalar in `object`. Of several elements that match, the first counts.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn resolve(&self, object: &Json) -> Result<Scalar, String> {
        let mut value = object;
        for segment in &self.segments {
            // A null is no value, as for Kubernetes.
            let found = segment.step(value).filter(|found| !found.is_null());
            value = found.ok_or_else(|| match segment {
                Segment::Key(key) if value.is_array() => format!("no such element: {key}"),
                Segment::Key(key) => format!("no such member: {key}"),
                Segment::Element { key, value } => format!("no such element: [{key}={value}]"),
            })?;
        }
        let text = scalar(value).ok_or("it is an object or a list, not a single value; continue the path")?;
        Ok((text, value.is_number()))
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Segment {
    fn step<'a>(&self, value: &'a Json) -> Option<&'a Json> {
        match (self, value) {
            (_, Json::Array(list)) => {
                let mut elements = list.iter().enumerate();
                elements.find(|(number, element)| self.leads_to(*number, element)).map(|(_, element)| element)
            }
            (Segment::Key(key), value) => value.get(key),
            _ => None,
        }
    }

    /// The member of an element that decides whether it is the step to it.
    pub(crate) fn compared(&self) -> Option<&str> {
        match self {
            Segment::Key(_) => None,
            Segment::Element { key, .. } => Some(key),
        }
    }

    /// Whether this is the step to `element`, which has this number in a list.
    pub(crate) fn leads_to(&self, number: usize, element: &Json) -> bool {
        match self {
            Segment::Key(key) => key.parse() == Ok(number),
            Segment::Element { key, value } => {
                let compared = if key.is_empty() { element } else { &element[key] };
                scalar(compared).as_ref() == Some(value)
            }
        }
    }
}

/// The text of a string, number or boolean.
fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The object, the member below it, and the rest.
fn split(text: &str) -> Option<(Object, &str, &str)> {
    let (name, rest) = text.split_once('.')?;
    let (_, object) = *OBJECTS.iter().find(|(known, _)| *known == name)?;
    let (top, rest) = split_key(rest);
    TOP.contains(&top).then_some((object, top, rest))
}

/// The text before the next `.` or `[`, and the rest.
fn split_key(text: &str) -> (&str, &str) {
    text.split_at(text.find(['.', '[']).unwrap_or(text.len()))
}

/// The first segment of `text`, and what follows it.
fn segment(text: &str) -> Result<(Segment, &str), &'static str> {
    if let Some(rest) = text.strip_prefix("['") {
        let (key, rest) = rest.split_once("']").ok_or(KEY)?;
        return Ok((Segment::Key(key.to_owned()), rest));
    }
    let rest = text.strip_prefix('.').ok_or(KEY)?;
    if let Some(rest) = rest.strip_prefix('[') {
        return element(rest).ok_or(ELEMENT);
    }
    let (key, rest) = split_key(rest);
    if key.is_empty() || !is_key(key) {
        return Err(KEY);
    }
    Ok((Segment::Key(key.to_owned()), rest))
}

/// `KEY=VALUE]` or `KEY='VALUE']`, and what follows it.
fn element(text: &str) -> Option<(Segment, &str)> {
    let (key, rest) = text.split_once('=')?;
    let (value, rest) = match rest.strip_prefix('\'') {
        Some(quoted) => quoted.split_once("']"),
        None => rest.split_once(']'),
    }?;
    let segment = Segment::Element { key: key.to_owned(), value: value.to_owned() };
    (is_key(key) && !value.contains('\'')).then_some((segment, rest))
}

fn is_key(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(key: &str) -> Segment {
        Segment::Key(key.to_owned())
    }

    fn element(key: &str, value: &str) -> Segment {
        Segment::Element { key: key.to_owned(), value: value.to_owned() }
    }

    fn segments(text: &str) -> Vec<Segment> {
        assert!(Path::is_meant(text), "{text}");
        let path = Path::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(path.to_string(), text);
        path.segments
    }

    #[test]
    fn paths_are_kustomize_s() {
        assert_eq!(segments("pod.spec.a-b.0"), [key("spec"), key("a-b"), key("0")]);
        assert_eq!(
            segments("pod.spec.containers.[name=app].ports.[name='a]b'].containerPort"),
            [
                key("spec"),
                key("containers"),
                element("name", "app"),
                key("ports"),
                element("name", "a]b"),
                key("containerPort")
            ]
        );
        let annotation = "node.metadata.annotations['example.com/rack']";
        assert_eq!(segments(annotation), [key("metadata"), key("annotations"), key("example.com/rack")]);
        assert_eq!(segments("pod.spec.x.[=10.0.0.1]"), [key("spec"), key("x"), element("", "10.0.0.1")]);
    }

    #[test]
    fn other_texts_are_not() {
        for text in ["pod.ordinal", "pods.spec.x", "spec.x", "node.labels['a']", "pod", "pod.specs.x", ""] {
            assert!(!Path::is_meant(text), "{text}");
        }
        for text in ["pod.spec", "pod.spec.", "pod.spec..a", "pod.spec.a.", "pod.spec.a b", "pod.spec['a'"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
        for text in ["pod.spec.[a]", "pod.spec.[a=b", "pod.spec.[a='b]", "pod.spec.[a=b]c", "pod.spec[a=b]"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_match_counts_and_what_is_missing_is_named() {
        let pod = json!({"spec": {"n": 30, "yes": true, "none": null, "list": [
            {"name": "a", "port": 80}, {"name": "b", "port": 1}, {"name": "b", "port": 2}, {"port": 80, "name": "c"}
        ], "words": ["x", "y"]}});
        let resolve = |text: &str| Path::parse(text).unwrap().resolve(&pod).map(|(text, _)| text);
        assert_eq!(resolve("pod.spec.n").unwrap(), "30");
        assert_eq!(resolve("pod.spec.yes").unwrap(), "true");
        assert_eq!(resolve("pod.spec.list.[name=b].port").unwrap(), "1");
        assert_eq!(resolve("pod.spec.list.[port=80].name").unwrap(), "a");
        assert_eq!(resolve("pod.spec.list.1.port").unwrap(), "1");
        assert_eq!(resolve("pod.spec.words.[=y]").unwrap(), "y");
        assert_eq!(resolve("pod.spec.none").unwrap_err(), "no such member: none");
        assert_eq!(resolve("pod.spec.n.x").unwrap_err(), "no such member: x");
        assert_eq!(resolve("pod.spec.list.9.x").unwrap_err(), "no such element: 9");
        assert_eq!(resolve("pod.spec.list.name").unwrap_err(), "no such element: name");
        let missing = resolve("pod.spec.list.[name=z].x").unwrap_err();
        assert_eq!(missing, "no such element: [name=z]");
        for path in ["pod.spec.list", "pod.spec.list.0"] {
            assert!(resolve(path).unwrap_err().contains("not a single value"), "{path}");
        }
    }

    #[test]
    fn what_a_manifest_gives_its_processes_is_private() {
        let is_private = |text: &str| Path::parse(text).unwrap().is_private();
        assert!(is_private("pod.spec.containers.[name=app].env.[name=A].value"));
        assert!(is_private("pod.spec.containers.0['args'].0"));
        assert!(is_private("pod.spec.containers.0.livenessProbe.exec.command.1"));
        assert!(!is_private("pod.spec.nodeSelector['env']"));
        assert!(!is_private("namespace.metadata.labels['env']"));
        assert!(!is_private("pod.metadata.annotations['args']"));
        assert!(!is_private("pod.spec.containers.[name=env].image"));
    }

    #[test]
    fn only_some_of_the_status_comes_late() {
        let is_late = |text: &str| Path::parse(text).unwrap().is_late();
        assert!(is_late("pod.status.podIPs.1.ip") && is_late("pod.status.containerStatuses.0.imageID"));
        assert!(!is_late("pod.status.nominatedNodeName") && !is_late("node.status.podIP"));
        assert!(!is_late("pod.spec.podIP"));
    }
}
