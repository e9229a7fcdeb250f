//! `exec`: this process becomes the application.

use std::borrow::Cow;
use std::ffi::{CStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;

use super::wait::until_known;
use super::{CommandError, pipeline, termination};
use crate::cli::Options;
use crate::facts::field::Field;
use crate::system::environment::Environment;
use crate::system::execve::{self, ExecError, STRING_LIMIT};
use crate::system::exit;
use crate::system::logging::{self, several};
use crate::variables::value::evaluate::Why;
use crate::variables::value::parse::ParseError;
use crate::variables::value::template::Template;
use crate::variables::variable::{Variable, Variables};
use crate::variables::{Run, VariablesError};

/// The largest size of an argument after `--expand`, in bytes. The kernel allows less.
const EXPANDED_LIMIT: usize = 8 << 20;

/// Gathers facts, writes files and executes the command. Returns only if that fails.
pub(super) fn run(
    options: &Options,
    command: &[OsString],
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<i32, CommandError> {
    let arguments = if options.expand == Some(true) { parsed(command) } else { Vec::new() };
    let (templates, origin) = pipeline::open(options, &arguments, environment, clock)?;
    let run = until_known(options, &origin, clock, |settings| {
        let selection = options.selection(pipeline::texts(&templates, &arguments), Some(environment));
        let mut run = pipeline::run(&origin, &options.own(), selection, settings);
        pipeline::require(&run)?;
        run.files = pipeline::from_templates(&run, options, &templates)?;
        Ok(run)
    })?;
    pipeline::write_files(&run, options)?;
    let mut command = command.to_vec();
    for (argument, template) in command.iter_mut().skip(1).zip(&arguments) {
        *argument = OsString::from_vec(expand(template, &run));
    }
    let is_of_this_process = run.is_of_this_process();
    let Run { facts, variables, selection, .. } = run;
    // They may have very many labels.
    drop(facts);
    let injected = injected(&variables, selection.require, is_of_this_process)?;
    Ok(execute_with(&command, environment, injected, selection.require))
}

/// The arguments of `command`, in which references are replaced.
fn parsed(command: &[OsString]) -> Vec<Rc<Template>> {
    let mut templates = Vec::with_capacity(command.len());
    for (number, argument) in command.iter().enumerate().skip(1) {
        let (mut template, errors) = Template::parse(argument.as_bytes().to_vec());
        // `$((1 + 1))` and any other text in parentheses are meant for a shell.
        template.keep_constants();
        let is_near_a_field = |error: &&ParseError| error.problem.nearest().is_some();
        if let Some(error) = errors.iter().find(is_near_a_field) {
            log::warn!("--expand: a reference in argument {number} stays as it is: {}", error.problem);
        }
        templates.push(Rc::new(template));
    }
    templates
}

/// An argument with its references replaced. What is not known stays as it is, with a warning if a field was
/// meant.
fn expand(template: &Template, run: &Run) -> Vec<u8> {
    let lookup = run.lookup();
    let Some(rendered) = template.render(&lookup, false, EXPANDED_LIMIT) else {
        return template.text().to_vec();
    };
    let is_meant =
        |why: &Why| !matches!(why, Why::Variable(name) if !run.variables.unknown.contains_key(name));
    for unknown in rendered.unknown.iter().filter(|unknown| unknown.why.iter().any(is_meant)) {
        log::warn!("{} stays as it is in the arguments: {}", unknown.text, run.reasons(&unknown.why));
    }
    rendered.text
}

/// The variables to inject, sorted by name, without those that the kernel would reject.
///
/// # Errors
/// [`CommandError::Variables`] if one of those is of `--require`.
fn injected<'a>(
    variables: &'a Variables,
    require: &[String],
    is_of_this_process: bool,
) -> Result<Vec<(&'a str, &'a Variable)>, CommandError> {
    // The environment of this process does not have the variables of a recorded pod.
    let to_be_set = variables
        .iter()
        .filter(|(_, variable)| !(variable.is_omitted || is_of_this_process && variable.is_set));
    let is_large =
        |(name, variable): &(&str, &Variable)| name.len() + 1 + variable.value.len() > STRING_LIMIT;
    let (large, injected): (Vec<_>, Vec<_>) =
        to_be_set.map(|(name, variable)| (name.as_str(), variable)).partition(is_large);
    let why = format!("Linux allows at most {STRING_LIMIT} bytes for one variable");
    if let Some((name, _)) = large.iter().find(|(name, _)| require.iter().any(|required| required == name)) {
        return Err(VariablesError::Required { name: (*name).to_owned(), why }.into());
    }
    if !large.is_empty() {
        log::warn!("{} not set: {why}", names(&large));
    }
    Ok(injected)
}

/// The first few names with a verb: `A is`, `A and B are`, `A, B, C and 4 more are`.
fn names(variables: &[(&str, &Variable)]) -> String {
    let names: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
    format!("{} {}", several(&names, names.len()), if names.len() == 1 { "is" } else { "are" })
}

/// Executes `command` with the variables `injected`. If they are too large for the kernel, it tries again without
/// those of annotations, and then without those of labels, unless they are in `require`.
fn execute_with(
    command: &[OsString],
    environment: &Environment,
    mut injected: Vec<(&str, &Variable)>,
    require: &[String],
) -> i32 {
    let mut maps = [Field::ANNOTATIONS, Field::LABELS].into_iter();
    loop {
        let pairs: Vec<_> =
            injected.iter().map(|(name, variable)| (*name, variable.value.as_str())).collect();
        let own = environment.with(&pairs);
        let Err(error) = execve::become_command(command, &own);
        if error.errno != Errno::E2BIG || oversized(command, &own).is_some() {
            return report(&error, command, &own);
        }
        let dropped = maps.find_map(|map| {
            let is_dropped = |(name, variable): &mut (&str, &Variable)| {
                variable.map == Some(map) && !require.iter().any(|required| required == name)
            };
            let dropped: Vec<_> = injected.extract_if(.., is_dropped).collect();
            (!dropped.is_empty()).then_some(dropped)
        });
        let Some(dropped) = dropped else { return report(&error, command, &own) };
        log::warn!(
            "{} not set: the arguments and the environment are larger together than the kernel allows (E2BIG)",
            names(&dropped)
        );
    }
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
    execute_with(command, environment, Vec::new(), &[])
}

fn report(error: &ExecError, command: &[OsString], environment: &[Cow<CStr>]) -> i32 {
    let name = program(command).to_string_lossy();
    let message = format!("cannot execute {name:?}: {}", why(error, command, environment));
    termination::write(&message);
    log::error!("{message}");
    match error.errno {
        Errno::ENOENT | Errno::ENOTDIR if !error.is_found => exit::NOT_FOUND,
        _ => exit::CANNOT_EXECUTE,
    }
}

/// The name or the path of the program.
fn program(command: &[OsString]) -> &Path {
    command.first().map_or(Path::new(""), Path::new)
}

fn why(error: &ExecError, command: &[OsString], environment: &[Cow<CStr>]) -> String {
    let is_path = program(command).as_os_str().as_bytes().contains(&b'/');
    let why = match error.errno {
        Errno::ENOENT if error.is_found => {
            "the file exists, but its interpreter or dynamic loader does not: is it built for this image?"
        }
        Errno::ENOENT if is_path => "no such file",
        Errno::ENOENT => "not found in PATH",
        Errno::EACCES if program(command).is_dir() => "this is a directory",
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
