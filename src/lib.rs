//! introspod makes a Kubernetes pod know itself.
//!
//! ```text
//!  arguments and INTROSPOD_… variables
//!       │ cli           one declaration per option, one row per subcommand
//!       ▼
//!  commands             exec, write, print, watch, get, install
//!       │ pipeline      from options to facts, variables and files
//!       ▼
//!  sources ◄──────────  system (files, environment, mounts), client (API server)
//!       │ gather        token, kubelet, cgroup, env, volume; the API server only if it is needed
//!       ▼
//!  facts                the table of fields; for each field the value that wins
//!       │
//!       ▼
//!  variables            names and values for the application
//!       │
//!       ▼
//!  render               json, env, sh, table ──► standard output or a file
//!       │
//!       ▼
//!  execve               exec only: this process becomes the application
//! ```
//!
//! Values flow only downwards. The root directory, the environment and the clock are arguments
//! ([`system::surroundings`]), not globals. All modules use Kubernetes' notations ([`kubernetes`]).
//!
//! # Words
//!
//! | word | meaning |
//! | --- | --- |
//! | field | one property of a pod, with its name in the downward API: `metadata.name`, `limits.memory` ([`facts::field`]) |
//! | source | a place from which fields are read: `token`, `kubelet`, `cgroup`, `env`, `volume`, `api` ([`sources`]) |
//! | fact | a field's value and its source ([`facts`]) |
//! | variable | an environment variable made from a fact: `POD_NAME` ([`variables`]) |
//! | expression | a field, a number or a computation with them, after `--set NAME=` or in `$( )` ([`variables::value`]) |
//! | template | text with `$(expression)` in it: in `--set`, in a file ([`variables::value::template`]) |
//! | subject | what the facts describe: this container, another container, or only the pod ([`facts::subject`]) |
//! | selection | what the user asks for: variables, and the texts that refer to them ([`variables::Selection`]) |
//! | run | the facts about one subject, and the variables and files made of them ([`variables::Run`]) |
//!
//! # What to change
//!
//! | for a new | change |
//! | --- | --- |
//! | field | one row of [`facts::field::TABLE`] |
//! | source | one file in [`sources`], its row in [`sources::gather`], and its name in [`facts::field::Source`] |
//! | format | one file in [`render`] and its row in [`render::FORMATS`]: `--format`, suffixes and help follow |
//! | option | one declaration in `cli::options`: its variable, its help and the check of its spelling follow; then what it does |
//! | subcommand | one file in [`commands`] and one row of `cli::subcommands::SUBCOMMANDS` |
//!
//! # Rules
//!
//! - Absent, never wrong: a value that is not certain is not a fact.
//! - Never in the way: a source never fails the run. `exec` executes its command, unless an option such
//!   as `--require` forbids it.
//! - Logs and errors never contain the token or values of the environment.

mod cli;
mod client;
mod commands;
mod facts;
// For fuzz/run and `cargo test`, outside of the program's own sources.
#[cfg(any(test, fuzzing))]
#[path = "../fuzz/properties.rs"]
pub mod fuzzing;
mod kubernetes;
mod render;
mod sources;
mod system;
mod variables;

use std::ffi::OsString;
use std::io::Write;
use std::time::Instant;

use cli::{Invocation, Subcommand, UsageError};
use system::environment::Environment;
use system::{exit, logging, process};

/// Runs introspod, and answers with its exit code. It does not return after a successful `exec`.
///
/// `arguments` do not include the program's name.
pub fn run(arguments: &[OsString]) -> i32 {
    let environment = Environment::new(process::environment());
    if cli::is_disabled(&environment) == Some(true)
        && let Some(command) = cli::command(arguments)
    {
        return commands::exec::execute_at_once(command, &environment);
    }
    let subcommand = cli::subcommand(arguments);
    let is_exec = subcommand == Some(Subcommand::Exec);
    process::end_on_signals(subcommand == Some(Subcommand::Watch));
    let failure = if is_exec { exit::EXEC_FAILURE } else { exit::FAILURE };
    commands::guard_against_panic(is_exec, failure, arguments);
    logging::start(&environment);
    let invocation = match cli::parse(arguments, &environment) {
        Ok(invocation) => invocation,
        // What introspod is for; there is nothing to be wrong about.
        Err(UsageError::NoSubcommand) => {
            let _ = std::io::stderr().write_all(cli::general_help().as_bytes());
            return exit::USAGE;
        }
        Err(error) => {
            if is_exec || subcommand == Some(Subcommand::Write) {
                commands::termination::write(&error);
            }
            log::error!("{error}");
            return if is_exec { exit::EXEC_FAILURE } else { exit::USAGE };
        }
    };
    if let Invocation::Run(Subcommand::Exec, options, _) = &invocation {
        let may_start = !commands::is_essential(options, &environment);
        commands::guard_against_panic(may_start, failure, arguments);
    }
    commands::run(invocation, &environment, Instant::now)
}
