//! The words of a command line and the variables of options, before argh converts them.
//!
//! argh does not support `--x=y`, `--switch=false`, variables, and a command that is not UTF-8.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::slice::Iter;

use argh::FromArgs;

use super::error::UsageError;
use super::options::{Declaration, Kind, OPERANDS, Options, PREFIX};
use super::subcommands::{Row, Subcommand};
use super::variables::{is_for_service, lines, trim, value_of, warn_of_misspelt};
use crate::system::environment::Environment;
use crate::system::suggest;

/// The words after a subcommand.
#[derive(Debug)]
pub(super) struct Words<'a> {
    row: &'static Row,
    given: Vec<Given<'a>>,
    operands: Vec<&'a str>,
    pub(super) asks_for_help: bool,
    pub(super) command: &'a [OsString],
}

/// An option with its value.
#[derive(Debug)]
struct Given<'a> {
    option: &'static Declaration,
    value: Cow<'a, str>,
    rank: Rank,
    /// The option, or the variable and its line, for messages.
    place: String,
}

/// Where an option was given. A later one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Variable,
    /// A variable `INTROSPOD_SET_<NAME>`.
    VariableOfName,
    CommandLine,
}

impl Given<'_> {
    /// What can have only one value: the NAME of `--set NAME=VALUE`, or else the option itself.
    fn key(&self) -> (&'static str, &str) {
        let name = self.value.split_once('=').filter(|_| self.option.kind == Kind::PerName);
        (self.option.name, name.map_or("", |(name, _)| name))
    }

    fn combined_with(&self, other: &str) -> UsageError {
        let with = if other == OPERANDS { other.to_owned() } else { format!("--{other}") };
        UsageError::Combined { place: self.place.clone(), with }
    }

    fn is_essential(&self) -> bool {
        self.rank == Rank::CommandLine || self.option.is_essential
    }
}

impl<'a> Words<'a> {
    /// Splits `arguments` into options, operands and the command. It does not look at the values.
    pub(super) fn split(row: &'static Row, arguments: &'a [OsString]) -> Result<Self, UsageError> {
        let mut words =
            Words { row, given: Vec::new(), operands: Vec::new(), asks_for_help: false, command: &[] };
        let takes_command = row.takes_command();
        let mut rest = arguments.iter();
        let mut may_be_option = true;
        while let Some(word) = rest.as_slice().first() {
            let is_option = may_be_option && word.len() > 1 && word.as_bytes().starts_with(b"-");
            if takes_command && !is_option {
                break;
            }
            rest.next();
            match utf8(word)? {
                "--" if is_option => {
                    may_be_option = false;
                    if takes_command {
                        break;
                    }
                }
                "--help" | "-h" if is_option => words.asks_for_help = true,
                option if is_option => words.add_option(option, &mut rest)?,
                operand => words.operands.push(operand),
            }
        }
        words.command = rest.as_slice();
        Ok(words)
    }

    fn add_option(&mut self, text: &'a str, rest: &mut Iter<'a, OsString>) -> Result<(), UsageError> {
        let (name, value) = split_option(text);
        let is_meant = |option: &&Declaration| match name.strip_prefix("--") {
            Some(long) => option.name == long,
            None => option
                .short
                .is_some_and(|short| name.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]))),
        };
        let option =
            Declaration::of(self.row.subcommand).find(is_meant).ok_or_else(|| self.unknown_option(name))?;
        let value = match (value, option.kind) {
            (Some(value), _) => value,
            (None, Kind::Switch) => "true",
            (None, _) => match rest.next() {
                // A forgotten value must not swallow the next option.
                Some(word) if !word.as_bytes().starts_with(b"--") => utf8(word)?,
                _ => return Err(UsageError::NoValue(option.name)),
            },
        };
        let mut place = format!("--{}", option.name);
        if let (Kind::PerName, Some((name, _))) = (option.kind, value.split_once('=')) {
            place += &format!(" {name}");
        }
        self.given.push(Given { option, value: value.into(), rank: Rank::CommandLine, place });
        Ok(())
    }

    fn unknown_option(&self, name: &str) -> UsageError {
        let word = name.trim_start_matches('-');
        let mut options = Declaration::of(self.row.subcommand);
        let nearest = suggest::nearest(word, options.clone().map(|option| option.name));
        // A value may have been taken for an option: --json for -o json.
        let of_value = options.find_map(|option| Some((option.short?, (option.check)(word).ok()?)));
        let hint = match (nearest, of_value) {
            (_, Some((short, ()))) => format!("did you mean -{short} {word}? "),
            (Some(nearest), None) => format!("did you mean --{nearest}? "),
            (None, None) => String::new(),
        };
        UsageError::UnknownOption { option: name.to_owned(), hint, subcommand: self.row.name }
    }

    /// Adds the values of variables before those of the command line.
    pub(super) fn add_variables(&mut self, environment: &'a Environment) -> Result<(), UsageError> {
        let names: BTreeSet<&str> = environment.names_with_prefix(PREFIX).collect();
        if names.is_empty() {
            return Ok(());
        }
        warn_of_misspelt(&names, environment);
        let on_command_line = std::mem::take(&mut self.given);
        let read = |option: &&Declaration| option.unread_by != Some(self.row.subcommand);
        for option in Declaration::of(self.row.subcommand).filter(read) {
            let variable = option.variable();
            if names.contains(variable.as_str()) {
                self.add_variable(option, &variable, environment)?;
            }
            if option.kind == Kind::PerName {
                self.add_variables_of_names(option, &names, environment)?;
            }
        }
        self.given.extend(on_command_line);
        Ok(())
    }

    fn add_variable(
        &mut self,
        option: &'static Declaration,
        variable: &str,
        environment: &'a Environment,
    ) -> Result<(), UsageError> {
        let Some(text) = value_of(variable, environment) else {
            return self.refuse(option.is_essential, UsageError::NotUtf8(variable.to_owned()));
        };
        let given =
            |value: &'a str, place| Given { option, value: value.into(), rank: Rank::Variable, place };
        match option.kind.of(self.row.subcommand) {
            Kind::Switch | Kind::Once if trim(text).is_empty() => {}
            Kind::Switch | Kind::Once => self.given.push(given(trim(text), variable.to_owned())),
            _ => self
                .given
                .extend(lines(text).map(|(line, value)| given(value, format!("{variable}, line {line}")))),
        }
        Ok(())
    }

    /// Adds the values of `INTROSPOD_SET_<NAME>`.
    fn add_variables_of_names(
        &mut self,
        option: &'static Declaration,
        names: &BTreeSet<&'a str>,
        environment: &'a Environment,
    ) -> Result<(), UsageError> {
        let prefix = option.variable() + "_";
        for variable in names {
            let Some(name) = variable.strip_prefix(&prefix).filter(|name| !name.is_empty()) else { continue };
            match value_of(variable, environment).map(trim) {
                None => self.refuse(option.is_essential, UsageError::NotUtf8((*variable).to_owned()))?,
                Some(text) if text.is_empty() || is_for_service(name, text) => {}
                Some(text) => self.given.push(Given {
                    option,
                    value: format!("{name}={text}").into(),
                    rank: Rank::VariableOfName,
                    place: (*variable).to_owned(),
                }),
            }
        }
        Ok(())
    }

    /// Fails with `error`. But a variable must not keep `exec` from its command: unless it is essential, it has
    /// no effect, with a warning.
    fn refuse(&self, is_essential: bool, error: UsageError) -> Result<(), UsageError> {
        if is_essential || self.row.subcommand != Subcommand::Exec {
            return Err(error);
        }
        log::warn!("{error}; it has no effect");
        Ok(())
    }

    /// Checks each value, settles which of them count, and converts these with argh.
    pub(super) fn parse(&self) -> Result<Options, UsageError> {
        self.check_operands()?;
        let given = self.counting(self.valid()?)?;
        let names: Vec<String> = given.iter().map(|one| format!("--{}", one.option.name)).collect();
        let mut tokens: Vec<&str> =
            names.iter().zip(&given).flat_map(|(name, one)| [name.as_str(), &one.value]).collect();
        tokens.push("--");
        tokens.extend(&self.operands);
        let options = Options::from_args(&[self.row.name], &tokens);
        options.map_err(|exit| UsageError::Argh(exit.output))?.checked(self.row)
    }

    fn check_operands(&self) -> Result<(), UsageError> {
        let Row { name: subcommand, needs, operand, .. } = self.row;
        let needs_word =
            self.row.takes_command() || operand.as_ref().is_some_and(|operand| !operand.is_repeatable);
        if needs_word && self.operands.is_empty() && self.command.is_empty() {
            return Err(UsageError::Needs { subcommand, needs });
        }
        for (index, word) in self.operands.iter().enumerate() {
            let number = index + 1;
            let operand = operand.as_ref().filter(|operand| index == 0 || operand.is_repeatable);
            let operand = operand.ok_or(UsageError::UnexpectedWord { subcommand, number })?;
            let place = || format!("{} {number}", operand.name);
            (operand.check)(word).map_err(|why| UsageError::Value { place: place(), why })?;
        }
        Ok(())
    }

    /// The values that are valid by themselves. None of those at one place contradicts another. What the command line replaces
    /// is not checked.
    fn valid(&self) -> Result<Vec<&Given<'a>>, UsageError> {
        let on_command_line = self.given.iter().filter(|one| one.rank == Rank::CommandLine);
        let on_command_line: BTreeSet<_> = on_command_line.map(Given::key).collect();
        let is_replaced = |one: &&Given| {
            let has_other = one.rank != Rank::CommandLine && on_command_line.contains(&one.key());
            has_other && one.option.kind != Kind::List
        };
        let mut valid = Vec::new();
        let mut singles = BTreeSet::new();
        for one in self.given.iter().filter(|one| !is_replaced(one)) {
            let is_single = matches!(one.option.kind.of(self.row.subcommand), Kind::Once | Kind::PerName);
            let error = match (one.option.check)(&one.value) {
                Err(why) => UsageError::Value { place: one.place.clone(), why },
                Ok(()) if is_single && !singles.insert((one.rank, one.key())) => {
                    UsageError::Twice(one.place.clone())
                }
                Ok(()) => {
                    valid.push(one);
                    continue;
                }
            };
            self.refuse(one.is_essential(), error)?;
        }
        Ok(valid)
    }

    /// The values that count: no other one of a higher rank replaces them or excludes them.
    fn counting<'b>(&self, valid: Vec<&'b Given<'a>>) -> Result<Vec<&'b Given<'a>>, UsageError> {
        // The ranks ascend, so the last one wins.
        let last: BTreeMap<_, _> = valid.iter().map(|one| (one.key(), *one)).collect();
        let mut ranks: BTreeMap<&str, Rank> = valid.iter().map(|one| (one.option.name, one.rank)).collect();
        if !self.operands.is_empty() {
            ranks.insert(OPERANDS, Rank::CommandLine);
        }
        let is_replaced = |one: &Given| match one.option.kind {
            Kind::List | Kind::Containers => false,
            Kind::Switch | Kind::Once | Kind::PerName => !std::ptr::eq(last[&one.key()], one),
        };
        let mut counting = Vec::new();
        for one in valid.iter().filter(|one| !is_replaced(one)) {
            let rivals = one.option.excludes.iter().filter_map(|name| Some((*name, *ranks.get(name)?)));
            match rivals.max_by_key(|(_, rank)| *rank) {
                Some((name, rank)) if rank == one.rank => {
                    self.refuse(one.is_essential(), one.combined_with(name))?
                }
                Some((_, rank)) if rank > one.rank => {}
                _ => counting.push(*one),
            }
        }
        Ok(counting)
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

fn utf8(word: &OsString) -> Result<&str, UsageError> {
    word.to_str().ok_or(UsageError::WordNotUtf8)
}
