//! Reads files below the root directory, which `--root` can change.
//!
//! A path such as `/var/run/…` is looked up inside the root directory, and no symbolic link leads out of
//! it. Tests and dry runs use this to read recorded containers.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::libc::{dev_t, ino_t};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, Statfs, fstatfs};

/// The largest file and the largest answer of the API server that is read, in bytes. The files of the kubelet
/// and the kernel are much smaller, and etcd holds no object of more than 1.5 MiB (`--max-request-bytes`).
pub(crate) const SIZE_LIMIT: u64 = 8 << 20;

/// The expected content of a file of `/proc` or of a control group, which have no size, in bytes.
const PROC_SIZE: usize = 1000;

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
    // `None` is the root directory of this process, where paths need no bounds.
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
            return Root::open(Path::new("/"));
        }
        let root = Root::below(path.to_owned(), descriptor, false);
        let proc = root.directory(Path::new("/proc"));
        let is_proc = |status: Statfs| status.filesystem_type() == PROC_SUPER_MAGIC;
        if proc.is_ok_and(|proc| fstatfs(&proc.descriptor).is_ok_and(is_proc)) {
            return Err(RootError::LiveProc { path: display() });
        }
        Ok(root)
    }

    /// The root directory of another process. Messages show it as `path`.
    pub(crate) fn of_process(path: PathBuf, descriptor: OwnedFd) -> Root {
        Root::below(path, descriptor, true)
    }

    fn below(path: PathBuf, descriptor: OwnedFd, is_foreign: bool) -> Root {
        Root { path, top: Some(Directory { descriptor, bounds: ResolveFlag::RESOLVE_IN_ROOT, is_foreign }) }
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
        match &self.top {
            None => read_all(only_regular(open(path, READ, Mode::empty())?)?),
            Some(top) => top.read(path),
        }
    }

    /// The directory at `path`.
    pub(crate) fn directory(&self, path: &Path) -> io::Result<Directory> {
        match &self.top {
            None => Directory::open(path),
            Some(top) => top.directory(path),
        }
    }
}

/// Whether `directory` is the root directory of this process, in the same mount: another mount namespace
/// may show the same directory with other mounts below it.
fn is_own_root(directory: &OwnedFd) -> bool {
    let identity = |directory: &OwnedFd| Some((identity(directory)?, mount_id(directory)));
    let own = open("/", DIRECTORY, Mode::empty()).ok().and_then(|own| identity(&own));
    own.is_some() && own == identity(directory)
}

/// The device and the inode, which identify a file while it is open.
fn identity(descriptor: &OwnedFd) -> Option<(dev_t, ino_t)> {
    fstat(descriptor).ok().map(|status| (status.st_dev, status.st_ino))
}

/// The ID of the mount that contains `directory` (`proc_pid_fdinfo(5)`). Two namespaces never share one.
fn mount_id(directory: &OwnedFd) -> Option<String> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", directory.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(|id| id.trim().to_owned())
}

/// An open directory. It stays the same directory, even if another one gets its name.
#[derive(Debug)]
pub(crate) struct Directory {
    descriptor: OwnedFd,
    /// How the lookup of a path in it treats links that lead out of it.
    bounds: ResolveFlag,
    /// It is in the container of another process.
    is_foreign: bool,
}

impl Directory {
    /// Opens the directory at `path`. The lookup is not below a root directory.
    pub(crate) fn open(path: &Path) -> io::Result<Directory> {
        let descriptor = open(path, LISTED, Mode::empty())?;
        Ok(Directory { descriptor, bounds: ResolveFlag::RESOLVE_BENEATH, is_foreign: false })
    }

    /// The names in the directory that are UTF-8, sorted, without `.` and `..`.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut directory = nix::dir::Dir::from_fd(self.descriptor.try_clone()?)?;
        let mut names: Vec<String> = Vec::new();
        for entry in directory.iter() {
            names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
        }
        names.retain(|name| name != "." && name != "..");
        names.sort_unstable();
        Ok(names)
    }

    /// The content of the regular file at `path`, with the bounds of [`Directory::file`].
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        read_all(self.regular(path.as_ref())?)
    }

    /// The regular file `name`, up to 8 MiB. A link that leads out of this directory fails with `EXDEV`
    /// (`openat2(2)`, `RESOLVE_BENEATH`).
    pub(crate) fn file(&self, name: &str) -> io::Result<io::Take<File>> {
        Ok(self.regular(Path::new(name))?.0.take(SIZE_LIMIT))
    }

    /// The directory at `path` in this one, with the bounds of [`Directory::file`].
    pub(crate) fn directory(&self, path: impl AsRef<Path>) -> io::Result<Directory> {
        let descriptor = self.open_in(path.as_ref(), LISTED)?;
        Ok(Directory { descriptor, bounds: ResolveFlag::RESOLVE_BENEATH, is_foreign: self.is_foreign })
    }

    /// The text of the symbolic link `name`, and what it leads to: a new directory may have the name of an old one.
    pub(crate) fn link(&self, name: &str) -> (Option<OsString>, Option<(dev_t, ino_t)>) {
        let target = fstatat(&self.descriptor, name, AtFlags::empty());
        (readlinkat(&self.descriptor, name).ok(), target.ok().map(|it| (it.st_dev, it.st_ino)))
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
        identity(&self.descriptor) == identity(&other.descriptor)
    }

    /// A line for each file in the directory, links followed: its name, identity, size and times. A change of a file
    /// changes its line.
    pub(crate) fn stamp(&self) -> io::Result<Vec<String>> {
        let line = |name: &String| {
            let it = fstatat(&self.descriptor, name.as_str(), AtFlags::empty()).ok()?;
            let changed =
                format!("{}.{} {}.{}", it.st_mtime, it.st_mtime_nsec, it.st_ctime, it.st_ctime_nsec);
            Some(format!("{name} {} {} {} {changed}", it.st_dev, it.st_ino, it.st_size))
        };
        Ok(self.names()?.iter().filter_map(line).collect())
    }

    /// The regular file at `path`, and its size. A read from a FIFO would hang, and one from a device may not end.
    fn regular(&self, path: &Path) -> io::Result<(File, usize)> {
        if !self.is_foreign {
            return only_regular(self.open_in(path, READ)?);
        }
        // Opening a device or a FIFO can have an effect in the container of another process. So the file is opened for
        // reading only when it is known to be regular.
        let (found, size) = only_regular(self.open_in(path, OFlag::O_PATH | OFlag::O_CLOEXEC)?)?;
        let path = format!("/proc/self/fd/{}", found.as_raw_fd());
        Ok((open(path.as_str(), READ, Mode::empty())?.into(), size))
    }

    /// Opens `path` from this directory, within its bounds.
    fn open_in(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        match openat2(&self.descriptor, path, OpenHow::new().flags(flags).resolve(self.bounds)) {
            // openat2(2) needs Linux 5.6. A sandbox may forbid it, and it fails in a race.
            Err(Errno::ENOSYS | Errno::EPERM | Errno::EAGAIN) => self.walk(path, flags),
            opened => opened,
        }
    }

    /// Opens `path` step by step, with the rules of `openat2(2)`.
    fn walk(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let is_beneath = self.bounds == ResolveFlag::RESOLVE_BENEATH;
        let mut parents: Vec<OwnedFd> = Vec::new();
        let mut path = path.to_owned();
        for _ in 0..=LINK_LIMIT {
            let mut components = path.components();
            path = loop {
                let parent = parents.last().unwrap_or(&self.descriptor);
                match components.next() {
                    None => return openat(parent, ".", flags, Mode::empty()),
                    Some(Component::RootDir) if is_beneath => return Err(Errno::EXDEV),
                    Some(Component::ParentDir) if is_beneath && parents.is_empty() => {
                        return Err(Errno::EXDEV);
                    }
                    Some(Component::RootDir) => parents.clear(),
                    Some(Component::ParentDir) => drop(parents.pop()),
                    Some(Component::Normal(name)) => match readlinkat(parent, name) {
                        Ok(target) => break Path::new(&target).join(components.as_path()),
                        Err(Errno::EINVAL) if components.as_path().as_os_str().is_empty() => {
                            return openat(parent, name, flags | OFlag::O_NOFOLLOW, Mode::empty());
                        }
                        Err(Errno::EINVAL) => {
                            parents.push(openat(parent, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())?);
                        }
                        Err(errno) => return Err(errno),
                    },
                    Some(Component::CurDir | Component::Prefix(_)) => {}
                }
            };
        }
        Err(Errno::ELOOP)
    }
}

/// The largest number of symbolic links in one path (`path_resolution(7)`).
const LINK_LIMIT: u32 = 40;

/// The flags for opening a file to read. A FIFO must not block.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);
/// The flags for opening a directory to list.
const LISTED: OFlag = READ.union(OFlag::O_DIRECTORY);

fn only_regular(descriptor: OwnedFd) -> io::Result<(File, usize)> {
    let file = File::from(descriptor);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() > SIZE_LIMIT { Err(too_large()) } else { Ok((file, metadata.len() as usize)) }
}

fn read_all((file, size): (File, usize)) -> io::Result<Vec<u8>> {
    // One read(2) reads most files, and another one shows that there is no more.
    let mut content = Vec::with_capacity(if size > 0 { size + 1 } else { PROC_SIZE });
    file.take(SIZE_LIMIT + 1).read_to_end(&mut content)?;
    if content.len() as u64 > SIZE_LIMIT { Err(too_large()) } else { Ok(content) }
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
    fn openat2_and_the_walk_open_the_same_files() {
        let (keep, _root) = root();
        let volume = keep.path().join("etc");
        std::fs::create_dir(volume.join("..1")).unwrap();
        std::fs::write(volume.join("..1/name"), "below").unwrap();
        symlink("..1", volume.join("..data")).unwrap();
        symlink("..data/name", volume.join("name")).unwrap();
        symlink("../etc/hosts", volume.join("climbing")).unwrap();
        symlink("/etc/hosts", volume.join("absolute")).unwrap();
        symlink("..data/../..", volume.join("above")).unwrap();
        symlink("loop", volume.join("loop")).unwrap();
        symlink("hosts", volume.join("chain-1")).unwrap();
        for number in 1..=LINK_LIMIT {
            let link = volume.join(format!("chain-{}", number + 1));
            symlink(format!("chain-{number}"), link).unwrap();
        }
        let volume = Directory::open(&volume).unwrap();
        let top = Directory { bounds: ResolveFlag::RESOLVE_IN_ROOT, ..Directory::open(keep.path()).unwrap() };
        let content = |opened: nix::Result<OwnedFd>| Ok::<_, Errno>(read_all((opened?.into(), 0)).unwrap());
        for (directory, path, expected) in [
            (&volume, "name", Ok("below")),
            (&volume, "..data/../name", Ok("below")),
            (&volume, "climbing", Err(Errno::EXDEV)),
            (&volume, "absolute", Err(Errno::EXDEV)),
            (&volume, "above", Err(Errno::EXDEV)),
            (&volume, "loop", Err(Errno::ELOOP)),
            (&volume, "chain-40", Ok("inside")),
            (&volume, "chain-41", Err(Errno::ELOOP)),
            (&volume, "hosts/x", Err(Errno::ENOTDIR)),
            (&volume, "none", Err(Errno::ENOENT)),
            (&top, "/etc/climbing", Ok("inside")),
            (&top, "/etc/absolute", Ok("inside")),
            (&top, "/../etc/./../etc/name", Ok("below")),
            (&top, "/etc/loop", Err(Errno::ELOOP)),
            (&top, "/none/hosts", Err(Errno::ENOENT)),
        ] {
            let path = Path::new(path);
            let expected = expected.map(|text| text.as_bytes().to_vec());
            assert_eq!(content(directory.open_in(path, READ)), expected, "{path:?}");
            assert_eq!(content(directory.walk(path, READ)), expected, "{path:?}");
        }
    }
}
