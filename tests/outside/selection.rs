//! The choice of variables: labels, annotations, `--set` and `--require`.

use serde_json::{Value, json};

use crate::made::{annotated, only_line, pod, run_with_pod, variables, with_resources};
use crate::world::{Outcome, World, run};

fn labelled(labels: Value) -> Value {
    pod(json!({"labels": labels}))
}

fn print(options: &[&str], pod: &Value) -> Outcome {
    run_with_pod("print", [&["--format", "json"], options].concat(), pod)
}

#[test]
fn every_label_and_annotation_is_a_variable_when_asked_for() {
    let pod = pod(json!({
        "labels": {"app.kubernetes.io/name": "demo", "tier": ""},
        "annotations": {"example.com/Some.Key_1": "a\nb"},
    }));
    let told = variables([] as [&str; 0], &pod);
    assert!(!told.to_string().contains("POD_LABEL_") && !told.to_string().contains("POD_ANNOTATION_"));
    let told = variables(["--labels"], &pod);
    assert_eq!(told["POD_LABEL_APP_KUBERNETES_IO_NAME"], "demo");
    assert_eq!(told["POD_LABEL_TIER"], "", "an empty label is a label");
    assert_eq!(told["POD_ANNOTATION_EXAMPLE_COM_SOME_KEY_1"], Value::Null);
    let told = variables(["--annotations"], &pod);
    assert_eq!(told["POD_ANNOTATION_EXAMPLE_COM_SOME_KEY_1"], "a\nb");
    assert_eq!(told["POD_LABEL_TIER"], Value::Null);
}

#[test]
fn of_keys_that_collide_the_first_in_order_wins_with_a_warning() {
    let outcome =
        print(&["--labels"], &labelled(json!({"a.b": "dot", "a-b": "hyphen", "a_b": "low", "A.B": "upper"})));
    let outcome = outcome.expect_code(0);
    // In the order of bytes: "A.B", "a-b", "a.b", "a_b".
    assert_eq!(outcome.json()["variables"]["POD_LABEL_A_B"], "upper");
    let line = only_line(&outcome);
    assert!(line.contains("left out 3 labels"), "{line}");
    for key in ["a-b", "a.b", "a_b"] {
        assert!(line.contains(&format!("{key:?} (POD_LABEL_A_B is \"A.B\")")), "{line}");
    }
}

#[test]
fn however_many_keys_collide_one_line_names_the_first_few() {
    let key =
        |number: usize| format!("{:05}", number / 2) + if number.is_multiple_of(2) { "-a" } else { ".a" };
    let annotations: Vec<(String, String)> =
        (0..18_000).map(|number| (key(number), "v".to_owned())).collect();
    let pairs = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let outcome = print(&["--annotations"], &annotated(pairs)).expect_code(0);
    let line = only_line(&outcome);
    assert!(line.contains("left out 9000 annotations") && line.contains("and 8997 more"), "{line}");
    assert!(line.contains("\"00000.a\" (POD_ANNOTATION_00000_A is \"00000-a\")"), "{line}");
}

#[test]
fn a_value_with_nul_does_not_cost_its_neighbour_the_name() {
    let outcome = print(&["--annotations"], &annotated([("a", "x\0y"), ("b", "fine")])).expect_code(0);
    assert_eq!(outcome.json()["variables"]["POD_ANNOTATION_B"], "fine");
    assert!(
        only_line(&outcome)
            .contains("left out 1 annotation, because a variable cannot contain NUL: POD_ANNOTATION_A")
    );
}

#[test]
fn labels_that_would_be_dangerous_names_keep_their_prefix() {
    let pod = labelled(
        json!({"PATH": "/evil", "LD_PRELOAD": "/evil.so", "IFS": "x", "x": "$(touch evil)`touch evil`"}),
    );
    let script =
        "echo $POD_LABEL_PATH $POD_LABEL_LD_PRELOAD; echo \"$POD_LABEL_X\"; echo ${LD_PRELOAD-unset} $PATH";
    let outcome = run_with_pod("exec", ["--labels", "sh", "-c", script], &pod).expect_code(0);
    let expected = "/evil /evil.so\n$(touch evil)`touch evil`\nunset /usr/local/bin:/usr/bin:/bin\n";
    assert_eq!(outcome.stdout, expected);
    let told = print(&["--labels"], &pod).expect_code(0).json();
    for name in told["variables"].as_object().unwrap().keys() {
        let is_word =
            name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        assert!(is_word && !["PATH", "LD_PRELOAD", "IFS"].contains(&name.as_str()), "{name}");
    }
}

#[test]
fn keys_that_no_api_server_would_take_are_names_all_the_same() {
    let pod = annotated([("a=b\nPATH", "1"), ("é☃", "2"), ("", "3"), ("$(x)'\"", "4")]);
    let told = variables(["--annotations"], &pod);
    let names: Vec<&String> =
        told.as_object().unwrap().keys().filter(|name| name.starts_with("POD_ANNOTATION_")).collect();
    let expected =
        ["POD_ANNOTATION_", "POD_ANNOTATION_A_B_PATH", "POD_ANNOTATION___", "POD_ANNOTATION___X___"];
    assert_eq!(names, expected);
}

#[test]
fn a_label_that_the_pod_does_not_have_is_unset() {
    let options = ["--set=L=metadata.labels['missing']", "--set=A=metadata.annotations['missing']:-''"];
    let outcome = print(&options, &pod(json!({}))).expect_code(0);
    let told = &outcome.json()["variables"];
    assert_eq!((&told["L"], &told["A"]), (&Value::Null, &json!("")));
    assert_eq!(
        only_line(&outcome),
        "introspod: warn: L is not set: the pod has no metadata.labels['missing']"
    );
}

#[test]
fn a_label_of_which_nothing_is_known_is_unset_with_a_warning() {
    let world = World::recorded("bare", "web");
    let options = ["print", "--format=json", "--api=never", "--set", "L=metadata.labels['app']"];
    let outcome = world.run(options).expect_code(0);
    assert_eq!(outcome.json()["variables"]["L"], Value::Null);
    let line = only_line(&outcome);
    assert!(line.contains("L is not set: metadata.labels['app'] is not known: "), "{line}");
    let outcome = world.run([&options[..], &["--require", "L"]].concat()).expect_code(1);
    let line = only_line(&outcome);
    assert!(line.contains("required variable L is not known: "), "{line}");
}

#[test]
fn a_limit_that_is_not_set_is_unset_with_a_warning() {
    let pod = with_resources(json!({"limits": {"cpu": "1"}}));
    let outcome = print(&["--set", "M=limits.memory*75%", "--set", "C=limits.cpu"], &pod).expect_code(0);
    assert_eq!(outcome.json()["variables"]["M"], Value::Null);
    assert_eq!(outcome.json()["variables"]["C"], "1");
    let line = only_line(&outcome);
    assert!(line.contains("M is not set: the container has no limits.memory"), "{line}");
}

#[test]
fn an_expression_stands_instead_of_the_standard_variable() {
    let told = variables(["--set", "POD_NAME=metadata.uid"], &pod(json!({})));
    assert_eq!(told["POD_NAME"], "3f1c2a4e-9f0e-4a58-8a51-0d3c1b3b8a77");
}

#[test]
fn what_is_required_and_known_is_no_news() {
    let pod = labelled(json!({"team": "core"}));
    let options = ["--set", "T=metadata.labels['team']", "--require", "T", "--require=POD_NAME"];
    let outcome = print(&options, &pod).expect_code(0);
    assert_eq!(outcome.stderr, "");
}

#[test]
fn what_is_required_and_unknown_fails_each_subcommand_by_its_own_code() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("x.env");
    for (subcommand, arguments, code) in [
        ("print", vec![], 1),
        ("write", vec!["--out", out.to_str().unwrap()], 1),
        ("exec", vec!["echo", "started"], 125),
    ] {
        let options = [vec!["--require", "NODE_NAME"], arguments].concat();
        let outcome = run_with_pod(subcommand, options, &pod(json!({}))).expect_code(code);
        assert!(
            only_line(&outcome).starts_with("introspod: error: required variable NODE_NAME is not known: ")
        );
        assert_eq!(outcome.stdout.is_empty(), subcommand != "print", "a dry run shows what it knows");
        assert!(!out.exists());
    }
}

#[test]
fn requiring_a_label_s_variable_implies_all_labels() {
    let pod = pod(json!({"labels": {"team": "core", "tier": "web"}, "annotations": {"note": "n"}}));
    let told = variables(["--require", "POD_LABEL_TEAM"], &pod);
    assert_eq!((&told["POD_LABEL_TEAM"], &told["POD_LABEL_TIER"]), (&json!("core"), &json!("web")));
    assert_eq!(told["POD_ANNOTATION_NOTE"], Value::Null);
    assert_eq!(variables(["--require", "POD_ANNOTATION_NOTE"], &pod)["POD_ANNOTATION_NOTE"], "n");
    let outcome = print(&["--require", "POD_LABEL_OTHER"], &pod).expect_code(1);
    assert!(only_line(&outcome).contains("no label of the pod gives this name"), "{outcome:?}");
}

#[test]
fn a_variable_of_the_author_s_satisfies_require() {
    let mut command = crate::world::introspod(["exec", "--require", "DATABASE", "echo", "started"]);
    command.env("DATABASE", "db");
    assert_eq!(crate::world::run(command).expect_code(0).stdout, "started\n");
    let mut command = crate::world::introspod(["exec", "--require", "DATABASE", "echo", "started"]);
    command.env("DATABASE", "");
    assert_eq!(crate::world::run(command).expect_code(0).stdout, "started\n", "empty is set");
}

#[test]
fn labels_that_are_not_known_are_said_and_not_in_the_way() {
    let world = World::recorded("bare", "web");
    let outcome = world.run(["exec", "--api=never", "--labels", "sh", "-c", "echo $POD_NAME"]).expect_code(0);
    assert_eq!(outcome.stdout, "bare\n");
    let line = only_line(&outcome);
    assert!(line.contains("no POD_LABEL_… is set: metadata.labels is not known: "), "{line}");
}

#[test]
fn the_kubelet_s_own_annotations_of_a_pod_object_are_dropped() {
    let pod = annotated([("kubernetes.io/config.source", "file"), ("kubernetes.io/other", "stays")]);
    let told = print(&["--annotations"], &pod).expect_code(0).json();
    assert_eq!(told["pod"]["annotations"], json!({"kubernetes.io/other": "stays"}));
    assert_eq!(told["variables"]["POD_ANNOTATION_KUBERNETES_IO_OTHER"], "stays");
}

#[test]
fn print_shows_what_it_knows_before_it_fails() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("x.env");
    for (is_variable, options) in [
        (false, &["--format=env"][..]),
        (true, &["--format=env"]),
        (false, &["--format=json", "--explain"]),
        (true, &["--format=table", "--explain"]),
        (true, &["--format=sh", "--explain"]),
    ] {
        let world = World::recorded("downward", "main");
        let mut command = world.command(["print", "--out", out.to_str().unwrap()]);
        command.args(options).args((!is_variable).then_some("--require=NOWHERE"));
        command.env("INTROSPOD_REQUIRE", if is_variable { "NOWHERE\nPOD_NAME" } else { "" });
        let outcome = run(command).expect_code(1);
        assert!(outcome.stdout.contains("NODE_NAME"), "{outcome:?}");
        assert_eq!(outcome.stdout.contains("NOWHERE"), options.contains(&"--explain"), "{outcome:?}");
        let line = only_line(&outcome);
        assert!(line.starts_with("introspod: error: required variable NOWHERE is not known: "), "{line}");
        assert!(!out.exists());
    }
}
