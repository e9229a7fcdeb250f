//! Reads the sources in order, and decides whether the API server is needed.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;

use crate::facts::field::{Field, Source};
use crate::facts::owner;
use crate::facts::subject::{Asked, Subject};
use crate::facts::wanted::{NotQueried, Wanted};
use crate::facts::{Facts, Note, Report, Value, topology};
use crate::kubernetes::quantity::Quantity;
use crate::sources::{agreement, api, cgroup, environment, kubelet, pod, token, volume};
use crate::system::environment::Environment;
use crate::system::surroundings::Surroundings;

/// Where facts come from.
pub(crate) enum Origin<'a> {
    /// A container: this one, or a recorded one.
    Container(Surroundings<'a>),
    /// The Pod object of `--pod`, and an empty environment: that of this process does not belong to the pod.
    Object(Json, Environment),
}

impl<'a> Origin<'a> {
    /// The container, if it is one.
    pub(crate) fn surroundings(&self) -> Option<&Surroundings<'a>> {
        match self {
            Origin::Container(surroundings) => Some(surroundings),
            Origin::Object(..) => None,
        }
    }

    /// The environment that the pod's author set.
    pub(crate) fn environment(&self) -> &Environment {
        match self {
            Origin::Container(surroundings) => &surroundings.environment,
            Origin::Object(_, environment) => environment,
        }
    }
}

/// What all containers of a pod share.
pub(crate) struct Shared<'a> {
    settings: api::Settings,
    server: api::Server<'a>,
    /// The warnings that were logged: each is logged once for all containers.
    warned: BTreeSet<String>,
}

impl<'a> Shared<'a> {
    pub(crate) fn new(settings: api::Settings) -> Self {
        Shared { settings, server: api::Server::default(), warned: BTreeSet::new() }
    }

    /// Drops the API server's objects, which may be large.
    pub(crate) fn forget_objects(&mut self) {
        self.server = api::Server::default();
    }

    /// Logs a warning. Answers whether it is a new one.
    pub(crate) fn warn(&mut self, warning: String) -> bool {
        let is_new = !self.warned.contains(&warning);
        if is_new {
            log::warn!("{warning}");
            self.warned.insert(warning);
        }
        is_new
    }

    /// Logs a warning for everything that is broken.
    fn warn_about(&mut self, facts: &Facts, is_api_needed: bool) {
        let broken = facts.notes().filter(|(_, note)| note.is_broken);
        for (source, note) in broken.filter(|(source, _)| *source != Source::Api || is_api_needed) {
            if self.warn(format!("{}: {}", source.name(), note.text))
                && let Some(advice) = &note.advice
            {
                log::warn!(target: crate::system::logging::ADVICE, "{advice}");
            }
        }
    }
}

/// Gathers facts, and warns about what is broken. For a container it queries the API server if that is needed.
pub(crate) fn gather<'a>(
    origin: &'a Origin<'a>,
    asked: &Asked,
    mut wanted: Wanted,
    shared: &mut Shared<'a>,
) -> (Subject, Facts) {
    let (subject, mut facts) = match origin {
        Origin::Container(surroundings) => gather_local(surroundings, asked),
        // A Pod object has exact numbers, which no kernel has rounded.
        Origin::Object(..) => start(Facts::new(1), asked, None),
    };
    wanted.has_no_container = !subject.is_container();
    let own = if subject.is_own() { origin.surroundings() } else { None };
    add_sizes(own, &wanted, &mut facts);
    match origin {
        Origin::Container(surroundings) => {
            let (settings, wanted, subject) = (&shared.settings, &wanted, &subject);
            let question = api::Question { surroundings, settings, wanted, subject };
            query(&question, &mut shared.server, &mut facts);
        }
        Origin::Object(pod, _) => {
            pod::read(pod, &subject, &wanted.paths, pod::Choice::Default, &mut facts);
            facts.not_queried = Some(NotQueried::Object);
        }
    }
    owner::conclude(&mut facts, wanted.names(Field::ORDINAL));
    topology::copy(&mut facts);
    add_sizes(own, &wanted, &mut facts);
    add_full_name(&mut facts);
    // If everything requested is known, the API server's failure is not worth a warning.
    let is_object = facts.not_queried == Some(NotQueried::Object);
    let is_api_needed = is_object || shared.settings.is_always() || !wanted.unsettled(&facts).is_empty();
    shared.warn_about(&facts, is_api_needed);
    (subject, facts)
}

/// Adds what the API server knows, or why it was not queried.
fn query<'a>(question: &api::Question<'a, '_>, server: &mut api::Server<'a>, facts: &mut Facts) {
    if let Err(why) = server.read(question, facts) {
        facts.not_queried = Some(why);
        facts.add(Source::Api, Note::new(why.to_string(), false));
    }
    for field in [Field::LABELS, Field::ANNOTATIONS] {
        let is_newer = question.settings.is_always() && facts.reported_by(Source::Api, field).is_some();
        if is_newer && volume::is_by_sub_path(question.surroundings, field) {
            facts.retract(Source::Volume, field);
        }
    }
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
        // A quota may be more than the CPUs of a cpuset. Memory is what the limit says.
        let counts = limit.is_none() || field == Field::CONTAINER_CPUS;
        let of_machine = if counts { own.and_then(of_machine) } else { None };
        let of_machine = of_machine.map(|number| (number, Source::Cgroup));
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
    if facts.ownership.is_none() {
        return;
    }
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
    if let Some(parts) = parts {
        let name = parts.join(".");
        facts.add(Source::Api, vec![(Field::FQDN, Value::Text(name))]);
    }
}

/// The facts about this pod from all sources except the API server.
pub(crate) fn identity(surroundings: &Surroundings) -> Facts {
    gather_local(surroundings, &Asked::OWN).1
}

/// Adds what the command line says of the described container. `own` is the container that the kubelet's mounts
/// name.
fn start(mut facts: Facts, asked: &Asked, own: Option<&str>) -> (Subject, Facts) {
    let subject = Subject::resolve(asked, own);
    let mut report = Report::default();
    report.text(Field::CONTAINER_NAME, asked.container.as_deref().unwrap_or_default());
    if !subject.is_container() {
        let why = "facts about a container are left out; name the container with --container NAME";
        report.absent_of(&pod::of_container(), why);
    }
    facts.add(Source::Option, report);
    (subject, facts)
}

/// Gathers from all sources except the API server. The kubelet's mounts show which container this is.
fn gather_local(surroundings: &Surroundings, asked: &Asked) -> (Subject, Facts) {
    let mut kubelet = read(Source::Kubelet, surroundings, kubelet::read);
    let mut token = read(Source::Token, surroundings, token::read);
    let mut cgroup = read(Source::Cgroup, surroundings, cgroup::read);
    agreement::settle(surroundings, &mut token, &mut kubelet, &mut cgroup);
    let facts = Facts::new(surroundings.page_size);
    let (subject, mut facts) = start(facts, asked, kubelet.text_of(Field::CONTAINER_NAME));
    let environment = read(Source::Environment, surroundings, environment::read);
    let volume = read(Source::Volume, surroundings, |all| volume::read(all, &subject));
    agreement::rank_namespace(&mut token, [&environment, &volume]);
    let nobody = Report::default();
    let own = if subject.is_own() { &cgroup } else { &nobody };
    cgroup::measure(surroundings, own, [&environment, &volume], &mut facts.machine);
    let issued = surroundings.issued.get().map(|seconds| UNIX_EPOCH + Duration::from_secs(*seconds));
    facts.created = super::minutes(issued.unwrap_or_else(SystemTime::now));
    for (source, mut report) in [
        (Source::Token, token),
        (Source::Kubelet, kubelet),
        (Source::Cgroup, cgroup),
        (Source::Environment, environment),
        (Source::Volume, volume),
    ] {
        report.values.retain(|(field, _)| subject.includes(source, *field));
        facts.add(source, report);
    }
    (subject, facts)
}

fn read(source: Source, surroundings: &Surroundings, from: impl Fn(&Surroundings) -> Report) -> Report {
    let started = (surroundings.clock)();
    let report = from(surroundings);
    super::log_read(source, report.values.iter().map(|(field, _)| *field), started, surroundings.clock);
    report
}
