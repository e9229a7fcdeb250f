//! The variables `INTROSPOD_…`: their values, their ranks, and broken ones, which are not in the way of `exec`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::made::only_line;
use crate::world::{Outcome, World, introspod, run};

/// A byte order mark.
const BOM: &str = "\u{feff}";

/// `exec OPTIONS -- env` with these variables of options.
fn exec<Value: AsRef<OsStr>>(options: &[&str], variables: &[(&str, Value)]) -> Outcome {
    let mut command = introspod(["exec", "--container=app"]);
    command.args(options).args(["--", "env"]);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    run(command)
}

fn has(outcome: &Outcome, entry: &str) -> bool {
    outcome.stdout.lines().any(|line| line == entry)
}

#[test]
fn a_broken_variable_is_a_warning_and_the_rest_counts() {
    for (name, value, place) in [
        ("INTROSPOD_SET", "A=no.field\nB=container.name", "INTROSPOD_SET, line 1: "),
        ("INTROSPOD_SET", "B=container.name\n\n# A\nhunter2", "INTROSPOD_SET, line 4 must be NAME="),
        ("INTROSPOD_SET", "B=container.name\nB=pod.uid", "INTROSPOD_SET, line 2"),
        ("INTROSPOD_SET_A", "production", "INTROSPOD_SET_A: "),
        ("INTROSPOD_LABELS", "enabled", "INTROSPOD_LABELS must be true or false"),
        ("INTROSPOD_LABELS", "\"true\"", "INTROSPOD_LABELS must be true or false"),
        ("INTROSPOD_STANDARD", "none", "INTROSPOD_STANDARD must be true or false"),
        ("INTROSPOD_API", "maybe", "INTROSPOD_API must be auto, always or never"),
        ("INTROSPOD_API", "'never'", "INTROSPOD_API must be auto, always or never"),
        ("INTROSPOD_API", "never\nnever", "INTROSPOD_API must be auto, always or never"),
        ("INTROSPOD_API_URL", "http://10.0.0.1", "INTROSPOD_API_URL: "),
        ("INTROSPOD_TIMEOUT", "soon", "INTROSPOD_TIMEOUT must be a time"),
        ("INTROSPOD_MODE", "rw-r--r--", "INTROSPOD_MODE must be an octal number"),
        ("INTROSPOD_OMIT", "B=C", "INTROSPOD_OMIT, line 1 must be the name of a variable"),
        ("INTROSPOD_OVERRIDE", "\nÄ", "INTROSPOD_OVERRIDE, line 2 must be the name of a variable"),
        ("INTROSPOD_EXPAND", "$", "INTROSPOD_EXPAND must be true or false"),
        ("INTROSPOD_DISABLED", "enabled", "INTROSPOD_DISABLED must be true or false"),
        ("INTROSPOD_ROOT", "/no/such", "INTROSPOD_ROOT must name a file that exists"),
        ("INTROSPOD_POD", "/no/such.json", "INTROSPOD_POD must name a file that exists"),
    ] {
        let outcome = exec(&["--set=C=container.name"], &[(name, value)]).expect_code(0);
        let line = only_line(&outcome);
        assert!(line.starts_with(&format!("introspod: warn: {place}")), "{line}");
        assert!(line.ends_with("; it has no effect") && !line.contains("hunter2"), "{line}");
        assert!(has(&outcome, "C=app"), "{outcome:?}");
        assert_eq!(has(&outcome, "B=app"), value.contains("B=container.name"), "{outcome:?}");
        // Whoever types sees it.
        let mut command = introspod(["print", "--container=app"]);
        command.env(name, value);
        if !["INTROSPOD_EXPAND", "INTROSPOD_DISABLED", "INTROSPOD_ROOT", "INTROSPOD_POD"].contains(&name) {
            assert!(only_line(&run(command).expect_code(2)).contains(place));
        }
    }
    for value in ["app\nside", "App", "../app"] {
        let mut command = introspod(["exec", "true"]);
        command.env("INTROSPOD_CONTAINER", value);
        assert!(only_line(&run(command).expect_code(0)).contains("INTROSPOD_CONTAINER must be the name of"));
    }
}

#[test]
fn variables_that_refer_to_each_other_in_a_cycle_have_no_effect() {
    let set = "A=$(B)\nB=<$(C)>\nC=$(A)\nD=container.name\nE=[$(D)]\nF=$(F)f";
    let outcome = exec(&[], &[("INTROSPOD_SET", set)]).expect_code(0);
    assert_eq!(outcome.stderr.lines().count(), 3, "{outcome:?}");
    for (number, line) in outcome.stderr.lines().enumerate() {
        assert!(
            line.contains(&format!("INTROSPOD_SET, line {} must not refer to itself", number + 1)),
            "{line}"
        );
    }
    for entry in ["D=app", "E=[app]", "F=f"] {
        assert!(has(&outcome, entry), "{entry}: {outcome:?}");
    }
    assert!(!outcome.stdout.contains("\nA="), "{outcome:?}");
    // What is on the command line counts, if it can.
    let outcome = exec(&["--set=A=$(B)"], &[("INTROSPOD_SET_B", "<$(A)>")]).expect_code(0);
    assert!(outcome.stderr.contains("INTROSPOD_SET_B must not refer to itself"), "{outcome:?}");
    exec::<&str>(&["--set=A=$(B)", "--set=B=$(A)"], &[]).expect_code(125);
    let mut command = introspod(["print"]);
    command.env("INTROSPOD_SET", set);
    only_line(&run(command).expect_code(2));
    let many: Vec<String> = (0..3_000).map(|number| format!("V{number}=$(V{})", number ^ 1)).collect();
    let outcome = exec(&[], &[("INTROSPOD_SET", many.join("\n"))]).expect_code(0);
    assert_eq!(outcome.stderr.lines().count(), 3_000);
}

#[test]
fn each_broken_variable_has_its_warning() {
    let variables =
        [("INTROSPOD_API", "x"), ("INTROSPOD_MODE", "y"), ("INTROSPOD_SET", "a\nb\nB=container.name")];
    let outcome = exec(&[], &variables).expect_code(0);
    assert_eq!(outcome.stderr.lines().count(), 4, "{outcome:?}");
    assert!(has(&outcome, "B=app"), "{outcome:?}");
}

#[test]
fn what_the_application_cannot_do_without_is_in_the_way() {
    for (name, value) in [("INTROSPOD_REQUIRE", "A\n=B"), ("INTROSPOD_OUT", "x.env\nx.txt")] {
        let outcome = exec(&[], &[(name, value)]).expect_code(125);
        assert!(only_line(&outcome).contains(&format!("{name}, line 2 must ")), "{outcome:?}");
        let broken = OsString::from(OsStr::from_bytes(b"x\xff.env"));
        let outcome = exec(&[], &[(name, &broken)]).expect_code(125);
        assert!(only_line(&outcome).contains(&format!("{name} is not UTF-8")), "{outcome:?}");
    }
    for options in [&["--api=maybe"][..], &["--set=A=no.field"], &["--labels=enabled"]] {
        exec::<&str>(options, &[]).expect_code(125);
    }
}

#[test]
fn what_is_not_utf_8_has_no_effect() {
    let broken = OsString::from(OsStr::from_bytes(b"never\xff"));
    for name in
        ["INTROSPOD_API", "INTROSPOD_SET", "INTROSPOD_SET_A", "INTROSPOD_LABELS", "INTROSPOD_DISABLED"]
    {
        let outcome = exec(&[], &[(name, &broken)]).expect_code(0);
        assert!(only_line(&outcome).contains(name), "{outcome:?}");
    }
}

#[test]
fn white_space_and_byte_order_marks_around_a_value_are_trimmed() {
    let world = World::recorded("downward", "main");
    let file = tempfile::tempdir().unwrap();
    for (before, after) in
        [("", "\n"), ("", "\r\n"), (BOM, ""), (" \t", "\t "), ("\n\n", "\n \n"), (BOM, "\r\n\u{a0}")]
    {
        let around = |value: &str| format!("{before}{value}{after}");
        let out = file.path().join("x.env");
        let mut command = world.command(["write"]);
        command.env("INTROSPOD_OUT", around(out.to_str().unwrap()));
        command.env("INTROSPOD_MODE", around("0600"));
        command.env("INTROSPOD_LABELS", around("TRUE"));
        command.env("INTROSPOD_API", around("never"));
        command.env("INTROSPOD_SET_A", around("metadata.name"));
        command
            .env("INTROSPOD_SET", around(&format!("B=metadata.name\r\n{BOM}C=metadata.name\r\n \t# D=x\r")));
        let outcome = run(command).expect_code(0);
        assert_eq!(outcome.stderr, "");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&out).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&out).unwrap();
        for line in ["A='downward'", "B='downward'", "C='downward'", "POD_LABEL_FOO='bar'"] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
        let mut command = introspod(["exec", "--container=app", "--", "printenv", "CONTAINER_NAME"]);
        command.env("INTROSPOD_DISABLED", around("1"));
        assert_eq!(run(command).expect_code(1).stdout, "", "introspod is disabled");
    }
    // A value of nothing else is none.
    for value in ["", "\n", " ", BOM, "# a comment", "\n#\n"] {
        for name in ["INTROSPOD_SET", "INTROSPOD_REQUIRE", "INTROSPOD_OMIT", "INTROSPOD_OUT"] {
            assert_eq!(exec(&[], &[(name, value)]).expect_code(0).stderr, "", "{name} {value:?}");
        }
    }
}

#[test]
fn a_variable_for_each_name_outranks_the_list_and_the_command_line_outranks_both() {
    let variables = [
        ("INTROSPOD_SET", "A=no.field\nB=metadata.uid\nC=metadata.uid\nD=container.name"),
        ("INTROSPOD_SET_A", "container.name"),
        ("INTROSPOD_SET_B", "container.name"),
        ("INTROSPOD_SET_C", "metadata.uid"),
        ("INTROSPOD_SET_node.name", "container.name"),
        ("INTROSPOD_SET_E", ""),
    ];
    let outcome = exec(&["--set=C=container.name"], &variables).expect_code(0);
    for entry in ["A=app", "B=app", "C=app", "D=app", "node.name=app"] {
        assert!(has(&outcome, entry), "{entry}: {outcome:?}");
    }
    assert_eq!(outcome.stderr, "", "what is replaced is not checked");
    assert!(!outcome.stdout.contains("\nE="), "{outcome:?}");
}

#[test]
fn variables_of_a_service_set_nothing_and_warn_of_nothing() {
    let service = [
        ("INTROSPOD_SET_SERVICE_HOST", "10.96.7.7"),
        ("INTROSPOD_SET_SERVICE_HOST", "fd00::7"),
        ("INTROSPOD_SET_SERVICE_PORT", "80"),
        ("INTROSPOD_SET_SERVICE_PORT_HTTP", "80"),
        ("INTROSPOD_SET_PORT", "tcp://10.96.7.7:80"),
        ("INTROSPOD_SET_PORT_80_TCP", "tcp://10.96.7.7:80"),
        ("INTROSPOD_SET_PORT_80_TCP_PROTO", "tcp"),
        ("INTROSPOD_SET_PORT_53_UDP", "udp://[fd00::7]:53"),
        ("INTROSPOD_SET_A_PORT_80_TCP_ADDR", "10.96.7.7"),
    ];
    for variable in service {
        for arguments in [&["exec", "env"][..], &["print"]] {
            let mut command = introspod(arguments);
            command.env(variable.0, variable.1);
            let outcome = run(command).expect_code(0);
            assert_eq!(outcome.stderr, "", "{variable:?}");
        }
    }
    let outcome = exec(&[], &[("INTROSPOD_SET_PORT", "container.name")]).expect_code(0);
    assert!(has(&outcome, "PORT=app"), "an author's own: {outcome:?}");
}

#[test]
fn options_of_variables_give_way_to_those_of_the_command_line() {
    let pod = crate::world::pod_json("bare");
    let pod = pod.to_str().unwrap();
    let mut command = introspod(["print", "--format=json", "--pod", pod]);
    command.env("INTROSPOD_API_URL", "https://10.96.0.1").env("INTROSPOD_PROCESS", "1");
    assert_eq!(run(command).expect_code(0).json()["pod"]["name"], "bare");
    let outcome =
        exec(&[], &[("INTROSPOD_API_URL", "https://10.96.0.1"), ("INTROSPOD_POD", pod)]).expect_code(0);
    assert!(outcome.stderr.contains("cannot be combined with"), "{outcome:?}");
}

#[test]
fn a_list_of_ten_thousand_lines_is_no_trouble() {
    let lines: Vec<String> = (0..3_000).map(|number| format!("V{number}=no.field")).collect();
    let outcome = exec(&[], &[("INTROSPOD_SET", lines.join("\n"))]).expect_code(0);
    assert_eq!(outcome.stderr.lines().count(), 3_000);
}

#[test]
fn a_disabled_exec_says_why_it_fails() {
    for (command, code, why) in [("/no/such", 127, "no such file"), ("/dev/null", 126, "permission denied")] {
        let mut introspod = introspod(["exec", "--", command]);
        introspod.env("INTROSPOD_DISABLED", "1");
        let outcome = run(introspod).expect_code(code);
        assert!(only_line(&outcome).contains(why), "{outcome:?}");
    }
}

#[test]
fn a_name_may_be_what_kubernetes_allows() {
    let world = World::recorded("downward", "main");
    let directory = tempfile::tempdir().unwrap();
    for name in ["node.name", "1", "A B", "-x", "a/b", "${X}", "#"] {
        let set = format!("--set={name}=metadata.namespace");
        let mut command = world.command(["exec", &set, "--", "env"]);
        command.env_remove("X");
        assert!(has(&run(command).expect_code(0), &format!("{name}=default")), "{name}");
        assert_eq!(
            world.run(["print", &set, "--format=json"]).expect_code(0).json()["variables"][name],
            "default"
        );
        for format in ["env", "sh"] {
            let file = directory.path().join(format!("x.{format}"));
            let outcome = world.run(["write", &set, "--out", file.to_str().unwrap()]).expect_code(0);
            assert!(
                only_line(&outcome).contains(&format!("{name} is left out of the {format} format")),
                "{outcome:?}"
            );
            let text = std::fs::read_to_string(file).unwrap();
            assert!(text.contains("POD_IP=") && !text.contains(&format!("\n{name}=")), "{text}");
        }
    }
    for name in ["", " A", "A ", "Ä", "A\tB", "A\n"] {
        let outcome = introspod(["exec", "--set", &format!("{name}=metadata.name"), "true"]);
        assert!(
            only_line(&run(outcome).expect_code(125)).contains("must be the name of a variable"),
            "{name:?}"
        );
    }
}
