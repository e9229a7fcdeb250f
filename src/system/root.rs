//! Every path below `--root`.
//!
//! The root directory is the seam of all tests and of the dry run on a recorded
//! container: a path such as `/var/run/…` is looked up inside it, and no
//! symbolic link leads out of it.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;

/// The most that is read of one file, in bytes; what the kubelet and the kernel write is far smaller.
const FILE_LIMIT: u64 = 8 << 20;

/// What files without a size are expected to hold, in bytes.
const PROC_SIZE: usize = 4096;

/// The root directory could not be used.
#[derive(Debug, thiserror::Error)]
#[error("--root {path}: {source}")]
pub struct RootError {
    path: String,
    source: io::Error,
}

/// A root directory.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    // None: the system's own root, where nothing needs to be confined.
    directory: Option<OwnedFd>,
}

impl Root {
    /// Opens the directory at `path`.
    pub fn open(path: &Path) -> Result<Root, RootError> {
        if path == Path::new("/") {
            return Ok(Root { path: path.to_owned(), directory: None });
        }
        let failed = |source: io::Error| RootError { path: path.display().to_string(), source };
        let canonical = path.canonicalize().map_err(failed)?;
        if canonical == Path::new("/") {
            return Ok(Root { path: canonical, directory: None });
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(&canonical, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        Ok(Root { path: path.to_owned(), directory: Some(directory) })
    }

    /// Whether this is the root directory of the process, and not of a recorded container.
    pub fn is_system(&self) -> bool {
        self.directory.is_none()
    }

    /// The path as a person would find it: below the root directory.
    pub(crate) fn display(&self, path: &Path) -> String {
        match self.directory {
            None => path.display().to_string(),
            Some(_) => self.path.join(path.strip_prefix("/").unwrap_or(path)).display().to_string(),
        }
    }

    /// The content of the regular file at `path`.
    ///
    /// # Errors
    /// Those of `open(2)` and `read(2)`; a file that is not regular, or larger than 8 MiB.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_regular(self.open_at(path, OFlag::O_RDONLY)?)
    }

    /// The directory at `path`.
    pub(crate) fn directory(&self, path: &Path) -> io::Result<Directory> {
        let descriptor = self.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        Ok(Directory { descriptor, confined: self.directory.is_some() })
    }

    fn open_at(&self, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let descriptor = match &self.directory {
            None => openat(AT_FDCWD, path, flags, Mode::empty())?,
            Some(directory) => open_below(directory, path, flags)?,
        };
        Ok(descriptor)
    }
}

/// An open directory: what is read through it is read from that very directory,
/// even when another one has taken its name meanwhile.
#[derive(Debug)]
pub(crate) struct Directory {
    descriptor: OwnedFd,
    confined: bool,
}

impl Directory {
    /// The names in the directory, sorted, without `.` and `..`.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut directory = nix::dir::Dir::from_fd(self.descriptor.as_fd().try_clone_to_owned()?)?;
        let mut names: Vec<String> = Vec::new();
        for entry in directory.iter() {
            if let Some(name) = listed_name(entry?.file_name()) {
                let place = names.partition_point(|before| *before < name);
                names.insert(place, name);
            }
        }
        Ok(names)
    }

    /// The content of the regular file `name`.
    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        read_regular(self.open_at(name, OFlag::O_RDONLY)?)
    }

    /// A path that leads to this very directory, for calls that take no descriptor.
    pub(crate) fn path(&self) -> String {
        format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.descriptor))
    }

    /// Whether both are one directory, whatever its name is by now.
    pub(crate) fn is(&self, other: &Directory) -> bool {
        let identity = |directory: &Directory| {
            let status = nix::sys::stat::fstat(&directory.descriptor).ok()?;
            Some((status.st_dev, status.st_ino))
        };
        identity(self) == identity(other)
    }

    /// The directory `name` in this one.
    pub(crate) fn directory(&self, name: &str) -> io::Result<Directory> {
        let descriptor = self.open_at(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        Ok(Directory { descriptor, confined: self.confined })
    }

    fn open_at(&self, name: &str, flags: OFlag) -> io::Result<OwnedFd> {
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let descriptor = match self.confined {
            false => openat(&self.descriptor, name, flags, Mode::empty())?,
            true => open_below(&self.descriptor, Path::new(name), flags)?,
        };
        Ok(descriptor)
    }
}

/// How many symbolic links one path may lead through, as `path_resolution(7)`.
const LINK_LIMIT: u32 = 40;

/// Opens `path` with `root` as its root directory, as `openat2(2)` does with `RESOLVE_IN_ROOT`, which
/// older kernels, sandboxed runtimes and tools that count instructions do not have.
fn open_below(root: &OwnedFd, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    walk(root, Vec::new(), path, flags, LINK_LIMIT)
}

/// Opens `path` from the last of `parents`, which are the directories from below `root` on.
fn walk(
    root: &OwnedFd,
    mut parents: Vec<OwnedFd>,
    path: &Path,
    flags: OFlag,
    links: u32,
) -> nix::Result<OwnedFd> {
    let mut components = path.components();
    while let Some(component) = components.next() {
        let name = match component {
            Component::Normal(name) => name,
            Component::RootDir => {
                parents.clear();
                continue;
            }
            Component::ParentDir => {
                parents.pop();
                continue;
            }
            Component::CurDir | Component::Prefix(_) => continue,
        };
        let rest = components.as_path();
        let is_last = rest.as_os_str().is_empty();
        let on_the_way = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let parent = parents.last().unwrap_or(root);
        let flags_here = OFlag::O_NOFOLLOW | if is_last { flags } else { on_the_way };
        match openat(parent, name, flags_here, Mode::empty()) {
            Ok(descriptor) if is_last => match kept_link(&descriptor) {
                Some(target) => return follow(root, parents, &target, flags, links),
                None => return Ok(descriptor),
            },
            Ok(descriptor) => parents.push(descriptor),
            Err(errno @ (Errno::ELOOP | Errno::ENOTDIR)) => {
                let kept = || kept_link(&openat(parent, name, READ, Mode::empty()).ok()?);
                let target = readlinkat(parent, name).ok().map(PathBuf::from).or_else(kept);
                // What is no link either stays what it is.
                let target = target.ok_or(errno)?.join(rest);
                return follow(root, parents, &target, flags, links);
            }
            Err(errno) => return Err(errno),
        }
    }
    openat(parents.last().unwrap_or(root), ".", flags, Mode::empty())
}

fn follow(
    root: &OwnedFd,
    parents: Vec<OwnedFd>,
    target: &Path,
    flags: OFlag,
    links: u32,
) -> nix::Result<OwnedFd> {
    walk(root, parents, target, flags, links.checked_sub(1).ok_or(Errno::ELOOP)?)
}

/// How a file is opened to be looked at.
const READ: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

/// The target of one of the kubelet's links in a recorded container that was copied to where there
/// are no links: a file that holds it, as git keeps links with `core.symlinks` off (`git-config(1)`).
fn kept_link(file: &OwnedFd) -> Option<PathBuf> {
    let mut content = [0; NAME_LIMIT + 1];
    let length = File::from(file.try_clone().ok()?).read_at(&mut content, 0).ok()?;
    if !content.starts_with(b"..") {
        return None;
    }
    let target = std::str::from_utf8(content.get(..length)?).ok()?;
    let is_link = target.starts_with("..data/") || (target.starts_with("..2") && !target.contains('/'));
    let is_path = length <= NAME_LIMIT && !target.contains(char::is_control);
    (is_link && is_path).then(|| PathBuf::from(target))
}

/// The longest name of a file, in bytes (`NAME_MAX`); the kubelet's links are no longer.
const NAME_LIMIT: usize = 255;

fn listed_name(name: &CStr) -> Option<String> {
    match OsStr::from_bytes(name.to_bytes()).to_str()? {
        "." | ".." => None,
        name => Some(name.to_owned()),
    }
}

fn read_regular(descriptor: OwnedFd) -> io::Result<Vec<u8>> {
    let file = File::from(descriptor);
    // A FIFO would hang, a device would never end.
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    // Files of /proc and of control groups say that they are empty; most are read whole by one read(2).
    let size = usize::try_from(metadata.len().min(FILE_LIMIT)).unwrap_or_default();
    let mut content = Vec::with_capacity((size + 1).max(PROC_SIZE));
    file.take(FILE_LIMIT + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 8 MiB"));
    }
    Ok(content)
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
}
