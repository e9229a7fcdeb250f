//! Prepares the words of a command line, and the variables of options, for argh.
//!
//! argh does not support `--x=y`, `--switch=false`, variables, and a command that is not UTF-8.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::slice::Iter;

use argh::{ArgsInfo, FlagInfo, FlagInfoKind, FromArgs, Optionality};

use super::error::UsageError;
use super::subcommands::Subcommand;
use super::variables::{PREFIX, is_variable_of, parse_boolean, variable_of};
use crate::system::environment::Environment;
use crate::system::{logging, suggest};

/// argh's message about an option that may be used only once.
const TWICE: &str = "duplicate values provided";

/// The words after a subcommand.
#[derive(Debug)]
pub(super) struct Words {
    subcommand: &'static Subcommand,
    given: Vec<Given>,
    /// The words that are neither options nor part of a command.
    operands: Vec<String>,
    pub(super) asks_for_help: bool,
    pub(super) command: Vec<OsString>,
}

/// An option with its value.
#[derive(Debug)]
struct Given {
    flag: &'static FlagInfo<'static>,
    value: String,
    is_from_variable: bool,
}

impl Given {
    /// The place of the value: the option or its variable.
    fn place(&self) -> String {
        match self.is_from_variable {
            true => variable_of(self.flag.long),
            false => self.flag.long.to_owned(),
        }
    }
}

impl Words {
    /// Splits `arguments` into options, operands and the command.
    pub(super) fn split(subcommand: &'static Subcommand, arguments: &[OsString]) -> Result<Self, UsageError> {
        let (given, operands, command) = Default::default();
        let mut words = Words { subcommand, given, operands, asks_for_help: false, command };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let is_option = argument.as_bytes().starts_with(b"-") && argument.len() > 1;
            if argument == "--" || (!is_option && subcommand.takes_command()) {
                let first = (!is_option).then(|| argument.clone());
                words.command = first.into_iter().chain(rest.cloned()).collect();
                break;
            }
            match utf8(argument)? {
                "--help" | "-h" => words.asks_for_help = true,
                option if is_option => words.add_option(option, &mut rest)?,
                operand => words.operands.push(operand.to_owned()),
            }
        }
        if !subcommand.takes_command() {
            for operand in std::mem::take(&mut words.command) {
                words.operands.push(utf8(&operand)?.to_owned());
            }
        }
        Ok(words)
    }

    fn add_option(&mut self, text: &str, rest: &mut Iter<OsString>) -> Result<(), UsageError> {
        let (name, value) = split_option(text);
        let is_meant = |flag: &&FlagInfo| {
            flag.long == name || flag.short.is_some_and(|short| name == format!("-{short}"))
        };
        let flag = self.subcommand.flags().find(is_meant).ok_or_else(|| self.unknown_option(text))?;
        let value = match (value, &flag.kind) {
            (Some(value), _) => value,
            (None, FlagInfoKind::Switch) => "true",
            (None, FlagInfoKind::Option { .. }) => utf8(rest.next().ok_or(UsageError::NoValue(flag.long))?)?,
        };
        let given = Given { flag, value: value.to_owned(), is_from_variable: false };
        self.given.push(checked(given)?);
        Ok(())
    }

    fn unknown_option(&self, text: &str) -> UsageError {
        let option = text.split('=').next().unwrap_or_default().to_owned();
        let known = self.subcommand.flags().map(|flag| flag.long.trim_start_matches('-'));
        let nearest = suggest::nearest(option.trim_start_matches('-'), known);
        let hint = nearest.map_or(String::new(), |nearest| format!("did you mean --{nearest}? "));
        UsageError::UnknownOption { option, hint, subcommand: self.subcommand.name }
    }

    /// Adds the values of variables. The values of a repeatable option come before those of the command
    /// line. For other options, the command line wins.
    pub(super) fn add_variables(&mut self, environment: &Environment) -> Result<(), UsageError> {
        let names: Vec<&str> = environment.names_with_prefix(PREFIX).collect();
        if names.is_empty() {
            return Ok(());
        }
        let mut added = Vec::new();
        for flag in self.subcommand.flags() {
            if self.subcommand.without_variable.contains(&flag.long) {
                continue;
            }
            let Some(name) = names.iter().find(|name| is_variable_of(name, flag.long)) else { continue };
            let Some(text) = environment.get_nonempty(name) else { continue };
            let values: Vec<&str> = match flag.optionality {
                Optionality::Repeating => lines(text).collect(),
                _ => vec![text],
            };
            for value in values {
                let given = checked(Given { flag, value: value.to_owned(), is_from_variable: true })?;
                if !self.is_overruled(&given) {
                    added.push(given);
                }
            }
        }
        self.given.splice(..0, added);
        Ok(())
    }

    /// Whether the command line has the same option or, for `--set`, the same name. Then it wins.
    fn is_overruled(&self, given: &Given) -> bool {
        let name = |set: &str| set.split('=').next().unwrap_or_default().to_owned();
        let mut same = self.given.iter().filter(|other| other.flag.long == given.flag.long);
        match given.flag.long {
            "--set" => same.any(|other| name(&other.value) == name(&given.value)),
            // The command line replaces the containers of the variable.
            "--container" => same.next().is_some(),
            _ => given.flag.optionality != Optionality::Repeating && same.next().is_some(),
        }
    }

    /// Whether the command line has the option.
    pub(super) fn is_on_command_line(&self, option: &str) -> bool {
        self.given.iter().any(|given| given.flag.long == option && !given.is_from_variable)
    }

    /// Parses the options of the group `T` with argh, and the operands if `T` takes them.
    pub(super) fn parse<T: FromArgs + ArgsInfo>(&self) -> Result<T, UsageError> {
        let info = T::get_args_info();
        let mut tokens = Vec::new();
        for flag in info.flags {
            let mut given = self.given.iter().filter(|given| given.flag.long == flag.long);
            match flag.kind {
                FlagInfoKind::Option { .. } => {
                    given.for_each(|given| tokens.extend([flag.long, &given.value]))
                }
                // The last one wins.
                FlagInfoKind::Switch => {
                    let is_on =
                        given.next_back().is_some_and(|given| parse_boolean(&given.value) == Some(true));
                    tokens.extend(is_on.then_some(flag.long));
                }
            }
        }
        if !info.positionals.is_empty() {
            tokens.push("--");
            tokens.extend(self.operands.iter().map(String::as_str));
        }
        T::from_args(&[self.subcommand.name], &tokens).map_err(|exit| self.explained(exit.output.trim_end()))
    }

    /// Converts argh's message to an error that names the option or variable.
    fn explained(&self, message: &str) -> UsageError {
        for given in &self.given {
            let start = format!("Error parsing option '{}' with value '{}': ", given.flag.long, given.value);
            match message.strip_prefix(&start) {
                Some(TWICE) => return UsageError::Twice(given.flag.long),
                Some(why) => return UsageError::Value { place: given.place(), why: why.to_owned() },
                None => {}
            }
        }
        // For an operand, the reason alone is clear.
        let why =
            self.operands.iter().find_map(|operand| Some(message.split_once(&format!("'{operand}': "))?.1));
        UsageError::Argh(logging::one_line(why.unwrap_or(message)).into_owned())
    }

    /// Fails if there is an operand.
    pub(super) fn expect_no_operand(&self) -> Result<(), UsageError> {
        match self.operands.first() {
            None => Ok(()),
            Some(word) => {
                Err(UsageError::UnexpectedWord { subcommand: self.subcommand.name, word: word.clone() })
            }
        }
    }

    /// Fails unless there is exactly one operand. `what` describes it, and `example` is a value.
    pub(super) fn expect_one_operand(
        &self,
        what: &'static str,
        example: &'static str,
    ) -> Result<(), UsageError> {
        let subcommand = self.subcommand.name;
        match self.operands.as_slice() {
            [] => Err(UsageError::NoOperand { subcommand, what, example }),
            [_] => Ok(()),
            [_, word, ..] => Err(UsageError::UnexpectedWord { subcommand, word: word.clone() }),
        }
    }
}

/// Splits `--name=value`, `-nvalue` and `-n=value`.
fn split_option(text: &str) -> (&str, Option<&str>) {
    if text.starts_with("--") {
        return text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    }
    let end = text.char_indices().nth(2).map_or(text.len(), |(end, _)| end);
    let (name, value) = text.split_at(end);
    (name, (!value.is_empty()).then(|| value.strip_prefix('=').unwrap_or(value)))
}

/// Checks that the value of a switch is a boolean.
fn checked(given: Given) -> Result<Given, UsageError> {
    match given.flag.kind == FlagInfoKind::Switch && parse_boolean(&given.value).is_none() {
        true => Err(UsageError::NotBoolean { place: given.place() }),
        false => Ok(given),
    }
}

fn utf8(word: &OsString) -> Result<&str, UsageError> {
    word.to_str().ok_or_else(|| UsageError::NotUtf8(word.clone()))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}
