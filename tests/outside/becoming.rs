//! `exec`: the application inherits what it would have without introspod.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::made::{annotated, output, pod};
use crate::world::{INTROSPOD, introspod, recorded, run};

/// `script` run by a shell that has introspod's path in `$introspod`, with facts to gather.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("introspod", INTROSPOD).env("INTROSPOD_ROOT", recorded("downward", "main"));
    command
}

/// The same script twice: with `$exec` empty, and with it introspod's `exec`.
fn control_and_introspod(script: &str) -> [String; 2] {
    ["", "\"$introspod\" exec --labels --annotations --"].map(|exec| {
        let outcome = run(shell(&script.replace("$exec", exec)));
        let lines = outcome.stderr.lines().filter(|line| !line.starts_with("introspod: warn: "));
        assert_eq!(lines.collect::<Vec<_>>(), [""; 0], "{outcome:#?}");
        outcome.expect_code(0).stdout
    })
}

#[test]
fn the_application_has_the_very_process() {
    let script =
        r#"echo $$; exec "$introspod" exec -- sh -c 'echo $$; cut -d" " -f4 /proc/$$/stat; echo $PPID'"#;
    let outcome = run(shell(script)).expect_code(0);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines[0], lines[1], "the same PID");
    let own = std::process::id().to_string();
    assert_eq!(lines[2..], [own.as_str(), own.as_str()], "the same parent, which is the test");
}

#[test]
fn the_application_has_no_thread_and_no_child_of_ours() {
    let script = "exec $exec sh -c 'grep ^Threads: /proc/$$/status; cat /proc/$$/task/*/children; echo'";
    let [control, told] = control_and_introspod(script);
    // The one child is the process that reads.
    let count = |text: &str| text.split_whitespace().count();
    assert_eq!(count(&told), count(&control), "{told} {control}");
    assert!(told.starts_with("Threads:\t1\n"));
}

/// What `/proc/self/status` says of signals: pending, blocked, ignored and caught ones, as bits.
const SIGNALS: &str = "exec $exec grep -E '^(SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt):' /proc/self/status";

/// Whether the line `kind` of `status` names `signal`.
fn has(status: &str, kind: &str, signal: Signal) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix(kind)).unwrap();
    let bits = u64::from_str_radix(line.trim_start_matches(":\t"), 16).unwrap();
    bits & (1 << (signal as i32 - 1)) != 0
}

#[test]
fn signals_are_as_they_were() {
    let [control, told] = control_and_introspod(SIGNALS);
    assert!(!has(&control, "SigIgn", Signal::SIGPIPE), "{control}");
    assert_eq!(told, control);
}

#[test]
fn signals_that_the_parent_ignores_stay_ignored_and_blocked_ones_blocked() {
    let with = "--ignore-signal=PIPE,TERM,INT,USR2 --block-signal=USR1,CHLD";
    let [control, told] = control_and_introspod(&format!("exec env {with} {}", &SIGNALS["exec ".len()..]));
    for signal in [Signal::SIGPIPE, Signal::SIGTERM, Signal::SIGINT] {
        assert!(has(&control, "SigIgn", signal), "{control}");
    }
    assert!(has(&control, "SigBlk", Signal::SIGUSR1), "{control}");
    assert_eq!(told, control);
}

#[test]
fn sigpipe_ends_the_application_as_it_would_without_us() {
    let script = "{ { $exec yes 2>/dev/null; echo ended with $? >&3; } | head -n 1 >/dev/null; } 3>&1";
    assert_eq!(control_and_introspod(script), ["ended with 141\n"; 2]);
}

#[test]
fn descriptors_are_those_that_were_there() {
    for redirections in ["", "5</dev/null 9>/dev/null", "</dev/null 2>/dev/null", "5<>/dev/null >&5"] {
        let show =
            "for d in /proc/self/fd/*; do [ -e $d ] && echo ${d##*/} $(readlink /proc/$$/fd/${d##*/}); done";
        let script = format!("exec 7>&1; exec $exec sh -c '({show}; true) >&7' {redirections}");
        let [control, told] = control_and_introspod(&script);
        let own = |text: &str| {
            // Pipes are others in each run.
            let kind = |line: &str| line.split(":[").next().unwrap().to_owned();
            text.lines().map(kind).collect::<Vec<_>>()
        };
        assert!(control.contains("7 pipe:["), "{control}");
        assert_eq!(own(&told), own(&control), "{redirections}");
    }
}

#[test]
fn closed_standard_descriptors_stay_closed() {
    for closed in ["0", "1", "2", "0 1", "1 2", "0 2", "0 1 2"] {
        let close: String = closed.split(' ').map(|number| format!(" {number}>&-")).collect();
        // readlink would open another descriptor, so the shell prints the result.
        let show = "for d in 0 1 2; do [ -e /proc/$$/fd/$d ] && echo $d is open >&7; done; echo seen >&7";
        let script = format!("exec 7>&1; exec $exec sh -c '{show}' {close}");
        let [control, told] = control_and_introspod(&script);
        assert!(control.ends_with("seen\n"), "{control}");
        assert_eq!(told, control, "closed: {closed}");
    }
}

#[test]
fn argv_0_is_as_written() {
    for word in ["cat", "/bin/cat", "/bin/../bin/cat", "././cat"] {
        let mut command = introspod(["exec", "--", word, "/proc/self/cmdline"]);
        command.current_dir("/bin");
        let output = output(command);
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{word}\0/proc/self/cmdline\0"));
    }
}

#[test]
fn argv_0_that_is_a_link_stays_the_link_s_name() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/cat", directory.path().join("feline")).unwrap();
    let mut command = introspod(["exec", "feline", "/proc/self/cmdline"]);
    command.env("PATH", directory.path());
    assert_eq!(String::from_utf8_lossy(&output(command).stdout), "feline\0/proc/self/cmdline\0");
}

/// The arguments of a program that was executed with `arguments` after its name.
fn executed(arguments: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut command = introspod(["exec", "--", "sh", "-c", "cat /proc/$$/cmdline", "sh"]);
    command.args(arguments.iter().map(|argument| OsStr::from_bytes(argument)));
    let output = output(command);
    assert!(output.status.success(), "{output:?}");
    let words: Vec<_> = output.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    words[4..words.len() - 1].to_vec()
}

#[test]
fn arguments_are_kept_byte_for_byte() {
    let all: Vec<u8> = (1..=255).collect();
    let arguments: [&[u8]; 12] = [
        b"",
        b" ",
        b"a b",
        b"--",
        b"--set",
        b"-h",
        b"--help",
        b"\xff\xfe",
        b"\xc3",
        &all,
        b"$(POD_NAME)",
        b"--root=/x",
    ];
    assert_eq!(executed(&arguments), arguments);
    assert_eq!(executed(&[]), [[0u8; 0]; 0]);
}

#[test]
fn options_of_the_command_are_not_eaten() {
    let shown = |options: &[&str], words: &[&str]| {
        let command = ["sh", "-c", "echo \"$*\"", "sh"];
        run(introspod([&["exec"], options, &command, words].concat())).expect_code(0).stdout
    };
    assert_eq!(shown(&[], &["--labels", "--", "-h"]), "--labels -- -h\n");
    assert_eq!(shown(&["--labels=false"], &["--version"]), "--version\n");
    assert_eq!(shown(&["--"], &["--", "--help", "--"]), "-- --help --\n");
    assert_eq!(shown(&["--container", "sh"], &["it"]), "it\n", "a value is not the command");
    assert_eq!(shown(&["--container=c", "--"], &["--container=d"]), "--container=d\n");
}

#[test]
fn a_command_that_begins_with_a_hyphen_needs_the_two_hyphens() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/echo", directory.path().join("-n-")).unwrap();
    let mut command = introspod(["exec", "--", "-n-", "x"]);
    command.env("PATH", directory.path());
    assert_eq!(run(command).expect_code(0).stdout, "x\n");
}

/// Runs `introspod ARGUMENTS` with exactly this environment, as no library would allow it; answers
/// with what the executed program has.
fn environment_after(arguments: &[&str], environment: &[&[u8]]) -> Vec<Vec<u8>> {
    let c_string = |bytes: &[u8]| CString::new(bytes).unwrap();
    let words = [&[INTROSPOD, "exec"], arguments, &["--", "/bin/cat", "/proc/self/environ"]].concat();
    let words: Vec<_> = words.iter().map(|word| c_string(word.as_bytes())).collect();
    let entries: Vec<_> = environment.iter().map(|entry| c_string(entry)).collect();
    let mut command = Command::new(INTROSPOD);
    // SAFETY: only execve(2) runs between fork and exec, with arguments that exist already.
    unsafe {
        command.pre_exec(move || Err(nix::unistd::execve(&words[0], &words, &entries).unwrap_err().into()));
    }
    let output = output(command);
    assert!(output.status.success(), "{output:?}");
    output.stdout.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).map(<[u8]>::to_vec).collect()
}

#[test]
fn environment_entries_are_kept_as_they_are() {
    let entries: [&[u8]; 12] = [
        b"TWICE=1",
        b"malformed",
        b"POD_NAME",
        b"TWICE=2",
        b"=empty name",
        b"BYTES=\xff\xfe\x01",
        b"\xff=1",
        b"EMPTY=",
        b"MULTI=a\nb",
        b"lower case=1",
        b"EQUALS=a=b=c",
        b"PATH=/bin",
    ];
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pod.json");
    std::fs::write(&file, pod(json!({})).to_string()).unwrap();
    let after = environment_after(&["--pod", file.to_str().unwrap()], &entries);
    assert_eq!(after[..entries.len()], entries);
    let injected: Vec<_> =
        after[entries.len()..].iter().map(|entry| String::from_utf8_lossy(entry)).collect();
    assert!(injected.contains(&"POD_NAME=web-0".into()), "{injected:?}");
    assert!(
        injected.is_sorted() && injected.iter().all(|entry| !entry.starts_with("INTROSPOD_")),
        "{injected:?}"
    );
}

#[test]
fn of_a_variable_that_was_there_twice_only_the_new_one_is_left() {
    let after = environment_after(
        &["--container", "app", "--override", "*"],
        &[b"CONTAINER_NAME=", b"A=1", b"CONTAINER_NAME=", b"B=2"],
    );
    let after: Vec<_> = after.iter().map(|entry| String::from_utf8_lossy(entry)).collect();
    assert_eq!(after, ["A=1", "B=2", "CONTAINER_NAME=app"]);
}

#[test]
fn the_author_s_variable_stays_unless_override_is_given() {
    let told = |options: &[&str], own: &str| {
        let mut command = introspod(["exec", "--container", "app"]);
        command.args(options).args(["sh", "-c", "echo $CONTAINER_NAME"]).env("CONTAINER_NAME", own);
        run(command).expect_code(0).stdout
    };
    assert_eq!(told(&[], "mine"), "mine\n");
    assert_eq!(told(&["--override=*"], "mine"), "app\n");
    assert_eq!(told(&[], ""), "\n", "empty is set");
}

#[test]
fn a_variable_that_is_not_utf_8_is_the_author_s_too() {
    let own = OsString::from_vec(b"\xffmine".to_vec());
    let mut command = introspod(["exec", "--container", "app", "sh", "-c", "printf %s \"$CONTAINER_NAME\""]);
    command.env("CONTAINER_NAME", &own);
    assert_eq!(output(command).stdout, b"\xffmine");
}

#[test]
fn values_reach_the_application_byte_for_byte() {
    let value = "it's \"a\" $(test) `of` \\ all\r\nthat hurts \u{1}\u{7f} é ☃ 😀 \u{feff}\t";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pod.json");
    std::fs::write(&file, annotated([("key", value)]).to_string()).unwrap();
    let mut command = introspod(["exec", "--annotations", "--pod"]);
    command.arg(&file).args(["sh", "-c", "printf %s \"$POD_ANNOTATION_KEY\""]);
    assert_eq!(String::from_utf8(output(command).stdout).unwrap(), value);
}

#[test]
fn the_status_and_the_signal_are_the_application_s_own() {
    for (script, code) in
        [("exit 7", 7), ("exit 125", 125), ("kill -KILL $$", 137), ("kill -SEGV $$", 139), ("", 0)]
    {
        let outcome = run(introspod(["exec", "sh", "-c", script])).expect_code(code);
        assert_eq!(outcome.stderr, "", "{script}");
    }
}

#[test]
fn disabled_it_does_nothing_but_execute() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("x.env");
    let arguments =
        ["exec", "--container", "app", "--require", "NOPE", "--out", out.to_str().unwrap(), "--", "env"];
    for value in ["1", "true", "yes"] {
        let mut command = introspod(arguments);
        command.env("INTROSPOD_DISABLED", value).env("INTROSPOD_LOG", "trace");
        let outcome = run(command).expect_code(0);
        assert_eq!(outcome.stderr, "");
        assert!(!outcome.stdout.contains("CONTAINER_NAME"), "{outcome:?}");
        assert!(!out.exists());
    }
    for value in ["0", "false", ""] {
        let mut command = introspod(arguments);
        command.env("INTROSPOD_DISABLED", value);
        run(command).expect_code(125);
    }
}

/// As `execvp(3)` and `env(1)` do it.
#[test]
fn an_empty_entry_of_path_is_the_current_directory_and_a_long_one_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    crate::world::write_executable(&directory.path().join("here"), "#!/bin/sh\necho here\n", 0o755);
    for path in [":/usr/bin".to_owned(), format!("{}:{}", "/x".repeat(2500), directory.path().display())] {
        let mut command = introspod(["exec", "--", "here"]);
        command.env("PATH", path).current_dir(directory.path());
        assert_eq!(run(command).expect_code(0).stdout, "here\n");
    }
}
