//! Whatever is missing, broken or too large: the application starts, or a signal ends the wait.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;

use crate::made::{annotated, only_line, output, run_with_pod};
use crate::world::{INTROSPOD, Outcome, World, introspod, run, run_with_input};

/// The most that one string of an environment may hold on Linux (`MAX_ARG_STRLEN`).
const LIMIT: usize = 131_071;

#[test]
fn an_annotation_of_256_kib_does_not_stop_the_start_and_is_in_the_files() {
    let world = World::recorded("bare", "web");
    let big = "x".repeat(256 << 10);
    world.write("etc/podinfo/annotations", format!("big=\"{big}\"\nsmall=\"s\""));
    let out = world.path().join("all.json");
    let mut command = world.command(["exec", "--annotations", "--out"]);
    command.arg(&out).args([
        "sh",
        "-c",
        "echo $POD_NAME $POD_ANNOTATION_SMALL ${POD_ANNOTATION_BIG-left out}",
    ]);
    let outcome = run(command).expect_code(0);
    assert_eq!(outcome.stdout, "bare s left out\n");
    let line = only_line(&outcome);
    assert!(line.contains("POD_ANNOTATION_BIG is not set") && line.contains("131071"), "{line}");
    let told: Value = crate::schema::checked(&std::fs::read_to_string(out).unwrap());
    assert_eq!(told["variables"]["POD_ANNOTATION_BIG"], big.as_str());
}

#[test]
fn a_variable_just_within_the_limit_is_set() {
    let name = "POD_ANNOTATION_K=";
    for (length, is_set) in [(LIMIT - name.len(), true), (LIMIT - name.len() + 1, false)] {
        let pod = annotated([("k", "x".repeat(length).as_str())]);
        let outcome = run_with_pod("exec", ["--annotations", "sh", "-c", "echo ${#POD_ANNOTATION_K}"], &pod)
            .expect_code(0);
        assert_eq!(outcome.stdout, format!("{}\n", if is_set { length } else { 0 }));
        assert_eq!(outcome.stderr.is_empty(), is_set, "{outcome:?}");
    }
}

/// A pod with annotations `a` to `f` of 100,000 bytes and a little more each.
fn large_pod() -> Value {
    let values: Vec<String> = (0..6).map(|number| "x".repeat(100_000 + number)).collect();
    annotated(["a", "b", "c", "d", "e", "f"].into_iter().zip(values.iter().map(String::as_str)))
}

/// Executes in a process whose arguments and environment may be a quarter of 1.4 MB together.
fn with_little_space(script: &str) -> Outcome {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -s 1400; exec \"$introspod\" {script}")]).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("introspod", INTROSPOD);
    run_with_input(command, large_pod().to_string().as_bytes())
}

#[test]
fn the_largest_variables_are_dropped_where_all_are_too_large_together() {
    let script = "exec --pod - --annotations sh -c 'echo $POD_NAME; env | grep -o ^POD_ANNOTATION_.'";
    let outcome = with_little_space(script).expect_code(0);
    assert_eq!(outcome.stdout, "web-0\nPOD_ANNOTATION_A\nPOD_ANNOTATION_B\nPOD_ANNOTATION_C\n");
    let warnings: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(warnings.len(), 3, "{outcome:#?}");
    for (line, name) in warnings.iter().zip(["POD_ANNOTATION_F", "POD_ANNOTATION_E", "POD_ANNOTATION_D"]) {
        assert!(line.contains(name) && line.contains("E2BIG"), "{line}");
    }
}

#[test]
fn an_argument_that_is_too_large_names_the_largest_variables() {
    let script = r#"exec --pod - --annotations --expand true '$(POD_ANNOTATION_A)$(POD_ANNOTATION_B)'"#;
    let outcome = with_little_space(script).expect_code(126);
    let last = outcome.stderr.lines().last().unwrap();
    assert!(last.contains("cannot execute \"true\"") && last.contains("E2BIG"), "{last}");
    assert!(!last.contains("No such file"), "{last}");
}

/// A pipe whose reader has gone: writing to it is EPIPE, or SIGPIPE.
fn closed_pipe() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

#[test]
fn warnings_that_nobody_reads_do_not_stop_the_start() {
    let mut command =
        introspod(["exec", "--container", "x", "--volume", "/nowhere", "--set", "A=limits.memory"]);
    command.args(["echo", "started"]).env("INTROSPOD_LOG", "trace").stderr(closed_pipe());
    assert_eq!(output(command).stdout, b"started\n");
}

#[test]
fn warnings_of_what_is_too_large_that_nobody_reads_do_not_stop_the_start() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -s 1400; exec \"$introspod\" exec --pod - --annotations echo started"]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("introspod", INTROSPOD).stderr(closed_pipe());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(large_pod().to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"started\n", "{output:?}");
}

#[test]
fn the_code_of_a_failure_that_nobody_reads_of_is_the_same() {
    for (word, code) in [("/no/such/file", 127), ("/etc", 126)] {
        let mut command = introspod(["exec", word]);
        command.stderr(closed_pipe());
        assert_eq!(output(command).status.code(), Some(code), "{word}");
    }
}

#[test]
fn a_full_device_for_warnings_does_not_stop_the_start() {
    let mut command = introspod(["exec", "--volume", "/nowhere", "echo", "started"]);
    command.stderr(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert_eq!(output(command).stdout, b"started\n");
}

#[test]
fn closed_standard_descriptors_do_not_stop_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("started");
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let mut command = Command::new("sh");
        let exec = "\"$introspod\" exec --volume /nowhere -- sh -c 'echo $PWD >\"$file\"'";
        command.args(["-c", &format!("exec {exec} {closed}")]);
        command.env("introspod", INTROSPOD).env("file", &file).current_dir("/usr");
        run(command).expect_code(0);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "/usr\n", "{closed}");
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
fn whatever_a_source_holds_the_application_starts() {
    let world = World::recorded("downward", "main");
    for path in
        ["etc/hosts", "etc/resolv.conf", "proc/self/mountinfo", "proc/self/cgroup", "proc/self/environ"]
    {
        world.write(path, [b"\xff\0\n:::\t ".repeat(1000), vec![b'9'; 1 << 20]].concat());
        let outcome = world.run(["exec", "--labels", "--annotations", "echo", "started"]).expect_code(0);
        assert_eq!(outcome.stdout, "started\n", "{path}");
    }
}

#[test]
fn a_file_larger_than_any_that_the_kubelet_writes_is_not_read_to_its_end() {
    let world = World::recorded("bare", "web");
    world.write("etc/podinfo/annotations", "");
    let file = std::fs::File::create(world.path().join("etc/podinfo/annotations")).unwrap();
    file.set_len(1 << 40).unwrap();
    let outcome = world.run(["exec", "echo", "started"]).expect_code(0);
    assert_eq!(outcome.stdout, "started\n");
    assert!(only_line(&outcome).contains("larger than 8 MiB"));
}

/// An `exec` that waits for a Pod object from a FIFO; what it waits on is open when this returns.
struct Waiting {
    child: Child,
    _writer: std::fs::File,
    _directory: tempfile::TempDir,
}

fn waiting(before: &[&str]) -> Waiting {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("pod.json");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let words =
        [before, &[INTROSPOD, "exec", "--pod", fifo.to_str().unwrap(), "--", "echo", "started"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // Opening it for writing waits until introspod has opened it for reading.
    let writer = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    Waiting { child, _writer: writer, _directory: directory }
}

fn process(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

#[test]
fn sigterm_and_sigint_end_the_wait_before_the_application_is_there() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let waiting = waiting(&[]);
        kill(process(&waiting.child), signal).unwrap();
        let output = waiting.child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "it ended by itself: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn sigterm_ends_the_wait_of_process_1_too() {
    let unshare = ["unshare", "--pid", "--fork", "--kill-child"];
    let tried = Command::new(unshare[0]).args(&unshare[1..]).arg("true").output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) {
        return println!("skipped: this machine does not let us make a PID namespace: {tried:?}");
    }
    let waiting = waiting(&unshare);
    let parent = process(&waiting.child);
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let first = Pid::from_raw(children.trim().parse().unwrap());
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    assert!(status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")), "{status}");
    kill(first, Signal::SIGTERM).unwrap();
    let output = waiting.child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn a_signal_that_is_ignored_does_not_end_the_wait() {
    let Waiting { child, mut _writer, _directory } = waiting(&["env", "--ignore-signal=TERM,INT"]);
    kill(process(&child), Signal::SIGTERM).unwrap();
    kill(process(&child), Signal::SIGINT).unwrap();
    _writer.write_all(large_pod().to_string().as_bytes()).unwrap();
    drop(_writer);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.status.signal()), (Some(0), None), "{output:?}");
    assert_eq!(output.stdout, b"started\n");
}

#[test]
fn a_pod_file_that_is_none_is_said_in_one_line() {
    let list = r#"{"kind": "PodList", "items": []}"#;
    for (content, why) in [
        ("", "not JSON"),
        ("kind: Pod\n", "not JSON"),
        ("[]", "not a valid Pod object"),
        ("null", "not a valid Pod object"),
        (r#"{"kind": "Service", "metadata": {"name": "x"}}"#, "its kind is Service"),
        (list, "its kind is PodList; give a single pod"),
        (r#"{"kind": "Pod"}"#, "metadata.name"),
        (r#"{"metadata": {"name": "x"}}"#, "kind"),
    ] {
        for (subcommand, code) in [("print", 1), ("exec", 125)] {
            let mut command = introspod([subcommand, "--pod", "-"]);
            command.args((subcommand == "exec").then_some("true"));
            let outcome = run_with_input(command, content.as_bytes()).expect_code(code);
            let line = only_line(&outcome);
            assert!(line.contains("--pod -: ") && line.contains(why), "{content:?}: {line}");
            assert_eq!(outcome.stdout, "");
        }
    }
}
