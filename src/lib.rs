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

/// `text` with control characters as escapes, so that nothing from outside makes a line of its own.
fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(char::is_control) {
        return std::borrow::Cow::Borrowed(text);
    }
    text.chars()
        .flat_map(|letter| {
            let escape = letter.is_control().then(|| letter.escape_default());
            let plain = escape.is_none().then_some(letter);
            escape.into_iter().flatten().chain(plain)
        })
        .collect::<String>()
        .into()
}
