//! Files that stay true: the sidecar.
//!
//! It neither starts nor signals processes. It sleeps in `inotify(7)` until the kubelet swaps a
//! volume's `..data` link, and then renders as `write` does.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::CommandError;
use super::pipeline::{Input, Prepared};
use crate::cli::{Options, Watch};
use crate::client::notify::Notifier;
use crate::facts::Value;
use crate::facts::field::TABLE;
use crate::sources::gather::Gathered;
use crate::sources::volume::{DATA, DEFAULT_PLACES};
use crate::system::environment::Environment;
use crate::system::files;
use crate::system::mountinfo;
use crate::system::root::{Directory, Root};

/// A directory may be watched for two reasons: what is watched for is added, not replaced.
const ADD: AddWatchFlags = AddWatchFlags::from_bits_retain(nix::libc::IN_MASK_ADD);
/// What shows that a volume, or a plain directory in its place, has another content or is no more.
const CHANGED: AddWatchFlags = AddWatchFlags::IN_MOVED_TO
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR)
    .union(ADD);
/// What shows that a directory may have appeared below.
const APPEARED: AddWatchFlags =
    AddWatchFlags::IN_CREATE.union(AddWatchFlags::IN_MOVED_TO).union(AddWatchFlags::IN_ONLYDIR).union(ADD);

/// Renders, and again whenever a volume changes; comes back only with an error.
pub(super) fn run(
    watch: &Watch,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let options = &watch.options;
    let root = Root::open(&options.root)?;
    let places = places(options, &root);
    warn_of_sub_paths(&root, &places);
    // Watched before they are read first, so that no change falls in between.
    let mut volumes = Volumes::watch(root, places)?;
    let each = options.per_container();
    let gather = |volumes: &mut Volumes| {
        let prepared = Input::open(options, environment, clock).and_then(|input| {
            let prepare =
                |options: &Options| input.prepare(options, options.beside(), &Environment::default());
            each.iter().map(prepare).collect::<Result<Vec<_>, _>>()
        });
        // What was read of a volume while it went away is not the truth.
        volumes.check()?;
        prepared
    };
    let prepared = gather(&mut volumes)?;
    write_what_differs(&each, &prepared)?;
    let mut shown = shown(&prepared);
    drop(prepared);
    let notifier = watch.notify.clone().map(|url| Notifier::start(url, clock)).transpose();
    let notifier = notifier.map_err(|error| CommandError::Other(format!("--notify: {error}")))?;
    loop {
        volumes.wait()?;
        let prepared = match gather(&mut volumes) {
            // What is required may be known again after another change.
            Err(CommandError::Variables(error)) => {
                log::error!("{error}; the files stay as they are");
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

/// The volumes that `--volume` names, else those of the usual places that are there, else both places.
fn places(options: &Options, root: &Root) -> Vec<PathBuf> {
    if !options.volumes.is_empty() {
        return options.volumes.clone();
    }
    let usual = || DEFAULT_PLACES.iter().map(PathBuf::from);
    let there: Vec<_> = usual().filter(|place| root.directory(place).is_ok()).collect();
    if there.is_empty() { usual().collect() } else { there }
}

/// Writes the files whose bytes differ; whether there were any.
fn write_what_differs(each: &[Options], prepared: &[Prepared]) -> Result<bool, CommandError> {
    let mut is_changed = false;
    for (options, prepared) in each.iter().zip(prepared) {
        for out in &options.out {
            let content = out.format.render(&prepared.document());
            if std::fs::read(&out.path).is_ok_and(|there| there == content) {
                continue;
            }
            files::replace(&out.path, &content, options.mode)?;
            is_changed = true;
        }
    }
    Ok(is_changed)
}

/// The fields that the files are made of, to tell which changed.
type Shown = BTreeMap<String, String>;

/// Of several containers the first one's.
fn shown(prepared: &[Prepared]) -> Shown {
    let mut shown = Shown::new();
    let Some(Prepared { gathered: Gathered { facts, .. }, .. }) = prepared.first() else { return shown };
    for row in TABLE {
        match facts.get(&row.field()).map(|fact| &fact.value) {
            Some(Value::Text(text)) => {
                shown.insert(row.path.to_owned(), text.clone());
            }
            Some(Value::Map(map)) => {
                let entry =
                    |(key, value): (&String, &String)| (format!("{}['{key}']", row.path), value.clone());
                shown.extend(map.iter().map(entry));
            }
            _ => {}
        }
    }
    shown.extend(facts.resources().map(|(field, quantity)| (field.path(), quantity.to_string())));
    shown
}

fn difference(before: &Shown, after: &Shown) -> String {
    let added = after.keys().filter(|name| !before.contains_key(*name));
    let changed = before.keys().filter(|name| before.get(*name) != after.get(*name));
    let mut names: Vec<&str> = added.chain(changed).map(String::as_str).collect();
    names.sort_unstable();
    match names.is_empty() {
        true => "a file that somebody else had touched; it is as it was".to_owned(),
        false => names.join(", "),
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
        // Only volumes that the kubelet swaps have versions: a subPath of an emptyDir does change.
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
    root: Root,
    inotify: Inotify,
    volumes: Vec<Volume>,
}

impl Volumes {
    fn watch(root: Root, places: Vec<PathBuf>) -> Result<Self, CommandError> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).map_err(|errno| unwatchable("inotify", errno))?;
        let mut volumes: Vec<_> = places.into_iter().map(Volume::new).collect();
        for volume in &mut volumes {
            if !volume.appears(&inotify, &root)? {
                log::warn!("{}: there is no such directory yet; waiting for it", root.display(&volume.place));
            }
        }
        Ok(Volumes { root, inotify, volumes })
    }

    /// Sleeps until what is rendered may have changed.
    ///
    /// # Errors
    /// A volume that is gone.
    fn wait(&mut self) -> Result<(), CommandError> {
        loop {
            let events = match self.inotify.read_events() {
                Err(Errno::EINTR) => continue,
                events => events.map_err(|errno| unwatchable("inotify", errno))?,
            };
            let mut may_have_changed = events.iter().any(is_overflow);
            if may_have_changed {
                log::info!("more changes at once than inotify(7) queues; everything is read again");
            }
            for volume in &mut self.volumes {
                may_have_changed |= volume.may_have_changed(&events, &self.inotify, &self.root)?;
            }
            if may_have_changed {
                return Ok(());
            }
        }
    }

    /// # Errors
    /// A volume that is gone.
    fn check(&mut self) -> Result<(), CommandError> {
        self.volumes.iter_mut().try_for_each(|volume| volume.check(&self.inotify, &self.root))
    }
}

fn is_overflow(event: &InotifyEvent) -> bool {
    event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
}

fn unwatchable(what: &str, errno: Errno) -> CommandError {
    CommandError::Other(match errno {
        Errno::EMFILE => {
            format!("{what}: too many watchers; raise fs.inotify.max_user_instances on the node")
        }
        Errno::ENOSPC => format!("{what}: too many watches; raise fs.inotify.max_user_watches on the node"),
        errno => format!("{what}: it cannot be watched: {}", errno.desc()),
    })
}

/// How much there is of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Nothing,
    Files,
    /// A link to the version that counts: the kubelet's volume.
    Version,
}

impl Content {
    fn of(directory: &Directory) -> io::Result<Self> {
        let names = directory.names()?;
        Ok(match names.iter().any(|name| name == DATA) {
            true => Content::Version,
            false if names.is_empty() => Content::Nothing,
            false => Content::Files,
        })
    }
}

struct Volume {
    place: PathBuf,
    content: Content,
    /// The watch on the directory, once it is there.
    watch: Option<WatchDescriptor>,
    /// The watch on the nearest directory above it, as long as it is not.
    above: Option<WatchDescriptor>,
}

impl Volume {
    fn new(place: PathBuf) -> Self {
        Volume { place, content: Content::Nothing, watch: None, above: None }
    }

    /// Watches the directory, or the nearest one above it; whether the directory is there.
    fn appears(&mut self, inotify: &Inotify, root: &Root) -> Result<bool, CommandError> {
        let failed = |errno| unwatchable(&root.display(&self.place), errno);
        let add = |directory: &Directory, flags| {
            inotify.add_watch(directory.path().as_str(), flags).map_err(failed)
        };
        loop {
            match root.directory(&self.place) {
                Ok(directory) => {
                    self.watch = Some(add(&directory, CHANGED)?);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(errno(&error))),
            }
            let nearest = self.place.ancestors().skip(1).find_map(|above| root.directory(above).ok());
            let above = Some(add(&nearest.ok_or_else(|| failed(Errno::ENOENT))?, APPEARED)?);
            // Between the look and the watch a nearer one may have appeared, unseen.
            if above == self.above {
                return Ok(false);
            }
            self.above = above;
        }
    }

    /// # Errors
    /// A volume that was there and is not, that has less than it had, or in whose place is another.
    fn check(&mut self, inotify: &Inotify, root: &Root) -> Result<(), CommandError> {
        if self.watch.is_none() {
            return Ok(());
        }
        let directory = root.directory(&self.place).ok();
        // A directory that is watched already has the watch that it had.
        let watch = directory.as_ref().and_then(|it| inotify.add_watch(it.path().as_str(), CHANGED).ok());
        let content = directory.as_ref().and_then(|it| Content::of(it).ok());
        let there = content.filter(|content| watch == self.watch && *content >= self.content);
        self.content = there.ok_or_else(|| {
            let place = root.display(&self.place);
            CommandError::Other(format!(
                "{place}: the volume is gone: it was emptied, removed or unmounted; the files stay as they are"
            ))
        })?;
        Ok(())
    }

    /// Whether `events` are of what is rendered.
    fn may_have_changed(
        &mut self,
        events: &[InotifyEvent],
        inotify: &Inotify,
        root: &Root,
    ) -> Result<bool, CommandError> {
        if self.watch.is_none() {
            return self.appears(inotify, root);
        }
        self.check(inotify, root)?;
        // Of all that the kubelet does to its volume only the swap of the link counts.
        let is_of_version = |event: &&InotifyEvent| event.name.as_deref().is_some_and(|name| name == DATA);
        let mut own = events.iter().filter(|event| Some(event.wd) == self.watch);
        Ok(own.any(|event| self.content != Content::Version || is_of_version(&event)))
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}
