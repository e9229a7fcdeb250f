//! The subcommands: one file each, and the code that they share.

pub(crate) mod exec;
mod get;
mod install;
mod pipeline;
mod print;
pub(crate) mod termination;
mod wait;
mod watch;
mod write;

use std::ffi::OsString;
use std::io::Write;
use std::time::Instant;

use crate::cli::{Invocation, Options, Subcommand};
use crate::render::template::TemplateError;
use crate::sources::changes::WatchError;
use crate::sources::pod::PodError;
use crate::system::environment::Environment;
use crate::system::exit;
use crate::system::files::OutputError;
use crate::system::root::RootError;
use crate::system::surroundings::TargetError;
use crate::variables::VariablesError;

/// A subcommand failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Root(#[from] RootError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Variables(#[from] VariablesError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("--pod {file}: {source}")]
    Pod { file: String, source: PodError },
    #[error("--pod {file}: {source}")]
    PodFile { file: String, source: std::io::Error },
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error("standard output: {0}")]
    Standard(std::io::Error),
    #[error("{file}: {source}")]
    Install { file: &'static str, source: std::io::Error },
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("--notify: {0}")]
    Notify(#[source] std::io::Error),
    #[error("--root turns the network off; add --api-url, which names the API server")]
    NoServer,
    #[error(
        "{{namespace}}: the pod's namespace is not known; write its name into the path, or set POD_NAMESPACE"
    )]
    NoNamespace,
    /// What to do about an error that is in the log already.
    #[error("{0}")]
    Advice(String),
}

/// Runs a subcommand, and answers with the exit code.
pub(crate) fn run(invocation: Invocation, environment: &Environment, clock: fn() -> Instant) -> i32 {
    let (subcommand, options, command) = match invocation {
        Invocation::Text(text) => return code_of(print::to_standard_output(text.as_bytes())),
        Invocation::Run(subcommand, options, command) => (subcommand, options, command),
    };
    code_of(match subcommand {
        Subcommand::Exec => match exec::run(&options, command, environment, clock) {
            Ok(code) => return code,
            Err(error) => {
                termination::write(&error);
                log::error!("{error}");
                return exit::EXEC_FAILURE;
            }
        },
        Subcommand::Write => {
            write::run(&options, environment, clock).inspect_err(|error| termination::write(error))
        }
        Subcommand::Watch => watch::run(&options, environment, clock),
        Subcommand::Print => print::run(&options, environment, clock),
        Subcommand::Get => get::run(&options, environment, clock),
        Subcommand::Install => install::run(&options),
    })
}

/// The exit code of all subcommands but `exec`. It logs an error.
fn code_of(result: Result<(), CommandError>) -> i32 {
    match result {
        Ok(()) => exit::SUCCESS,
        Err(CommandError::Advice(advice)) => {
            log::error!(target: crate::system::logging::ADVICE, "{advice}");
            exit::FAILURE
        }
        Err(error) => {
            log::error!("{error}");
            let is_of_usage = matches!(error, CommandError::Template(error) if error.is_of_usage());
            if is_of_usage { exit::USAGE } else { exit::FAILURE }
        }
    }
}

/// Whether the application must not start without what these options name.
pub(crate) fn is_essential(options: &Options, environment: &Environment) -> bool {
    let is_missing = |name: &String| environment.get_bytes(name.as_bytes()).is_none();
    let writes = !(options.out.is_empty() && options.template.is_empty() && options.file.is_empty());
    writes || options.require.iter().any(is_missing)
}

/// Reports a panic in one line. Then `exec` executes its command with the environment as it was, if the application
/// `may_start`; otherwise the process ends with the code `failure`.
pub(crate) fn guard_against_panic(may_start: bool, failure: i32, arguments: &[OsString]) {
    let arguments = arguments.to_vec();
    std::panic::set_hook(Box::new(move |panic| {
        let panic = panic.to_string();
        let bug = crate::system::logging::one_line(&panic);
        let then = if may_start { "; the command is executed with the environment as it was" } else { "" };
        // A standard error that cannot be written must not be another panic.
        let _ = writeln!(std::io::stderr(), "introspod: error: a bug: {bug}{then}");
        if !may_start {
            std::process::exit(failure);
        }
        let command = crate::cli::command(&arguments).unwrap_or_default();
        let environment = Environment::new(crate::system::process::environment());
        std::process::exit(exec::execute(command, &environment));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANICS: &str = "INTROSPOD_TEST_PANICS";

    // Run by the next test in a process of its own.
    #[test]
    fn panicking() {
        if std::env::var_os(PANICS).is_some() {
            let arguments = ["exec", "--labels", "--", "sh", "-c", "echo became $KEPT"].map(OsString::from);
            guard_against_panic(true, exit::EXEC_FAILURE, &arguments);
            panic!("a bug\nof ours");
        }
    }

    #[test]
    fn a_bug_of_ours_is_one_line_and_not_the_application_s_end() {
        let output = std::process::Command::new("/proc/self/exe")
            .args(["--exact", "commands::tests::panicking", "--nocapture"])
            .env(PANICS, "1")
            .env("KEPT", "as it was")
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stdout.ends_with("became as it was\n"), "{stdout}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("a bug") && stderr.contains("is executed"), "{stderr}");
        assert!(output.status.success());
    }
}
