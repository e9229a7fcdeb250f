//! The words of a command line, made ready for argh.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use argh::{FlagInfo, FlagInfoKind, Optionality};

use super::UsageError;
use crate::system::environment::Environment;
use crate::system::suggest;

/// The prefix of the variables that stand for options.
const PREFIX: &str = "INTROSPOD_";

/// The words before the command, as argh takes them, and the command.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The options of the subcommand itself, and what is no option.
    pub(super) own: Vec<String>,
    /// The options that it has in common with others.
    pub(super) shared: Vec<String>,
    seen: Vec<String>,
    /// The options that variables gave.
    pub(super) from_variables: Vec<String>,
    pub(super) command: Vec<OsString>,
}

impl Words {
    /// Splits `arguments` at the command, and options at `=`.
    pub(super) fn split(
        subcommand: &'static str,
        own: &[FlagInfo],
        shared: &[FlagInfo],
        arguments: &[OsString],
    ) -> Result<Self, UsageError> {
        let mut words = Words::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let is_option = argument.as_bytes().starts_with(b"-") && argument.len() > 1;
            if argument == "--" || (!is_option && subcommand == "exec") {
                let first = (!is_option).then(|| argument.clone());
                words.command = first.into_iter().chain(rest.cloned()).collect();
                break;
            }
            let text = utf8(argument)?;
            if !is_option || matches!(text, "--help" | "-h") {
                words.own.push(text.to_owned());
                continue;
            }
            let (name, value) =
                text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
            let flag = own.iter().chain(shared).find(|flag| flag.long == name);
            let flag = flag.ok_or_else(|| unknown_option(subcommand, own, shared, name))?;
            words.seen.push(name.to_owned());
            let tokens = words.tokens(own, name);
            match flag.kind {
                FlagInfoKind::Switch => add_switch(tokens, name, value)?,
                FlagInfoKind::Option { .. } => {
                    let next = || utf8(rest.next().ok_or_else(|| UsageError::NoValue(name.to_owned()))?);
                    let value = value.map_or_else(next, Ok)?;
                    tokens.extend([name.to_owned(), value.to_owned()]);
                }
            }
        }
        if subcommand != "exec" {
            // What follows -- belongs to the subcommand itself.
            for argument in std::mem::take(&mut words.command) {
                words.own.push(utf8(&argument)?.to_owned());
            }
        }
        Ok(words)
    }

    /// Where the tokens of the option `name` go.
    fn tokens(&mut self, own: &[FlagInfo], name: &str) -> &mut Vec<String> {
        match own.iter().any(|flag| flag.long == name) {
            true => &mut self.own,
            false => &mut self.shared,
        }
    }

    /// Adds what variables say: of a repeatable option in front of what the command line says,
    /// of another only where the command line does not say it.
    pub(super) fn add_defaults(
        &mut self,
        own: &[FlagInfo],
        shared: &[FlagInfo],
        environment: &Environment,
    ) -> Result<(), UsageError> {
        if !environment.has_prefix(PREFIX) {
            return Ok(());
        }
        for flag in own.iter().chain(shared).filter(|flag| flag.long != "--help") {
            let variable = variable_of(flag.long);
            let Some(text) = environment.get_nonempty(&variable) else { continue };
            let is_seen = self.seen.iter().any(|seen| seen == flag.long);
            if flag.kind == FlagInfoKind::Switch {
                let wrong = UsageError::NotBoolean { place: variable, value: text.to_owned() };
                let is_on = parse_boolean(text).ok_or(wrong)?;
                self.tokens(own, flag.long).extend((is_on && !is_seen).then(|| flag.long.to_owned()));
                continue;
            }
            let values: Vec<&str> = match flag.optionality {
                Optionality::Repeating => {
                    lines(text).filter(|value| !self.is_set_again(flag.long, value)).collect()
                }
                _ if is_seen => continue,
                _ => vec![text],
            };
            let defaults = values.iter().flat_map(|value| [flag.long.to_owned(), (*value).to_owned()]);
            self.tokens(own, flag.long).splice(..0, defaults);
            self.from_variables.push(flag.long.to_owned());
        }
        Ok(())
    }

    /// Whether the command line sets the same NAME as `value`: then it wins.
    fn is_set_again(&self, option: &str, value: &str) -> bool {
        let name = |set: &str| set.split('=').next().unwrap_or_default().to_owned();
        let mut pairs = self.shared.windows(2);
        option == "--set" && pairs.any(|pair| pair[0] == option && name(&pair[1]) == name(value))
    }
}

fn add_switch(tokens: &mut Vec<String>, name: &str, value: Option<&str>) -> Result<(), UsageError> {
    let wrong = |value: &str| UsageError::NotBoolean { place: name.to_owned(), value: value.to_owned() };
    let is_on = value.map_or(Ok(true), |value| parse_boolean(value).ok_or_else(|| wrong(value)))?;
    // The last word counts.
    tokens.retain(|token| token != name);
    if is_on {
        tokens.push(name.to_owned());
    }
    Ok(())
}

fn utf8(word: &OsString) -> Result<&str, UsageError> {
    word.to_str().ok_or_else(|| UsageError::NotUtf8(word.clone()))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

fn unknown_option(subcommand: &'static str, own: &[FlagInfo], shared: &[FlagInfo], name: &str) -> UsageError {
    let known = own.iter().chain(shared).map(|flag| flag.long.trim_start_matches('-'));
    let nearest = suggest::nearest(name.trim_start_matches('-'), known);
    let hint = nearest.map_or(String::new(), |nearest| format!("did you mean --{nearest}? "));
    UsageError::UnknownOption { option: name.to_owned(), hint, subcommand }
}

/// The variable that stands for `option`.
pub(super) fn variable_of(option: &str) -> String {
    let name = option.trim_start_matches('-').replace('-', "_");
    PREFIX.to_owned() + &name.to_ascii_uppercase()
}

/// What a switch is given as its value.
pub(super) fn parse_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}
