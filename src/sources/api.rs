//! The API server, asked for the pod itself and, where that is wanted, for its node.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value as Json;

use crate::client::{ApiUrl, Client, Failure, Identity, advise};
use crate::facts::field::{Field, Source};
use crate::facts::reference::Reference;
use crate::facts::wanted::{Wanted, is_settled};
use crate::facts::{Facts, Told, Value};
use crate::kubernetes::object;
use crate::sources::pod;
use crate::system::surroundings::Surroundings;

/// When the API server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// For what was asked for by name and is not known otherwise.
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
            _ => Err("it is one of auto, always, never".to_owned()),
        }
    }
}

/// How the API server is asked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) when: When,
    pub(crate) url: Option<ApiUrl>,
    pub(crate) timeout: Duration,
}

impl Settings {
    /// Whether it is asked whatever is known already.
    pub(crate) fn is_always(&self) -> bool {
        self.when == When::Always
    }

    /// Why the API server is not asked; none if it is.
    pub(crate) fn why_not_asked(
        &self,
        surroundings: &Surroundings,
        wanted: &Wanted,
        facts: &Facts,
    ) -> Option<&'static str> {
        if self.when == When::Never {
            return Some("it is not asked: --api never");
        }
        let is_wanted = self.is_always() || wanted.unsettled(facts).iter().any(is_told);
        if !is_wanted {
            return Some(
                "it is not asked: nothing that only it can tell was asked for by name; --api always asks it",
            );
        }
        if !surroundings.root.is_system() && self.url.is_none() {
            return Some("it is not asked: under --root the network is used only with --api-url");
        }
        None
    }
}

/// Whether the API can tell what is referred to.
fn is_told(reference: &Reference) -> bool {
    reference.field().sources().contains(&Source::Api)
}

/// Tells what the Pod object holds, and of the node what is wanted.
pub(crate) fn tell(surroundings: &Surroundings, settings: &Settings, wanted: &Wanted, facts: &Facts) -> Told {
    let mut told = Told::default();
    let client = Client::new(surroundings, settings.url.clone(), settings.timeout);
    let mut client = match client {
        Ok(client) => client,
        Err(failure) => {
            told.failed(&failure, "", identity(facts));
            return told;
        }
    };
    if settings.is_always() || needs_pod(wanted, facts) {
        tell_pod(&mut client, wanted, facts, &mut told);
    }
    tell_node(&mut client, wanted, &with(facts, &told), &mut told);
    told
}

/// `facts`, and what the Pod object told.
fn with(facts: &Facts, told: &Told) -> Facts {
    let mut facts = facts.clone();
    facts.add(Source::Api, told.values.clone());
    facts
}

fn identity(facts: &Facts) -> Identity<'_> {
    let is_stable = facts.text(&Field::OwnerKind) == Some("StatefulSet");
    Identity {
        namespace: facts.text(&Field::PodNamespace),
        service_account: facts.text(&Field::ServiceAccount),
        stable_name: facts.text(&Field::PodName).filter(|_| is_stable),
    }
}

impl Told {
    fn failed(&mut self, failure: &Failure, path: &str, who: Identity) {
        self.broken_with_advice(failure.to_string(), advise(failure, path, who));
    }
}

fn is_of_node(reference: &Reference) -> bool {
    matches!(reference.field(), Field::NodeLabels | Field::NodeUid)
}

/// Whether the Pod object is needed: for itself, for the node's name, or for the copy that a
/// pod may have of its node's label.
fn needs_pod(wanted: &Wanted, facts: &Facts) -> bool {
    let unsettled = wanted.unsettled(facts);
    let has_copy = |reference: &Reference| match reference {
        Reference::Entry(Field::NodeLabels, key) => crate::facts::reference::is_topology(key),
        _ => false,
    };
    unsettled.iter().filter(|reference| is_told(reference)).any(|reference| {
        !is_of_node(reference)
            || facts.text(&Field::NodeName).is_none()
            || (has_copy(reference) && !facts.is_settled(&Field::Labels))
    })
}

fn tell_pod(client: &mut Client, wanted: &Wanted, facts: &Facts, told: &mut Told) {
    let (Some(namespace), Some(name)) = (facts.text(&Field::PodNamespace), facts.text(&Field::PodName))
    else {
        let advice = "mount the service account token, or set POD_NAME and POD_NAMESPACE by fieldRef";
        let why = "it cannot be asked for this pod, whose name or namespace is not known";
        return told.broken_with_advice(why, advice);
    };
    if !is_object_name(namespace) || !is_object_name(name) {
        return told
            .broken(format!("it cannot be asked for {namespace:?}/{name:?}, which is no name of a pod"));
    }
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    loop {
        let pod = match get_own(client, &path, facts) {
            Ok(pod) => pod,
            // What an earlier answer told is better than nothing.
            Err(_) if !told.values.is_empty() => return,
            Err(failure) => return told.failed(&failure, &path, identity(facts)),
        };
        *told = pod::tell(&pod, facts);
        if !lacks_what_comes_late(wanted, &with(facts, told)) || !client.pause(Duration::ZERO) {
            return;
        }
    }
}

/// Names of objects hold nothing that means something in a path.
fn is_object_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    name.bytes().all(is_plain) && !name.starts_with('.')
}

/// The Pod object at `path`, if it is this pod's.
fn get_own(client: &mut Client, path: &str, facts: &Facts) -> Result<Json, Failure> {
    // From the API server's cache, which costs it nothing, but may be behind.
    let cached = format!("{path}?resourceVersion=0");
    match get_pod(client, &cached, facts) {
        Err(Failure::AnotherPod { .. }) => get_pod(client, path, facts),
        Err(failure) if failure.code() == Some(404) => get_pod(client, path, facts),
        result => result,
    }
}

fn get_pod(client: &mut Client, path: &str, facts: &Facts) -> Result<Json, Failure> {
    let answer = client.get(path)?;
    let pod = pod::parse(&answer.body).map_err(|error| Failure::NotThePod(error.to_string()))?;
    let uid = pod["metadata"]["uid"].as_str().unwrap_or("none");
    // The kubelet's and the kernel's word on which pod this is; a variable can be wrong.
    let own =
        [Source::Token, Source::Kubelet, Source::Cgroup].map(|source| facts.told_by(source, &Field::PodUid));
    let own = own.into_iter().flatten().find_map(Value::text);
    // A static pod's object is a mirror with a UID of its own.
    let mirror = pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].as_str();
    match own {
        Some(own) if own != uid && mirror != Some(own) => {
            Err(Failure::AnotherPod { uid: uid.to_owned(), own: own.to_owned() })
        }
        _ => Ok(pod),
    }
}

/// Whether something that is waited for is not there yet, and will be.
fn lacks_what_comes_late(wanted: &Wanted, facts: &Facts) -> bool {
    // Which container's status is meant is known, or it will never be.
    let can_come = |field: &Field| !field.is_of_container() || facts.text(&Field::ContainerName).is_some();
    wanted.awaited.iter().any(|reference| {
        let field = reference.field();
        field.is_late_in_api()
            && can_come(field)
            && wanted.can_be_told(reference)
            && !is_settled(reference, facts)
    })
}

fn tell_node(client: &mut Client, wanted: &Wanted, facts: &Facts, told: &mut Told) {
    if !wanted.unsettled(facts).iter().any(is_of_node) {
        return;
    }
    let Some(name) = facts.text(&Field::NodeName).filter(|name| is_object_name(name)) else {
        return told.broken("it cannot be asked for this pod's node, whose name is not known");
    };
    let path = format!("/api/v1/nodes/{name}");
    match get_node(client, &path, name) {
        Ok(node) => {
            told.text(Field::NodeUid, node["metadata"]["uid"].as_str().unwrap_or_default());
            told.value(Field::NodeLabels, Value::Map(pod::string_map(&node["metadata"]["labels"])));
        }
        Err(failure) => told.failed(&failure, &path, identity(facts)),
    }
}

fn get_node(client: &mut Client, path: &str, name: &str) -> Result<Json, Failure> {
    let answer = client.get(&format!("{path}?resourceVersion=0"))?;
    let node = object::parse(&answer.body).map_err(|error| Failure::NotTheNode(error.to_string()))?;
    match node["kind"] == "Node" && node["metadata"]["name"] == name {
        true => Ok(node),
        false => Err(Failure::NotTheNode(format!("it is not the Node {name}"))),
    }
}
