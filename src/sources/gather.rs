//! Reads the sources in order, and decides whether the API server is needed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;

use crate::facts::field::{Field, Source};
use crate::facts::owner::{self, Ownership};
use crate::facts::subject::{Asked, Subject};
use crate::facts::wanted::Wanted;
use crate::facts::{Facts, Note, Told, Value};
use crate::sources::api::NotQueried;
use crate::sources::{agreement, api, cgroup, environment, kubelet, pod, token, volume};
use crate::system::surroundings::Surroundings;

/// What to gather.
pub(crate) struct Request<'a> {
    /// The command line's choice of the container.
    pub(crate) asked: Asked,
    /// The fields that the user requested.
    pub(crate) wanted: Wanted<'a>,
    pub(crate) api: &'a api::Settings,
}

/// The parts of a run that all containers of a pod share.
#[derive(Default)]
pub(crate) struct Shared {
    answer: Option<api::Answer>,
    warned: Vec<Note>,
}

/// Where facts are gathered from.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// A container: this one, or a recorded one.
    Container(&'a Surroundings<'a>),
    /// Only the Pod object of `--pod`.
    Object(&'a Json),
}

/// The facts, and notes on what the sources do not know.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) facts: Facts,
    /// What the facts describe.
    pub(crate) subject: Subject,
    /// Why the API server was not queried, if it was not.
    pub(crate) not_queried: Option<NotQueried>,
    pub(crate) notes: Vec<(Source, Note)>,
}

impl Gathered {
    /// Adds the values of `source` that describe the subject.
    fn add(&mut self, source: Source, mut told: Told) {
        told.values.retain(|(field, _)| self.subject.includes(source, *field));
        self.facts.add(source, told.values);
        self.notes.extend(told.notes.into_iter().map(|note| (source, note)));
    }

    /// The note that explains why `field` is not known, and its source.
    pub(crate) fn why_unknown(&self, field: Field) -> Option<&(Source, Note)> {
        let no_container = self.notes.iter().find(|(source, _)| *source == Source::Option);
        if let Some(note) = no_container.filter(|_| field.is_of_container) {
            return Some(note);
        }
        let sources = field.sources;
        let mut notes = self.notes.iter().rev().filter(|(source, _)| sources.contains(source));
        let of_field = notes.clone().find(|(_, note)| note.about == Some(field));
        of_field.or_else(|| notes.find(|(_, note)| note.about.is_none()))
    }

    /// Logs a warning for everything that is broken; one for all containers.
    pub(crate) fn warn(&self, shared: &mut Shared) {
        for (source, note) in self.notes.iter().filter(|(_, note)| note.is_broken) {
            if shared.warned.contains(note) {
                continue;
            }
            shared.warned.push(note.clone());
            log::warn!("{}: {}", source.name(), note.text);
            if let Some(advice) = &note.advice {
                log::warn!(target: crate::system::logging::ADVICE, "{advice}");
            }
        }
    }
}

/// Gathers facts. For a container it queries the API server if that is needed.
pub(crate) fn gather(origin: Origin, request: &Request, shared: &mut Shared) -> Gathered {
    let mut gathered = match origin {
        Origin::Container(surroundings) => gather_local(surroundings, &request.asked),
        // A Pod object has exact numbers, which no kernel has rounded.
        Origin::Object(_) => start(Facts::new(1), &request.asked, None),
    };
    let is_ordinal_named = request.wanted.names(Field::ORDINAL);
    owner::conclude(&mut gathered.facts, is_ordinal_named);
    match origin {
        Origin::Container(surroundings) => gather_api(surroundings, request, &mut gathered, shared),
        Origin::Object(pod) => {
            let told = pod::tell(pod, &gathered.subject, &gathered.facts);
            gathered.not_queried = Some(NotQueried::Object);
            gathered.add(Source::Api, told);
            add_object(pod, &mut gathered.facts);
        }
    }
    owner::conclude(&mut gathered.facts, is_ordinal_named);
    gathered
}

/// The facts about this pod from all sources except the API server.
pub(crate) fn identity(surroundings: &Surroundings) -> Facts {
    gather_local(surroundings, &Asked::OWN).facts
}

/// Adds the facts of the command line. `own` is the container that the kubelet's mounts name.
fn start(facts: Facts, asked: &Asked, own: Option<&str>) -> Gathered {
    let subject = Subject::resolve(asked, own);
    let mut told = Told::default();
    told.text(Field::CONTAINER_NAME, asked.container.as_deref().unwrap_or_default());
    if !subject.is_container() {
        told.absent("facts about a container are left out; name the container with --container NAME");
    }
    let mut gathered = Gathered { facts, subject, not_queried: None, notes: Vec::new() };
    gathered.add(Source::Option, told);
    gathered
}

/// Gathers from all sources except the API server. The kubelet's mounts show which container this is.
fn gather_local(surroundings: &Surroundings, asked: &Asked) -> Gathered {
    let mut kubelet = ask(Source::Kubelet, surroundings, kubelet::tell);
    let mut token = ask(Source::Token, surroundings, token::tell);
    let mut cgroup = ask(Source::Cgroup, surroundings, cgroup::tell);
    agreement::settle(surroundings, &mut token, &mut kubelet, &mut cgroup);
    let facts = Facts::new(surroundings.page_size);
    let mut gathered = start(facts, asked, kubelet.text_of(Field::CONTAINER_NAME));
    let environment = ask(Source::Environment, surroundings, environment::tell);
    let volume = ask(Source::Volume, surroundings, |all| volume::tell(all, &gathered.subject));
    agreement::rank_namespace(&mut token, [&environment, &volume]);
    let nobody = Told::default();
    let own = if gathered.subject.is_own() { &cgroup } else { &nobody };
    cgroup::measure(surroundings, own, [&environment, &volume], &mut gathered.facts.machine);
    let issued = surroundings.issued.get().map(|seconds| UNIX_EPOCH + Duration::from_secs(*seconds));
    gathered.facts.created = minutes(issued.unwrap_or_else(SystemTime::now));
    for (source, told) in [
        (Source::Token, token),
        (Source::Kubelet, kubelet),
        (Source::Cgroup, cgroup),
        (Source::Environment, environment),
        (Source::Volume, volume),
    ] {
        gathered.add(source, told);
    }
    gathered
}

fn minutes(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 60)
}

fn ask(source: Source, surroundings: &Surroundings, tell: impl Fn(&Surroundings) -> Told) -> Told {
    let started = (surroundings.clock)();
    let told = tell(surroundings);
    log_told(source, &told, started, surroundings.clock);
    told
}

fn gather_api(surroundings: &Surroundings, request: &Request, gathered: &mut Gathered, shared: &mut Shared) {
    let wanted = &Wanted { of_nobody: !gathered.subject.is_container(), ..request.wanted.clone() };
    let known = shared.answer.as_ref();
    if known.is_none() {
        gathered.not_queried = request.api.not_queried(surroundings, wanted, &gathered.facts);
    }
    if let Some(why) = gathered.not_queried {
        return gathered.notes.push((Source::Api, Note::new(why.to_string(), false)));
    }
    let told = known.and_then(|answer| answer.told(wanted, &gathered.subject, &gathered.facts));
    let told = told.unwrap_or_else(|| {
        let started = (surroundings.clock)();
        let (told, answer) = api::tell(surroundings, request.api, wanted, &gathered.subject, &gathered.facts);
        log_told(Source::Api, &told, started, surroundings.clock);
        shared.answer = Some(answer);
        told
    });
    gathered.add(Source::Api, told);
    if let Some(pod) = shared.answer.as_ref().and_then(|answer| answer.pod.as_ref()) {
        add_object(pod, &mut gathered.facts);
    }
    // If everything requested is known, the API server's failure is not worth a warning.
    if !request.api.is_always() && wanted.unsettled(&gathered.facts).is_empty() {
        for (_, note) in gathered.notes.iter_mut().filter(|(source, _)| *source == Source::Api) {
            note.is_broken = false;
        }
    }
}

/// Adds what the Pod object says about owners and time, and removes the name given with `--container` if the pod
/// has no such container.
fn add_object(pod: &Json, facts: &mut Facts) {
    facts.ownership = Some(Ownership::of(pod));
    let created = pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default();
    if let Ok(created) = humantime::parse_rfc3339(created) {
        facts.created = minutes(created);
    }
    let named = facts.told_by(Source::Option, Field::CONTAINER_NAME).and_then(Value::text);
    if named.is_some_and(|name| !pod::has_container(pod, name)) {
        facts.retract(Source::Option, Field::CONTAINER_NAME);
    }
}

fn log_told(source: Source, told: &Told, started: Instant, clock: fn() -> Instant) {
    if !log::log_enabled!(log::Level::Info) {
        return;
    }
    let elapsed = clock().saturating_duration_since(started);
    let names: Vec<&str> = told.values.iter().map(|(field, _)| field.path).collect();
    let names = if names.is_empty() { "no facts".to_owned() } else { names.join(", ") };
    log::info!("{}: {names} ({} µs)", source.name(), elapsed.as_micros());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_is_explained_by_the_note_about_it() {
        let requests = serde_json::json!({"cpu": "1mi", "memory": "1K"});
        let container = serde_json::json!({"name": "main", "resources": {"requests": requests}});
        let pod = serde_json::json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}});
        let settings =
            api::Settings { when: api::When::Never, url: None, timeout: std::time::Duration::ZERO };
        let request = Request { asked: Asked::OWN, wanted: Wanted::default(), api: &settings };
        let gathered = gather(Origin::Object(&pod), &request, &mut Shared::default());
        let why = |field: Field| {
            let note = gathered.why_unknown(field);
            note.map(|(_, note)| note.text.as_str()).unwrap_or_default()
        };
        assert!(why(Field::CPU_REQUEST).contains("\"1mi\""), "{}", why(Field::CPU_REQUEST));
        assert!(why(Field::MEMORY_REQUEST).contains("\"1K\""), "{}", why(Field::MEMORY_REQUEST));
        assert_eq!(why(Field::CONTAINER_IMAGE), "");
    }
}
