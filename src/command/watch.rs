//! Files that stay true: the sidecar.
//!
//! It neither starts nor signals processes. It sleeps in `inotify(7)` until the kubelet swaps a
//! volume's `..data` link, and then renders as `write` does.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::{CommandError, Prepared, prepare};
use crate::cli::{Options, Watch};
use crate::environment::Environment;
use crate::field::Field;
use crate::mountinfo;
use crate::notify::Notifier;
use crate::output;
use crate::root::Root;
use crate::source::volume::{DATA, DEFAULT_PLACES};

/// What shows that a volume, or a plain directory in its place, has another content.
const CHANGED: AddWatchFlags = AddWatchFlags::IN_MOVED_TO
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR);
/// What shows that a directory may have appeared below.
const APPEARED: AddWatchFlags =
    AddWatchFlags::IN_CREATE.union(AddWatchFlags::IN_MOVED_TO).union(AddWatchFlags::IN_ONLYDIR);
/// What shows that a watched directory is no more.
const GONE: AddWatchFlags =
    AddWatchFlags::IN_DELETE_SELF.union(AddWatchFlags::IN_MOVE_SELF).union(AddWatchFlags::IN_UNMOUNT);

/// Renders, and again whenever a volume changes; comes back only with an error.
pub(super) fn run(
    watch: &Watch,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let options = &watch.options;
    let root = Root::open(&options.root)?;
    warn_of_sub_paths(&root, &places(options, &root));
    // Watched before they are read first, so that no change falls in between.
    let mut volumes = Volumes::new(places(options, &root))?;
    volumes.watch_what_is_there(&root)?;
    let mut shown = render(options, environment, clock)?.0;
    let notifier = watch.notify.clone().map(|url| Notifier::start(url, clock)).transpose();
    let notifier = notifier.map_err(|error| CommandError::Other(format!("--notify: {error}")))?;
    loop {
        if !volumes.wait(&root)? {
            continue;
        }
        match render(options, environment, clock) {
            Ok((now, is_changed)) => {
                if is_changed {
                    log::info!("changed: {}", difference(&shown, &now));
                    notifier.iter().for_each(Notifier::changed);
                }
                shown = now;
            }
            // A file that cannot be written ends it: the kubelet starts it anew.
            Err(error @ CommandError::Output(_)) => return Err(error),
            Err(error) => log::error!("{error}; the files stay as they are"),
        }
    }
}

/// The volumes that `--volume` names, else those of the usual places that are there, else both places.
fn places(options: &Options, root: &Root) -> Vec<PathBuf> {
    if !options.volumes.is_empty() {
        return options.volumes.clone();
    }
    let usual = || DEFAULT_PLACES.iter().map(PathBuf::from);
    let there: Vec<_> = usual().filter(|place| root.directory(place).is_ok()).collect();
    if there.is_empty() { usual().collect() } else { there }
}

/// What the files show, to tell what changed.
type Shown = BTreeMap<String, String>;

/// Writes the files whose bytes differ; whether there were any.
fn render(
    options: &Options,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(Shown, bool), CommandError> {
    let prepared = prepare(options, &options.whose_other(), environment, clock)?;
    let mut is_changed = false;
    for out in &options.out {
        let content = out.format.render(&prepared.document());
        if std::fs::read(&out.path).is_ok_and(|there| there == content) {
            continue;
        }
        output::replace(&out.path, &content, options.mode)?;
        is_changed = true;
    }
    Ok((shown(&prepared), is_changed))
}

fn shown(prepared: &Prepared) -> Shown {
    let variables = prepared.variables.iter().map(|(name, variable)| (name.clone(), variable.value.clone()));
    let maps = [Field::Labels, Field::Annotations].map(|field| {
        let entries = prepared.gathered.facts.map(&field).into_iter().flatten();
        let path = field.path();
        entries.map(move |(key, value)| (format!("{path}['{key}']"), value.clone())).collect::<Vec<_>>()
    });
    variables.chain(maps.into_iter().flatten()).collect()
}

fn difference(before: &Shown, after: &Shown) -> String {
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let changed: Vec<&str> =
        names.filter(|name| before.get(*name) != after.get(*name)).map(String::as_str).collect();
    if changed.is_empty() {
        "the files had been changed by somebody else".to_owned()
    } else {
        changed.join(", ")
    }
}

/// A subPath mount is of one version of the volume for ever (`volumeMounts[].subPath`, Kubernetes API reference).
fn warn_of_sub_paths(root: &Root, places: &[PathBuf]) {
    let mountinfo = root.read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    let mountinfo = String::from_utf8_lossy(&mountinfo);
    for mount in mountinfo::parse(&mountinfo) {
        let point = mount.mount_point().into_owned();
        let point = Path::new(&point);
        let is_ours = places.iter().any(|place| point == place || point.parent() == Some(place));
        let is_version = mount.root().split('/').any(|part| part.starts_with(".."));
        if is_ours && is_version {
            log::warn!(
                "{}: mounted by subPath, so it never changes; mount the volume whole",
                point.display()
            );
        }
    }
}

/// The volumes and the watches on them.
struct Volumes {
    inotify: Inotify,
    volumes: Vec<Volume>,
}

struct Volume {
    place: PathBuf,
    /// The watch on the directory, once it is there.
    watch: Option<WatchDescriptor>,
    /// The watch on the nearest directory above it, as long as it is not.
    above: Option<WatchDescriptor>,
}

fn failed(place: &Path, error: impl std::fmt::Display) -> CommandError {
    CommandError::Other(format!("{}: it cannot be watched: {error}", place.display()))
}

impl Volumes {
    fn new(places: Vec<PathBuf>) -> Result<Self, CommandError> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC);
        let inotify = inotify.map_err(|errno| CommandError::Other(format!("inotify: {}", errno.desc())))?;
        let volumes = places.into_iter().map(|place| Volume { place, watch: None, above: None }).collect();
        Ok(Volumes { inotify, volumes })
    }

    fn watch_what_is_there(&mut self, root: &Root) -> Result<(), CommandError> {
        for volume in &mut self.volumes {
            if !volume.appear(&self.inotify, root)? {
                log::warn!("{}: there is no such directory yet; waiting for it", root.display(&volume.place));
            }
        }
        Ok(())
    }

    /// Waits for an event; whether what is rendered may have changed.
    fn wait(&mut self, root: &Root) -> Result<bool, CommandError> {
        let events = match self.inotify.read_events() {
            Ok(events) => events,
            Err(nix::errno::Errno::EINTR) => return Ok(false),
            Err(errno) => return Err(CommandError::Other(format!("inotify: {}", errno.desc()))),
        };
        let mut may_have_changed = false;
        for volume in &mut self.volumes {
            may_have_changed |= volume.handle(&events, &self.inotify, root)?;
        }
        Ok(may_have_changed || events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)))
    }
}

impl Volume {
    /// Watches the directory, or what is above it; whether the directory is there.
    fn appear(&mut self, inotify: &Inotify, root: &Root) -> Result<bool, CommandError> {
        match root.directory(&self.place) {
            Ok(directory) => {
                let watch = inotify.add_watch(directory.path().as_str(), CHANGED);
                self.watch = Some(watch.map_err(|errno| failed(&self.place, errno.desc()))?);
                self.above = None;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let above = self.place.ancestors().skip(1).find_map(|above| root.directory(above).ok());
                let above = above.ok_or_else(|| failed(&self.place, &error))?;
                let watch = inotify.add_watch(above.path().as_str(), APPEARED);
                self.above = Some(watch.map_err(|errno| failed(&self.place, errno.desc()))?);
                // It may have appeared between the look and the watch.
                match root.directory(&self.place).is_ok() {
                    true => self.appear(inotify, root),
                    false => Ok(false),
                }
            }
            Err(error) => Err(failed(&self.place, error)),
        }
    }

    fn handle(
        &mut self,
        events: &[InotifyEvent],
        inotify: &Inotify,
        root: &Root,
    ) -> Result<bool, CommandError> {
        let overflow = events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW));
        if self.watch.is_none() {
            let is_above = events.iter().any(|event| Some(event.wd) == self.above);
            return if is_above || overflow { self.appear(inotify, root) } else { Ok(false) };
        }
        let mut own = events.iter().filter(|event| Some(event.wd) == self.watch).peekable();
        if own.peek().is_none() && !overflow {
            return Ok(false);
        }
        let is_gone = own.clone().any(|event| event.mask.intersects(GONE));
        let directory = root.directory(&self.place).map_err(|error| failed(&self.place, error));
        let names = directory.as_ref().ok().and_then(|directory| directory.names().ok()).unwrap_or_default();
        if is_gone || names.is_empty() {
            let place = root.display(&self.place);
            return Err(CommandError::Other(format!(
                "{place}: the volume is gone: it was emptied or unmounted"
            )));
        }
        // Of all that the kubelet does to its volume only the swap of the link counts.
        let has_link = names.iter().any(|name| name == DATA);
        let counts =
            |event: &InotifyEvent| !has_link || event.name.as_deref().is_some_and(|name| name == DATA);
        Ok(overflow || own.any(counts))
    }
}
