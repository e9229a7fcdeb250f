//! Asks the sources in order, and decides whether the API is needed.

use serde_json::Value as Json;

use crate::facts::field::{Field, Source};
use crate::facts::wanted::Wanted;
use crate::facts::{Facts, Note, Told, Value};
use crate::sources::{LOCAL, api};
use crate::system::surroundings::Surroundings;

/// Of which container is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The one that this process runs in.
    Own,
    /// The one of this name, in which this process runs unless the kubelet's mounts say otherwise.
    Named(String),
    /// The one of this name, in which this process runs only if the kubelet's mounts say so.
    Another(String),
    /// None: what is gathered is for the pod as a whole.
    Nobody,
}

impl Whose {
    /// Whether the container that is spoken of is the one of this process, which the kubelet's
    /// mounts say is `mounted`.
    fn is_own(&self, mounted: Option<&str>) -> bool {
        match self {
            Whose::Own => true,
            Whose::Named(name) => mounted.is_none_or(|mounted| mounted == name),
            Whose::Another(name) => mounted == Some(name),
            Whose::Nobody => false,
        }
    }
}

/// Facts, and what the sources could not tell.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) facts: Facts,
    /// What is told of a container is told of the one that this process runs in.
    pub(crate) is_of_own_container: bool,
    pub(crate) notes: Vec<(Source, Note)>,
}

impl Gathered {
    fn new(page_size: u64) -> Self {
        Gathered { facts: Facts::new(page_size), is_of_own_container: false, notes: Vec::new() }
    }

    fn add(&mut self, source: Source, told: Told) {
        self.facts.add(source, told.values);
        self.notes.extend(told.notes.into_iter().map(|note| (source, note)));
    }

    /// Why nothing is known of `field`, in the words of a source that could have told it.
    pub(crate) fn why_unknown(&self, field: &Field) -> Option<&Note> {
        let of_nobody = self.notes.iter().find(|(source, _)| *source == Source::Option);
        if let Some((_, note)) = of_nobody.filter(|_| field.is_of_container()) {
            return Some(note);
        }
        let sources = field.sources();
        let notes = self.notes.iter().rev().filter(|(source, _)| sources.contains(source));
        let mut notes = notes.map(|(_, note)| note);
        let of_field = notes.clone().find(|note| note.about.as_ref() == Some(field));
        of_field.or_else(|| notes.find(|note| note.about.is_none()))
    }
}

/// Gathers from the surroundings, and from the API server where that is needed.
pub(crate) fn gather(
    surroundings: &Surroundings,
    whose: &Whose,
    wanted: &Wanted,
    api: &api::Settings,
) -> Gathered {
    let mut gathered = Gathered::new(surroundings.page_size);
    gathered.add(Source::Option, named(whose));
    for (source, tell) in LOCAL {
        let started = (surroundings.clock)();
        let mut told = tell(surroundings);
        let mounted = gathered.facts.told_by(Source::Kubelet, &Field::ContainerName);
        gathered.is_of_own_container = whose.is_own(mounted.and_then(Value::text));
        drop_others(whose, gathered.is_of_own_container, source, &mut told);
        log_told(source, &told, started, surroundings);
        gathered.add(source, told);
    }
    crate::facts::owner::derive(&mut gathered.facts);
    let wanted = &Wanted { of_nobody: *whose == Whose::Nobody, ..wanted.clone() };
    if let Some(why) = api.why_not_asked(surroundings, wanted, &gathered.facts) {
        gathered.notes.push((Source::Api, Note::new(why, false)));
    } else {
        let started = (surroundings.clock)();
        let mut told = api::tell(surroundings, api, wanted, &gathered.facts);
        drop_others(whose, true, Source::Api, &mut told);
        log_told(Source::Api, &told, started, surroundings);
        gathered.add(Source::Api, told);
        crate::facts::owner::derive(&mut gathered.facts);
        // A failure that cost nothing is no news.
        if !api.is_always() && wanted.unsettled(&gathered.facts).is_empty() {
            for (_, note) in gathered.notes.iter_mut().filter(|(source, _)| *source == Source::Api) {
                note.is_broken = false;
            }
        }
    }
    warn_of_what_is_broken(&gathered);
    gathered
}

/// Which pod this is, by the sources at hand.
pub(crate) fn identity(surroundings: &Surroundings) -> Facts {
    let mut facts = Facts::new(surroundings.page_size);
    for (source, tell) in LOCAL {
        facts.add(source, tell(surroundings).values);
    }
    facts
}

/// Facts from the Pod object in `pod` and from nowhere else.
pub(crate) fn from_pod(pod: &Json, whose: &Whose) -> Gathered {
    let mut gathered = Gathered::new(1);
    gathered.add(Source::Option, named(whose));
    let mut told = crate::sources::pod::tell(pod, &gathered.facts);
    drop_others(whose, true, Source::Api, &mut told);
    if *whose == Whose::Nobody {
        told.notes.clear();
    }
    gathered.add(Source::Api, told);
    crate::facts::owner::derive(&mut gathered.facts);
    warn_of_what_is_broken(&gathered);
    gathered
}

fn warn_of_what_is_broken(gathered: &Gathered) {
    for (source, note) in gathered.notes.iter().filter(|(_, note)| note.is_broken) {
        log::warn!("{}: {}", source.name(), note.text);
        if let Some(advice) = &note.advice {
            log::warn!(target: crate::system::logging::ADVICE, "{advice}");
        }
    }
}

fn named(whose: &Whose) -> Told {
    let mut told = Told::default();
    match whose {
        Whose::Own => {}
        Whose::Named(name) | Whose::Another(name) => told.text(Field::ContainerName, name),
        Whose::Nobody => {
            told.absent("facts of a container are left out unless --container NAME says whose they are")
        }
    }
    told
}

/// Of what `source` told, drops what speaks of another container than is meant; `is_own` where what
/// the source tells of a container is told of that one.
fn drop_others(whose: &Whose, is_own: bool, source: Source, told: &mut Told) {
    // The kubelet's own word on the name stays: it is what tells which container this is.
    let is_kept = |field: &Field| match whose {
        Whose::Nobody => !field.is_of_container(),
        _ => is_own || source == Source::Kubelet || !field.is_of_container(),
    };
    told.values.retain(|(field, _)| is_kept(field));
}

fn log_told(source: Source, told: &Told, started: std::time::Instant, surroundings: &Surroundings) {
    if !log::log_enabled!(log::Level::Info) {
        return;
    }
    let elapsed = (surroundings.clock)().saturating_duration_since(started);
    let names: Vec<String> = told.values.iter().map(|(field, _)| field.path()).collect();
    let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    log::info!("{} told {names} in {} µs", source.name(), elapsed.as_micros());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::field::List;

    #[test]
    fn each_resource_is_explained_by_the_note_about_it() {
        let requests = serde_json::json!({"hugepages-8": "1mi", "hugepages-9": "1K", "cpu": "1"});
        let container = serde_json::json!({"name": "main", "resources": {"requests": requests}});
        let pod = serde_json::json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}});
        let gathered = from_pod(&pod, &Whose::Own);
        let why = |resource: &'static str| {
            let note = gathered.why_unknown(&Field::Resource(List::Requests, resource.into()));
            note.map(|note| note.text.as_str()).unwrap_or_default()
        };
        assert!(why("hugepages-8").contains("\"1mi\""), "{}", why("hugepages-8"));
        assert!(why("hugepages-9").contains("\"1K\""), "{}", why("hugepages-9"));
        assert_eq!(why("ephemeral-storage"), "");
    }
}
