//! The help texts, generated from [`options`](super::options) and [`subcommands`](super::subcommands).

use argh::{FlagInfo, FlagInfoKind};

use super::subcommands::{SUBCOMMANDS, Subcommand};
use super::variables::variable_of;
use crate::render::Format;

/// The longest line.
const WIDTH: usize = 80;
/// The columns of the texts beside options, subcommands and exit codes.
const OPTION_COLUMN: usize = 23;
const SUBCOMMAND_COLUMN: usize = 11;
const CODE_COLUMN: usize = 12;

/// The help of `introspod --help`: the list of subcommands.
pub(super) fn general() -> String {
    let mut text = "Usage: introspod SUBCOMMAND [OPTION...]\n\n".to_owned();
    text += "Makes a Kubernetes pod know itself: gathers what a container can know about its\n\
             pod, node and workload, and becomes the application, writes files or prints.\n\n\
             Subcommands:\n";
    for subcommand in &SUBCOMMANDS {
        text += &row(subcommand.name, subcommand.summary, SUBCOMMAND_COLUMN);
    }
    text += "\n`introspod help SUBCOMMAND` and `introspod SUBCOMMAND --help` show its options.\n\
             `introspod --version` shows the version.\n";
    text
}

/// The help of a subcommand.
pub(super) fn of(subcommand: &Subcommand) -> String {
    let mut text = format!("Usage: introspod {} {}\n\n", subcommand.name, subcommand.usage);
    text += &(wrapped(&format!("{}.", subcommand.summary), WIDTH).join("\n") + "\n");
    let mut section = String::new();
    for group in subcommand.groups.iter().copied().flatten() {
        let info = group();
        for positional in info.positionals {
            text += &format!(
                "\nArguments:\n{}",
                row(positional.name, &filled(positional.description), OPTION_COLUMN)
            );
        }
        let mut flags = info.flags.iter().filter(|flag| flag.long != "--help").peekable();
        if section != info.description && flags.peek().is_some() {
            section = info.description.to_owned();
            text += &format!("\n{section}:\n");
        }
        flags.for_each(|flag| text += &row(&left(flag), &filled(flag.description), OPTION_COLUMN));
    }
    text += &format!("\nHelp:\n{}", row("-h, --help", "show this help", OPTION_COLUMN));
    let takes_options = subcommand.flags().next().is_some();
    if !subcommand.notes.is_empty() || takes_options {
        text += "\nNotes:\n";
        subcommand.notes.iter().for_each(|note| text += &row("", note, 2));
    }
    if takes_options {
        text += &row("", &about_variables(subcommand), 2);
    }
    text += "\nExit codes:\n";
    subcommand.exit_codes.iter().for_each(|(code, when)| text += &row(code, when, CODE_COLUMN));
    text
}

/// The note about variables for options.
fn about_variables(subcommand: &Subcommand) -> String {
    let mut text = "Each option can also be given as a variable: --api-url as INTROSPOD_API_URL; repeatable \
                    options one per line. An option on the command line wins. INTROSPOD_LOG sets what is \
                    logged: error, warn (default) or info."
        .to_owned();
    for option in subcommand.without_variable {
        text += &format!(" {} does not read {}.", subcommand.name, variable_of(option));
    }
    text
}

/// An option with its placeholder.
fn left(flag: &FlagInfo) -> String {
    let short = flag.short.map_or(String::new(), |short| format!("-{short}, "));
    match flag.kind {
        FlagInfoKind::Switch => format!("{short}{}", flag.long),
        FlagInfoKind::Option { arg_name } => format!("{short}{} {arg_name}", flag.long),
    }
}

/// A description with the names of the formats. argh doubles the braces.
fn filled(description: &str) -> String {
    let text = description.replace("{{formats}}", &one_of(&Format::names()));
    let text = text.replace("{{suffixes}}", &one_of(&Format::suffixes()));
    text.replace("{{", "{").replace("}}", "}")
}

/// `left` with `text` beside it at `column`, or below it if `left` is too long.
fn row(left: &str, text: &str, column: usize) -> String {
    let mut left = format!("  {left}");
    let mut rows = String::new();
    if left.trim_end().len() >= column {
        rows = std::mem::take(&mut left) + "\n";
    }
    for line in wrapped(text, WIDTH - column) {
        rows += &format!("{:column$}{line}\n", std::mem::take(&mut left));
    }
    rows
}

/// `text` in lines of at most `width` characters. A longer word has its own line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                *line += &format!(" {word}")
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// `a, b or c`.
pub(super) fn one_of(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    }
}
