//! Other processes: the one that `--process` names, and the one to notify.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use crate::system::environment::Environment;
use crate::system::root::{Directory, Root};

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

/// A process, by its open directory in `/proc`. If the process has ended, reads fail: they never return data
/// of a later process with the same ID.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    directory: Directory,
}

impl Target {
    /// The process `pid`, its root directory and its environment.
    ///
    /// # Errors
    /// The process does not exist, or this process may not read it (`PTRACE_MODE_READ_FSCREDS` in `ptrace(2)`).
    pub(crate) fn open(pid: u32) -> Result<(Target, Root, Environment), TargetError> {
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
        Ok((Target { path, directory }, root, Environment::new(environ)))
    }

    /// The content of a file of the process, such as `mountinfo`.
    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.directory.read(name)
    }

    /// The path of a file of the process, such as `mountinfo`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The longest name of a process, in bytes (`comm` in `proc_pid_comm(5)`). The kernel cuts longer ones.
const NAME_LIMIT: usize = 15;

/// The oldest process of this name (`proc_pid_comm(5)`), except this one. A program's first process is the one that
/// reads its configuration again.
pub(crate) fn oldest(name: &str) -> Option<Pid> {
    let name = &name.as_bytes()[..name.len().min(NAME_LIMIT)];
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw);
    let named = pids.filter(|pid| {
        let comm = fs::read(format!("/proc/{pid}/comm"));
        *pid != Pid::this() && comm.is_ok_and(|comm| comm.trim_ascii_end() == name)
    });
    named.filter_map(|pid| Some((started(pid)?, pid))).min().map(|(_, pid)| pid)
}

/// When a process was started, in clock ticks since boot (`proc_pid_stat(5)`); `None` if it has ended.
fn started(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    fields.next().filter(|state| *state != "Z")?;
    fields.nth(18)?.parse().ok()
}
