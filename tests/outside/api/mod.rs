//! The source `api`: its results and messages for any behaviour of the API server.

mod access;
mod address;
mod ambassador;
mod asking;
mod certificates;
mod containers;
mod failing;
mod forbidden;
mod get;
mod identity;
mod node;
mod objects;
mod process;
mod telling;
mod waiting;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::needs::{is_root, needs};
use crate::server::{Server, assert_token_absent};
use crate::world::{INTROSPOD, Outcome, World, fixtures, pod_json, run};

/// The `--timeout` of runs that use it up.
const LIMIT: &str = "500ms";

/// A `--timeout` that an immediate failure does not use up, however busy the machine is.
const AMPLE: &str = "30s";

/// Far above `LIMIT`, for a busy machine, and below what a hang would take: dropping a client that waits for
/// a name server takes 19 s.
const SOON: Duration = Duration::from_secs(10);

/// The recorded Pod object of `name`.
fn pod(name: &str) -> Value {
    read_json(pod_json(name))
}

/// A Pod object recorded right after the start of a container, as if it were that of `name`.
fn early(file: &str, name: &str) -> Value {
    let (mut early, recorded) = (read_json(fixtures().join("early").join(file)), pod(name));
    for key in ["name", "uid"] {
        early["metadata"][key] = recorded["metadata"][key].clone();
    }
    early
}

fn read_json(path: std::path::PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// `introspod SUBCOMMAND --api-url URL OPTIONS` in `world`.
fn command(world: &World, url: &str, subcommand: &str, options: &[&str]) -> Command {
    world.command([&[subcommand, "--api-url", url], options].concat())
}

/// `exec` of a shell that says that it has started and shows its environment.
fn exec_command(world: &World, url: &str, options: &[&str]) -> Command {
    let mut command = command(world, url, "exec", options);
    command.args(["--", "sh", "-c", "echo started; env"]);
    command
}

/// Runs `exec`; the token is in nothing that it said.
#[track_caller]
fn exec(world: &World, url: &str, options: &[&str]) -> Outcome {
    without_token(run(exec_command(world, url, options)))
}

/// Runs `print`; the token is in nothing that it said.
#[track_caller]
fn print(world: &World, url: &str, options: &[&str]) -> Outcome {
    without_token(run(command(world, url, "print", options)))
}

/// What `print --format json` shows when the API is asked.
#[track_caller]
fn document(world: &World, server: &Server, options: &[&str]) -> Value {
    let options = [&["--format", "json", "--api", "always"], options].concat();
    print(world, &server.url(), &options).expect_code(0).json()
}

#[track_caller]
fn without_token(outcome: Outcome) -> Outcome {
    assert_token_absent(&outcome.stdout);
    assert_token_absent(&outcome.stderr);
    outcome
}

/// The value of an environment variable that the application of `exec` has shown.
fn variable<'a>(outcome: &'a Outcome, name: &str) -> Option<&'a str> {
    let mut pairs = outcome.stdout.lines().filter_map(|line| line.split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Whether the application of `exec` has run.
fn started(outcome: &Outcome) -> bool {
    outcome.stdout.starts_with("started\n")
}

/// Fails the test unless standard error has every one of `words`, in any case; `a|b` is either.
#[track_caller]
fn assert_says(outcome: &Outcome, words: &[&str]) {
    let said = outcome.stderr.to_lowercase();
    for word in words {
        let found = word.to_lowercase().split('|').any(|word| said.contains(word));
        assert!(found, "{word:?} is not in:\n{}", outcome.stderr);
    }
}

/// Runs `exec --labels` in a `bare` pod whose API server fails until the deadline. The application must start
/// in time, with the facts of other sources, and the message must contain `words`.
#[track_caller]
fn starts_without_labels(world: &World, url: &str, words: &[&str]) -> Outcome {
    let begun = Instant::now();
    let outcome = starts_within(LIMIT, world, url, words);
    assert!(begun.elapsed() < SOON, "{:?}: {outcome:#?}", begun.elapsed());
    // Whoever reads the warning learns what each start costs, and what to do about it.
    assert_says(&outcome, &["each start waits for the whole --timeout", "--api=never"]);
    outcome
}

/// The same with a server that fails at once, and does not get better.
#[track_caller]
fn starts_at_once_without_labels(world: &World, url: &str, words: &[&str]) -> Outcome {
    let outcome = starts_within(AMPLE, world, url, words);
    assert!(!outcome.stderr.contains("each start waits"), "{outcome:#?}");
    outcome
}

#[track_caller]
fn starts_within(timeout: &str, world: &World, url: &str, words: &[&str]) -> Outcome {
    let outcome = exec(world, url, &["--labels", "--timeout", timeout]).expect_code(0);
    assert!(started(&outcome), "{outcome:#?}");
    assert_eq!(variable(&outcome, "POD_NAME"), Some("bare"), "{outcome:#?}");
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), None, "{outcome:#?}");
    assert_says(&outcome, words);
    outcome
}

/// `introspod` in `world` as its root directory, with nothing else of this machine's files.
fn chrooted(world: &World, arguments: &[&str]) -> Command {
    let binary = world.path().join("introspod");
    std::fs::hard_link(INTROSPOD, &binary).or_else(|_| std::fs::copy(INTROSPOD, &binary).map(drop)).unwrap();
    let mut command = Command::new("/introspod");
    command.args(arguments).env_clear();
    let root = world.path().to_owned();
    // SAFETY: between fork and exec nothing but chroot(2) and chdir(2) is called.
    unsafe {
        command.pre_exec(move || {
            std::os::unix::fs::chroot(&root)?;
            std::env::set_current_dir("/")
        })
    };
    command
}

/// Whether this machine lets the tests change the root directory.
fn may_chroot() -> bool {
    needs("root", is_root)
}
