//! `exec`: this process becomes the application.

use std::borrow::Cow;
use std::ffi::{CStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;

use super::CommandError;
use super::pipeline::Input;
use crate::cli::Options;
use crate::system::environment::Environment;
use crate::system::execve::{self, ExecError, STRING_LIMIT};
use crate::system::{exit, logging};
use crate::variables::Selection;
use crate::variables::labels::Map;
use crate::variables::variable::{Scope, Variables, expand};

/// The free part of the kernel's limit, in bytes. The kernel adds the interpreter of a script and its
/// argument: at most 256 bytes for each of at most five levels (`execve(2)`).
const RESERVE: usize = 4096;
/// The largest number of variables that a warning names.
const NAMED: usize = 3;

/// Gathers facts, writes files and executes the command. Returns only if that fails.
pub(super) fn run(
    options: &Options,
    command: &[OsString],
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<i32, CommandError> {
    let input = Input::open(options, environment, clock)?;
    let prepared = input.prepare(options, environment)?;
    prepared.write_files(options)?;
    let mut command = command.to_vec();
    if options.expand == Some(true) {
        let scope = Scope { variables: &prepared.variables, environments: [environment; 2] };
        for argument in command.iter_mut().skip(1) {
            let (text, _) = expand(argument.as_bytes(), scope, "the arguments");
            *argument = OsString::from_vec(text);
        }
    }
    let injected = injected(&prepared.variables, &options.selection(), prepared.is_own);
    Ok(execute_with(&command, environment, injected))
}

/// The order in which variables are dropped if all of them together are too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Annotation,
    Label,
    /// The standard variables and those of `--set`.
    Named,
    /// Never dropped: with `--require`, the application must not start without it.
    Required,
}

impl Rank {
    fn of(name: &str, selection: &Selection) -> Self {
        if selection.require.iter().any(|required| required == name) {
            return Rank::Required;
        }
        let is_set = selection.set.iter().any(|(set, _)| set == name);
        match Map::of_variable(name).filter(|_| !is_set) {
            Some(Map::Annotations) => Rank::Annotation,
            Some(Map::Labels) => Rank::Label,
            None => Rank::Named,
        }
    }
}

/// A variable for the application.
struct Injected<'a> {
    name: &'a str,
    value: &'a str,
    rank: Rank,
}

impl Injected<'_> {
    /// The length of `NAME=value` in bytes.
    fn length(&self) -> usize {
        self.name.len() + 1 + self.value.len()
    }
}

/// The variables to inject, sorted by name, without those that the kernel would reject.
fn injected<'a>(variables: &'a Variables, selection: &Selection, is_own: bool) -> Vec<Injected<'a>> {
    // The environment of this process does not have the variables of a recorded pod.
    let to_be_set = variables.iter().filter(|(_, variable)| !(is_own && variable.is_set));
    let all = to_be_set.map(|(name, variable)| {
        let (name, value) = (name.as_str(), variable.value.as_str());
        Injected { name, value, rank: Rank::of(name, selection) }
    });
    let (large, injected): (Vec<_>, Vec<_>) = all.partition(|variable| variable.length() > STRING_LIMIT);
    if !large.is_empty() {
        let names = names(&large);
        log::warn!("{names} not set: Linux allows at most {STRING_LIMIT} bytes for one variable");
    }
    injected
}

/// The first few names with a verb: `A is`, `A and B are`, `A, B, C and 4 more are`.
fn names(variables: &[Injected]) -> String {
    let named: Vec<&str> = variables.iter().take(NAMED).map(|variable| variable.name).collect();
    match (named.as_slice(), variables.len() - named.len()) {
        ([name], 0) => format!("{name} is"),
        ([names @ .., last], 0) => format!("{} and {last} are", names.join(", ")),
        (names, more) => format!("{} and {more} more are", names.join(", ")),
    }
}

/// Executes `command` with the variables `injected`. If they are too large for the kernel, it drops some
/// and tries again.
fn execute_with(command: &[OsString], environment: &Environment, mut injected: Vec<Injected>) -> i32 {
    loop {
        let pairs: Vec<_> = injected.iter().map(|variable| (variable.name, variable.value)).collect();
        let own = environment.with(&pairs);
        let Err(error) = execve::become_command(command, &own);
        let can_help = error.errno == Errno::E2BIG && oversized(command, &own).is_none();
        if !can_help || !injected.iter().any(|variable| variable.rank != Rank::Required) {
            return report(&error, command, &own);
        }
        let (size, limit) = (execve::total_size(command, &own), execve::total_limit());
        let fits = limit.saturating_sub(RESERVE);
        // Other kernels, such as gVisor's, have other limits. Halving ends after a few attempts.
        let excess = if size > fits { size - fits } else { size / 2 };
        let dropped = drop_variables(&mut injected, excess);
        let count = dropped.len();
        log::warn!(
            "{} not set ({count} of {}): arguments and environment have {size} bytes together, \
             more than the kernel allows (E2BIG; the limit is {limit})",
            names(&dropped),
            count + injected.len(),
        );
    }
}

/// Drops variables until `excess` bytes are saved: first annotations, then labels, then the others, each
/// in reverse order of their names.
fn drop_variables<'a>(injected: &mut Vec<Injected<'a>>, excess: usize) -> Vec<Injected<'a>> {
    // The sort is stable, so it keeps the reverse order of names.
    injected.reverse();
    injected.sort_by_key(|variable| variable.rank);
    let mut saved = 0;
    let is_enough = |variable: &Injected| {
        let is_enough = saved >= excess || variable.rank == Rank::Required;
        saved += execve::size(variable.length());
        is_enough
    };
    let count = injected.iter().position(is_enough).unwrap_or(injected.len());
    let dropped = injected.drain(..count).collect();
    injected.sort_unstable_by_key(|variable| variable.name);
    dropped
}

/// Executes `command` with the unchanged `environment`, and starts the log only if that fails.
pub(crate) fn execute_at_once(command: &[OsString], environment: &Environment) -> i32 {
    let entries = environment.with(&[]);
    let Err(error) = execve::become_command(command, &entries);
    logging::start(environment);
    report(&error, command, &entries)
}

/// Executes `command` with the unchanged `environment`.
pub(crate) fn execute(command: &[OsString], environment: &Environment) -> i32 {
    execute_with(command, environment, Vec::new())
}

fn report(error: &ExecError, command: &[OsString], environment: &[Cow<CStr>]) -> i32 {
    log::error!("cannot execute {:?}: {}", error.command.to_string_lossy(), why(error, command, environment));
    match error.errno {
        Errno::ENOENT | Errno::ENOTDIR if !error.is_found => exit::NOT_FOUND,
        _ => exit::CANNOT_EXECUTE,
    }
}

fn why(error: &ExecError, command: &[OsString], environment: &[Cow<CStr>]) -> String {
    let is_path = error.command.as_bytes().contains(&b'/');
    let why = match error.errno {
        Errno::ENOENT if error.is_found => {
            "the file exists, but its interpreter or dynamic loader does not: is it built for this image?"
        }
        Errno::ENOENT if is_path => "no such file",
        Errno::ENOENT => "not found in PATH",
        Errno::EACCES if Path::new(&error.command).is_dir() => "this is a directory",
        Errno::EACCES if error.is_found => "permission denied: is the file executable?",
        Errno::EACCES if is_path => {
            "permission denied: this user may not search one of the directories in this path"
        }
        Errno::EACCES => "permission denied: this user may not search one of the directories in PATH",
        Errno::ENOEXEC => "the file is not a program for this machine, nor a script with a #! line",
        Errno::E2BIG => return why_too_large(command, environment),
        errno => errno.desc(),
    };
    why.to_owned()
}

fn why_too_large(command: &[OsString], environment: &[Cow<CStr>]) -> String {
    if let Some(what) = oversized(command, environment) {
        return format!("{what}, and Linux allows at most {STRING_LIMIT} for one (E2BIG)");
    }
    let largest = environment.iter().max_by_key(|entry| entry.count_bytes());
    let largest = largest.map(|entry| described(entry)).unwrap_or_default();
    format!(
        "the arguments and the environment are too large together (E2BIG); the largest variable: {largest}"
    )
}

/// The first argument or variable that is larger than the kernel allows for one.
fn oversized(command: &[OsString], environment: &[Cow<CStr>]) -> Option<String> {
    let argument = command.iter().enumerate().find(|(_, word)| word.len() > STRING_LIMIT);
    let argument = argument.map(|(position, word)| format!("argument {position} has {} bytes", word.len()));
    let entry = || environment.iter().find(|entry| entry.count_bytes() > STRING_LIMIT);
    argument.or_else(|| entry().map(|entry| described(entry)))
}

/// A variable's name and size, without its value, which may be a secret.
fn described(entry: &CStr) -> String {
    let name = entry.to_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
    format!("{} has {} bytes", String::from_utf8_lossy(name), entry.count_bytes())
}
