//! Becoming the application.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;

use super::CommandError;
use super::pipeline::Input;
use crate::cli::Exec;
use crate::system::environment::Environment;
use crate::system::exit;
use crate::variables::variable::{Scope, Variables, expand};

/// Where commands are looked up if `PATH` is not set (glibc's `confstr(_CS_PATH)`).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";
/// The most that one string of an environment may hold, without its NUL (`MAX_ARG_STRLEN`, `execve(2)`).
const STRING_LIMIT: usize = 131_071;

/// Gathers, writes, and executes; comes back only if the command could not be executed.
pub(super) fn run(
    exec: &Exec,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<i32, CommandError> {
    let input = Input::open(&exec.options, environment, clock)?;
    let prepared = input.prepare(&exec.options, exec.options.own(), environment)?;
    prepared.write_files(&exec.options)?;
    let mut command = exec.command.clone();
    if exec.expand {
        let scope = Scope { variables: &prepared.variables, environments: [environment; 2] };
        for argument in command.iter_mut().skip(1) {
            let (text, _) = expand(argument.as_bytes(), scope, "the arguments");
            *argument = OsString::from_vec(text);
        }
    }
    let injected = injected(&prepared.variables, prepared.is_own);
    Ok(execute_with(&command, environment, injected))
}

/// The variables that are to be set, and can be.
fn injected(variables: &Variables, is_own: bool) -> Vec<(&str, &str)> {
    // What the author of a recorded pod set is not in the environment that this process has.
    let to_be_set = variables.iter().filter(|(_, variable)| !(is_own && variable.is_set));
    let pairs = to_be_set.map(|(name, variable)| (name.as_str(), variable.value.as_str()));
    pairs
        .filter(|(name, value)| {
            let size = name.len() + 1 + value.len();
            if size > STRING_LIMIT {
                log::warn!("{name} is not set: {size} bytes are more than the {STRING_LIMIT} that one variable may have");
            }
            size <= STRING_LIMIT
        })
        .collect()
}

/// Executes `command` with `injected` set; if together they are too large, without the largest of them.
fn execute_with(command: &[OsString], environment: &Environment, mut injected: Vec<(&str, &str)>) -> i32 {
    loop {
        let own = environment.with(&injected);
        let Err(error) = become_command(command, &own);
        let largest = injected.iter().enumerate().max_by_key(|(_, (name, value))| name.len() + value.len());
        match (error.errno, largest) {
            (Errno::E2BIG, Some((position, (name, value)))) => {
                log::warn!(
                    "{name} ({} bytes) is not set: the environment and the arguments are too large together (E2BIG)",
                    value.len()
                );
                injected.remove(position);
            }
            _ => return report(&error, &own),
        }
    }
}

/// Executes `command` in `environment`, in which nothing was changed.
pub(crate) fn execute(command: &[OsString], environment: &Environment) -> i32 {
    execute_with(command, environment, Vec::new())
}

/// Why a command was not executed.
#[derive(Debug)]
struct ExecError {
    command: OsString,
    errno: Errno,
    /// The file was there.
    is_found: bool,
}

fn report(error: &ExecError, environment: &[Cow<CStr>]) -> i32 {
    let command = error.command.to_string_lossy();
    let why = match error.errno {
        Errno::ENOENT if error.is_found => {
            "it is there, but its interpreter or dynamic loader is not: is it built for this image?"
                .to_owned()
        }
        Errno::ENOENT if command.contains('/') => "there is no such file".to_owned(),
        Errno::ENOENT => "it is not in PATH".to_owned(),
        Errno::EACCES if Path::new(&error.command).is_dir() => "it is a directory".to_owned(),
        Errno::EACCES => "permission denied: is it executable?".to_owned(),
        Errno::ENOEXEC => "it is no program for this machine, or a script without a line #!".to_owned(),
        Errno::E2BIG => {
            format!(
                "environment and arguments are too large (E2BIG); the largest variable is {}",
                largest(environment)
            )
        }
        errno => errno.desc().to_owned(),
    };
    log::error!("cannot execute {command:?}: {why}");
    match error.errno {
        Errno::ENOENT | Errno::ENOTDIR if !error.is_found => exit::NOT_FOUND,
        _ => exit::CANNOT_EXECUTE,
    }
}

fn largest(environment: &[Cow<CStr>]) -> String {
    let largest = environment.iter().max_by_key(|entry| entry.count_bytes());
    let entry = largest.map(|entry| entry.to_bytes()).unwrap_or_default();
    let name = entry.split(|byte| *byte == b'=').next().unwrap_or_default();
    format!("{} ({} bytes)", String::from_utf8_lossy(name), entry.len())
}

/// `execve(2)` of the command where `PATH` has it, as `execvp(3)` looks it up, but without its shell.
fn become_command(command: &[OsString], environment: &[Cow<CStr>]) -> Result<Infallible, ExecError> {
    let name = command.first().cloned().unwrap_or_default();
    let arguments: Result<Vec<CString>, _> =
        command.iter().map(|word| CString::new(word.as_bytes())).collect();
    let Ok(arguments) = arguments else {
        return Err(ExecError { command: name, errno: Errno::EINVAL, is_found: false });
    };
    crate::system::process::restore_sigpipe();
    let error = execute_first(&name, &arguments, environment);
    // What is now to be said may have no reader, which must not end the process.
    crate::system::process::ignore_sigpipe();
    Err(error)
}

/// Executes the first candidate that can be; comes back with what says most about why none can.
fn execute_first(name: &OsStr, arguments: &[CString], environment: &[Cow<CStr>]) -> ExecError {
    let failed = |errno, is_found| ExecError { command: name.to_owned(), errno, is_found };
    let mut best = failed(Errno::ENOENT, false);
    for candidate in candidates(name, environment) {
        let Ok(path) = CString::new(candidate) else { continue };
        let Err(errno) = nix::unistd::execve(&path, arguments, environment);
        let is_found = exists(&path);
        match errno {
            // As execvp(3): the next directory may have it. What was found here says more.
            Errno::EACCES
            | Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::ESTALE
            | Errno::ENODEV
            | Errno::ETIMEDOUT => {
                if is_found && !best.is_found {
                    best = failed(errno, true);
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
