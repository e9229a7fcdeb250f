//! `execve(2)`, the lookup of a program in `PATH`, and the kernel's limits for arguments and environment.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use super::process::{ignore_sigpipe, restore_sigpipe};

/// The default of `PATH` (glibc's `confstr(_CS_PATH)`).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// The longest argument or environment entry in bytes, without its NUL (`MAX_ARG_STRLEN`, `execve(2)`).
pub(crate) const STRING_LIMIT: usize = 131_071;
/// The lower bound of the limit for arguments and environment together, in bytes (`ARG_MAX`, `execve(2)`).
const TOTAL_MINIMUM: u64 = 128 << 10;
/// Its upper bound, in bytes: three quarters of the kernel's `_STK_LIM` (`execve(2)`).
const TOTAL_MAXIMUM: u64 = 6 << 20;

/// Why a command was not executed.
#[derive(Debug, thiserror::Error)]
#[error("cannot execute {command:?}: {errno}")]
pub(crate) struct ExecError {
    pub(crate) command: OsString,
    #[source]
    pub(crate) errno: Errno,
    /// The file exists.
    pub(crate) is_found: bool,
}

/// Replaces this process by `command`. It looks up the command in the `PATH` of `environment` as
/// `execvp(3)` does, but does not start a shell for a file without a `#!` line.
///
/// # Errors
/// The most useful of the errors for the candidates in `PATH`.
pub(crate) fn become_command(
    command: &[OsString],
    environment: &[Cow<CStr>],
) -> Result<Infallible, ExecError> {
    let name = command.first().cloned().unwrap_or_default();
    let arguments: Result<Vec<CString>, _> =
        command.iter().map(|word| CString::new(word.as_bytes())).collect();
    let Ok(arguments) = arguments else {
        return Err(ExecError { command: name, errno: Errno::EINVAL, is_found: false });
    };
    restore_sigpipe();
    let error = execute_first(&name, &arguments, environment);
    // The reader of the error message may have gone, and that must not end the process.
    ignore_sigpipe();
    Err(error)
}

fn execute_first(name: &OsStr, arguments: &[CString], environment: &[Cow<CStr>]) -> ExecError {
    let failed = |errno, is_found| ExecError { command: name.to_owned(), errno, is_found };
    let mut best = failed(Errno::ENOENT, false);
    for candidate in candidates(name, environment) {
        let Ok(path) = CString::new(candidate) else { continue };
        let Err(errno) = nix::unistd::execve(&path, arguments, environment);
        let is_found = exists(&path);
        match errno {
            // Try the next directory, as execvp(3) does. The error about a file that was found is the
            // most useful, then that about a directory without permission, then that about a missing file.
            Errno::EACCES
            | Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::ESTALE
            | Errno::ENODEV
            | Errno::ETIMEDOUT => {
                let is_better = is_found || (errno == Errno::EACCES && best.errno != Errno::EACCES);
                if is_better && !best.is_found {
                    best = failed(errno, is_found);
                }
            }
            _ => return failed(errno, true),
        }
    }
    best
}

fn exists(path: &CStr) -> bool {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    path.is_file() || path.is_dir()
}

fn candidates(name: &OsStr, environment: &[Cow<CStr>]) -> Vec<Vec<u8>> {
    let name = name.as_bytes();
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains(&b'/') {
        return vec![name.to_vec()];
    }
    let path =
        environment.iter().find_map(|entry| entry.to_bytes().strip_prefix(b"PATH=")).unwrap_or(DEFAULT_PATH);
    let in_directory = |directory: &[u8]| match directory {
        // An empty entry is the current directory (environ(7)).
        b"" => name.to_vec(),
        directory => [directory, b"/", name].concat(),
    };
    path.split(|byte| *byte == b':').map(in_directory).collect()
}

/// The limit for arguments and environment together, in bytes: a quarter of the stack's soft limit,
/// within fixed bounds (`execve(2)`; `bprm_stack_limits` in Linux' `fs/exec.c`).
pub(crate) fn total_limit() -> usize {
    let stack = getrlimit(Resource::RLIMIT_STACK).map_or(u64::MAX, |(soft, _)| soft);
    let limit = (stack / 4).clamp(TOTAL_MINIMUM, TOTAL_MAXIMUM);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The size of an argument or environment entry of this length, in bytes, with its NUL and the pointer
/// to it.
pub(crate) fn size(length: usize) -> usize {
    length + 1 + size_of::<*const u8>()
}

/// The size of these arguments and this environment, in bytes.
pub(crate) fn total_size(command: &[OsString], environment: &[Cow<CStr>]) -> usize {
    let arguments = command.iter().map(|word| size(word.len()));
    let entries = environment.iter().map(|entry| size(entry.count_bytes()));
    // The kernel also stores the path of the program.
    let path = command.first().map_or(0, |name| name.len() + 1);
    path + arguments.chain(entries).sum::<usize>()
}
