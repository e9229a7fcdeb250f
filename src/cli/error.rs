//! Errors of the command line. No message contains a value, which may be a secret.

use super::subcommands::SUBCOMMANDS;
use super::values::one_of;

/// The command line or a variable `INTROSPOD_…` is not valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("introspod needs a subcommand")]
    NoSubcommand,
    #[error("unknown subcommand {name:?}; {hint}use {}; introspod --help explains them", subcommands())]
    UnknownSubcommand { name: String, hint: String },
    #[error("unknown option {option}; {hint}introspod {subcommand} --help lists the options")]
    UnknownOption { option: String, hint: String, subcommand: &'static str },
    #[error("option --{0} needs a value")]
    NoValue(&'static str),
    #[error("{0} is given twice")]
    Twice(String),
    #[error("{0} is not UTF-8")]
    NotUtf8(String),
    #[error("an option is not UTF-8; only the command of exec can contain other bytes")]
    WordNotUtf8,
    #[error("{place}{}{why}", if why.starts_with("must ") { " " } else { ": " })]
    Value { place: String, why: String },
    #[error("{place} cannot be combined with {with}")]
    Combined { place: String, with: String },
    #[error(
        "{subcommand} takes no word number {number} after its options; introspod {subcommand} --help shows its usage"
    )]
    UnexpectedWord { subcommand: &'static str, number: usize },
    #[error("{subcommand} needs {needs}")]
    Needs { subcommand: &'static str, needs: &'static str },
    #[error("--set values must not refer to each other in a cycle: {0}")]
    Cycle(String),
    #[error("{0}")]
    Other(String),
}

fn subcommands() -> String {
    one_of(&SUBCOMMANDS.iter().map(|row| row.name).collect::<Vec<_>>())
}
