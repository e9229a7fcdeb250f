//! `watch`: a sidecar that keeps files up to date.
//!
//! It sleeps until a volume changes, and then writes the files as `write` does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::{CommandError, pipeline};
use crate::cli::Options;
use crate::client::notify;
use crate::facts::field::{Field, Source};
use crate::facts::reference::Reference;
use crate::facts::{Facts, Value};
use crate::kubernetes::key_value::map_from;
use crate::sources::changes::{LOOK, Watches};
use crate::sources::gather;
use crate::sources::volume::DEFAULT_PLACES;
use crate::system::backoff::Backoff;
use crate::system::environment::Environment;
use crate::system::root::Root;
use crate::system::surroundings::Surroundings;
use crate::variables::Run;

/// Writes the files, and writes them again whenever a volume or a template changes. Returns only with an error.
pub(super) fn run(
    options: &Options,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let (templates, origin) = pipeline::open(options, &[], environment, clock)?;
    let each = options.per_container();
    let Some(surroundings) = origin.surroundings() else {
        // A Pod object does not change.
        return write_files(&each, &pipeline::run_each(&origin, &each, &templates, options.api())?).map(drop);
    };
    let (root, own_root) = (&surroundings.root, Root::open(Path::new("/"))?);
    let volumes = places(options, root).into_iter().map(|place| (root, place));
    let templates_in = options.template.iter().map(|(file, _)| (&own_root, directory_of(file)));
    // The watch starts before the first read, so that no change is missed.
    let watches = Watches::start(surroundings, volumes.chain(templates_in).collect())?;
    let runs = pipeline::run_each(&origin, &each, &templates, options.api())?;
    write_files(&each, &runs)?;
    let start = |notify| notify::start(notify, clock).map_err(CommandError::Notify);
    let notifier = options.notify.clone().map(start).transpose()?;
    let mut watch = Watch { watches, runs, is_doubtful: false, resize: None, notifier };
    loop {
        watch.wait(surroundings);
        let templates = options.templates().map_err(CommandError::from);
        match templates.and_then(|templates| pipeline::run_each(&origin, &each, &templates, options.api())) {
            // What is not known or not valid may be so after another change.
            Err(error @ (CommandError::Variables(_) | CommandError::Template(_))) => {
                log::error!("{error}; keeping the files as they are");
            }
            runs => watch.write(&each, runs?, clock())?,
        }
    }
}

/// The files as they are, and what they wait for.
struct Watch<'a> {
    watches: Watches<'a>,
    runs: Vec<Run<'a>>,
    /// The last read was not whole: it is tried again.
    is_doubtful: bool,
    resize: Option<Resize>,
    /// Notifies the application of a change.
    notifier: Option<Sender<()>>,
}

impl<'a> Watch<'a> {
    /// Sleeps until the files may be others.
    fn wait(&mut self, surroundings: &Surroundings) {
        loop {
            let pause = self.resize.as_mut().and_then(|resize| resize.pause((surroundings.clock)()));
            let is_changed = self.watches.wait(pause.or(self.is_doubtful.then_some(LOOK)));
            let is_enforced = || pause.is_some() && !is_behind(&gather::identity(surroundings));
            if is_changed || self.is_doubtful || is_enforced() {
                return;
            }
        }
    }

    /// Writes the files that differ, unless not everything could be read.
    fn write(&mut self, each: &[Options], runs: Vec<Run<'a>>, now: Instant) -> Result<(), CommandError> {
        let was_doubtful = std::mem::replace(&mut self.is_doubtful, is_poorer(&self.runs, &runs));
        if self.is_doubtful && !was_doubtful {
            log::warn!("not everything could be read; keeping the files as they are and trying again");
        }
        // If a volume disappeared during the read, the facts may be incomplete.
        if !self.watches.is_whole() || self.is_doubtful {
            return Ok(());
        }
        if write_files(each, &runs)? {
            log::info!("changed: {}", difference(&shown(self.runs.first()), &shown(runs.first())));
            if let Some(notifier) = &self.notifier {
                let _ = notifier.send(());
            }
        }
        let is_behind = runs.iter().any(|run| is_behind(&run.facts));
        if !is_behind || of_volume(&runs) != of_volume(&self.runs) {
            self.resize = is_behind.then(|| Resize::new(now));
        }
        self.runs = runs;
        Ok(())
    }
}

/// The directory in which a change of `file` is seen; a directory itself.
fn directory_of(file: &Path) -> PathBuf {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    if path.is_dir() { path } else { path.parent().unwrap_or(&path).to_owned() }
}

/// A resize in place: the kubelet rewrites the volume's resource files before it changes the control group, which
/// sends no event.
struct Resize {
    pauses: Backoff,
    until: Instant,
}

impl Resize {
    fn new(now: Instant) -> Self {
        let pauses = Backoff::new(Duration::from_secs(1), Duration::from_secs(16));
        Resize { pauses, until: now + Duration::from_secs(120) }
    }

    /// The time before the control group is read again; none if it has taken too long.
    fn pause(&mut self, now: Instant) -> Option<Duration> {
        (now < self.until).then(|| self.pauses.pause())
    }
}

const LIMITS: [Field; 2] = [Field::CPU_LIMIT, Field::MEMORY_LIMIT];

/// Whether the kernel enforces another limit than the volume's, as the kernel rounds it.
fn is_behind(facts: &Facts) -> bool {
    LIMITS.into_iter().any(|field| match facts.reported_by(Source::Volume, field) {
        Some(reported) if facts.reported_by(Source::Cgroup, field).is_some() => {
            facts.get(field).map(|fact| amount(&fact.value)) != Some(amount(reported))
        }
        _ => false,
    })
}

fn amount(value: &Value) -> Option<(i64, i64)> {
    match value {
        Value::Quantity(quantity) => Some((quantity.value(), quantity.milli_value())),
        _ => None,
    }
}

/// The limits that the volume has, for each container.
fn of_volume<'a>(runs: &'a [Run]) -> Vec<Option<&'a Value>> {
    let all = runs.iter().flat_map(|run| LIMITS.map(|field| (&run.facts, field)));
    all.map(|(facts, field)| facts.reported_by(Source::Volume, field)).collect()
}

/// Whether a source has failed, and a field that was known is missing now.
fn is_poorer(before: &[Run], after: &[Run]) -> bool {
    before.iter().zip(after).any(|(before, after)| {
        let known: Vec<_> = before.facts.notes().collect();
        let mut new = after.facts.notes().filter(|note| !known.contains(note));
        let is_of_system = |source| [Source::Token, Source::Kubelet, Source::Cgroup].contains(&source);
        let has_failed = new.any(|(source, note)| note.is_broken || is_of_system(source));
        let after = shown(Some(after));
        has_failed && shown(Some(before)).keys().any(|name| !after.contains_key(name))
    })
}

/// The volumes of `--volume`, else the default places that exist, else all default places.
pub(super) fn places(options: &Options, root: &Root) -> Vec<PathBuf> {
    if !options.volume.is_empty() {
        return options.volume.clone();
    }
    let usual = || DEFAULT_PLACES.iter().map(PathBuf::from);
    let there: Vec<_> = usual().filter(|place| root.directory(place).is_ok()).collect();
    if there.is_empty() { usual().collect() } else { there }
}

/// Writes the files that differ. Answers whether there was one.
fn write_files(each: &[Options], runs: &[Run]) -> Result<bool, CommandError> {
    let write =
        |is_changed, (options, run): (_, &Run)| Ok(pipeline::write_files(run, options)? || is_changed);
    each.iter().zip(runs).try_fold(false, write)
}

/// The fields in the files, to log which of them changed.
type Shown = BTreeMap<String, String>;

/// The fields that are known of a container.
fn shown(run: Option<&Run>) -> Shown {
    let Some(Run { facts, .. }) = run else { return Shown::new() };
    let entry = |field, key: &String| Reference::Entry(field, key.clone()).to_string();
    let of = |field: Field| match facts.get(field).map(|fact| &fact.value) {
        Some(Value::Text(text)) => vec![(field.path.to_owned(), text.clone())],
        Some(Value::Quantity(quantity)) => vec![(field.path.to_owned(), quantity.to_string())],
        Some(Value::Map(map)) => map.iter().map(|(key, text)| (entry(field, key), text.clone())).collect(),
        Some(Value::Quantities(map)) => {
            map.iter().map(|(name, quantity)| (entry(field, name), quantity.to_string())).collect()
        }
        _ => Vec::new(),
    };
    map_from(Field::all().flat_map(of).collect())
}

fn difference(before: &Shown, after: &Shown) -> String {
    let added = after.keys().filter(|name| !before.contains_key(*name));
    let changed = before.keys().filter(|name| before.get(*name) != after.get(*name));
    let mut names = BTreeSet::new();
    names.extend(added.chain(changed).map(String::as_str));
    if names.is_empty() {
        return "no field; another process had changed a file, which is now restored".to_owned();
    }
    Vec::from_iter(names).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_group_is_read_again_for_two_minutes() {
        let start = Instant::now();
        let mut resize = Resize::new(start);
        let mut now = start;
        let mut pauses = Vec::new();
        while let Some(pause) = resize.pause(now) {
            now += pause;
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 16, 16, 16, 16, 16, 16]);
    }
}
