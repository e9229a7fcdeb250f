//! Queries the API server for the Pod object and, if requested, for its Node and namespaces.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value as Json;

use crate::client::{ApiUrl, Client, Failure, Identity, explain};
use crate::facts::field::{Field, Object, Source};
use crate::facts::reference::Reference;
use crate::facts::subject::Subject;
use crate::facts::wanted::{NotQueried, Wanted};
use crate::facts::{Facts, Note, owner, topology};
use crate::kubernetes::path::Path;
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

    /// Whether the API server is queried.
    ///
    /// # Errors
    /// Why not.
    fn check(&self, surroundings: &Surroundings, wanted: &Wanted, facts: &Facts) -> Result<(), NotQueried> {
        if self.when == When::Never {
            return Err(NotQueried::Never);
        }
        let is_wanted =
            self.is_always() || wanted.unsettled(facts).iter().any(|reference| reference.object().is_some());
        if !is_wanted {
            return Err(NotQueried::NotRequested);
        }
        if !surroundings.is_running() && self.url.is_none() {
            return Err(NotQueried::Root);
        }
        Ok(())
    }
}

/// What is asked of the API server.
pub(crate) struct Question<'a, 'q> {
    pub(crate) surroundings: &'a Surroundings<'a>,
    pub(crate) settings: &'q Settings,
    pub(crate) wanted: &'q Wanted<'q>,
    pub(crate) subject: &'q Subject,
}

impl Question<'_, '_> {
    fn needs(&self, object: Object, facts: &Facts) -> bool {
        let open = self.wanted.unsettled(facts);
        match object {
            Object::Pod => {
                self.settings.is_always() || open.iter().any(|reference| needs_pod(reference, facts))
            }
            _ => open.iter().any(|reference| reference.object() == Some(object)),
        }
    }

    /// The references to wait for that the Pod object lacks and will have.
    fn late(&self, pod: &Json, facts: &Facts) -> Vec<Reference> {
        let own = match self.subject {
            Subject::Own { name: own } | Subject::Other { own, .. } => own.as_deref(),
            Subject::Pod => None,
        };
        let can_come = |reference: &Reference| match reference {
            Reference::Path(path) => {
                path.container().is_none_or(|name| pod::can_have_started(pod, name, own))
            }
            // Without the container's name its status cannot be found.
            _ if reference.is_of_container() => {
                facts.text(Field::CONTAINER_NAME).is_some_and(|name| pod::can_have_started(pod, name, own))
            }
            _ => true,
        };
        let awaited = self.wanted.awaited(facts).into_iter().filter(Reference::is_late_in_api);
        awaited.filter(can_come).collect()
    }

    /// Concludes from labels. Where the Node is asked for its labels in any case, the pod's copies do not count yet.
    fn derive(&self, facts: &mut Facts) {
        owner::conclude(facts, self.wanted.names(Field::ORDINAL));
        if !self.settings.is_always() {
            topology::copy(facts);
        }
    }
}

/// Whether the Pod object is needed: for its own values, for the node's name, or for the pod's copy of a label of
/// the node.
fn needs_pod(reference: &Reference, facts: &Facts) -> bool {
    match reference.object() {
        None => false,
        Some(Object::Node) => {
            let has_copy =
                topology::is_copied(reference) && !facts.is_settled(&Reference::Field(Field::LABELS));
            has_copy || facts.text(Field::NODE_NAME).is_none()
        }
        Some(object) => object.is_in_pod(),
    }
}

/// The API server's objects, which all containers of a pod share. Each is fetched once, but the Pod again while it
/// lacks what comes late.
#[derive(Default)]
pub(crate) struct Server<'a> {
    client: Option<Client<'a>>,
    objects: Vec<(Object, Result<Json, Note>)>,
    /// The deadline passed before the Pod object had everything.
    is_out_of_time: bool,
}

impl<'a> Server<'a> {
    /// Fetches the objects that are needed, and adds their facts.
    ///
    /// # Errors
    /// Why the API server is not queried.
    pub(crate) fn read(&mut self, question: &Question<'a, '_>, facts: &mut Facts) -> Result<(), NotQueried> {
        let Question { surroundings, settings, wanted, .. } = question;
        question.derive(facts);
        if self.objects.is_empty() {
            settings.check(surroundings, wanted, facts)?;
        }
        let started = (surroundings.clock)();
        let paths = &wanted.paths;
        for object in [Object::Pod, Object::Node, Object::Namespace, Object::KubeSystem] {
            if self.get(object).is_none() && question.needs(object, facts) {
                let fetched = self.fetch(question, object, facts);
                self.objects.push((object, fetched));
            }
            match self.get(object) {
                None => {}
                Some(Err(note)) => refuse(object, note, paths, facts),
                Some(Ok(_)) if object == Object::Pod => self.read_pod(question, facts),
                Some(Ok(json)) => {
                    facts.add(Source::Api, pod::read_fields(object, json));
                    pod::read_paths(object, json, paths, facts);
                }
            }
        }
        let report = Field::all().filter(|field| facts.reported_by(Source::Api, *field).is_some());
        super::log_read(Source::Api, report, started, surroundings.clock);
        Ok(())
    }

    fn get(&self, object: Object) -> Option<&Result<Json, Note>> {
        self.objects.iter().find(|(other, _)| *other == object).map(|(_, fetched)| fetched)
    }

    fn read_pod(&mut self, question: &Question<'a, '_>, facts: &mut Facts) {
        while let Some(Ok(pod)) = self.get(Object::Pod) {
            facts.forget(Source::Api);
            pod::read(pod, question.subject, &question.wanted.paths, pod::Choice::Only, facts);
            question.derive(facts);
            let late = question.late(pod, facts);
            if late.is_empty() {
                return;
            }
            if !self.fetch_pod_again(question, facts) {
                return say_late(late, facts);
            }
        }
    }

    /// Answers whether there is a newer Pod object. After a failure the earlier one counts.
    fn fetch_pod_again(&mut self, question: &Question<'a, '_>, facts: &mut Facts) -> bool {
        let has_time = |client: &mut Client| client.pause(Duration::ZERO);
        let may_try = !self.is_out_of_time && self.client.as_mut().is_some_and(has_time);
        let fetched = may_try.then(|| self.fetch(question, Object::Pod, facts)).filter(Result::is_ok);
        self.is_out_of_time = fetched.is_none();
        let known = self.objects.iter_mut().find(|(object, _)| *object == Object::Pod);
        if let (Some((_, known)), Some(fetched)) = (known, fetched) {
            *known = fetched;
        }
        !self.is_out_of_time
    }

    /// The object, or why it cannot be had.
    fn fetch(
        &mut self,
        question: &Question<'a, '_>,
        object: Object,
        facts: &mut Facts,
    ) -> Result<Json, Note> {
        let path = path(object, facts)?;
        let paths = &question.wanted.paths;
        if self.client.as_ref().is_some_and(Client::has_given_up)
            && let Some(note) = self.objects.iter().find_map(|(_, fetched)| fetched.as_ref().err())
        {
            return Err(note.clone());
        }
        let fetched = self.client(question).and_then(|client| match object {
            Object::Pod => get_own(client, &path, paths, facts),
            _ => get_object(client, &path, object, paths),
        });
        fetched.map_err(|failure| {
            let (problem, mut advice) = explain(&failure, &path, identity(facts));
            if failure.retry_after().is_some() {
                advice +=
                    "; until then each start waits for the whole --timeout: set a shorter one, or --api=never";
            }
            if object == Object::Pod && matches!(failure, Failure::Status { status: 404, .. }) {
                // There is no such pod: not all that the author wrote is true.
                facts.retract(Source::Environment, Field::POD_NAME);
                facts.retract(Source::Environment, Field::POD_NAMESPACE);
            }
            Note { advice: Some(advice), ..Note::new(problem, true) }
        })
    }

    fn client(&mut self, question: &Question<'a, '_>) -> Result<&mut Client<'a>, Failure> {
        let Surroundings { root, environment, clock, .. } = question.surroundings;
        let Settings { url, timeout, .. } = question.settings;
        match &mut self.client {
            Some(client) => Ok(client),
            none => Ok(none.insert(Client::new(root, environment, *clock, url.clone(), *timeout)?)),
        }
    }
}

/// Adds why `object` cannot be had.
fn refuse(object: Object, note: &Note, paths: &[Path], facts: &mut Facts) {
    let is_its = |other: Object| other == object || (object == Object::Pod && other.is_in_pod());
    let about = Field::all().filter(|field| field.object().is_some_and(is_its)).collect();
    let note = Note { about, ..note.clone() };
    for path in paths.iter().filter(|path| path.object == object) {
        facts.add_path(path.clone(), Err(note.clone()));
    }
    facts.add(Source::Api, note);
}

/// Adds that the API server does not have these yet.
fn say_late(late: Vec<Reference>, facts: &mut Facts) {
    let about = late.iter().filter_map(Reference::field).collect();
    let note = Note { about, ..Note::new("the API server does not have it yet; raise --timeout", false) };
    for reference in late {
        if let Reference::Path(path) = reference {
            facts.add_path(path, Err(note.clone()));
        }
    }
    facts.add(Source::Api, note);
}

/// The path of the request for an object.
fn path(object: Object, facts: &Facts) -> Result<String, Note> {
    let named = |what: &str, name: Option<&str>| {
        let why = format!("cannot be queried for the {what} object: its name is not known");
        name.filter(|name| names::is_subdomain(name)).map(str::to_owned).ok_or_else(|| Note::new(why, true))
    };
    Ok(match object {
        Object::Node => format!("/api/v1/nodes/{}", named("Node", facts.text(Field::NODE_NAME))?),
        Object::Namespace => format!("/api/v1/namespaces/{}", named("Namespace", namespace(facts))?),
        Object::KubeSystem => "/api/v1/namespaces/kube-system".to_owned(),
        _ => {
            let (Some(namespace), Some(name)) = (namespace(facts), facts.text(Field::POD_NAME)) else {
                let advice =
                    "mount the service account token, or set POD_NAME and POD_NAMESPACE with fieldRef";
                let why = "cannot be queried: the pod's name or namespace is not known";
                return Err(Note { advice: Some(advice.to_owned()), ..Note::new(why, true) });
            };
            if !names::is_label(namespace) || !names::is_subdomain(name) {
                let why = format!("cannot be queried: {namespace:?}/{name:?} is not the name of a pod");
                return Err(Note::new(why, true));
            }
            format!("/api/v1/namespaces/{namespace}/pods/{name}")
        }
    })
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
        stable_name: if is_stable { facts.text(Field::POD_NAME) } else { None },
    }
}

/// The Pod object at `path`, if it is the object of this pod.
fn get_own(client: &mut Client, path: &str, paths: &[Path], facts: &Facts) -> Result<Json, Failure> {
    // The API server's cache is cheap for it, but may be out of date.
    let cached = format!("{path}?resourceVersion=0");
    match get_pod(client, &cached, paths, facts) {
        Err(failure) if failure.may_be_stale() => get_pod(client, path, paths, facts),
        result => result,
    }
}

fn get_pod(client: &mut Client, path: &str, paths: &[Path], facts: &Facts) -> Result<Json, Failure> {
    let answer = client.get(path)?;
    let pod = pod::parse(&answer, paths).map_err(|error| Failure::Unusable(format!("is {error}")))?;
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
        return Err(Failure::Unusable(format!("is the Pod {found}, not {wanted}")));
    }
    let uid = metadata["uid"].as_str().unwrap_or("none");
    // The object of a static pod is a mirror and has a UID of its own.
    let mirror = metadata["annotations"]["kubernetes.io/config.mirror"].as_str();
    match facts.text(Field::POD_UID) {
        Some(own) if own != uid && mirror != Some(own) => {
            Err(Failure::WrongUid { found: uid.to_owned(), expected: own.to_owned() })
        }
        _ => Ok(pod),
    }
}

/// The Node or Namespace object at `path`.
fn get_object(client: &mut Client, path: &str, object: Object, paths: &[Path]) -> Result<Json, Failure> {
    let kind = if object == Object::Node { "Node" } else { "Namespace" };
    let name = path.rsplit('/').next().unwrap_or_default();
    let answer = client.get(&format!("{path}?resourceVersion=0"))?;
    let invalid = |why: &dyn Display| Failure::Unusable(format!("is not a valid {kind} object: {why}"));
    let json = object::parse(&answer, paths).map_err(|error| invalid(&error))?;
    let found = [&json["kind"], &json["metadata"]["name"]];
    if found != [kind, name] {
        return Err(invalid(&format_args!("it is the {} {}", found[0], found[1])));
    }
    Ok(json)
}
