//! Reads files below the root directory, which `--root` can change.
//!
//! A path such as `/var/run/…` is looked up inside the root directory, and no symbolic link leads out of
//! it. Tests and dry runs use this to read recorded containers.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

/// The largest file that is read, in bytes. The files of the kubelet and the kernel are much smaller.
const FILE_LIMIT: u64 = 8 << 20;

/// The expected content of files without a size, in bytes.
const PROC_SIZE: usize = 4096;

/// The flags for opening a directory from which paths start.
const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// The root directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    #[error("--root {path}: {source}")]
    Open { path: String, source: io::Error },
    #[error(
        "--root {path}: this directory shows the live /proc of a running system, where /proc/self is introspod \
         itself; to describe a running container, use --process PID with the ID of one of its processes"
    )]
    LiveProc { path: String },
}

/// A root directory.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    // None is the root directory of this process, where paths need no bounds.
    top: Option<Directory>,
}

impl Root {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// Those of `open(2)`; the directory shows a live `/proc`, and is not the root directory of this process.
    pub(crate) fn open(path: &Path) -> Result<Root, RootError> {
        let display = || path.display().to_string();
        if path == Path::new("/") {
            return Ok(Root { path: path.to_owned(), top: None });
        }
        // Do not canonicalise the path: the link /proc/PID/root reads "/", but leads to another directory.
        let descriptor = open(path, DIRECTORY, Mode::empty())
            .map_err(|errno| RootError::Open { path: display(), source: errno.into() })?;
        if is_own_root(&descriptor) {
            return Ok(Root { path: PathBuf::from("/"), top: None });
        }
        let top = Directory { descriptor, is_recorded: true };
        if top.open_in(Path::new("/proc"), DIRECTORY, Bounds::Root).is_ok_and(|proc| is_live_proc(&proc)) {
            return Err(RootError::LiveProc { path: display() });
        }
        Ok(Root { path: path.to_owned(), top: Some(top) })
    }

    /// The root directory of another process. Messages show it as `path`.
    pub(crate) fn of_process(path: PathBuf, descriptor: OwnedFd) -> Root {
        Root { path, top: Some(Directory { descriptor, is_recorded: false }) }
    }

    /// Whether this is the root directory of this process.
    pub(crate) fn is_system(&self) -> bool {
        self.top.is_none()
    }

    /// The path for messages: with the root directory before it.
    pub(crate) fn display(&self, path: &Path) -> String {
        match self.top {
            None => path.display().to_string(),
            Some(_) => self.path.join(path.strip_prefix("/").unwrap_or(path)).display().to_string(),
        }
    }

    /// The content of the regular file at `path`.
    ///
    /// # Errors
    /// Those of `open(2)` and `read(2)`; the file is not regular, or larger than 8 MiB.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_regular(self.open_at(path, READ)?)
    }

    /// The directory at `path`.
    pub(crate) fn directory(&self, path: &Path) -> io::Result<Directory> {
        let descriptor = self.open_at(path, READ | OFlag::O_DIRECTORY)?;
        let is_recorded = self.top.as_ref().is_some_and(|top| top.is_recorded);
        Ok(Directory { descriptor, is_recorded })
    }

    fn open_at(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        match &self.top {
            None => openat(AT_FDCWD, path, flags, Mode::empty()),
            Some(top) => top.open_in(path, flags, Bounds::Root),
        }
    }
}

/// Whether `directory` is the root directory of this process, in the same mount: another mount namespace
/// may show the same directory with other mounts below it.
fn is_own_root(directory: &OwnedFd) -> bool {
    let identity = |directory: &OwnedFd| {
        let status = fstat(directory).ok()?;
        Some((status.st_dev, status.st_ino, mount_id(directory)))
    };
    let own = open("/", DIRECTORY, Mode::empty()).ok().and_then(|own| identity(&own));
    own.is_some() && own == identity(directory)
}

/// The ID of the mount that contains `directory` (`proc_pid_fdinfo(5)`). Two namespaces never share one.
fn mount_id(directory: &OwnedFd) -> Option<String> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", directory.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(|id| id.trim().to_owned())
}

fn is_live_proc(directory: &OwnedFd) -> bool {
    fstatfs(directory).is_ok_and(|status| status.filesystem_type() == PROC_SUPER_MAGIC)
}

/// An open directory. It stays the same directory, even if another one gets its name.
#[derive(Debug)]
pub(crate) struct Directory {
    descriptor: OwnedFd,
    /// It is part of a recorded container, which may have files in place of symbolic links.
    is_recorded: bool,
}

impl Directory {
    /// Opens the directory at `path`. The lookup is not below a root directory.
    pub(crate) fn open(path: &Path) -> io::Result<Directory> {
        let descriptor = open(path, READ | OFlag::O_DIRECTORY, Mode::empty())?;
        Ok(Directory { descriptor, is_recorded: false })
    }

    /// The names in the directory, sorted, without `.` and `..`.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut directory = nix::dir::Dir::from_fd(self.descriptor.as_fd().try_clone_to_owned()?)?;
        let mut names: Vec<String> = Vec::new();
        for entry in directory.iter() {
            names.extend(listed_name(entry?.file_name()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The content of the regular file `name`, with the bounds of [`Directory::file`].
    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        read_regular(self.open_in(Path::new(name), READ, Bounds::Beneath)?)
    }

    /// The regular file `name`, up to 8 MiB. A link that leads out of this directory fails with `EXDEV`
    /// (`openat2(2)`, `RESOLVE_BENEATH`).
    pub(crate) fn file(&self, name: &str) -> io::Result<io::Take<File>> {
        let (file, _) = regular(self.open_in(Path::new(name), READ, Bounds::Beneath)?)?;
        Ok(file.take(FILE_LIMIT))
    }

    /// The directory `name` in this one, with the bounds of [`Directory::read`].
    pub(crate) fn directory(&self, name: &str) -> io::Result<Directory> {
        let descriptor = self.open_in(Path::new(name), READ | OFlag::O_DIRECTORY, Bounds::Beneath)?;
        Ok(Directory { descriptor, is_recorded: self.is_recorded })
    }

    /// The target of the magic link `name` of `/proc`, such as `root` of a process (`proc(5)`).
    pub(crate) fn follow(&self, name: &str) -> io::Result<OwnedFd> {
        Ok(openat(&self.descriptor, name, DIRECTORY, Mode::empty())?)
    }

    /// A path to this directory, for calls that do not accept a descriptor.
    pub(crate) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.descriptor.as_raw_fd())
    }

    /// Whether both are the same directory, even if its name has changed.
    pub(crate) fn is(&self, other: &Directory) -> bool {
        let identity = |directory: &Directory| {
            let status = fstat(&directory.descriptor).ok()?;
            Some((status.st_dev, status.st_ino))
        };
        identity(self) == identity(other)
    }

    /// Opens `path` from this directory.
    fn open_in(&self, path: &Path, flags: OFlag, bounds: Bounds) -> nix::Result<OwnedFd> {
        if !self.is_recorded {
            let resolve = match bounds {
                Bounds::Root => ResolveFlag::RESOLVE_IN_ROOT,
                Bounds::Beneath => ResolveFlag::RESOLVE_BENEATH,
            };
            match openat2(&self.descriptor, path, OpenHow::new().flags(flags).resolve(resolve)) {
                // openat2(2) needs Linux 5.6. A sandbox may forbid it, and it fails in a race.
                Err(Errno::ENOSYS | Errno::EPERM | Errno::EAGAIN) => {}
                opened => return opened,
            }
        }
        self.walk(path, flags, bounds)
    }

    /// Opens `path` step by step, with the rules of `openat2(2)`.
    fn walk(&self, path: &Path, flags: OFlag, bounds: Bounds) -> nix::Result<OwnedFd> {
        let mut parents: Vec<OwnedFd> = Vec::new();
        let mut rest = path.to_owned();
        let mut links = 0;
        loop {
            let parent = parents.last().unwrap_or(&self.descriptor);
            let mut components = rest.components();
            let Some(component) = components.next() else {
                return openat(parent, ".", flags, Mode::empty());
            };
            let after = components.as_path().to_owned();
            let is_last = after.as_os_str().is_empty();
            match component {
                Component::RootDir | Component::ParentDir if bounds.are_left(component, &parents) => {
                    return Err(Errno::EXDEV);
                }
                Component::RootDir => parents.clear(),
                Component::ParentDir => drop(parents.pop()),
                Component::Normal(name) => match self.link(parent, name)? {
                    Some(_) if links == LINK_LIMIT => return Err(Errno::ELOOP),
                    Some(target) => {
                        links += 1;
                        rest = target.join(after);
                        continue;
                    }
                    None if is_last => return openat(parent, name, flags | OFlag::O_NOFOLLOW, Mode::empty()),
                    None => {
                        let next = openat(parent, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())?;
                        parents.push(next);
                    }
                },
                Component::CurDir | Component::Prefix(_) => {}
            }
            rest = after;
        }
    }

    /// The target of the symbolic link `name` in `parent`, if it is one.
    fn link(&self, parent: &OwnedFd, name: &OsStr) -> nix::Result<Option<PathBuf>> {
        match readlinkat(parent, name) {
            Ok(target) => Ok(Some(PathBuf::from(target))),
            Err(Errno::EINVAL) if self.is_recorded => Ok(kept_link(parent, name)),
            Err(Errno::EINVAL) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

/// The bounds of a path.
#[derive(Clone, Copy, PartialEq)]
enum Bounds {
    /// The directory is the root directory of the path: `/` and `..` do not lead out of it.
    Root,
    /// The path must stay below the directory.
    Beneath,
}

impl Bounds {
    /// Whether `component`, which is `/` or `..`, leads out of the bounds.
    fn are_left(self, component: Component, parents: &[OwnedFd]) -> bool {
        self == Bounds::Beneath && (component == Component::RootDir || parents.is_empty())
    }
}

/// The largest number of symbolic links in one path (`path_resolution(7)`).
const LINK_LIMIT: u32 = 40;

/// The flags for opening a file to read. A FIFO must not block.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

/// The target of a link of the kubelet that a copy of a recorded container has as a file. Git writes such
/// files if `core.symlinks` is off (`git-config(1)`).
fn kept_link(parent: &OwnedFd, name: &OsStr) -> Option<PathBuf> {
    let file = openat(parent, name, READ | OFlag::O_NOFOLLOW, Mode::empty()).ok()?;
    let mut content = Vec::new();
    File::from(file).take(NAME_LIMIT + 1).read_to_end(&mut content).ok()?;
    let target = std::str::from_utf8(&content).ok()?;
    let is_link = target.starts_with("..data/") || (target.starts_with("..2") && !target.contains('/'));
    let is_path = content.len() as u64 <= NAME_LIMIT && !target.contains(char::is_control);
    (is_link && is_path).then(|| PathBuf::from(target))
}

/// The longest name of a file, in bytes (`NAME_MAX`). The kubelet's links are not longer.
const NAME_LIMIT: u64 = 255;

fn listed_name(name: &CStr) -> Option<String> {
    match OsStr::from_bytes(name.to_bytes()).to_str()? {
        "." | ".." => None,
        name => Some(name.to_owned()),
    }
}

fn read_regular(descriptor: OwnedFd) -> io::Result<Vec<u8>> {
    let (file, size) = regular(descriptor)?;
    // Files of /proc and of control groups have the size 0. One read(2) reads most of them.
    let mut content = Vec::with_capacity((size + 1).max(PROC_SIZE));
    file.take(FILE_LIMIT + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_LIMIT {
        return Err(too_large());
    }
    Ok(content)
}

/// The regular file and its size. A read from a FIFO would hang, and one from a device may not end.
fn regular(descriptor: OwnedFd) -> io::Result<(File, usize)> {
    let file = File::from(descriptor);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() > FILE_LIMIT {
        return Err(too_large());
    }
    Ok((file, usize::try_from(metadata.len()).unwrap_or_default()))
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "larger than 8 MiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        std::fs::write(directory.path().join("etc/hosts"), "inside").unwrap();
        let root = Root::open(directory.path()).unwrap();
        (directory, root)
    }

    #[test]
    fn absolute_paths_are_looked_up_inside() {
        let (_keep, root) = root();
        assert_eq!(root.read(Path::new("/etc/hosts")).unwrap(), b"inside");
        assert!(!root.is_system());
    }

    #[test]
    fn symbolic_links_stay_inside() {
        let (keep, root) = root();
        symlink("/etc/hosts", keep.path().join("absolute")).unwrap();
        symlink("../../../../../../../../etc/hosts", keep.path().join("climbing")).unwrap();
        for link in ["/absolute", "/climbing"] {
            assert_eq!(root.read(Path::new(link)).unwrap(), b"inside");
        }
    }

    #[test]
    fn links_to_directories_and_chains_of_links_are_followed() {
        let (keep, root) = root();
        symlink("/etc", keep.path().join("directory")).unwrap();
        symlink("directory/./../directory/hosts", keep.path().join("chain")).unwrap();
        for path in ["/directory/hosts", "/chain", "/directory/../chain", "//etc//hosts"] {
            assert_eq!(root.read(Path::new(path)).unwrap(), b"inside", "{path}");
        }
        assert_eq!(root.directory(Path::new("/directory")).unwrap().names().unwrap(), ["hosts"]);
        assert_eq!(root.directory(Path::new("/..")).unwrap().names().unwrap().len(), 3);
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let (keep, root) = root();
        symlink("loop", keep.path().join("loop")).unwrap();
        for (path, errno) in [
            ("/loop", Errno::ELOOP),
            ("/etc/hosts/x", Errno::ENOTDIR),
            ("/etc/none", Errno::ENOENT),
            ("/none/hosts", Errno::ENOENT),
        ] {
            let error = root.read(Path::new(path)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno as i32), "{path}: {error}");
        }
        let error = root.directory(Path::new("/etc/hosts")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ENOTDIR as i32));
    }

    #[test]
    fn a_fifo_does_not_hang() {
        let (keep, root) = root();
        nix::unistd::mkfifo(&keep.path().join("fifo"), Mode::S_IRWXU).unwrap();
        let error = root.read(Path::new("/fifo")).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }

    #[test]
    fn a_directory_is_named_without_dots() {
        let (_keep, root) = root();
        assert_eq!(root.directory(Path::new("/etc")).unwrap().names().unwrap(), ["hosts"]);
    }

    #[test]
    fn the_system_root_is_recognised_under_any_name() {
        for path in ["/", "/.", "/proc/self/root"] {
            assert!(Root::open(Path::new(path)).unwrap().is_system(), "{path}");
        }
    }

    /// The same directory, by openat2(2) and step by step.
    fn both(path: &Path) -> [Directory; 2] {
        [false, true].map(|is_recorded| Directory { is_recorded, ..Directory::open(path).unwrap() })
    }

    #[test]
    fn a_link_of_a_directory_leads_only_below_it() {
        let (keep, _root) = root();
        let volume = keep.path().join("etc");
        std::fs::create_dir(volume.join("..1")).unwrap();
        std::fs::write(volume.join("..1/name"), "below").unwrap();
        symlink("..1", volume.join("..data")).unwrap();
        symlink("..data/name", volume.join("name")).unwrap();
        symlink("../etc/hosts", volume.join("climbing")).unwrap();
        symlink("/etc/hostname", volume.join("absolute")).unwrap();
        symlink("..data/../..", volume.join("above")).unwrap();
        for directory in both(&volume) {
            assert_eq!(directory.read("name").unwrap(), b"below");
            assert_eq!(directory.directory("..data").unwrap().names().unwrap(), ["name"]);
            for name in ["climbing", "absolute", "above"] {
                let error = directory.read(name).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(Errno::EXDEV as i32), "{name}: {error}");
            }
        }
    }

    #[test]
    fn both_ways_to_a_root_s_files_are_one() {
        let (keep, _root) = root();
        symlink("/etc", keep.path().join("directory")).unwrap();
        symlink("../../etc/hosts", keep.path().join("climbing")).unwrap();
        for directory in both(keep.path()) {
            for path in ["/directory/hosts", "/climbing", "/../directory/../climbing"] {
                let file = directory.open_in(Path::new(path), READ, Bounds::Root).unwrap();
                assert_eq!(read_regular(file).unwrap(), b"inside", "{path}");
            }
        }
    }

    #[test]
    fn a_link_kept_as_a_file_is_followed_in_a_recorded_container() {
        let (keep, root) = root();
        std::fs::create_dir(keep.path().join("etc/..2026")).unwrap();
        std::fs::write(keep.path().join("etc/..2026/name"), "kept").unwrap();
        std::fs::write(keep.path().join("etc/..data"), "..2026").unwrap();
        std::fs::write(keep.path().join("etc/name"), "..data/name").unwrap();
        assert_eq!(root.read(Path::new("/etc/name")).unwrap(), b"kept");
    }
}
