//! `$(VAR)` in the command's arguments, by Kubernetes' rules (`third_party/forked/golang/expansion/expand.go`). The
//! cases of `tests/fixtures/vectors/expansion.json` are in `expressions.rs`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::made::{annotated, only_line, output, run_with_pod};
use crate::world::{Outcome, introspod, run};

/// `introspod exec OPTIONS -- printf …`, which shows its further arguments, each with a NUL after it.
fn showing(options: &[&str]) -> Command {
    let mut command = introspod(["exec", "--container", "app"]);
    command.args(options).args(["--", "printf", "%s\\0"]);
    command
}

/// The arguments or variables that a command has shown.
fn shown(outcome: &Outcome) -> Vec<&str> {
    outcome.stdout.split_terminator('\0').collect()
}

#[test]
fn a_reference_to_a_variable_that_nobody_has_stays_with_a_warning_that_names_it() {
    let mut command = showing(&["--expand"]);
    command.arg("-Xmx$(HEAP_MB)m");
    let outcome = run(command).expect_code(0);
    assert_eq!(shown(&outcome), ["-Xmx$(HEAP_MB)m"]);
    assert!(only_line(&outcome).contains("$(HEAP_MB) stays as it is in the arguments"), "{outcome:?}");
}

/// Such as a shell's substitution of a command's output.
#[test]
fn what_can_be_no_variable_stays_without_a_word() {
    let mut command = showing(&["--expand"]);
    command.args(["$(date +%s)", "$()", "$(1)"]);
    let outcome = run(command).expect_code(0);
    assert_eq!(shown(&outcome), ["$(date +%s)", "$()", "$(1)"]);
    assert_eq!(outcome.stderr, "");
}

/// Whoever may annotate a pod does not get at its other variables.
#[test]
fn what_was_inserted_is_not_expanded_again() {
    let pod = annotated([("note", "$(SECRET) $$ $(POD_NAME)")]);
    let set = "NOTE=metadata.annotations['note']";
    let arguments = ["--set", set, "--expand", "--", "printf", "%s", "<$(NOTE)>"];
    let outcome = run_with_pod("exec", arguments, &pod).expect_code(0);
    assert_eq!(outcome.stdout, "<$(SECRET) $$ $(POD_NAME)>");
    assert_eq!(outcome.stderr, "");
}

#[test]
fn the_command_s_own_name_is_not_expanded() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/cat", directory.path().join("$(CONTAINER_NAME)")).unwrap();
    let mut command = introspod(["exec", "--container=app", "--expand", "--", "$(CONTAINER_NAME)"]);
    command.args(["/proc/self/cmdline", "/dev/null"]).env("PATH", directory.path());
    let outcome = run(command).expect_code(0);
    assert_eq!(shown(&outcome), ["$(CONTAINER_NAME)", "/proc/self/cmdline", "/dev/null"]);
}

#[test]
fn arguments_and_values_need_not_be_utf_8() {
    let mut command = showing(&["--expand"]);
    command.args([b"\xff$(CONTAINER_NAME)\xfe" as &[u8], b"$(BYTES)$(\xff)"].map(OsStr::from_bytes));
    command.env("BYTES", OsStr::from_bytes(b"\x80"));
    assert_eq!(output(command).stdout, b"\xffapp\xfe\0\x80$(\xff)\0");
}

/// Gathered ones, the application's own, and of two the one that the application gets.
#[test]
fn references_are_to_the_variables_that_the_application_gets() {
    for (options, expected) in
        [(&["--expand"] as &[&str], ["own", "mine"]), (&["--expand", "--override=*"], ["own", "app"])]
    {
        let mut command = showing(options);
        command.args(["$(OWN)", "$(CONTAINER_NAME)"]).env("OWN", "own").env("CONTAINER_NAME", "mine");
        assert_eq!(shown(&run(command).expect_code(0)), expected, "{options:?}");
    }
}

#[test]
fn what_introspod_itself_is_told_is_not_expanded() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = introspod(["exec", "--expand", "--out", "$(OWN).env", "ls"]);
    command.env("OWN", "app").current_dir(directory.path());
    assert_eq!(run(command).expect_code(0).stdout, "$(OWN).env\n");
}
