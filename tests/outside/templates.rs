//! `--set NAME=` with templates and defaults.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use crate::made::{lines, only_line, output, pod, run_with_pod, variables};
use crate::server::{Response, Server, always};
use crate::world::{World, introspod, pod_json, run};

fn labelled() -> Value {
    pod(json!({"labels": {"team": "core", "empty": "", "it's": "\"quoted\""}}))
}

#[test]
fn a_template_is_made_of_gathered_variables_and_of_others_that_are_set() {
    let told = variables(
        [
            "--set=LATER=<$(INSTANCE)>",
            "--set=INSTANCE=$(POD_NAMESPACE)/$(POD_NAME)",
            "--set=TEAM=metadata.labels['team']",
            "--set=ALL=$(TEAM) $(TEAM) $$(TEAM) $TEAM 'x' \"y\" $$",
            "--set=ONE=$(POD_LABEL_TEAM)",
            "--set=EMPTY=metadata.labels['empty']",
            "--set=WITH_EMPTY=[$(EMPTY)]",
            "--labels",
        ],
        &labelled(),
    );
    for (name, value) in [
        ("INSTANCE", "shop/web-0"),
        ("LATER", "<shop/web-0>"),
        ("ALL", "core core $(TEAM) $TEAM 'x' \"y\" $$"),
        ("ONE", "core"),
        ("WITH_EMPTY", "[]"),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
}

#[test]
fn sources_are_called_template_and_default() {
    let options = [
        "--format=json",
        "--explain",
        "--set=T=$(POD_NAME)",
        "--set=D=limits.cpu:-2",
        "--set=F=limits.cpu:-metadata.name",
    ];
    let told = run_with_pod("print", options, &labelled()).expect_code(0).json();
    assert_eq!((&told["sources"]["T"], &told["sources"]["D"]), (&json!("template"), &json!("default")));
    assert_eq!(told["sources"]["F"], "api", "a field is no default");
    let options = ["--format=table", "--explain", "--set=T=$(POD_NAME)", "--set=D=limits.cpu:-2"];
    let table = run_with_pod("print", options, &labelled()).expect_code(0).stdout;
    for (name, source, value) in [("T", "template", "web-0"), ("D", "default", "2")] {
        let words = |line: &&str| line.split_whitespace().eq([name, source, value]);
        assert!(table.lines().any(|line| words(&line)), "{table}");
    }
}

#[test]
fn what_is_unknown_or_empty_has_a_default() {
    for (expression, expected) in [
        ("metadata.labels['team']:-'none'", "core"),
        ("metadata.labels['empty']:-'none'", "none"),
        ("metadata.labels['missing']:-'none'", "none"),
        ("limits.cpu:-requests.cpu:-2", "2"),
        ("limits.memory*50%/1Mi:-metadata.name", "web-0"),
        ("limits.cpu:-'a:-b'", "a:-b"),
        ("limits.cpu:-'$(POD_NAME) it is'", "$(POD_NAME) it is"),
        ("limits.cpu:--0.5", "-0.5"),
        ("limits.cpu:-''", ""),
    ] {
        assert_eq!(
            variables(["--set", &format!("V={expression}")], &labelled())["V"],
            expected,
            "{expression}"
        );
    }
}

#[test]
fn without_a_last_default_every_operand_is_named() {
    let options = ["--set=V=limits.cpu:-spec.nodeName"];
    let outcome = run_with_pod("print", options, &labelled()).expect_code(0);
    let line = only_line(&outcome);
    assert!(
        line.contains("V is not set: the container has no limits.cpu; the pod has no spec.nodeName"),
        "{line}"
    );
}

#[test]
fn one_unknown_reference_leaves_the_whole_variable_unset_and_is_named() {
    let set = "--set=V=$(POD_NAME)-$(NOBODY_S)-$(NODE_NAME)";
    let outcome = run_with_pod("print", ["--format=json", set], &labelled()).expect_code(0);
    assert_eq!(outcome.json()["variables"]["V"], Value::Null);
    let line = only_line(&outcome);
    assert!(line.contains("V is not set: $(NOBODY_S) is not set; the pod has no spec.nodeName"), "{line}");

    let outcome = run_with_pod("print", [set, "--require=V"], &labelled()).expect_code(1);
    let line = only_line(&outcome);
    assert!(line.contains("required variable V is not known: $(NOBODY_S) is not set; "), "{line}");
}

#[test]
fn a_template_without_a_value_takes_away_what_has_its_name() {
    let outcome = run_with_pod("print", ["--set=POD_NAME=$(NOBODY_S)"], &labelled()).expect_code(0);
    assert!(!outcome.stdout.contains("POD_NAME="), "{outcome:?}");
    assert_eq!(lines(&outcome).len(), 1);
}

#[test]
fn a_circle_is_a_usage_error() {
    for (subcommand, code) in [("print", 2), ("exec", 125)] {
        for (sets, circle) in [
            (vec!["A=$(B)", "B=$(A)"], "A -> B -> A"),
            (vec!["A=$(B)", "B=x$(C)", "C=$(POD_NAME)$(A)"], "A -> B -> C -> A"),
        ] {
            let options = sets.iter().flat_map(|set| ["--set", set]);
            let arguments: Vec<&str> = [subcommand].into_iter().chain(options).collect();
            let mut command = introspod(arguments);
            if subcommand == "exec" {
                command.arg("true");
            }
            let outcome = run(command).expect_code(code);
            let line = only_line(&outcome);
            assert!(
                line.contains("must not refer to each other in a cycle") && line.contains(circle),
                "{line}"
            );
        }
    }
    let mut command = introspod(["print", "--set=A=$(B)"]);
    command.env("INTROSPOD_SET", "B=$(A)");
    assert!(only_line(&run(command).expect_code(2)).contains("A"));
}

/// It may be a secret.
#[test]
fn what_is_made_of_the_environment_is_for_the_application_only() {
    let directory = tempfile::tempdir().unwrap();
    let options = [
        "--container=app",
        "--set=URL=db://$(PASSWORD)@$(CONTAINER_NAME)",
        "--set=LONGER=$(URL)/x",
        "--set=NAME=$(CONTAINER_NAME)",
    ];
    for name in ["out.json", "out.env", "out.sh"] {
        let out = directory.path().join(name);
        let mut command = introspod([&["exec", "--out", out.to_str().unwrap()], &options[..]].concat());
        command.args(["sh", "-c", "echo $LONGER"]);
        command.env("PASSWORD", "swordfish").env("INTROSPOD_LOG", "trace");
        let outcome = run(command).expect_code(0);
        assert_eq!(outcome.stdout, "db://swordfish@app/x\n");
        let written = std::fs::read_to_string(&out).unwrap();
        assert!(
            written.contains("NAME") && !written.contains("URL") && !written.contains("LONGER"),
            "{written}"
        );
        for text in [&outcome.stderr, &written] {
            assert!(!text.contains("swordfish"), "{text}");
        }
        for arguments in [&["print", "--explain"][..], &["write", "--out", out.to_str().unwrap()]] {
            let mut command = introspod([arguments, &options].concat());
            command.env("PASSWORD", "swordfish").env("INTROSPOD_LOG", "trace");
            let outcome = run(command).expect_code(0);
            let written = std::fs::read_to_string(&out).unwrap();
            for text in [&outcome.stdout, &outcome.stderr, &written] {
                assert!(!text.contains("swordfish"), "{text}");
            }
        }
    }
}

#[test]
fn print_of_one_that_is_made_of_the_environment_says_why_it_is_not_shown() {
    let mut command = introspod(["print", "--set=URL=db://$(PASSWORD)", "URL"]);
    command.env("PASSWORD", "swordfish");
    let outcome = run(command).expect_code(1);
    assert_eq!(outcome.stdout, "");
    let line = only_line(&outcome);
    assert!(
        line.contains("URL contains text of the environment or of a file, and print hides such values"),
        "{line}"
    );
}

/// What the author set under the name of `--set` is not a fact.
#[test]
fn a_value_that_was_set_stays_and_is_not_shown() {
    let world = World::recorded("downward", "main");
    world.environ(&[("TOKEN", "swordfish"), ("COPY", "swordfish")]);
    let options = ["--set=TOKEN=metadata.name", "--set=COPY=$(POD_NAME)", "--set=FROM=$(TOKEN)"];
    let outcome = world.run([&["print", "--format=json"], &options[..]].concat()).expect_code(0);
    let told = outcome.json();
    for name in ["TOKEN", "COPY", "FROM"] {
        assert_eq!(told["variables"][name], Value::Null, "{name}");
    }
    assert!(!outcome.stderr.contains("swordfish"), "{outcome:?}");
    let told = world.run([&["print", "--format=json", "--override=*"], &options[..]].concat()).json();
    for name in ["TOKEN", "COPY", "FROM"] {
        assert_eq!(told["variables"][name], "downward", "{name}");
    }
}

#[test]
fn the_application_s_own_variables_are_as_they_were() {
    let script = "echo $TOKEN $COPY $FROM";
    let mut command = introspod(["exec", "--container=app", "--set=TOKEN=container.name"]);
    command.args(["--set=COPY=$(CONTAINER_NAME)", "--set=FROM=$(TOKEN)", "sh", "-c", script]);
    command.env("TOKEN", "mine").env("COPY", "too");
    assert_eq!(run(command).expect_code(0).stdout, "mine too mine\n");
}

#[test]
fn a_variable_that_is_empty_is_known_and_one_that_is_not_utf_8_is_not() {
    let mut command = introspod([
        "exec",
        "--set=V=$(EMPTY)",
        "--set=W=$(BYTES)",
        "sh",
        "-c",
        "echo ${V-unset}, ${W-unset}",
    ]);
    command.env("EMPTY", "").env("BYTES", OsStr::from_bytes(b"\xff"));
    let output = output(command);
    assert_eq!(output.stdout, b", unset\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
}

#[test]
fn a_variable_that_keeps_its_value_is_said_to() {
    let world = World::empty();
    let options = ["exec", "--api=never", "--set=GOMAXPROCS=limits.cpu"];
    let mut command = world.command([&options[..], &["sh", "-c", "echo $GOMAXPROCS"]].concat());
    command.env("GOMAXPROCS", "8");
    let outcome = run(command).expect_code(0);
    assert_eq!(outcome.stdout, "8\n");
    let line = only_line(&outcome);
    assert!(line.contains("GOMAXPROCS keeps the value that was set: limits.cpu is not known"), "{line}");
}

/// An API server that knows the recorded Pod object `bare`, in whose container with nothing but its
/// name, and how many requests `print --set V=EXPRESSION` takes there.
#[track_caller]
fn asked(expression: &str, expected: &str) -> usize {
    let object: Value = serde_json::from_slice(&std::fs::read(pod_json("bare")).unwrap()).unwrap();
    let server = Server::start(always(Response::json(&object)));
    let world = server.world("bare", "web");
    let set = format!("--set=V={expression}");
    let outcome = world.run(["print", "--format=json", "--api-url", &server.url(), &set]).expect_code(0);
    assert_eq!(outcome.json()["variables"]["V"], expected, "{expression}: {outcome:#?}");
    server.requests().len()
}

#[test]
fn the_api_server_is_asked_only_if_no_operand_before_is_known() {
    assert_eq!(asked("metadata.name:-container.image", "bare"), 0);
    assert_eq!(asked("metadata.name:-container.image:-'none'", "bare"), 0);
    let image = "docker.io/library/busybox:local";
    assert_eq!(asked("container.image:-metadata.name", image), 1);
    assert_eq!(asked("container.image:-'none'", image), 1);
    assert_eq!(asked("pod.spec.priorityClassName:-'none'", "none"), 1);
    assert_eq!(asked("$(POD_NAME)/$(CONTAINER_IMAGE)", &format!("bare/{image}")), 1);
    assert_eq!(asked("$(POD_NAME)", "bare"), 0);
}
