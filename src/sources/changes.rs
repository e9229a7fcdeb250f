//! Waits for changes of downwardAPI volumes with `inotify(7)`.
//!
//! To publish a new version of a volume, the kubelet renames a link to `..data`
//! (`pkg/volume/util/atomic_writer.go`). In a plain directory a change of any file counts.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::volume::DATA;
use crate::system::mountinfo;
use crate::system::root::{Directory, Root};

/// Adds events to an existing watch: a directory may be watched for two reasons.
const ADD: AddWatchFlags = AddWatchFlags::from_bits_retain(nix::libc::IN_MASK_ADD);
/// The events of a volume or plain directory whose content changes or disappears.
const CHANGED: AddWatchFlags = AddWatchFlags::IN_MOVED_TO
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR)
    .union(ADD);
/// The events of a directory in which another directory may have appeared.
const APPEARED: AddWatchFlags =
    AddWatchFlags::IN_CREATE.union(AddWatchFlags::IN_MOVED_TO).union(AddWatchFlags::IN_ONLYDIR).union(ADD);

/// A volume cannot be watched, or no longer exists.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    #[error("cannot watch {place}: {}", advice(*source))]
    Unwatchable { place: String, source: Errno },
    #[error(
        "{place}: the volume is gone: it was emptied, removed or unmounted; keeping the files as they are"
    )]
    Gone { place: String },
}

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::EMFILE => "too many inotify instances; raise fs.inotify.max_user_instances on the node",
        Errno::ENOSPC => "too many inotify watches; raise fs.inotify.max_user_watches on the node",
        errno => errno.desc(),
    }
}

/// Volumes, and the watches on them.
pub(crate) struct Volumes {
    root: Root,
    inotify: Inotify,
    volumes: Vec<Volume>,
}

impl Volumes {
    /// Watches the volumes at `places`. If a directory does not exist yet, it watches for it.
    ///
    /// # Errors
    /// Those of `inotify_init(2)` and `inotify_add_watch(2)`; a place is not a directory.
    pub(crate) fn watch(root: Root, places: Vec<PathBuf>) -> Result<Self, WatchError> {
        warn_of_sub_paths(&root, &places);
        let failed = |source| WatchError::Unwatchable { place: "volumes".to_owned(), source };
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).map_err(failed)?;
        let mut volumes: Vec<_> = places.into_iter().map(Volume::new).collect();
        for volume in &mut volumes {
            if !volume.appears(&inotify, &root)? {
                log::warn!("{}: no such directory yet; waiting for it", root.display(&volume.place));
            }
        }
        Ok(Volumes { root, inotify, volumes })
    }

    /// Sleeps until the content of a volume may have changed.
    ///
    /// # Errors
    /// A volume is gone; those of `read(2)`.
    pub(crate) fn wait(&mut self) -> Result<(), WatchError> {
        let failed = |source| WatchError::Unwatchable { place: "volumes".to_owned(), source };
        loop {
            let events = match self.inotify.read_events() {
                Err(Errno::EINTR) => continue,
                events => events.map_err(failed)?,
            };
            let mut may_have_changed = events.iter().any(is_overflow);
            if may_have_changed {
                log::info!("inotify(7) dropped events because its queue was full; reading everything again");
            }
            for volume in &mut self.volumes {
                may_have_changed |= volume.may_have_changed(&events, &self.inotify, &self.root)?;
            }
            if may_have_changed {
                return Ok(());
            }
        }
    }

    /// Checks that every volume still exists.
    ///
    /// # Errors
    /// A volume is gone.
    pub(crate) fn check(&mut self) -> Result<(), WatchError> {
        self.volumes.iter_mut().try_for_each(|volume| volume.check(&self.inotify, &self.root))
    }
}

fn is_overflow(event: &InotifyEvent) -> bool {
    event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
}

/// Warns about subPath mounts, which never get updates (`volumeMounts[].subPath`, Kubernetes API reference).
fn warn_of_sub_paths(root: &Root, places: &[PathBuf]) {
    let mountinfo = root.read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    let mountinfo = String::from_utf8_lossy(&mountinfo);
    for mount in mountinfo::parse(&mountinfo) {
        let point = mount.mount_point().into_owned();
        let point = Path::new(&point);
        let is_ours = places.iter().any(|place| point == place || point.parent() == Some(place));
        // Only volumes that the kubelet updates have versions. A subPath of an emptyDir does change.
        let is_version = mount.root().split('/').any(|part| part.starts_with(".."));
        if is_ours && is_version {
            log::warn!(
                "{}: mounted by subPath, so it never changes; mount the volume whole",
                point.display()
            );
        }
    }
}

/// The content of a volume. It never decreases while the volume exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Nothing,
    Files,
    /// A link to the current version: the kubelet's volume.
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
    /// The watch on the directory, once it exists.
    watch: Option<WatchDescriptor>,
    /// The watch on the nearest directory above it, until it exists.
    above: Option<WatchDescriptor>,
}

impl Volume {
    fn new(place: PathBuf) -> Self {
        Volume { place, content: Content::Nothing, watch: None, above: None }
    }

    /// Watches the directory or, if it does not exist, the nearest one above it. Answers whether it exists.
    fn appears(&mut self, inotify: &Inotify, root: &Root) -> Result<bool, WatchError> {
        let failed = |source| WatchError::Unwatchable { place: root.display(&self.place), source };
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
            // A nearer directory may have appeared before the watch was added.
            if above == self.above {
                return Ok(false);
            }
            self.above = above;
        }
    }

    /// Checks that the volume still exists.
    ///
    /// # Errors
    /// The volume has disappeared, lost content, or been replaced by another one.
    fn check(&mut self, inotify: &Inotify, root: &Root) -> Result<(), WatchError> {
        if self.watch.is_none() {
            return Ok(());
        }
        let directory = root.directory(&self.place).ok();
        // A second watch on the same directory has the same descriptor.
        let watch = directory.as_ref().and_then(|it| inotify.add_watch(it.path().as_str(), CHANGED).ok());
        let content = directory.as_ref().and_then(|it| Content::of(it).ok());
        let there = content.filter(|content| watch == self.watch && *content >= self.content);
        self.content = there.ok_or_else(|| WatchError::Gone { place: root.display(&self.place) })?;
        Ok(())
    }

    /// Whether the content may have changed according to `events`.
    fn may_have_changed(
        &mut self,
        events: &[InotifyEvent],
        inotify: &Inotify,
        root: &Root,
    ) -> Result<bool, WatchError> {
        if self.watch.is_none() {
            return self.appears(inotify, root);
        }
        self.check(inotify, root)?;
        // In a volume of the kubelet only the rename to `..data` changes the content.
        let is_of_version = |event: &&InotifyEvent| event.name.as_deref().is_some_and(|name| name == DATA);
        let mut own = events.iter().filter(|event| Some(event.wd) == self.watch);
        Ok(own.any(|event| self.content != Content::Version || is_of_version(&event)))
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}
