//! Errors of the command line.

use std::ffi::OsString;

use super::help::one_of;
use super::subcommands::SUBCOMMANDS;
use crate::variables::definition::OrderError;

/// The command line or a variable `INTROSPOD_…` is not valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("introspod needs a subcommand: {}; introspod --help explains them", subcommands())]
    NoSubcommand,
    #[error("unknown subcommand {name:?}; {hint}use {}; introspod --help explains them", subcommands())]
    UnknownSubcommand { name: String, hint: String },
    #[error("unknown option {option}; {hint}introspod {subcommand} --help lists the options")]
    UnknownOption { option: String, hint: String, subcommand: &'static str },
    #[error("option {0} needs a value")]
    NoValue(&'static str),
    #[error("{place} must be true or false")]
    NotBoolean { place: String },
    #[error("option {0} is given twice")]
    Twice(&'static str),
    #[error("{0:?} is not UTF-8; only the command of exec can contain other bytes")]
    NotUtf8(OsString),
    #[error("{place}{}{why}", if why.starts_with("must ") { " " } else { ": " })]
    Value { place: String, why: String },
    /// An error of argh, with argh's message.
    #[error("{0}")]
    Argh(String),
    #[error("{subcommand} does not take the word {word:?}; introspod {subcommand} --help shows its usage")]
    UnexpectedWord { subcommand: &'static str, word: String },
    #[error("{subcommand} needs {what}, such as introspod {subcommand} {example}")]
    NoOperand { subcommand: &'static str, what: &'static str, example: &'static str },
    #[error("exec needs a command: introspod exec [OPTION...] [--] COMMAND [ARG...]")]
    NoCommand,
    #[error("{0} needs a file to write: --out FILE")]
    NoOut(&'static str),
    #[error(transparent)]
    Set(#[from] OrderError),
    #[error("--container {0} is given twice")]
    ContainerTwice(String),
    #[error("{0} describes one container, so it takes one --container")]
    SeveralContainers(&'static str),
    #[error(
        "--out {file} must have {{container}} in its name, because --container is given several times and each container needs a file"
    )]
    OneFileForSeveral { file: String },
    #[error("--out {file} has {{container}} in its name, so it needs --container NAME")]
    NoContainer { file: String },
    // The message does not contain the word, which may be a URL with a password or a token.
    #[error("the path must begin with /, such as introspod get /version")]
    NoPath,
    #[error("{option} cannot be combined with {with}")]
    Combined { option: &'static str, with: &'static str },
}

fn subcommands() -> String {
    one_of(&SUBCOMMANDS.iter().map(|subcommand| subcommand.name).collect::<Vec<_>>())
}
