//! The context of a run: everything that the sources read about the described container.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::system::environment::Environment;
use crate::system::mountinfo::{self, Mount};
use crate::system::root::{Directory, Root};

/// Where the kubelet mounts the credentials of the service account
/// (`plugin/pkg/admission/serviceaccount`, `DefaultAPITokenMountPath`).
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The container of this process or of another one, or a recorded container.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) root: Root,
    /// The environment of the container: that of the process, or the recorded one.
    pub(crate) environment: Cow<'a, Environment>,
    /// `--volume`: the directories of downwardAPI volumes; empty for the default ones.
    pub(crate) volumes: Vec<PathBuf>,
    /// `--token-file`: a token to read. It is never sent.
    pub(crate) token_file: Option<PathBuf>,
    /// When the first token that was read was issued, in seconds since 1970. The kubelet replaces the token later, but the
    /// age of the pod counts from this time.
    pub(crate) issued: OnceCell<u64>,
    /// The size of a memory page, in bytes.
    pub(crate) page_size: u64,
    pub(crate) clock: fn() -> Instant,
    /// The directory in `/proc` of the process of `--process`, and its path. If the process has ended, reads fail: they
    /// never return data of a later process with the same ID.
    process: Option<(Directory, PathBuf)>,
    mountinfo: OnceCell<io::Result<String>>,
}

/// The process that `--process` names cannot be described.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error(
        "--process {pid}: no process has this ID here; in a container of kubectl debug, --target=CONTAINER \
         shows the processes of that container, and its first one is 1"
    )]
    NoProcess { pid: u32 },
    #[error(
        "--process {pid}: /proc/{pid}/{file}: {source}; introspod must run as the user and group of that process, \
         or as root with the capability SYS_PTRACE: give kubectl debug --custom=FILE with the container's \
         runAsUser and runAsGroup, or with \"runAsUser\": 0 and --profile=general (or --profile=sysadmin)"
    )]
    NotPermitted { pid: u32, file: &'static str, source: io::Error },
    #[error("--process {pid}: /proc/{pid}/{file}: {source}")]
    Unreadable { pid: u32, file: &'static str, source: io::Error },
}

impl<'a> Surroundings<'a> {
    /// The surroundings of a container with the root directory `root`. `environment` is that of this process.
    pub(crate) fn new(root: Root, environment: &'a Environment, clock: fn() -> Instant) -> Self {
        let environment = if root.is_system() {
            Cow::Borrowed(environment)
        } else {
            // The environment of a dry run does not belong to the pod.
            let recorded = root.read(Path::new("/proc/self/environ"));
            Cow::Owned(recorded.map(Environment::new).unwrap_or_default())
        };
        Self::of(None, root, environment, clock)
    }

    /// The surroundings of another process: the files below its root directory, its environment,
    /// mounts and control groups.
    ///
    /// # Errors
    /// The process does not exist, or this process may not read it (`PTRACE_MODE_READ_FSCREDS` in `ptrace(2)`).
    pub(crate) fn of_process(pid: u32, clock: fn() -> Instant) -> Result<Self, TargetError> {
        let path = PathBuf::from(format!("/proc/{pid}"));
        let failed = |file, source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => TargetError::NoProcess { pid },
            io::ErrorKind::PermissionDenied => TargetError::NotPermitted { pid, file, source },
            _ => TargetError::Unreadable { pid, file, source },
        };
        let directory = Directory::open(&path).map_err(|source| failed("", source))?;
        let root = directory.follow("root").map_err(|source| failed("root", source))?;
        let environ = directory.read("environ").map_err(|source| failed("environ", source))?;
        let root = Root::of_process(path.join("root"), root);
        Ok(Self::of(Some((directory, path)), root, Cow::Owned(Environment::new(environ)), clock))
    }

    fn of(
        process: Option<(Directory, PathBuf)>,
        root: Root,
        environment: Cow<'a, Environment>,
        clock: fn() -> Instant,
    ) -> Self {
        let page_size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
        let page_size = page_size.ok().flatten().and_then(|size| u64::try_from(size).ok()).unwrap_or(4096);
        let (volumes, token_file) = (Vec::new(), None);
        let (issued, mountinfo) = (OnceCell::new(), OnceCell::new());
        Surroundings { root, environment, volumes, token_file, issued, page_size, clock, process, mountinfo }
    }

    /// Whether the container is running and not recorded. Only then may its API server and token be used.
    pub(crate) fn is_running(&self) -> bool {
        self.root.is_system() || self.process.is_some()
    }

    /// The mounts that the process sees (`/proc/self/mountinfo`), in order. The file is read once.
    pub(crate) fn mounts(&self) -> Result<impl Iterator<Item = Mount<'_>>, &io::Error> {
        self.mountinfo().map(mountinfo::parse)
    }

    /// Those of the mounts whose lines have one of `parts` in them.
    pub(crate) fn mounts_with(
        &self,
        parts: &'static [&str],
    ) -> Result<impl Iterator<Item = Mount<'_>>, &io::Error> {
        self.mountinfo().map(|text| mountinfo::parse_with(text, parts))
    }

    fn mountinfo(&self) -> Result<&str, &io::Error> {
        self.mountinfo.get_or_init(|| self.read_process("mountinfo")).as_deref()
    }

    /// Whether the kernel says that it is gVisor's. Older versions do not say it.
    pub(crate) fn is_gvisor(&self) -> bool {
        let files = ["/proc/version", "/proc/sys/kernel/osrelease"];
        let mut texts = files.iter().filter_map(|file| self.root.read(Path::new(file)).ok());
        texts.any(|text| String::from_utf8_lossy(&text).contains("gvisor"))
    }

    /// The hostname of the container. It can differ from the pod's name, for example with `spec.hostname` or
    /// on the host network.
    pub(crate) fn hostname(&self) -> Option<String> {
        // /proc/sys shows the hostname of the process that reads it.
        let of_kernel = self.process.is_none().then_some("/proc/sys/kernel/hostname");
        let files = of_kernel.into_iter().chain(["/etc/hostname"]);
        let mut names = files.filter_map(|file| self.read_text(Path::new(file)).ok());
        names.find_map(|name| Some(name.trim().to_owned()).filter(|name| !name.is_empty()))
    }

    /// A file of the service account's credentials.
    pub(crate) fn service_account_file(name: &str) -> PathBuf {
        Path::new(SERVICE_ACCOUNT).join(name)
    }

    /// The text of a file of the process, such as `cgroup`. Names of directories and control groups may be any bytes; the
    /// relevant ones are ASCII.
    ///
    /// # Errors
    /// Those of [`Root::read`], with the path.
    pub(crate) fn read_process(&self, name: &str) -> io::Result<String> {
        let own = Path::new("/proc/self").join(name);
        let content = match &self.process {
            Some((directory, path)) => {
                directory.read(name).map_err(|error| at(&path.join(name).display().to_string(), &error))
            }
            None => self.root.read(&own).map_err(|error| at(&self.root.display(&own), &error)),
        };
        Ok(String::from_utf8(content?)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// The text of a file below the root.
    ///
    /// # Errors
    /// Those of [`Root::read`], with the path; the file is not UTF-8.
    pub(crate) fn read_text(&self, path: &Path) -> io::Result<String> {
        let text = self
            .root
            .read(path)
            .and_then(|content| String::from_utf8(content).map_err(|_| io::Error::other("not valid UTF-8")));
        text.map_err(|error| at(&self.root.display(path), &error))
    }
}

/// The error of reading the file at `path`, with the path.
fn at(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}
