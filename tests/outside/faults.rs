//! System calls that fail, and kills at any time. The application starts, or the exit code says why not,
//! and no file is ever incomplete.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::needs::{has_strace, needs};
use crate::server::{Response, Server, always};
use crate::world::{INTROSPOD, Outcome, introspod, pod_json, recorded, run};

/// What was in the files before.
const OLD: &str = "# old\n";

/// Runs `introspod` with `arguments` under strace, with `options` of strace's.
fn traced(options: &[&str], arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = Command::new("strace");
    command.arg("--quiet=all").args(options).arg(INTROSPOD).args(arguments);
    command.env_clear().env("PATH", "/usr/bin:/bin").envs(variables.iter().copied());
    run(command)
}

/// The system calls since `main` began, up to the execution of the application: each name, and how
/// many of this name came until then.
fn calls(log: &str) -> Vec<(String, usize)> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut has_begun = false;
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((name, _)) = line.split_once('(') else { continue };
        let count = counts.entry(name).or_default();
        *count += 1;
        // The handlers are the first thing that is done.
        has_begun |= line.starts_with("rt_sigaction(SIGHUP");
        if has_begun && name != "exit_group" {
            calls.push((name.to_owned(), *count));
        }
        if has_begun && name == "execve" {
            break;
        }
    }
    calls
}

/// The errors that a system call may well fail with.
fn errors(call: &str) -> &'static [&'static str] {
    match call {
        "openat" | "openat2" => &["EACCES", "EMFILE", "EINTR"],
        "read" | "pread64" => &["EIO", "EINTR"],
        "write" => &["ENOSPC", "EIO", "EINTR"],
        "brk" | "mmap" | "mremap" | "execve" => &["ENOMEM"],
        "rename" | "renameat2" => &["EIO", "EBUSY", "EXDEV"],
        _ => &["EIO"],
    }
}

/// A directory with files of an earlier run.
fn directory_with_old_files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["pod.json", "pod.env"] {
        std::fs::write(directory.path().join(name), OLD).unwrap();
    }
    directory
}

/// Fails the test unless each file is the old one or a whole new one, and nothing else there could
/// be taken for one.
#[track_caller]
fn assert_files_are_whole(directory: &Path, what: &str) {
    let read = |name| std::fs::read_to_string(directory.join(name)).unwrap();
    let (json, env) = (read("pod.json"), read("pod.env"));
    if json != OLD {
        let document: serde_json::Value = serde_json::from_str(&json).expect(what);
        assert!(document["variables"].is_object() && json.ends_with("}\n"), "{what}: {json}");
        if env != OLD {
            let names: Vec<_> = env.lines().map(|line| line.split_once("='").expect(what).0).collect();
            let known: Vec<_> = document["variables"].as_object().unwrap().keys().collect();
            assert!(env.is_empty() || env.ends_with("'\n"), "{what}: {env}");
            assert_eq!(names, known, "{what}");
        }
    }
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_hidden =
            name.starts_with(".introspod.") && Path::new(&name).extension().is_none_or(|it| it.len() == 6);
        assert!(["pod.json", "pod.env"].contains(&&*name) || is_hidden, "{what}: {name}");
    }
}

/// Whether the allocator was refused memory, which ends any Rust program. glibc's asks `brk` when `mmap` fails;
/// musl's asks one of them only.
fn is_out_of_memory(call: &str, outcome: &Outcome) -> bool {
    let is_for_memory = ["brk", "mmap", "mremap"].contains(&call);
    is_for_memory && outcome.code == 134 && outcome.stderr.starts_with("memory allocation of ")
}

/// Makes every system call of `introspod SUBCOMMAND …` fail in turn.
fn every_call_fails_in_turn(subcommand: &[&str], is_as_documented: fn(&Outcome) -> bool) {
    if !needs("the Debian package strace", has_strace) {
        return;
    }
    let root = recorded("downward", "main");
    let run_in = |directory: &Path, options: &[&str]| {
        let out = |name: &str| directory.join(name).display().to_string();
        let (json, env) = (out("pod.json"), out("pod.env"));
        let options_of_ours = ["--root", root.to_str().unwrap(), "--out", &json, "--out", &env];
        let command = ["--", "/bin/sh", "-c", "echo started"];
        let command = if subcommand[0] == "exec" { &command[..] } else { &[] };
        traced(options, &[subcommand, &options_of_ours, command].concat(), &[])
    };
    let directory = directory_with_old_files();
    let log = directory.path().join("log");
    run_in(directory.path(), &["--output", log.to_str().unwrap()]).expect_code(0);
    let calls = calls(&std::fs::read_to_string(&log).unwrap());
    assert!(calls.len() > 50, "{calls:?}");
    for (name, count) in &calls {
        for error in errors(name) {
            let what = format!("{name} number {count} fails with {error}");
            let directory = directory_with_old_files();
            let inject = format!("--inject={name}:error={error}:when={count}");
            let outcome = run_in(directory.path(), &["--output=/dev/null", &inject]);
            assert_files_are_whole(directory.path(), &what);
            if is_out_of_memory(name, &outcome) {
                continue;
            }
            assert!(is_as_documented(&outcome), "{what}: {outcome:#?}");
            let is_failure = outcome.code != 0;
            assert_eq!(is_failure, outcome.stderr.contains("introspod: error: "), "{what}: {outcome:#?}");
        }
    }
}

/// The application has run, or the exit code is one of introspod's own.
fn has_started_or_says_why(outcome: &Outcome) -> bool {
    match outcome.code {
        0 => outcome.stdout == "started\n",
        code => [125, 126, 127].contains(&code) && outcome.stdout.is_empty(),
    }
}

#[test]
fn exec_starts_the_application_or_says_why_whatever_call_fails() {
    every_call_fails_in_turn(&["exec"], has_started_or_says_why);
}

#[test]
fn write_ends_with_0_or_1_whatever_call_fails() {
    every_call_fails_in_turn(&["write", "--container", "main"], |outcome| [0, 1].contains(&outcome.code));
}

/// With the API there are threads, so the order of calls varies. The first call of each kind fails.
#[test]
fn exec_starts_the_application_whatever_call_of_the_request_fails() {
    if !needs("the Debian package strace", has_strace) {
        return;
    }
    let pod: serde_json::Value = serde_json::from_slice(&std::fs::read(pod_json("bare")).unwrap()).unwrap();
    let server = Server::start(always(Response::json(&pod)));
    let world = server.world("bare", "web");
    let (url, root) = (server.url(), world.path().to_str().unwrap());
    let arguments = ["exec", "--root", root, "--api-url", &url, "--labels", "--timeout", "1s"];
    let arguments = [&arguments[..], &["--", "/bin/sh", "-c", "echo started"]].concat();
    for (call, errors) in [
        ("clone3", &["EAGAIN", "ENOMEM"][..]),
        ("socket", &["EMFILE", "EACCES"]),
        ("connect", &["ECONNREFUSED", "EACCES"]),
        ("setsockopt", &["EINVAL"]),
        ("getsockopt", &["EINVAL"]),
        ("eventfd2", &["EMFILE"]),
        ("epoll_create1", &["EMFILE"]),
        ("epoll_ctl", &["ENOMEM"]),
        ("epoll_wait", &["EINTR", "EBADF"]),
        ("getrandom", &["ENOSYS", "EINTR"]),
        ("sendto", &["EPIPE", "ECONNRESET"]),
        ("recvfrom", &["ECONNRESET", "EINTR"]),
        ("fcntl", &["EMFILE"]),
        ("mprotect", &["ENOMEM"]),
    ] {
        for error in errors {
            let inject = format!("--inject={call}:error={error}:when=1");
            let options = ["--follow-forks", "--output=/dev/null", &inject];
            let outcome = traced(&options, &arguments, &[]);
            assert!(has_started_or_says_why(&outcome), "{call} fails with {error}: {outcome:#?}");
        }
    }
}

#[test]
fn a_kill_at_any_instant_leaves_the_old_file_or_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pod.json");
    let pods = ["bare", "statefulset-db-0"].map(pod_json);
    let write = |pod: &Path| {
        let mut command = introspod(["write"]);
        command.arg("--pod").arg(pod).arg("--out").arg(&file);
        command
    };
    let began = Instant::now();
    let contents = pods.each_ref().map(|pod| {
        run(write(pod)).expect_code(0);
        std::fs::read(&file).unwrap()
    });
    // About as long as a run takes, so that instants before, in and after the writing are met.
    let longest = began.elapsed();
    for round in 0..500 {
        let mut child = write(&pods[round % 2]).stderr(Stdio::null()).spawn().unwrap();
        let instant = RandomState::new().hash_one(round) % longest.as_micros() as u64;
        std::thread::sleep(Duration::from_micros(instant));
        let _ = child.kill();
        child.wait().unwrap();
        let content = std::fs::read(&file).unwrap();
        assert!(contents.contains(&content), "{:?}", String::from_utf8_lossy(&content));
    }
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "pod.json" || name.starts_with(".introspod."), "{name}");
    }
}
