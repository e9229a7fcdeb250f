//! `watch`: a sidecar that keeps files up to date.
//!
//! It sleeps until a volume changes, and then writes the files as `write` does. It does not start or
//! signal processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use super::CommandError;
use super::pipeline::{Input, Prepared};
use crate::cli::Options;
use crate::client::notify::Notifier;
use crate::facts::Value;
use crate::facts::field::Field;
use crate::facts::reference::Reference;
use crate::sources::changes::Volumes;
use crate::sources::gather::Gathered;
use crate::sources::volume::DEFAULT_PLACES;
use crate::system::environment::Environment;
use crate::system::files;
use crate::system::root::Root;

/// Writes the files, and writes them again whenever a volume changes. Returns only with an error.
pub(super) fn run(
    options: &Options,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let input = Input::open(options, environment, clock)?;
    let each = options.per_container();
    let Some(surroundings) = input.surroundings() else {
        // A Pod object does not change.
        return write_what_differs(&each, &input.prepare_each(&each)?).map(drop);
    };
    // The watch starts before the first read, so that no change is missed.
    let mut volumes = Volumes::watch(surroundings, places(options, &surroundings.root))?;
    let prepare = |volumes: &mut Volumes| {
        let prepared = input.prepare_each(&each);
        // If a volume disappeared during the read, the facts may be incomplete.
        volumes.check()?;
        prepared
    };
    let mut shown = {
        let prepared = prepare(&mut volumes)?;
        write_what_differs(&each, &prepared)?;
        shown(&prepared)
    };
    let start = |url| Notifier::start(url, clock).map_err(CommandError::Notify);
    let notifier = options.notify.clone().map(start).transpose()?;
    loop {
        volumes.wait()?;
        let prepared = match prepare(&mut volumes) {
            // The required variable may be known after another change.
            Err(CommandError::Variables(error)) => {
                log::error!("{error}; keeping the files as they are");
                continue;
            }
            prepared => prepared?,
        };
        let is_changed = write_what_differs(&each, &prepared)?;
        let before = std::mem::replace(&mut shown, self::shown(&prepared));
        if is_changed {
            log::info!("changed: {}", difference(&before, &shown));
            notifier.iter().for_each(Notifier::changed);
        }
    }
}

/// The volumes of `--volume`, else the default places that exist, else all default places.
fn places(options: &Options, root: &Root) -> Vec<PathBuf> {
    if !options.volume.is_empty() {
        return options.volume.clone();
    }
    let usual = || DEFAULT_PLACES.iter().map(PathBuf::from);
    let there: Vec<_> = usual().filter(|place| root.directory(place).is_ok()).collect();
    if there.is_empty() { usual().collect() } else { there }
}

/// Writes the files whose bytes differ. Answers whether there was one.
fn write_what_differs(each: &[Options], prepared: &[Prepared]) -> Result<bool, CommandError> {
    let mut is_changed = false;
    for (options, prepared) in each.iter().zip(prepared) {
        for (path, content) in prepared.files(options) {
            if files::holds(&path, &content, options.mode()) {
                continue;
            }
            files::replace(&path, &content, options.mode())?;
            is_changed = true;
        }
    }
    Ok(is_changed)
}

/// The fields in the files, to log which of them changed.
type Shown = BTreeMap<String, String>;

/// The fields of the first container.
fn shown(prepared: &[Prepared]) -> Shown {
    let mut shown = Shown::new();
    let Some(Prepared { gathered: Gathered { facts, .. }, .. }) = prepared.first() else { return shown };
    for field in Field::all() {
        match facts.get(field).map(|fact| &fact.value) {
            Some(Value::Text(text)) => {
                shown.insert(field.path.to_owned(), text.clone());
            }
            Some(Value::Quantity(quantity)) => {
                shown.insert(field.path.to_owned(), quantity.to_string());
            }
            Some(Value::Map(map)) => {
                let entry = |(key, value): (&String, &String)| {
                    (Reference::Entry(field, key.clone()).to_string(), value.clone())
                };
                shown.extend(map.iter().map(entry));
            }
            _ => {}
        }
    }
    shown
}

fn difference(before: &Shown, after: &Shown) -> String {
    let added = after.keys().filter(|name| !before.contains_key(*name));
    let changed = before.keys().filter(|name| before.get(*name) != after.get(*name));
    let mut names: Vec<&str> = added.chain(changed).map(String::as_str).collect();
    names.sort_unstable();
    match names.is_empty() {
        true => "no field; another process had changed a file, which is now restored".to_owned(),
        false => names.join(", "),
    }
}
