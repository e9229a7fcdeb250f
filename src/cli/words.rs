//! The words of a command line and the variables of options, before argh converts them.
//!
//! argh does not support `--x=y`, `--switch=false`, variables, and a command that is not UTF-8.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::slice::Iter;

use argh::FromArgs;

use super::error::UsageError;
use super::options::{Declaration, Kind, OPERANDS, Options, PREFIX};
use super::subcommands::{Row, Subcommand};
use super::variables::{is_for_service, lines, option_of, trim, value_of, warn_of_misspelt};
use crate::system::environment::Environment;
use crate::system::suggest;
use crate::variables::value::Expression;
use crate::variables::value::order;

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

/// Where an option was given. A later variant wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Variable,
    /// A variable `INTROSPOD_SET_<NAME>`.
    VariableOfName,
    CommandLine,
}

impl Given<'_> {
    /// What can have only one value: the option, and for `--set NAME=VALUE` also the NAME.
    fn key(&self) -> (&'static str, &str) {
        let name = match self.option.kind {
            Kind::PerName => self.value.split('=').next().unwrap_or_default(),
            _ => "",
        };
        (self.option.name, name)
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
            None => option.short.is_some_and(|short| name == format!("-{short}")),
        };
        let option =
            Declaration::of(self.row.subcommand).find(is_meant).ok_or_else(|| self.unknown_option(name))?;
        let value = match (value, option.kind) {
            (Some(value), _) => value,
            (None, Kind::Switch) => "true",
            (None, _) => match rest.next() {
                // If a value was forgotten, the next option does not become the value.
                Some(word) if !word.as_bytes().starts_with(b"--") => utf8(word)?,
                _ => return Err(UsageError::NoValue(option.name)),
            },
        };
        if option.kind == Kind::Switch {
            // The last one counts.
            self.given.retain(|one| one.option.name != option.name);
        }
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
        // The user may have written a value as an option: --json for -o json.
        let of_value = options.find_map(|option| Some((option.short?, (option.check)(word).ok()?)));
        let hint = match (nearest, of_value) {
            (_, Some((short, ()))) => format!("did you mean -{short} {word}? "),
            (Some(nearest), None) => format!("did you mean --{nearest}? "),
            (None, None) => String::new(),
        };
        UsageError::UnknownOption { option: name.to_owned(), hint, subcommand: self.row.name }
    }

    /// Adds the values of variables.
    pub(super) fn add_variables(&mut self, environment: &'a Environment) -> Result<(), UsageError> {
        let mut names = BTreeSet::new();
        names.extend(environment.names_with_prefix(PREFIX));
        if names.is_empty() {
            return Ok(());
        }
        warn_of_misspelt(&names, environment);
        let subcommand = self.row.subcommand;
        for variable in names {
            let options = Declaration::of(subcommand).filter(|option| option.unread_by != Some(subcommand));
            let Some((option, name)) = option_of(variable, options) else { continue };
            match value_of(variable, environment) {
                Some(text) => self.add_variable(option, variable, name, text),
                None => self.refuse(option.is_essential, UsageError::NotUtf8(variable.to_owned()))?,
            }
        }
        Ok(())
    }

    /// Adds the value of `INTROSPOD_SET_<NAME>`, or the values of another variable.
    fn add_variable(
        &mut self,
        option: &'static Declaration,
        variable: &str,
        name: Option<&str>,
        text: &'a str,
    ) {
        let given = |value, rank, place| Given { option, value, rank, place };
        let value = trim(text);
        match (name, option.kind.of(self.row.subcommand)) {
            (Some(name), _) if value.is_empty() || is_for_service(name, value) => {}
            (Some(name), _) => {
                let value = format!("{name}={value}").into();
                self.given.push(given(value, Rank::VariableOfName, variable.to_owned()));
            }
            (None, Kind::Switch | Kind::Once) if value.is_empty() => {}
            (None, Kind::Switch | Kind::Once) => {
                self.given.push(given(value.into(), Rank::Variable, variable.to_owned()));
            }
            (None, _) => self.given.extend(lines(text).map(|(number, line)| {
                given(line.into(), Rank::Variable, format!("{variable}, line {number}"))
            })),
        }
    }

    /// Fails with `error`. But a variable that is not essential must not keep `exec` from its command: it has no effect,
    /// with a warning.
    fn refuse(&self, is_essential: bool, error: UsageError) -> Result<(), UsageError> {
        if is_essential || self.row.subcommand != Subcommand::Exec {
            return Err(error);
        }
        log::warn!("{error}; it has no effect");
        Ok(())
    }

    /// Checks each value, settles which of them count, and converts these with argh.
    pub(super) fn parse(mut self) -> Result<Options, UsageError> {
        self.check_operands()?;
        // The sort is stable. A value that a higher rank replaces is not checked.
        self.given.sort_by_key(|one| Reverse(one.rank));
        let mut counting: Vec<&Given> = Vec::new();
        let mut ranks: BTreeMap<(&str, &str), Rank> = BTreeMap::new();
        if !self.operands.is_empty() {
            ranks.insert((OPERANDS, ""), Rank::CommandLine);
        }
        for one in &self.given {
            let before = if one.option.kind == Kind::List { None } else { ranks.get(&one.key()).copied() };
            let rivals =
                one.option.excludes.iter().filter_map(|name| Some((*name, *ranks.get(&(*name, ""))?)));
            let rival = rivals.max_by_key(|(_, rank)| *rank);
            if before.max(rival.map(|(_, rank)| rank)) > Some(one.rank) {
                continue;
            }
            match self.check(one, before.is_some(), rival.map(|(name, _)| name)) {
                Err(error) => self.refuse(one.is_essential(), error)?,
                Ok(()) => {
                    ranks.insert(one.key(), one.rank);
                    counting.push(one);
                }
            }
        }
        self.converted(counting)
    }

    /// Checks the value of an option that `is_repeated`, or is given with the option `rival`.
    fn check(&self, one: &Given, is_repeated: bool, rival: Option<&str>) -> Result<(), UsageError> {
        let not_valid = |why| UsageError::Value { place: one.place.clone(), why };
        (one.option.check)(&one.value).map_err(not_valid)?;
        let is_optional = self.row.subcommand == Subcommand::Exec && !one.is_essential();
        let is_missing = one.option.names_file && one.value != "-" && !Path::new(&*one.value).exists();
        if is_optional && is_missing {
            return Err(not_valid("must name a file that exists".to_owned()));
        }
        if let Some(rival) = rival {
            let with = if rival == OPERANDS { rival.to_owned() } else { format!("--{rival}") };
            return Err(UsageError::Combined { place: one.place.clone(), with });
        }
        match one.option.kind.of(self.row.subcommand) {
            Kind::Once | Kind::PerName if is_repeated => Err(UsageError::Twice(one.place.clone())),
            _ => Ok(()),
        }
    }

    fn converted(&self, counting: Vec<&Given>) -> Result<Options, UsageError> {
        let names: Vec<String> = counting.iter().map(|one| format!("--{}", one.option.name)).collect();
        let pairs = names.iter().zip(&counting).flat_map(|(name, one)| [name.as_str(), &one.value]);
        let tokens: Vec<&str> = pairs.chain(["--"]).chain(self.operands.iter().copied()).collect();
        let options = Options::from_args(&[self.row.name], &tokens);
        let mut options = options.map_err(|exit| UsageError::Other(exit.output))?.checked(self.row)?;
        self.sort(&mut options.set, &counting)?;
        Ok(options)
    }

    /// Sorts the values of `--set`. Those of variables that refer to each other in a cycle are refused.
    fn sort(&self, set: &mut Vec<(String, Expression)>, given: &[&Given]) -> Result<(), UsageError> {
        loop {
            let Err((circle, names)) = order::sort(set) else { return Ok(()) };
            let is_refused = |one: &&&Given| !one.is_essential() && names.contains(one.key().1);
            let mut refused: BTreeSet<&str> = BTreeSet::new();
            for one in given.iter().filter(|one| one.option.kind == Kind::PerName).filter(is_refused) {
                let why = format!("must not refer to itself through others: {circle}");
                self.refuse(false, UsageError::Value { place: one.place.clone(), why })?;
                refused.insert(one.key().1);
            }
            if refused.is_empty() {
                return Err(UsageError::Cycle(circle));
            }
            set.retain(|(name, _)| !refused.contains(name.as_str()));
        }
    }

    fn check_operands(&self) -> Result<(), UsageError> {
        let Row { name: subcommand, needs, operand, .. } = self.row;
        let needs_word = operand.as_ref().map_or(self.row.takes_command(), |operand| !operand.is_repeatable);
        if needs_word && self.operands.is_empty() && self.command.is_empty() {
            return Err(UsageError::Needs { subcommand, needs });
        }
        for (number, word) in (1..).zip(&self.operands) {
            let operand = operand.as_ref().filter(|operand| number == 1 || operand.is_repeatable);
            let operand = operand.ok_or(UsageError::UnexpectedWord { subcommand, number })?;
            let not_valid = |why| UsageError::Value { place: format!("{} {number}", operand.name), why };
            (operand.check)(word).map_err(not_valid)?;
        }
        Ok(())
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
