//! The process: SIGTERM ends it during a request, and nothing of the client remains after exec.

use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;
use crate::needs::{may_unshare, needs};
use crate::server::{Answer, End, Portion, Response, always};

fn hanging() -> Server {
    let bare = Response::json(&pod("bare"));
    Server::start(always(Answer::Part(Portion::Nothing, bare, End::Hang)))
}

/// `exec` with a deadline that no test waits for.
fn patient(world: &World, url: &str) -> Command {
    let mut command = exec_command(world, url, &["--labels", "--timeout", "60s"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Sends `signal` to `target` and expects `child` to end with `code`, at once, and no application.
#[track_caller]
fn ends(child: Child, target: Pid, signal: Signal, code: i32) {
    let begun = Instant::now();
    kill(target, signal).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

fn process(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

#[test]
fn signals_end_it_at_once_while_the_server_hangs() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let server = hanging();
        let world = server.world("bare", "web");
        let child = patient(&world, &server.url()).spawn().unwrap();
        server.wait_for_request();
        let target = process(&child);
        ends(child, target, signal, code);
    }
}

#[test]
fn a_signal_ends_it_at_once_in_the_middle_of_tls() {
    let server = Server::silent();
    let world = server.world("bare", "web");
    let child = patient(&world, &server.url()).spawn().unwrap();
    server.wait_for_connection();
    let target = process(&child);
    ends(child, target, Signal::SIGTERM, 143);
}

#[test]
fn a_signal_ends_it_at_once_between_two_attempts() {
    let busy = Response::failure(429, "TooManyRequests", "not now").with("Retry-After", "50");
    let server = Server::start(always(busy));
    let world = server.world("bare", "web");
    let child = patient(&world, &server.url()).spawn().unwrap();
    server.wait_for_request();
    let target = process(&child);
    ends(child, target, Signal::SIGTERM, 143);
}

#[test]
fn a_signal_ends_it_at_once_as_pid_1() {
    let unshare = ["--pid", "--fork", "--kill-child"];
    if !needs("a PID namespace", || may_unshare(&unshare)) {
        return;
    }
    let server = hanging();
    let world = server.world("bare", "web");
    let patient = patient(&world, &server.url());
    let mut command = Command::new("unshare");
    command.args(unshare).arg(patient.get_program()).args(patient.get_args()).env_clear();
    command.envs(patient.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    server.wait_for_request();
    let first = child_of(process(&child));
    assert_eq!(pid_inside(first), "1");
    ends(child, first, Signal::SIGTERM, 143);
}

/// The only child of `parent`.
fn child_of(parent: Pid) -> Pid {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    Pid::from_raw(children.unwrap().trim().parse().unwrap())
}

/// The process's ID in its own namespace.
fn pid_inside(process: Pid) -> String {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

/// A shell script that shows its own descriptors and status, without another process.
const INSPECT: &str = "echo /proc/self/fd/*; while read -r line; do echo \"$line\"; done < /proc/$$/status";

/// The descriptors, the number of threads and the signals in what `INSPECT` has shown.
fn inspected(outcome: &Outcome) -> Vec<String> {
    let is_meant = |line: &&str| line.starts_with("/proc") || line.starts_with("Threads");
    let mut lines: Vec<String> = outcome.stdout.lines().filter(is_meant).map(str::to_owned).collect();
    for name in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        let set = outcome.stdout.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let set = u64::from_str_radix(set.trim(), 16).unwrap();
        // Signals 32 and 33 are the C library's own: posix_spawn(3) ignores them in what the test
        // starts, and every program with threads handles them.
        lines.push(format!("{name} {:x}", set & !(0b11 << 31)));
    }
    lines
}

#[test]
fn the_application_inherits_nothing_of_the_client() {
    let control = run({
        let mut control = Command::new("sh");
        control.args(["-c", INSPECT]);
        control
    });
    let control = inspected(&control);
    assert!(control.contains(&"Threads:\t1".to_owned()), "{control:#?}");
    let bare = Response::json(&pod("bare"));
    let half = Answer::Part(Portion::HalfTheBody, bare.clone(), End::Hang);
    for answer in [Answer::Whole(bare), half] {
        let server = Server::start(always(answer));
        let world = server.world("bare", "web");
        let options = ["--labels", "--timeout", LIMIT, "--", "sh", "-c", INSPECT];
        let outcome = run(command(&world, &server.url(), "exec", &options)).expect_code(0);
        assert_eq!(inspected(&outcome), control);
        assert!(!server.requests().is_empty());
    }
}

#[test]
fn the_application_has_the_same_process_id() {
    let server = Server::start(always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    let options = ["--labels", "--", "sh", "-c", "echo $$"];
    let mut command = command(&world, &server.url(), "exec", &options);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), id.to_string());
    assert_eq!(server.requests().len(), 1);
}
