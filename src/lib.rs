//! introspod makes a Kubernetes pod know itself.
//!
//! ```text
//! argv ──> gather ──> facts ──> variables ──> render ──> file or exec
//!            │          │           │            │
//!         source/*   field.rs   expression    render/*
//! ```
//!
//! [`cli`] says what is asked for. [`gather`] asks the sources in [`source`] one after another, and
//! the API server only for what nothing nearer can tell. Each tells values of fields; the one table
//! of fields is in [`field`], and [`facts`] keeps of each the value that counts. [`variables`] makes
//! of facts what the application gets; [`render`] and [`output`] write it down; [`command`] holds
//! the subcommands, of which `exec` becomes the application.

#![deny(unsafe_code)]

mod cli;
mod client;
mod command;
mod environment;
mod exit;
mod expression;
mod facts;
mod field;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gather;
mod kubernetes;
mod limits;
mod mountinfo;
mod notify;
mod otel;
mod output;
mod owner;
mod pod;
mod render;
mod root;
mod source;
mod surroundings;
mod system;
mod variable;
mod variables;
mod wanted;

use std::ffi::{OsString, c_char, c_int};
use std::io::Write;
use std::time::Instant;

use environment::Environment;

/// Runs introspod with what the C library gives to `main`; answers with the exit code.
pub fn main(count: c_int, words: *const *const c_char) -> c_int {
    system::start();
    let arguments = system::arguments(count, words);
    run(arguments.get(1..).unwrap_or_default())
}

/// Runs introspod and answers with its exit code; after a successful `exec` it does not return.
///
/// `arguments` are those after the program's name.
fn run(arguments: &[OsString]) -> i32 {
    let environment = Environment::new(system::environment());
    let is_exec = arguments.first().is_some_and(|first| first == "exec");
    if cli::is_disabled(&environment)
        && let Some(command) = cli::command(arguments)
    {
        return command::exec::execute(&command, &environment);
    }
    let is_watch = arguments.first().is_some_and(|first| first == "watch");
    system::end_on_termination(if is_watch { system::End::Success } else { system::End::BySignal });
    command::guard_against_panic(is_exec, arguments);
    start_log(&environment);
    let invocation = match cli::parse(arguments, &environment) {
        Ok(invocation) => invocation,
        Err(error) => {
            log::error!("{error}");
            return if is_exec { exit::EXEC_FAILURE } else { exit::USAGE };
        }
    };
    command::run(invocation, &environment, Instant::now)
}

/// The log goes to standard error, a line a record. `RUST_LOG` is the application's.
fn start_log(environment: &Environment) {
    let filter = environment.get_nonempty("INTROSPOD_LOG").unwrap_or("warn");
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter).format(|formatter, record| {
        let text = record.args().to_string();
        if record.target() == ADVICE {
            return writeln!(formatter, "{text}");
        }
        let level = record.level().as_str().to_ascii_lowercase();
        writeln!(formatter, "introspod: {level}: {}", one_line(&text))
    });
    builder.init();
}

/// The target of log records that are advice: of several lines, to be copied as they stand.
const ADVICE: &str = "introspod::advice";

/// `text` with control characters as escapes, so that nothing from outside makes a line of its own,
/// and those that turn the direction of what follows (UAX #9), so that nothing reads as what it is not.
fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return std::borrow::Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match is_deceptive(letter) {
            true => line.extend(letter.escape_default()),
            false => line.push(letter),
        }
    }
    line.into()
}

fn is_deceptive(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn what_makes_lines_or_turns_them_is_escaped() {
        assert_eq!(one_line("a\nb\u{1b}[31m"), r"a\nb\u{1b}[31m");
        assert_eq!(one_line("\u{202e}drow"), r"\u{202e}drow");
        assert_eq!(one_line("Grüße, 世界"), "Grüße, 世界");
    }
}
