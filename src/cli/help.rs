//! The help texts, generated from [`options`](super::options) and [`subcommands`](super::subcommands).

use super::options::Declaration;
use super::subcommands::{Row, SUBCOMMANDS};
use super::values::one_of;
use crate::facts::field::Field;
use crate::render::Format;

/// The longest line.
const WIDTH: usize = 80;
/// The columns of the texts beside options, subcommands, exit codes and fields.
const OPTION_COLUMN: usize = 23;
const SUBCOMMAND_COLUMN: usize = 11;
const CODE_COLUMN: usize = 12;
const FIELD_COLUMN: usize = 30;

/// The help of `introspod --help`: the list of subcommands.
pub(crate) fn general() -> String {
    let mut text = "Usage: introspod SUBCOMMAND [OPTION...]\n\n".to_owned();
    text += "Makes a Kubernetes pod know itself: gathers what a container can know about its\n\
             pod, node and workload, and becomes the application, writes files or prints.\n\n\
             Subcommands:\n";
    for row in &SUBCOMMANDS {
        text += &beside(row.name, row.summary, SUBCOMMAND_COLUMN);
    }
    text += "\n`introspod help SUBCOMMAND` and `introspod SUBCOMMAND --help` show its options.\n\
             `introspod help fields` lists the fields.\n`introspod --version` shows the version.\n";
    text
}

/// The help of `introspod help fields`.
pub(super) fn fields() -> String {
    let about = "The fields for --set NAME=VALUE and templates: the variable that a field has without an option, what \
                 it is, and the sources that may know it, the best one first.";
    let mut text = wrapped(about, WIDTH).join("\n") + "\n\n";
    for field in Field::all() {
        let variable = field.variable.map_or(String::new(), |name| format!("{name}; "));
        let (key, what) = match field.keys {
            Some(_) if field.needs_key => ("['KEY']", "an entry"),
            Some(_) => ("", "lines of entries; one of them with ['KEY']"),
            None => ("", field.kind.noun()),
        };
        let sources: Vec<&str> = field.sources.iter().map(|source| source.name()).collect();
        let about = format!("{variable}{what}; from {}", sources.join(", "));
        text += &beside(&format!("{}{key}", field.path), &about, FIELD_COLUMN);
    }
    let paths = "Other scalars of the Pod, Node and Namespace objects have paths, and come from the API server: \
                 pod.spec.terminationGracePeriodSeconds, node.metadata.annotations['KEY'], \
                 pod.spec.containers.[name=app].ports.[name=http].containerPort.";
    text + "\n" + &wrapped(paths, WIDTH).join("\n") + "\n"
}

/// The help of a subcommand.
pub(super) fn of(row: &Row) -> String {
    let mut text = format!("Usage: introspod {} {}\n\n", row.name, row.usage);
    text += &(wrapped(&format!("{}.", row.summary), WIDTH).join("\n") + "\n");
    if let Some(operand) = &row.operand {
        text += &format!("\nArguments:\n{}", beside(operand.name, operand.help, OPTION_COLUMN));
    }
    let mut group = "";
    for option in Declaration::of(row.subcommand) {
        if group != option.group {
            group = option.group;
            text += &format!("\n{group}:\n");
        }
        text += &beside(&left(option), &filled(option), OPTION_COLUMN);
    }
    text += &format!("\nHelp:\n{}", beside("-h, --help", "show this help", OPTION_COLUMN));
    let about_variables = about_variables(row);
    let notes: Vec<&str> = row.notes.iter().copied().chain(about_variables.as_deref()).collect();
    if !notes.is_empty() {
        text += "\nNotes:\n";
        notes.iter().for_each(|note| text += &beside("", note, 2));
    }
    text += "\nExit codes:\n";
    row.exit_codes().iter().for_each(|(code, when)| text += &beside(code, when, CODE_COLUMN));
    text
}

/// The note about variables for options, if there are options.
fn about_variables(row: &Row) -> Option<String> {
    Declaration::of(row.subcommand).next()?;
    let mut text = "Each option can also be given as a variable: --api-url as INTROSPOD_API_URL; repeatable \
                    options one per line. An option on the command line wins. INTROSPOD_LOG sets what is \
                    logged: error, warn (default) or info."
        .to_owned();
    for option in Declaration::of(row.subcommand).filter(|option| option.unread_by == Some(row.subcommand)) {
        text += &format!(" {} does not read {}.", row.name, option.variable());
    }
    Some(text)
}

/// An option with its placeholder.
pub(super) fn left(option: &Declaration) -> String {
    let short = option.short.map_or(String::new(), |short| format!("-{short}, "));
    format!("{short}--{} {}", option.name, option.placeholder).trim_end().to_owned()
}

/// The help of an option, with the names of the formats.
pub(super) fn filled(option: &Declaration) -> String {
    let text = option.help.concat().replace("{formats}", &one_of(&Format::names()));
    text.replace("{suffixes}", &one_of(&Format::suffixes()))
}

/// `left` with `text` beside it at `column`, or below it if `left` is too long.
fn beside(left: &str, text: &str, column: usize) -> String {
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
