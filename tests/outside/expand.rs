//! `--expand`: `$(expression)` in the command's arguments. The
//! cases of Kubernetes (`tests/fixtures/vectors/expansion.json`) are in `expressions.rs`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use serde_json::json;

use crate::made::{annotated, lines, output, run_with_pod, with_resources};
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
fn a_reference_to_a_field_that_is_not_known_stays_with_a_warning_that_names_it() {
    for (argument, says) in [
        ("--node=$(NODE_NAME)", "$(NODE_NAME) stays as it is in the arguments: "),
        ("-Xmx$(limits.memory*75%/1Mi)m", "$(limits.memory*75%/1Mi) stays as it is in the arguments: "),
        ("-Xmx$(HEAP)m", "$(HEAP) stays as it is in the arguments: "),
        (
            "$(metadata.nam)",
            "argument 2 stays as it is: not a field (introspod help fields); did you mean metadata.name?",
        ),
    ] {
        let mut command = showing(&["--api=never", "--expand", "--set=HEAP=metadata.labels['x']"]);
        command.arg(argument);
        let outcome = run(command).expect_code(0);
        assert_eq!(shown(&outcome), [argument]);
        assert!(lines(&outcome).iter().any(|line| line.contains(says)), "{outcome:?}");
    }
}

/// Such as a shell's substitution of a command's output.
#[test]
fn what_is_meant_for_a_shell_stays_without_a_word() {
    let mut command = showing(&["--expand"]);
    let arguments = [
        "$(date)",
        "$(date +%s)",
        "$()",
        "$(1)",
        "$('x')",
        "$(cat /etc/hosts)",
        "$((1+1))",
        "$(echo $(CONTAINER_NAME))",
        "$(echo ')' $(CONTAINER_NAME))",
        "$(awk '{print $(CONTAINER_NAME)}')",
        "kill $$",
        "$(HEAP_MB",
        "$(a.b)",
    ];
    command.args(arguments);
    let outcome = run(command).expect_code(0);
    assert_eq!(shown(&outcome), arguments);
    assert_eq!(outcome.stderr, "");
}

#[test]
fn expressions_in_arguments_are_computed() {
    let pod = with_resources(json!({"limits": {"memory": "1Gi", "cpu": "1500m"}}));
    let arguments = [
        "-Xmx$(limits.memory*75%/1Mi)m",
        "$(limits.cpu*2 + 1)$$(X)",
        "$(NONE:-metadata.name)",
        "$(file('/x'):-'no')",
    ];
    let outcome = run_with_pod("exec", [&["--expand", "--", "printf", "%s,"], &arguments[..]].concat(), &pod);
    assert_eq!(outcome.expect_code(0).stdout, "-Xmx768m,4$(X),web-0,no,");
}

/// It may be large.
#[test]
fn a_large_argument_takes_linear_time() {
    let mut command = introspod(["exec", "--expand", "--", "true"]);
    command.args(["$(".repeat(50_000), "$(a)".repeat(25_000), "$((((".repeat(20_000)]);
    run(command).expect_code(0);
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
