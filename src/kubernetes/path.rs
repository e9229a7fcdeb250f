//! Paths into objects of the API, in kustomize's notation: `pod.spec.containers.[name=app].image`.
//!
//! ```text
//! path    = object "." ( "metadata" | "spec" | "status" ) { segment }
//! segment = "." key | "['" key "']" | "." number | ".[" key "=" value "]"
//! ```

use serde_json::Value as Json;

/// An object of the API into which a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Pod,
    Node,
    Namespace,
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
    pub(crate) object: Root,
    /// At least two: the first is `metadata`, `spec` or `status`.
    pub(crate) segments: Vec<Segment>,
    text: String,
}

/// A text is not a path. No message contains the text, which may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("a path names something below metadata, spec or status, as pod.spec.priorityClassName")]
    Short,
    #[error("a path has a key after each dot; a key with other characters is written ['KEY']")]
    Key,
    #[error("an element of a list is written .[KEY=VALUE] or .0; with other characters .[KEY='VALUE']")]
    Element,
}

/// A scalar as text, and whether it is a number.
pub(crate) type Scalar = (String, bool);

/// There is no scalar at the end of a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    #[error("no such member: {0}")]
    Member(String),
    #[error("no such element: {0}")]
    Element(String),
    #[error("it is an object or a list, not a single value; continue the path")]
    NotAScalar,
}

const ROOTS: [(&str, Root); 3] = [("pod", Root::Pod), ("node", Root::Node), ("namespace", Root::Namespace)];
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
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        let (object, top, mut rest) = split(text).ok_or(PathError::Short)?;
        let mut segments = vec![Segment::Key(top.to_owned())];
        while !rest.is_empty() {
            let (segment, after) = segment(rest)?;
            segments.push(segment);
            rest = after;
        }
        if segments.len() < 2 {
            return Err(PathError::Short);
        }
        Ok(Path { object, segments, text: text.to_owned() })
    }

    /// Whether the value may be a secret: what is below `env`, `args` or `command` in a spec.
    pub(crate) fn is_private(&self) -> bool {
        let is_spec = self.segments.first() == Some(&Segment::Key("spec".to_owned()));
        // The keys of a node selector are labels.
        let is_secret = |pair: &[Segment]| match pair {
            [Segment::Key(before), Segment::Key(key)] if before != "nodeSelector" => is_secret(key),
            [Segment::Element { .. }, Segment::Key(key)] => is_secret(key),
            _ => false,
        };
        is_spec && self.segments.windows(2).any(is_secret)
    }

    /// Whether the API may lack the value during the pod's first second, and then has it.
    pub(crate) fn is_late(&self) -> bool {
        const LATE: [&str; 6] = ["podIP", "podIPs", "hostIP", "hostIPs", "startTime", "containerStatuses"];
        let (Some(Segment::Key(top)), Some(Segment::Key(key))) =
            (self.segments.first(), self.segments.get(1))
        else {
            return false;
        };
        self.object == Root::Pod && top == "status" && LATE.contains(&key.as_str())
    }

    /// The container whose status it names.
    pub(crate) fn container(&self) -> Option<&str> {
        match self.segments.get(..3)? {
            [_, Segment::Key(list), Segment::Element { key, value }]
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
    pub(crate) fn resolve(&self, object: &Json) -> Result<Scalar, Missing> {
        let mut value = object;
        for segment in &self.segments {
            value = segment.step(value)?;
        }
        scalar(value).map(|text| (text, value.is_number())).ok_or(Missing::NotAScalar)
    }
}

fn is_secret(key: &str) -> bool {
    ["env", "args", "command"].contains(&key)
}

impl std::fmt::Display for Path {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Segment {
    fn step<'a>(&self, value: &'a Json) -> Result<&'a Json, Missing> {
        let found = match (self, value) {
            (Segment::Key(key), Json::Object(map)) => map.get(key),
            (Segment::Key(key), Json::Array(list)) => {
                let element = key.parse::<usize>().ok().and_then(|number| list.get(number));
                return element.ok_or_else(|| Missing::Element(key.clone()));
            }
            (Segment::Element { .. }, Json::Array(list)) => list.iter().find(|element| self.matches(element)),
            _ => None,
        };
        // A null is no value, as for Kubernetes.
        found.filter(|found| !found.is_null()).ok_or_else(|| match self {
            Segment::Key(key) => Missing::Member(key.clone()),
            Segment::Element { key, value } => Missing::Element(format!("[{key}={value}]")),
        })
    }

    /// The member of an element that decides whether it is the step to it.
    pub(crate) fn compared(&self) -> Option<&str> {
        match self {
            Segment::Key(_) => None,
            Segment::Element { key, .. } => Some(key),
        }
    }

    /// Whether this is the step to `element` of a list.
    pub(crate) fn matches(&self, element: &Json) -> bool {
        match self {
            Segment::Key(_) => false,
            Segment::Element { key, value } if key.is_empty() => scalar(element).as_ref() == Some(value),
            Segment::Element { key, value } => scalar(&element[key]).as_ref() == Some(value),
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
fn split(text: &str) -> Option<(Root, &str, &str)> {
    let (name, rest) = text.split_once('.')?;
    let (_, object) = *ROOTS.iter().find(|(root, _)| *root == name)?;
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (top, rest) = rest.split_at(end);
    TOP.contains(&top).then_some((object, top, rest))
}

/// The first segment of `text`, and what follows it.
fn segment(text: &str) -> Result<(Segment, &str), PathError> {
    if let Some(rest) = text.strip_prefix("['") {
        let (key, rest) = rest.split_once("']").ok_or(PathError::Key)?;
        return Ok((Segment::Key(key.to_owned()), rest));
    }
    let rest = text.strip_prefix('.').ok_or(PathError::Key)?;
    if let Some(rest) = rest.strip_prefix('[') {
        return element(rest);
    }
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (key, rest) = rest.split_at(end);
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if key.is_empty() || !key.bytes().all(is_key) {
        return Err(PathError::Key);
    }
    Ok((Segment::Key(key.to_owned()), rest))
}

/// `KEY=VALUE]` or `KEY='VALUE']`, and what follows it.
fn element(text: &str) -> Result<(Segment, &str), PathError> {
    let (key, rest) = text.split_once('=').ok_or(PathError::Element)?;
    let (value, rest) = match rest.strip_prefix('\'') {
        Some(quoted) => quoted.split_once("']"),
        None => rest.split_once(']'),
    }
    .ok_or(PathError::Element)?;
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !key.bytes().all(is_key) || value.contains('\'') {
        return Err(PathError::Element);
    }
    Ok((Segment::Element { key: key.to_owned(), value: value.to_owned() }, rest))
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
        assert_eq!(resolve("pod.spec.none").unwrap_err(), Missing::Member("none".to_owned()));
        assert_eq!(resolve("pod.spec.n.x").unwrap_err(), Missing::Member("x".to_owned()));
        assert_eq!(resolve("pod.spec.list.9.x").unwrap_err(), Missing::Element("9".to_owned()));
        assert_eq!(resolve("pod.spec.list.name").unwrap_err(), Missing::Element("name".to_owned()));
        let missing = resolve("pod.spec.list.[name=z].x").unwrap_err();
        assert_eq!(missing, Missing::Element("[name=z]".to_owned()));
        assert_eq!(resolve("pod.spec.list").unwrap_err(), Missing::NotAScalar);
        assert_eq!(resolve("pod.spec.list.0").unwrap_err(), Missing::NotAScalar);
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
