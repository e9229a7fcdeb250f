//! Queries the API server for the Pod object and, if requested, for its Node and namespaces.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value as Json;

use crate::client::{ApiUrl, Client, Explanation, Failure, Identity, explain};
use crate::facts::field::{Field, Object, Source};
use crate::facts::reference::{Reference, is_topology};
use crate::facts::subject::Subject;
use crate::facts::wanted::Wanted;
use crate::facts::{Facts, Told};
use crate::kubernetes::{names, object};
use crate::sources::pod;
use crate::system::surroundings::Surroundings;

/// When the API server is queried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// Only for requested fields that no other source knows.
    #[default]
    Auto,
    Always,
    Never,
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(When::Auto),
            "always" => Ok(When::Always),
            "never" => Ok(When::Never),
            _ => Err("must be auto, always or never".to_owned()),
        }
    }
}

/// Why the API server is not queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotQueried {
    #[error("not queried: --api=never")]
    Never,
    #[error("not queried: nothing requested needs it; force it with --api=always")]
    NotRequested,
    #[error("not queried: --root turns the network off; add --api-url")]
    Root,
    /// Everything comes from the Pod object of `--pod`.
    #[error("not queried: --pod")]
    Object,
}

/// How the API server is queried.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) when: When,
    pub(crate) url: Option<ApiUrl>,
    pub(crate) timeout: Duration,
}

impl Settings {
    /// Whether the API server is queried even if everything is known.
    pub(crate) fn is_always(&self) -> bool {
        self.when == When::Always
    }

    /// Why the API server is not queried; none if it is.
    pub(crate) fn not_queried(
        &self,
        surroundings: &Surroundings,
        wanted: &Wanted,
        facts: &Facts,
    ) -> Option<NotQueried> {
        if self.when == When::Never {
            return Some(NotQueried::Never);
        }
        let is_wanted = self.is_always() || wanted.unsettled(facts).iter().any(is_in_api);
        if !is_wanted {
            return Some(NotQueried::NotRequested);
        }
        if !surroundings.is_running() && self.url.is_none() {
            return Some(NotQueried::Root);
        }
        None
    }
}

/// Whether an object of the API has the field.
fn is_in_api(reference: &Reference) -> bool {
    reference.field().object().is_some()
}

/// The answers of the API server.
#[derive(Default)]
pub(crate) struct Answer {
    /// The object of this pod, if the API server returned it.
    pub(crate) pod: Option<Json>,
    /// The facts from other objects, and the failures.
    others: Told,
    /// The deadline passed before all requested fields were known.
    is_out_of_time: bool,
}

impl Answer {
    /// The facts about `subject`; none if the API server must be queried again for requested fields.
    pub(crate) fn told(&self, wanted: &Wanted, subject: &Subject, facts: &Facts) -> Option<Told> {
        let mut told = match &self.pod {
            Some(pod) => {
                let told = pod::tell(pod, subject, facts);
                let is_late = lacks_what_comes_late(wanted, subject, pod, &with(facts, &told));
                Some(told).filter(|_| !is_late || self.is_out_of_time)?
            }
            None if self.others.notes.is_empty() && needs_pod(wanted, facts) => return None,
            None => Told::default(),
        };
        told.extend(self.others.clone());
        Some(told)
    }
}

/// Reads the Pod object, and the other objects that have requested fields.
pub(crate) fn tell(
    surroundings: &Surroundings,
    settings: &Settings,
    wanted: &Wanted,
    subject: &Subject,
    facts: &Facts,
) -> (Told, Answer) {
    let (mut told, mut answer) = (Told::default(), Answer::default());
    let Surroundings { root, environment, clock, .. } = surroundings;
    let client = Client::new(root, environment, *clock, settings.url.clone(), settings.timeout);
    let mut client = match client {
        Ok(client) => client,
        Err(failure) => {
            answer.others.failed(&failure, "", identity(facts));
            told.extend(answer.others.clone());
            return (told, answer);
        }
    };
    if settings.is_always() || needs_pod(wanted, facts) {
        told = tell_pod(&mut client, wanted, subject, facts, &mut answer);
    }
    let facts = with(facts, &told);
    for object in [Object::Node, Object::Namespace, Object::KubeSystem] {
        let is_needed = |reference: &Reference| reference.field().object() == Some(object);
        if wanted.unsettled(&facts).iter().any(is_needed) && !client.has_given_up() {
            tell_object(&mut client, object, &facts, &mut answer.others);
        }
    }
    told.extend(answer.others.clone());
    (told, answer)
}

/// `facts`, with those that the API server has reported so far.
fn with(facts: &Facts, told: &Told) -> Facts {
    let mut facts = facts.clone();
    facts.add(Source::Api, told.values.clone());
    facts
}

/// The namespace to query. That of the DNS search list is not used: the pod's author can write any list.
pub(crate) fn namespace(facts: &Facts) -> Option<&str> {
    facts.get(Field::POD_NAMESPACE).filter(|fact| fact.source != Source::Kubelet)?.value.text()
}

fn identity(facts: &Facts) -> Identity<'_> {
    let is_stable = facts.text(Field::OWNER_KIND) == Some("StatefulSet");
    Identity {
        namespace: facts.text(Field::POD_NAMESPACE),
        service_account: facts.text(Field::SERVICE_ACCOUNT),
        stable_name: facts.text(Field::POD_NAME).filter(|_| is_stable),
    }
}

impl Told {
    fn failed(&mut self, failure: &Failure, path: &str, who: Identity) {
        let Explanation { problem, mut advice } = explain(failure, path, who);
        if failure.retry_after().is_some() {
            advice +=
                "; until then each start waits for the whole --timeout: set a shorter one, or --api=never";
        }
        self.broken_with_advice(problem, advice);
    }
}

/// Whether the Pod object is needed: for its own fields, for the node's name, or for the pod's copy of
/// a label of the node.
fn needs_pod(wanted: &Wanted, facts: &Facts) -> bool {
    let has_copy = |reference: &Reference| match reference {
        Reference::Entry(field, key) => *field == Field::NODE_LABELS && is_topology(key),
        Reference::Field(_) => false,
    };
    wanted.unsettled(facts).iter().any(|reference| match reference.field().object() {
        None => false,
        Some(object) if object.is_in_pod() => true,
        Some(Object::Node) => {
            facts.text(Field::NODE_NAME).is_none()
                || (has_copy(reference) && !facts.is_settled(Field::LABELS))
        }
        Some(_) => false,
    })
}

/// Reads the facts from the Pod object. It also adds the object, or the failure, to `answer`.
fn tell_pod(
    client: &mut Client,
    wanted: &Wanted,
    subject: &Subject,
    facts: &Facts,
    answer: &mut Answer,
) -> Told {
    let mut told = Told::default();
    let (Some(namespace), Some(name)) = (namespace(facts), facts.text(Field::POD_NAME)) else {
        let advice = "mount the service account token, or set POD_NAME and POD_NAMESPACE with fieldRef";
        let why = "cannot be queried: the pod's name or namespace is not known";
        answer.others.broken_with_advice(why, advice);
        return told;
    };
    if !names::is_label(namespace) || !names::is_subdomain(name) {
        answer.others.broken(format!("cannot be queried: {namespace:?}/{name:?} is not the name of a pod"));
        return told;
    }
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    loop {
        let pod = match get_own(client, &path, facts) {
            Ok(pod) => pod,
            // Keep the facts of the earlier answer.
            Err(_) if answer.pod.is_some() => return told,
            Err(failure) => {
                answer.others.failed(&failure, &path, identity(facts));
                return told;
            }
        };
        told = pod::tell(&pod, subject, facts);
        let is_late = lacks_what_comes_late(wanted, subject, &pod, &with(facts, &told));
        answer.pod = Some(pod);
        if !is_late || !client.pause(Duration::ZERO) {
            answer.is_out_of_time = is_late;
            return told;
        }
    }
}

/// The Pod object at `path`, if it is the object of this pod.
fn get_own(client: &mut Client, path: &str, facts: &Facts) -> Result<Json, Failure> {
    // The API server's cache is cheap for it, but may be out of date.
    let cached = format!("{path}?resourceVersion=0");
    match get_pod(client, &cached, facts) {
        Err(failure) if failure.may_be_stale() => get_pod(client, path, facts),
        result => result,
    }
}

fn get_pod(client: &mut Client, path: &str, facts: &Facts) -> Result<Json, Failure> {
    let answer = client.get(path)?;
    let invalid = |error: pod::PodError| Failure::InvalidObject { kind: "Pod", source: error.into() };
    let pod = pod::parse(&answer.body).map_err(invalid)?;
    let metadata = &pod["metadata"];
    let described = |name: Option<&str>, namespace: Option<&str>| {
        format!(
            "{} in the namespace {}",
            name.unwrap_or("without a name"),
            namespace.unwrap_or("without a name")
        )
    };
    let found = described(metadata["name"].as_str(), metadata["namespace"].as_str());
    let wanted = described(facts.text(Field::POD_NAME), facts.text(Field::POD_NAMESPACE));
    if found != wanted {
        return Err(Failure::WrongObject { kind: "Pod", wanted, found });
    }
    let uid = metadata["uid"].as_str().unwrap_or("none");
    // The object of a static pod is a mirror and has a UID of its own.
    let mirror = metadata["annotations"]["kubernetes.io/config.mirror"].as_str();
    match facts.text(Field::POD_UID) {
        Some(own) if own != uid && mirror != Some(own) => {
            Err(Failure::WrongUid { kind: "Pod", found: uid.to_owned(), expected: own.to_owned() })
        }
        _ => Ok(pod),
    }
}

/// Whether the object lacks a field to wait for that will come.
fn lacks_what_comes_late(wanted: &Wanted, subject: &Subject, pod: &Json, facts: &Facts) -> bool {
    let can_come = |field: Field| {
        if !field.is_of_container {
            return true;
        }
        match (facts.text(Field::CONTAINER_NAME), subject) {
            // Without the container's name its status cannot be found.
            (None, _) => false,
            (Some(name), Subject::Other { own: Some(own), .. }) => pod::can_have_started(pod, name, own),
            (Some(name), _) => pod::has_container(pod, name),
        }
    };
    let awaited = wanted.awaited(facts);
    let mut fields = awaited.iter().map(Reference::field);
    fields.any(|field| field.is_late_in_api && can_come(field))
}

/// Reads the facts from an object other than the Pod.
fn tell_object(client: &mut Client, object: Object, facts: &Facts, told: &mut Told) {
    let (kind, collection, name) = match object {
        Object::Node => ("Node", "nodes", facts.text(Field::NODE_NAME)),
        Object::KubeSystem => ("Namespace", "namespaces", Some("kube-system")),
        _ => ("Namespace", "namespaces", namespace(facts)),
    };
    let Some(name) = name.filter(|name| names::is_subdomain(name)) else {
        return told.broken(format!("cannot be queried for the {kind} object: its name is not known"));
    };
    let path = format!("/api/v1/{collection}/{name}");
    match get_object(client, &path, kind, name) {
        Ok(json) => pod::tell_rows(object, &json, told),
        Err(failure) => told.failed(&failure, &path, identity(facts)),
    }
}

fn get_object(client: &mut Client, path: &str, kind: &'static str, name: &str) -> Result<Json, Failure> {
    let answer = client.get(&format!("{path}?resourceVersion=0"))?;
    let object =
        object::parse(&answer.body).map_err(|error| Failure::InvalidObject { kind, source: error.into() })?;
    if object["kind"] != kind {
        let source = format!("its kind is {}", object["kind"]).into();
        return Err(Failure::InvalidObject { kind, source });
    }
    match object["metadata"]["name"].as_str() {
        Some(found) if found == name => Ok(object),
        found => {
            let found = found.unwrap_or("without a name").to_owned();
            Err(Failure::WrongObject { kind, wanted: name.to_owned(), found })
        }
    }
}
