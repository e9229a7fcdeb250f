//! Waits for changes of directories: downwardAPI volumes, mounted ConfigMaps, plain directories.
//!
//! The kernel reports changes by `inotify(7)`. To publish a new version of a volume, the kubelet renames a link to
//! `..data` (`pkg/volume/util/atomic_writer.go`). If the kernel reports no changes, the directories are compared every ten
//! seconds.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::volume::{DATA, read_published, sub_paths};
use crate::system::root::{Directory, Root};
use crate::system::surroundings::Surroundings;

/// The time between two looks where the kernel reports no changes.
pub(crate) const LOOK: Duration = Duration::from_secs(10);

/// The events after which the content of a directory may have changed.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR);

/// A place to watch is not a directory.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {place}: Not a directory")]
pub(crate) struct WatchError {
    place: String,
}

/// Directories, and the watches on them.
pub(crate) struct Watches<'a> {
    /// None if the kernel gives no instance.
    inotify: Option<Inotify>,
    watches: Vec<Watch>,
    directories: Vec<Watched<'a>>,
    /// Not all changes are reported as events.
    is_blind: bool,
}

/// A watch of the kernel, with the directory in [`Watches`] that it is for.
#[derive(Clone, Copy, PartialEq)]
struct Watch {
    descriptor: WatchDescriptor,
    of: usize,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// The nearest directory above one that does not exist.
    Above,
    /// The directory itself.
    Itself,
    /// The version that a volume's link leads to.
    Version,
}

/// A directory that is watched, and may be missing.
struct Watched<'a> {
    root: &'a Root,
    place: PathBuf,
    content: Content,
    stamp: Vec<String>,
    is_missed: bool,
}

/// The content of a directory. While it is less than it was, the directory is being made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Nothing,
    Files,
    /// A link to a version with files: a volume of the kubelet.
    Version,
}

impl<'a> Watches<'a> {
    /// Watches these directories. One that does not exist yet may appear later.
    ///
    /// # Errors
    /// A place is not a directory.
    pub(crate) fn start(
        surroundings: &'a Surroundings,
        places: Vec<(&'a Root, PathBuf)>,
    ) -> Result<Self, WatchError> {
        let own: Vec<PathBuf> = places.iter().map(|(_, place)| place.clone()).collect();
        for point in sub_paths(surroundings, &own) {
            log::warn!(
                "{}: mounted by subPath, so it never changes; mount the volume whole",
                point.display()
            );
        }
        let is_blind = places.iter().any(|(_, place)| is_silent(surroundings, place));
        let directories = places.into_iter().map(|(root, place)| Watched::new(root, place)).collect();
        let (inotify, failure) = match Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
            Ok(inotify) => (Some(inotify), None),
            Err(errno) => (None, Some(errno)),
        };
        let mut watches = Watches { inotify, watches: Vec::new(), directories, is_blind };
        if let Some(errno) = failure {
            watches.be_blind(errno);
        }
        watches.renew();
        watches.has_another_stamp();
        watches.is_whole();
        for watched in &watches.directories {
            match watched.root.directory(&watched.place).map_err(|error| error.kind()) {
                Err(io::ErrorKind::NotADirectory) => return Err(WatchError { place: watched.name() }),
                Err(_) => log::warn!("{}: no such directory yet; waiting for it", watched.name()),
                Ok(_) => {}
            }
        }
        Ok(watches)
    }

    /// Sleeps until the content of a directory may have changed, but at most for `timeout`. Answers whether it may
    /// have changed.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> bool {
        let is_looking = self.is_blind || self.directories.iter().any(|watched| watched.is_missed);
        let look = is_looking.then_some(LOOK);
        let least = timeout.into_iter().chain(look).min();
        let events = self.events(least);
        let mut is_changed = events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW));
        if is_changed {
            log::info!("inotify(7) dropped events because its queue was full; reading everything again");
        }
        is_changed |= self.watches.iter().any(|watch| events.iter().any(|event| watch.concerns(event)));
        is_changed |= self.renew();
        let was_missed = self.directories.iter().any(|watched| watched.is_missed);
        let is_whole = self.is_whole();
        is_changed |= was_missed || (is_looking && self.has_another_stamp());
        is_changed && is_whole
    }

    /// Whether every directory has as much content as it had: links, files or at least a place. A directory with less is
    /// being made again, and its facts would be incomplete.
    pub(crate) fn is_whole(&mut self) -> bool {
        // Every directory is checked, because each may need a warning.
        self.directories.iter_mut().map(Watched::is_whole).filter(|is_whole| !is_whole).count() == 0
    }

    /// The events of at most this time.
    fn events(&self, timeout: Option<Duration>) -> Vec<InotifyEvent> {
        let Some(inotify) = &self.inotify else {
            std::thread::sleep(timeout.unwrap_or(LOOK));
            return Vec::new();
        };
        let timeout = timeout.map(|timeout| PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
        let _ = poll(&mut [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)], timeout);
        inotify.read_events().unwrap_or_default()
    }

    /// Watches the directories that have these names now. Answers whether there is a new one among them.
    fn renew(&mut self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut watches = Vec::new();
        let mut failure = None;
        for (of, watched) in self.directories.iter().enumerate() {
            for (directory, role) in watched.to_watch() {
                match inotify.add_watch(directory.path().as_str(), CHANGES) {
                    Ok(descriptor) => watches.push(Watch { descriptor, of, role }),
                    Err(errno) => failure = Some(errno),
                }
            }
        }
        let is_new = watches.iter().any(|watch| watch.role != Role::Above && !self.watches.contains(watch));
        for old in &self.watches {
            if !watches.iter().any(|watch| watch.descriptor == old.descriptor) {
                // The kernel has removed it already if its directory is gone.
                let _ = inotify.rm_watch(old.descriptor);
            }
        }
        self.watches = watches;
        if let Some(errno) = failure {
            self.be_blind(errno);
        }
        is_new
    }

    /// Warns once that changes are found by looking.
    fn be_blind(&mut self, errno: Errno) {
        if !std::mem::replace(&mut self.is_blind, true) {
            let why = match errno {
                Errno::EMFILE => {
                    "too many inotify instances; raise fs.inotify.max_user_instances on the node"
                }
                Errno::ENOSPC => "too many inotify watches; raise fs.inotify.max_user_watches on the node",
                errno => errno.desc(),
            };
            log::warn!("cannot watch for changes: {why}; looking for them every {} seconds", LOOK.as_secs());
        }
    }

    fn has_another_stamp(&mut self) -> bool {
        self.directories.iter_mut().map(Watched::has_another_stamp).filter(|is_another| *is_another).count()
            > 0
    }
}

impl Watch {
    /// Whether `event` is about this watch, and about what the directory contains.
    fn concerns(&self, event: &InotifyEvent) -> bool {
        let name = event.name.as_deref().map(|name| name.to_string_lossy());
        // In a volume the kubelet makes and removes versions, whose names begin with two dots.
        let is_version = name.is_some_and(|name| name.starts_with("..") && name != DATA);
        let is_content = match self.role {
            Role::Above => false,
            Role::Itself => !is_version,
            Role::Version => true,
        };
        event.wd == self.descriptor && is_content && !event.mask.contains(AddWatchFlags::IN_IGNORED)
    }
}

impl<'a> Watched<'a> {
    fn new(root: &'a Root, place: PathBuf) -> Self {
        Watched { root, place, content: Content::Nothing, stamp: Vec::new(), is_missed: false }
    }

    fn name(&self) -> String {
        self.root.display(&self.place)
    }

    /// The open directories to watch.
    fn to_watch(&self) -> Vec<(Directory, Role)> {
        if let Ok(directory) = self.root.directory(&self.place) {
            let published = read_published(&directory, |published| published.directory(".")).ok();
            let version = published.filter(|it| !it.is(&directory)).map(|version| (version, Role::Version));
            return [(directory, Role::Itself)].into_iter().chain(version).collect();
        }
        let mut above = self.place.ancestors().skip(1);
        let nearest = above.find_map(|above| self.root.directory(above).ok());
        nearest.into_iter().map(|nearest| (nearest, Role::Above)).collect()
    }

    fn is_whole(&mut self) -> bool {
        let content = self.root.directory(&self.place).and_then(|directory| Content::of(&directory));
        let is_missed = content.as_ref().unwrap_or(&Content::Nothing) < &self.content;
        if is_missed && !std::mem::replace(&mut self.is_missed, is_missed) {
            let why = match &content {
                Err(error) if error.kind() != io::ErrorKind::NotFound => error.to_string(),
                _ => "the volume is gone: it was emptied, removed or unmounted".to_owned(),
            };
            log::warn!("{}: {why}; keeping the files as they are until it is back", self.name());
        }
        self.is_missed = is_missed;
        self.content = self.content.max(content.unwrap_or(Content::Nothing));
        !is_missed
    }

    fn has_another_stamp(&mut self) -> bool {
        let directory = self.root.directory(&self.place);
        let stamp = directory.and_then(|directory| directory.stamp()).unwrap_or_default();
        let is_another = stamp != self.stamp;
        self.stamp = stamp;
        is_another
    }
}

impl Content {
    fn of(directory: &Directory) -> io::Result<Self> {
        read_published(directory, |published| {
            Ok(match (published.is(directory), published.names()?.is_empty()) {
                (true, true) => Content::Nothing,
                (false, false) => Content::Version,
                _ => Content::Files,
            })
        })
    }
}

/// Whether the file system at `place` sends no events: the share of a sandbox, whose files change outside.
fn is_silent(surroundings: &Surroundings, place: &Path) -> bool {
    let mounts = surroundings.mounts().into_iter().flatten();
    let around = mounts.filter(|mount| place.starts_with(&*mount.mount_point()));
    // The last of several mounts at one mount point is on top.
    let nearest = around.max_by_key(|mount| mount.mount_point().len());
    nearest.is_some_and(|mount| mount.is_shared_by_sandbox())
}
