//! The application starts even if something is missing, broken or too large. A signal ends a wait.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;

use crate::made::{annotated, only_line, output, run_with_pod};
use crate::needs::{has_strace, may_unshare, needs};
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
    assert!(line.contains("POD_ANNOTATION_BIG is not set") && line.contains("131071 bytes"), "{line}");
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

/// Runs `exec` in a process whose limit for arguments and environment is a quarter of 1.4 MB.
fn with_little_space(script: &str) -> Outcome {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -s 1400; exec \"$introspod\" {script}")]).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("introspod", INTROSPOD);
    run_with_input(command, large_pod().to_string().as_bytes())
}

#[test]
fn annotations_are_dropped_where_all_are_too_large_together() {
    let script = "exec --pod - --annotations sh -c 'echo $POD_NAME; env | grep -o ^POD_ANNOTATION_. || :'";
    let outcome = with_little_space(script).expect_code(0);
    assert_eq!(outcome.stdout, "web-0\n");
    let line = only_line(&outcome);
    assert!(
        line.contains("POD_ANNOTATION_A, POD_ANNOTATION_B, POD_ANNOTATION_C and 3 more are not set"),
        "{line}"
    );
    assert!(line.ends_with("together than the kernel allows (E2BIG)"), "{line}");
}

/// Labels `l00000`, `l00001`… as a downwardAPI volume has them.
fn label_lines(count: usize) -> String {
    (0..count).map(|number| format!("l{number:05}=\"value-{number}\"\n")).collect()
}

/// What `introspod exec OPTIONS -- env -0` in `world` makes of a stack limit of 8 MiB: the outcome, and how
/// often it called `execve(2)`.
fn executions(world: &World, options: &str) -> (Outcome, usize) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let script = "ulimit -s 8192; exec strace --quiet=all --trace=execve --output \"$log\" \
                  \"$introspod\" exec $options -- /usr/bin/env -0";
    let mut command = Command::new("sh");
    command.args(["-c", script]).env_clear().env("PATH", "/usr/bin:/bin").env("introspod", INTROSPOD);
    command.env("log", log.path()).env("options", options).env("INTROSPOD_ROOT", world.path());
    let outcome = run(command).expect_code(0);
    let calls = std::fs::read_to_string(log).unwrap();
    // The first is the execution of introspod itself.
    (outcome, calls.lines().filter(|line| line.starts_with("execve(")).count() - 1)
}

/// The names of the variables in the output of `env -0`.
fn names(outcome: &Outcome) -> Vec<&str> {
    outcome.stdout.split_terminator('\0').filter_map(|entry| Some(entry.split_once('=')?.0)).collect()
}

#[test]
fn of_ninety_thousand_labels_only_those_that_are_asked_for_by_name_are_set() {
    if !needs("the Debian package strace", has_strace) {
        return;
    }
    let world = World::recorded("bare", "web");
    world
        .write("etc/podinfo/labels", label_lines(90_000))
        .write("etc/podinfo/annotations", "a=\"1\"\nb=\"2\"");
    let options = "--labels --annotations --set KEPT=metadata.labels['l89999'] --require POD_LABEL_L89998";
    let (outcome, calls) = executions(&world, options);
    assert_eq!(calls, 3, "with all variables, without annotations, without labels");
    let names = names(&outcome);
    for name in ["POD_NAME", "KEPT", "POD_LABEL_L89998"] {
        assert!(names.contains(&name), "{name}");
    }
    let of_maps = ["POD_LABEL_", "POD_ANNOTATION_"];
    let count = names.iter().filter(|name| of_maps.iter().any(|prefix| name.starts_with(prefix))).count();
    assert_eq!(count, 1);
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{outcome:#?}");
    assert!(lines[0].contains("POD_ANNOTATION_A and POD_ANNOTATION_B are not set"), "{}", lines[0]);
    assert!(
        lines[1].contains("POD_LABEL_L00000, POD_LABEL_L00001, POD_LABEL_L00002 and 89996 more"),
        "{}",
        lines[1]
    );
}

/// A variable of `--set` is no label, whatever its name.
#[test]
fn what_is_set_by_name_is_not_dropped() {
    let set = |key: &str| format!("--set POD_LABEL_{key}=metadata.annotations[\"'{key}'\"]");
    let options = format!("exec --pod - --annotations {} {}", set("a"), set("b"));
    let outcome =
        with_little_space(&format!("{options} sh -c 'env | grep -o ^POD_[AL][A-Z]*_.'")).expect_code(0);
    assert_eq!(outcome.stdout, "POD_LABEL_a\nPOD_LABEL_b\n", "{outcome:#?}");
}

#[test]
fn what_is_required_is_not_dropped_and_not_missing() {
    let required = ["A", "B", "C", "D"].map(|name| format!("--require POD_ANNOTATION_{name}")).join(" ");
    let outcome = with_little_space(&format!("exec --pod - {required} true")).expect_code(126);
    let last = outcome.stderr.lines().last().unwrap();
    assert!(
        last.contains("too large together (E2BIG); the largest variable: POD_ANNOTATION_D has 100"),
        "{last}"
    );
    let pod = annotated([("big", "x".repeat(LIMIT).as_str())]);
    let outcome = run_with_pod("exec", ["--require", "POD_ANNOTATION_BIG", "echo"], &pod).expect_code(125);
    let line = only_line(&outcome);
    assert!(line.contains("POD_ANNOTATION_BIG") && line.contains("at most 131071 bytes"), "{line}");
}

#[test]
fn annotations_that_collide_do_not_hold_up_the_start() {
    if !needs("the Debian package strace", has_strace) {
        return;
    }
    let world = World::recorded("bare", "web");
    let line = |number: usize| format!("a{}-{}=\"{number}\"\n", number / 2, ["x", "X"][number % 2]);
    world.write("etc/podinfo/annotations", (0..16_000).map(line).collect::<String>());
    let (outcome, calls) = executions(&world, "--annotations");
    assert_eq!(calls, 1);
    let count = names(&outcome).iter().filter(|name| name.starts_with("POD_ANNOTATION_")).count();
    assert_eq!(count, 8_000);
}

#[test]
fn many_values_larger_than_one_variable_can_be_are_one_warning() {
    let big = "x".repeat(LIMIT);
    let pod = annotated(["a", "b", "c", "d", "e"].map(|key| (key, big.as_str())));
    let outcome = run_with_pod("exec", ["--annotations", "sh", "-c", "echo $POD_NAME"], &pod).expect_code(0);
    assert_eq!(outcome.stdout, "web-0\n");
    let line = only_line(&outcome);
    let names = "POD_ANNOTATION_A, POD_ANNOTATION_B, POD_ANNOTATION_C and 2 more are not set";
    assert!(line.contains(names) && line.contains("at most 131071 bytes"), "{line}");
}

#[test]
fn an_argument_that_is_too_large_is_named_and_drops_no_variable() {
    let script = r#"exec --pod - --annotations --expand true '$(POD_ANNOTATION_A)$(POD_ANNOTATION_B)'"#;
    let outcome = with_little_space(script).expect_code(126);
    let line = only_line(&outcome);
    assert!(line.contains("cannot execute \"true\"") && line.contains("E2BIG"), "{line}");
    assert!(line.contains("argument 1 has 200001 bytes, and Linux allows at most 131071"), "{line}");
}

/// A pipe without a reader: a write fails with EPIPE or SIGPIPE.
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

/// As `cat(1)` does. Where SIGPIPE is ignored, it is an error.
#[test]
fn print_ends_if_nobody_reads_its_output() {
    let world = World::recorded("bare", "web");
    for words in ["--version", "print"] {
        let mut command = world.command([words]);
        command.stdin(Stdio::null()).stdout(closed_pipe());
        let outcome = run_as_it_is(command);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (128 + Signal::SIGPIPE as i32, ""), "{words}");
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' PIPE; exec \"$introspod\" $words"]);
        command.env("introspod", INTROSPOD).env("words", words).env("INTROSPOD_ROOT", world.path());
        command.stdin(Stdio::null()).stdout(closed_pipe());
        let outcome = run_as_it_is(command).expect_code(1);
        assert!(only_line(&outcome).contains("standard output: Broken pipe"), "{outcome:?}");
    }
}

/// Runs a command whose standard input and output are set.
fn run_as_it_is(mut command: Command) -> Outcome {
    let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap());
    let stderr = String::from_utf8(output.stderr).unwrap();
    Outcome { code, stdout: String::new(), stderr }
}

#[test]
fn the_code_of_a_failure_that_nobody_reads_of_is_the_same() {
    for (word, code) in [("/no/such/file", 127), ("/etc", 126)] {
        let mut command = introspod(["exec", word]);
        command.stderr(closed_pipe());
        assert_eq!(output(command).status.code(), Some(code), "{word}");
    }
}

/// What `exec OPTIONS -- echo started` does when the library panics: the first random bytes of a request are refused.
fn panicking(options: &[&str], stderr: Stdio) -> Option<std::process::Output> {
    let world = World::recorded("bare", "web");
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--quiet=all", "--output=/dev/null", "--inject=getrandom:error=EIO"]);
    command.args([INTROSPOD, "exec", "--root"]).arg(world.path()).args(["--timeout", "100ms"]);
    command.args(["--api-url", "https://127.0.0.1:1", "--set", "I=container.image"]).args(options);
    command
        .args(["--", "echo", "started"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("KNOWN", "1")
        .stderr(stderr);
    needs("the Debian package strace", has_strace).then(|| command.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn a_bug_of_ours_that_nobody_can_be_told_of_does_not_stop_the_start() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let Some(output) = panicking(&[], full().into()) else { return };
    assert_eq!(output.stdout, b"started\n");
}

#[test]
fn after_a_bug_of_ours_nothing_starts_without_what_is_required() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("x.env");
    for (options, is_started) in [
        (&["--require", "KNOWN"][..], true),
        (&["--require", "NOPE"], false),
        (&["--require", "KNOWN", "--require", "I"], false),
        (&["--out", out.to_str().unwrap()], false),
    ] {
        let Some(output) = panicking(options, Stdio::piped()) else { return };
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("introspod: error: a bug: "), "{stderr}");
        assert_eq!(output.status.code(), Some(if is_started { 0 } else { 125 }), "{options:?}");
        assert_eq!(output.stdout, if is_started { &b"started\n"[..] } else { b"" }, "{options:?}");
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

/// An `exec` that waits for a Pod object from a FIFO. The FIFO is open when this function returns.
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

/// Signals that end a process without a handler, but KILL: those of POSIX, of Linux, and real-time ones.
fn ending_signals() -> Vec<i32> {
    let is_other = |number: &i32| {
        use nix::libc::*;
        [SIGKILL, SIGSTOP, SIGPIPE, SIGXFSZ, SIGCHLD, SIGCONT, SIGURG, SIGTSTP, SIGTTIN, SIGTTOU]
            .contains(number)
    };
    // 32 to 34 belong to the C library (`signal(7)`).
    (1..32).chain([35, 37, 40, 64]).filter(|number| !is_other(number)).collect()
}

/// Sends a signal by its number.
fn send(pid: Pid, number: i32) {
    // SAFETY: kill(2) takes no pointer.
    assert_eq!(unsafe { nix::libc::kill(pid.as_raw(), number) }, 0, "{number}");
}

#[test]
fn every_signal_that_ends_a_process_ends_the_wait_before_the_application_is_there() {
    for number in ending_signals() {
        let waiting = waiting(&NOTHING_IGNORED);
        send(process(&waiting.child), number);
        let output = waiting.child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(128 + number), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

/// The only child of `parent`, which is process 1 of its namespace.
fn first_process(parent: Pid) -> Pid {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let first = Pid::from_raw(children.trim().parse().unwrap());
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    assert!(status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")), "{status}");
    first
}

/// What starts a process as the first of its namespace, if this machine allows it.
fn first_of_namespace() -> Option<[&'static str; 6]> {
    let unshare = ["env", "--default-signal", "unshare", "--pid", "--fork", "--kill-child"];
    needs("a PID namespace", || may_unshare(&unshare[3..])).then_some(unshare)
}

/// Tests that run in the background inherit SIGINT and SIGQUIT as ignored.
const NOTHING_IGNORED: [&str; 2] = ["env", "--default-signal"];

#[test]
fn every_signal_that_ends_a_process_ends_the_wait_of_process_1_too() {
    let Some(unshare) = first_of_namespace() else { return };
    for number in ending_signals() {
        let waiting = waiting(&unshare);
        send(first_process(process(&waiting.child)), number);
        let output = waiting.child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(128 + number), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn a_signal_ends_process_1_while_it_waits_for_standard_input_and_for_the_api() {
    let Some(unshare) = first_of_namespace() else { return };
    // A listener that accepts connections and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let world = World::recorded("bare", "web");
    let root = world.path().to_str().unwrap();
    let api = ["--root", root, "--api-url", &url, "--timeout", "1m", "--set", "ID=container.imageID"];
    for (options, is_api) in [(&["--pod", "-"][..], false), (&api, true)] {
        for signal in [Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGWINCH] {
            let mut command = Command::new(unshare[0]);
            command
                .args(&unshare[1..])
                .args([INTROSPOD, "exec"])
                .args(options)
                .args(["--", "echo", "started"]);
            command.env_clear().env("PATH", "/usr/bin:/bin");
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let stdin = child.stdin.take().unwrap();
            let connection = is_api.then(|| listener.accept().unwrap());
            let parent = process(&child);
            // It sleeps in read(2) once its handlers are there.
            let first = wait_until(|| {
                let children =
                    std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
                let first = children.trim();
                let call = std::fs::read_to_string(format!("/proc/{first}/syscall")).ok()?;
                let name = std::fs::read_to_string(format!("/proc/{first}/comm")).ok()?;
                let is_waiting = name == "introspod\n" && (is_api || call.starts_with("0 0x0 "));
                is_waiting.then(|| Pid::from_raw(first.parse().unwrap()))
            });
            kill(first, signal).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(128 + signal as i32), "{options:?} {signal}: {output:?}");
            assert!(output.stdout.is_empty(), "{output:?}");
            drop((stdin, connection));
        }
    }
}

/// Looks until there is something.
fn wait_until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        std::thread::yield_now();
    }
}

/// A terminal sends SIGWINCH when its size changes.
#[test]
fn a_terminal_of_another_size_is_not_the_end() {
    let script =
        "script --quiet --return --command \"\\\"$introspod\\\" exec --pod $fifo -- echo started\" /dev/null";
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("pod.json");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    if !needs("the Debian package bsdutils", || {
        crate::needs::succeeds(Command::new("script").arg("--version"))
    }) {
        return;
    }
    let mut command = Command::new("sh");
    command.args(["-c", script]).env_clear().env("PATH", "/usr/bin:/bin").env("introspod", INTROSPOD);
    command.env("fifo", &fifo).stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    let mut writer = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    // Whoever has the FIFO open for reading.
    let reader = wait_until(|| {
        let is_reader = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.ok()?;
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            let mut descriptors = std::fs::read_dir(entry.path().join("fd")).ok()?;
            let is_open =
                descriptors.any(|it| std::fs::read_link(it.unwrap().path()).is_ok_and(|path| path == fifo));
            (name == "introspod\n" && is_open).then(|| Pid::from_raw(pid))
        };
        std::fs::read_dir("/proc").unwrap().find_map(is_reader)
    });
    kill(reader, Signal::SIGWINCH).unwrap();
    writer.write_all(large_pod().to_string().as_bytes()).unwrap();
    drop(writer);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "started\r\n", "{output:?}");
}

/// A write that the limit for the size of files forbids sends SIGXFSZ.
#[test]
fn the_application_inherits_what_a_too_large_file_means() {
    let script =
        "ulimit -f 0; exec \"$introspod\" exec -- sh -c 'grep SigIgn /proc/$$/status; echo x >\"$file\"'";
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script]).env_clear().env("PATH", "/usr/bin:/bin").env("introspod", INTROSPOD);
    command.env("file", directory.path().join("file"));
    assert_eq!(run(command).code, 128 + Signal::SIGXFSZ as i32);
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

/// As Windows' editors and PowerShell's `>` write it.
#[test]
fn a_pod_file_with_a_byte_order_mark_is_read_and_utf_16_is_named() {
    let pod = annotated([]).to_string();
    let print = |content: &[u8]| run_with_input(introspod(["print", "--pod", "-", "POD_NAME"]), content);
    assert_eq!(print(format!("\u{feff}{pod}").as_bytes()).expect_code(0).stdout, "web-0\n");
    let marked = format!("\u{feff}{pod}");
    for text in [&pod, &marked] {
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for content in [little, big] {
            let outcome = print(&content).expect_code(1);
            assert!(only_line(&outcome).contains("--pod -: this is UTF-16; JSON is UTF-8"), "{outcome:?}");
        }
    }
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
        (list, "its kind is PodList; use a single pod"),
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
