//! `execve(2)`, and the lookup of a program in `PATH`.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::PATH_MAX;

/// The default of `PATH` (glibc's `confstr(_CS_PATH)`).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// The longest argument or environment entry in bytes, without its NUL (`MAX_ARG_STRLEN`, `execve(2)`).
pub(crate) const STRING_LIMIT: usize = 131_071;

/// Why a command was not executed.
#[derive(Debug)]
pub(crate) struct ExecError {
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
    let arguments: Result<Vec<CString>, _> =
        command.iter().map(|word| CString::new(word.as_bytes())).collect();
    let Ok(arguments) = arguments else { return Err(ExecError { errno: Errno::EINVAL, is_found: false }) };
    Err(execute_first(&arguments, environment))
}

fn execute_first(arguments: &[CString], environment: &[Cow<CStr>]) -> ExecError {
    let mut best = ExecError { errno: Errno::ENOENT, is_found: false };
    let name = arguments.first().map_or(&b""[..], |name| name.to_bytes());
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
                    best = ExecError { errno, is_found };
                }
            }
            _ => return ExecError { errno, is_found: true },
        }
    }
    best
}

fn exists(path: &CStr) -> bool {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    path.is_file() || path.is_dir()
}

fn candidates(name: &[u8], environment: &[Cow<CStr>]) -> Vec<Vec<u8>> {
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
    // As execvp(3) and env(1) do it.
    let is_path = |directory: &&[u8]| directory.len() < PATH_MAX as usize;
    path.split(|byte| *byte == b':').filter(is_path).map(in_directory).collect()
}
