//! Reads the sources in order, and decides whether the API server is needed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;

use crate::facts::field::{Field, Source};
use crate::facts::owner;
use crate::facts::subject::{Asked, Subject};
use crate::facts::wanted::Wanted;
use crate::facts::{Facts, Note, Report, Value, topology};
use crate::kubernetes::quantity::Quantity;
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
pub(crate) struct Shared<'a> {
    server: api::Server<'a>,
    warned: Vec<String>,
}

/// Where facts are gathered from.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// A container: this one, or a recorded one.
    Container(&'a Surroundings<'a>),
    /// Only the Pod object of `--pod`.
    Object(&'a Json),
}

/// The facts, and what they describe.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) facts: Facts,
    /// What the facts describe.
    pub(crate) subject: Subject,
    /// Why the API server was not queried, if it was not.
    pub(crate) not_queried: Option<NotQueried>,
}

impl Gathered {
    /// Adds the values of `source` that describe the subject.
    fn add(&mut self, source: Source, mut report: Report) {
        report.values.retain(|(field, _)| self.subject.includes(source, *field));
        self.facts.add(source, report);
    }

    /// Logs a warning for everything that is broken; one for all containers.
    fn warn(&self, is_api_needed: bool, shared: &mut Shared) {
        for (source, note) in self.facts.notes().filter(|(_, note)| note.is_broken) {
            let is_needed = source != Source::Api || is_api_needed;
            if !is_needed || shared.warned.contains(&note.text) {
                continue;
            }
            shared.warned.push(note.text.clone());
            log::warn!("{}: {}", source.name(), note.text);
            if let Some(advice) = &note.advice {
                log::warn!(target: crate::system::logging::ADVICE, "{advice}");
            }
        }
    }
}

/// Gathers facts, and warns about what is broken. For a container it queries the API server if that is needed.
pub(crate) fn gather<'a>(origin: Origin<'a>, request: &Request, shared: &mut Shared<'a>) -> Gathered {
    let mut gathered = match origin {
        Origin::Container(surroundings) => gather_local(surroundings, &request.asked),
        // A Pod object has exact numbers, which no kernel has rounded.
        Origin::Object(_) => start(Facts::new(1), &request.asked, None),
    };
    let wanted = Wanted { has_no_container: !gathered.subject.is_container(), ..request.wanted.clone() };
    let facts = &mut gathered.facts;
    let own = match origin {
        Origin::Container(surroundings) if gathered.subject.is_own() => Some(surroundings),
        _ => None,
    };
    add_sizes(own, &wanted, facts);
    match origin {
        Origin::Container(surroundings) => {
            let (settings, subject, wanted) = (request.api, &gathered.subject, &wanted);
            let question = api::Question { surroundings, settings, wanted, subject };
            gathered.not_queried = shared.server.read(&question, facts).err();
            for field in [Field::LABELS, Field::ANNOTATIONS] {
                let is_newer = request.api.is_always() && facts.reported_by(Source::Api, field).is_some();
                if is_newer && volume::is_by_sub_path(surroundings, field) {
                    facts.retract(Source::Volume, field);
                }
            }
        }
        Origin::Object(pod) => {
            pod::read(pod, &gathered.subject, &wanted.paths, pod::Choice::Default, facts);
            gathered.not_queried = Some(NotQueried::Object);
        }
    }
    if let Some(why) = gathered.not_queried.filter(|why| *why != NotQueried::Object) {
        facts.add(Source::Api, Note::new(why.to_string(), false));
    }
    owner::conclude(facts, wanted.names(Field::ORDINAL));
    topology::copy(facts);
    add_sizes(own, &wanted, facts);
    add_full_name(facts);
    // If everything requested is known, the API server's failure is not worth a warning.
    let is_object = gathered.not_queried == Some(NotQueried::Object);
    let is_api_needed = is_object || request.api.is_always() || !wanted.unsettled(facts).is_empty();
    gathered.warn(is_api_needed, shared);
    gathered
}

/// Adds how many CPUs and bytes the container may use, if that was requested: its limit, or what the machine has.
/// `own` are the surroundings of the described container, if they can be read.
fn add_sizes(own: Option<&Surroundings>, wanted: &Wanted, facts: &mut Facts) {
    type OfMachine = fn(&Surroundings) -> Option<u64>;
    let cpus = (Field::CONTAINER_CPUS, Field::CPU_LIMIT, cgroup::cpus as OfMachine);
    let memory = (Field::CONTAINER_MEMORY, Field::MEMORY_LIMIT, cgroup::memory_of_machine as OfMachine);
    for (field, limit, of_machine) in [cpus, memory].into_iter().filter(|(field, ..)| wanted.names(*field)) {
        let limit = facts.get(limit).and_then(|fact| match &fact.value {
            Value::Quantity(limit) => Some((u64::try_from(limit.value()).ok()?, fact.source)),
            _ => None,
        });
        let of_machine = own.and_then(of_machine).map(|number| (number, Source::Cgroup));
        // A quota may be more than the CPUs of a cpuset. Memory is what the limit says.
        let of_machine = of_machine.filter(|_| limit.is_none() || field == Field::CONTAINER_CPUS);
        let least = [limit, of_machine].into_iter().flatten().min_by_key(|(number, _)| *number);
        field.sources.iter().for_each(|source| facts.retract(*source, field));
        let quantity = |number| Quantity::of_units(number, "1").map(Value::Quantity);
        if let Some((value, source)) = least.and_then(|(number, source)| Some((quantity(number)?, source))) {
            facts.add(source, vec![(field, value)]);
        }
    }
}

/// Adds the pod's full name, if the API has a subdomain and the cluster's domain is known
/// (`GeneratePodHostNameAndDomain` in `pkg/kubelet/kubelet_pods.go`).
fn add_full_name(facts: &mut Facts) {
    let text = |field| facts.text(field);
    let hostname = text(Field::HOSTNAME).or(text(Field::POD_NAME).filter(|name| name.len() < 64));
    let parts = [
        hostname,
        text(Field::SUBDOMAIN),
        text(Field::POD_NAMESPACE),
        Some("svc"),
        text(Field::CLUSTER_DOMAIN),
    ];
    let parts: Option<Vec<&str>> = parts.into_iter().collect();
    let is_asked = facts.ownership.is_some();
    if let Some(parts) = parts.filter(|_| is_asked) {
        let name = parts.join(".");
        facts.add(Source::Api, vec![(Field::FQDN, Value::Text(name))]);
    }
}

/// The facts about this pod from all sources except the API server.
pub(crate) fn identity(surroundings: &Surroundings) -> Facts {
    gather_local(surroundings, &Asked::OWN).facts
}

/// Adds the facts of the command line. `own` is the container that the kubelet's mounts name.
fn start(facts: Facts, asked: &Asked, own: Option<&str>) -> Gathered {
    let subject = Subject::resolve(asked, own);
    let mut report = Report::default();
    report.text(Field::CONTAINER_NAME, asked.container.as_deref().unwrap_or_default());
    if !subject.is_container() {
        let why = "facts about a container are left out; name the container with --container NAME";
        report.notes.push(Note { about: pod::of_container(), ..Note::new(why, false) });
    }
    let mut gathered = Gathered { facts, subject, not_queried: None };
    gathered.add(Source::Option, report);
    gathered
}

/// Gathers from all sources except the API server. The kubelet's mounts show which container this is.
fn gather_local(surroundings: &Surroundings, asked: &Asked) -> Gathered {
    let mut kubelet = read(Source::Kubelet, surroundings, kubelet::read);
    let mut token = read(Source::Token, surroundings, token::read);
    let mut cgroup = read(Source::Cgroup, surroundings, cgroup::read);
    agreement::settle(surroundings, &mut token, &mut kubelet, &mut cgroup);
    let facts = Facts::new(surroundings.page_size);
    let mut gathered = start(facts, asked, kubelet.text_of(Field::CONTAINER_NAME));
    let environment = read(Source::Environment, surroundings, environment::read);
    let volume = read(Source::Volume, surroundings, |all| volume::read(all, &gathered.subject));
    agreement::rank_namespace(&mut token, [&environment, &volume]);
    let nobody = Report::default();
    let own = if gathered.subject.is_own() { &cgroup } else { &nobody };
    cgroup::measure(surroundings, own, [&environment, &volume], &mut gathered.facts.machine);
    let issued = surroundings.issued.get().map(|seconds| UNIX_EPOCH + Duration::from_secs(*seconds));
    gathered.facts.created = super::minutes(issued.unwrap_or_else(SystemTime::now));
    for (source, report) in [
        (Source::Token, token),
        (Source::Kubelet, kubelet),
        (Source::Cgroup, cgroup),
        (Source::Environment, environment),
        (Source::Volume, volume),
    ] {
        gathered.add(source, report);
    }
    gathered
}

fn read(source: Source, surroundings: &Surroundings, from: impl Fn(&Surroundings) -> Report) -> Report {
    let started = (surroundings.clock)();
    let report = from(surroundings);
    super::log_read(source, report.values.iter().map(|(field, _)| *field), started, surroundings.clock);
    report
}
