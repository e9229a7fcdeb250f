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
mod commands;
mod facts;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod kubernetes;
mod render;
mod sources;
mod system;
mod variables;

use std::ffi::{OsString, c_char, c_int};
use std::time::Instant;

use system::environment::Environment;
use system::{exit, logging, process};

/// Runs introspod with what the C library gives to `main`; answers with the exit code.
///
/// # Safety
/// `words` must be an array of `count` strings that end in NUL and live as long as the process.
#[allow(unsafe_code, reason = "the C library gives arguments as raw pointers")]
pub unsafe fn main(count: c_int, words: *const *const c_char) -> c_int {
    process::start();
    // SAFETY: as the caller says.
    let arguments = unsafe { process::arguments(count, words) };
    run(arguments.get(1..).unwrap_or_default())
}

/// Runs introspod and answers with its exit code; after a successful `exec` it does not return.
///
/// `arguments` are those after the program's name.
fn run(arguments: &[OsString]) -> i32 {
    let environment = Environment::new(process::environment());
    let is_exec = arguments.first().is_some_and(|first| first == "exec");
    if cli::is_disabled(&environment)
        && let Some(command) = cli::command(arguments)
    {
        return commands::exec::execute(&command, &environment);
    }
    let is_watch = arguments.first().is_some_and(|first| first == "watch");
    process::end_on_termination(if is_watch { process::End::Success } else { process::End::BySignal });
    commands::guard_against_panic(is_exec, arguments);
    logging::start(&environment);
    let invocation = match cli::parse(arguments, &environment) {
        Ok(invocation) => invocation,
        Err(error) => {
            log::error!("{error}");
            return if is_exec { exit::EXEC_FAILURE } else { exit::USAGE };
        }
    };
    commands::run(invocation, &environment, Instant::now)
}
