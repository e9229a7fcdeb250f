//! The command line.
//!
//! [`options`] declares each option once, and [`subcommands`] has one row for each subcommand. [`help`]
//! generates the help from both. [`words`] splits the command line, adds the variables `INTROSPOD_…`, and
//! converts the values that count to [`Options`] with argh.

mod error;
mod help;
mod options;
mod subcommands;
mod values;
mod variables;
mod words;

use std::ffi::OsString;

use crate::system::environment::Environment;
use crate::system::suggest;

pub(crate) use error::UsageError;
pub(crate) use help::general as general_help;
pub(crate) use options::Options;
pub(crate) use subcommands::Subcommand;
use subcommands::{Row, SUBCOMMANDS};
pub(crate) use variables::is_disabled;
use words::Words;

/// The parsed command line.
#[derive(Debug)]
pub(crate) enum Invocation<'a> {
    /// The help or the version, which is printed.
    Text(String),
    /// A subcommand with its options, and the command of `exec`.
    Run(Subcommand, Box<Options>, &'a [OsString]),
}

/// Parses `arguments`, which do not include the program's name.
pub(crate) fn parse<'a>(
    arguments: &'a [OsString],
    environment: &'a Environment,
) -> Result<Invocation<'a>, UsageError> {
    let (first, rest) = arguments.split_first().ok_or(UsageError::NoSubcommand)?;
    let name = first.to_string_lossy();
    match (&*name, rest) {
        ("help", [topic, ..]) if topic == "fields" => Ok(Invocation::Text(help::fields())),
        ("help", [subcommand, ..]) => Ok(Invocation::Text(help::of(named(&subcommand.to_string_lossy())?))),
        ("--help" | "-h" | "help", _) => Ok(Invocation::Text(help::general())),
        ("--version" | "-V", _) => Ok(Invocation::Text(format!("introspod {}\n", env!("CARGO_PKG_VERSION")))),
        _ => {
            let row = named(&name)?;
            let mut words = Words::split(row, rest)?;
            if words.asks_for_help {
                return Ok(Invocation::Text(help::of(row)));
            }
            let command = words.command;
            words.add_variables(environment)?;
            Ok(Invocation::Run(row.subcommand, Box::new(words.parse()?), command))
        }
    }
}

fn named(name: &str) -> Result<&'static Row, UsageError> {
    Row::named(name).ok_or_else(|| {
        let known = SUBCOMMANDS.iter().map(|row| row.name).chain(["--help", "--version"]);
        let nearest = suggest::nearest(name, known);
        let hint = nearest.map_or(String::new(), |nearest| format!("did you mean introspod {nearest}? "));
        UsageError::UnknownSubcommand { name: name.to_owned(), hint }
    })
}

/// The subcommand that `arguments` name.
pub(crate) fn subcommand(arguments: &[OsString]) -> Option<Subcommand> {
    Some(Row::named(arguments.first()?.to_str()?)?.subcommand)
}

/// The command of `exec`, if `arguments` name one. If an option is not known, the command begins after the first `--`.
pub(crate) fn command(arguments: &[OsString]) -> Option<&[OsString]> {
    let (first, rest) = arguments.split_first()?;
    let row = Row::named(first.to_str()?).filter(|row| row.takes_command())?;
    let command = match Words::split(row, rest) {
        Ok(words) => words.command,
        Err(_) => &rest[rest.iter().position(|word| word == "--")? + 1..],
    };
    (!command.is_empty()).then_some(command)
}

#[cfg(test)]
#[path = "../../release/manual.rs"]
mod manual;
