//! The command line: options in both spellings, their variables, help, and mistakes.

use std::process::Command;

use crate::made::{only_line, output, token};
use crate::world::{Outcome, World, introspod, run};

/// `print --format json OPTIONS` in `world`.
fn print(world: &World, options: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = world.command(["print", "--format", "json"]);
    command.args(options).envs(variables.iter().copied());
    run(command)
}

/// The recorded `downward`, with what the options below name.
fn world() -> World {
    let world = World::recorded("downward", "main");
    world.write("mnt/other/labels", "from=\"elsewhere\"");
    let own = serde_json::json!({"kubernetes.io": {"pod": {"name": "by-token-file"}}});
    world.write("mnt/token", token(&own));
    world.environ(&[("POD_NAME", "set-by-the-author"), ("REFERS", "$(NODE_NAME)")]);
    world
}

/// Options that change what `print` says, with their values.
const OPTIONS: [(&str, &str); 10] = [
    ("set", "A=metadata.uid"),
    ("labels", "true"),
    ("annotations", "true"),
    ("override", "true"),
    ("explain", "true"),
    ("otel", "true"),
    ("expand-env", "REFERS"),
    ("volume", "/mnt/other"),
    ("token-file", "/mnt/token"),
    ("container", "another"),
];

/// Switches, which take a value only after `=`.
const SWITCHES: [&str; 5] = ["labels", "annotations", "override", "explain", "otel"];

fn variable(option: &str) -> String {
    format!("INTROSPOD_{}", option.replace('-', "_").to_uppercase())
}

#[test]
fn each_option_has_two_spellings_and_a_variable_and_all_mean_the_same() {
    let world = world();
    let same = |outcome: &Outcome| (outcome.stdout.clone(), outcome.stderr.clone());
    let without = print(&world, &[], &[]).expect_code(0);
    for (option, value) in OPTIONS {
        let joined = print(&world, &[&format!("--{option}={value}")], &[]).expect_code(0);
        assert_ne!(same(&joined), same(&without), "--{option} does something");
        let apart = match SWITCHES.contains(&option) {
            true => print(&world, &[&format!("--{option}")], &[]),
            false => print(&world, &[&format!("--{option}"), value], &[]),
        };
        assert_eq!(same(&apart), same(&joined), "--{option} {value}");
        let by_variable = print(&world, &[], &[(&variable(option), value)]);
        assert_eq!(same(&by_variable), same(&joined), "{}", variable(option));
    }
}

#[test]
fn the_options_that_are_left_have_variables_too() {
    let world = world();
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("x.sh");
    print(&world, &[], &[("INTROSPOD_OUT", out.to_str().unwrap()), ("INTROSPOD_MODE", "0600")])
        .expect_code(0);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&out).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let mut command = world.command(["print"]);
    command.env("INTROSPOD_FORMAT", "sh");
    assert!(run(command).expect_code(0).stdout.contains("export POD_IP='10.244.0.3'\n"));

    let outcome = print(&world, &[], &[("INTROSPOD_REQUIRE", "NOWHERE")]).expect_code(1);
    assert!(outcome.stderr.contains("required variable NOWHERE is not known"));

    let mut command = introspod(["print", "--format=json"]);
    command.env("INTROSPOD_POD", crate::world::pod_json("bare"));
    assert_eq!(run(command).expect_code(0).json()["pod"]["name"], "bare");

    let mut command = introspod(["exec", "echo", "$(WHO)"]);
    command.env("INTROSPOD_EXPAND", "yes").env("WHO", "me");
    assert_eq!(run(command).expect_code(0).stdout, "me\n");

    for (variable, value) in [
        ("INTROSPOD_API", "sometimes"),
        ("INTROSPOD_API_URL", "http://api.example.org"),
        ("INTROSPOD_TIMEOUT", "soon"),
        ("INTROSPOD_MODE", "rw"),
        ("INTROSPOD_FORMAT", "yaml"),
        ("INTROSPOD_SET", "A=metadata.nam"),
        ("INTROSPOD_OUT", "x.txt"),
        ("INTROSPOD_LABELS", "maybe"),
        ("INTROSPOD_REQUIRE", "not-a-name"),
    ] {
        let mut command = world.command(["print"]);
        command.env(variable, value);
        let outcome = run(command).expect_code(2);
        let line = only_line(&outcome);
        assert!(line.contains(variable), "whose mistake it is: {line}");
    }
}

#[test]
fn repeatable_options_are_one_a_line_in_their_variable() {
    let world = world();
    let set = "A=metadata.uid\n\n  B=metadata.namespace  \nC=metadata.labels['foo']\n";
    let told = print(&world, &[], &[("INTROSPOD_SET", set)]).expect_code(0).json();
    let variables = &told["variables"];
    assert_eq!(variables["A"], "e9547980-83bf-438d-9893-b0834b7358b8");
    assert_eq!((&variables["B"], &variables["C"]), (&"default".into(), &"bar".into()));
}

#[test]
fn the_command_line_adds_to_a_repeatable_variable_and_wins_over_the_same_name() {
    let world = world();
    let variables = [("INTROSPOD_SET", "A=metadata.uid\nB=metadata.uid")];
    let told = print(&world, &["--set", "A=metadata.namespace", "--set=C=metadata.namespace"], &variables);
    let told = told.expect_code(0).json();
    assert_eq!(told["variables"]["A"], "default");
    assert_eq!(told["variables"]["B"], "e9547980-83bf-438d-9893-b0834b7358b8");
    assert_eq!(told["variables"]["C"], "default");
}

#[test]
fn the_command_line_wins_over_variables() {
    let world = world();
    let told =
        print(&world, &["--container", "mine"], &[("INTROSPOD_CONTAINER", "theirs")]).expect_code(0).json();
    assert_eq!(told["container"]["name"], "mine");
    let mut command = world.command(["print", "--format=json"]);
    command.env("INTROSPOD_FORMAT", "sh");
    run(command).expect_code(0).json();
    let directory = tempfile::tempdir().unwrap();
    let mut command = introspod(["print", "--format=json", "--root"]);
    command.arg(directory.path()).env("INTROSPOD_ROOT", world.path());
    assert_eq!(run(command).expect_code(0).json()["pod"], serde_json::Value::Null);
}

#[test]
fn a_switch_can_be_taken_back() {
    let world = world();
    let has_labels = |options: &[&str], value: &str| {
        print(&world, options, &[("INTROSPOD_LABELS", value)]).expect_code(0).stdout.contains("POD_LABEL_FOO")
    };
    assert!(has_labels(&[], "1"));
    assert!(!has_labels(&["--labels=false"], "1"));
    assert!(!has_labels(&["--labels=0"], "true"));
    assert!(!has_labels(&["--labels", "--labels=no"], "1"), "the last word counts");
    assert!(has_labels(&["--labels=false", "--labels"], ""));
    assert!(has_labels(&["--labels"], "0"));
    assert!(!has_labels(&[], "false"));
    assert!(!has_labels(&[], ""), "empty is unset");
    let outcome = print(&world, &["--labels=maybe"], &[]).expect_code(2);
    assert!(only_line(&outcome).contains("--labels is \"maybe\": it is either true or false"));
}

#[test]
fn of_an_option_that_is_given_twice_the_mistake_is_said() {
    let outcome = print(&world(), &["--container=a", "--container=b"], &[]).expect_code(2);
    assert!(only_line(&outcome).contains("container"), "{outcome:?}");
}

#[test]
fn variables_that_are_no_option_s_are_ignored() {
    let world = world();
    let service = [
        ("INTROSPOD_PORT", "tcp://10.96.7.7:80"),
        ("INTROSPOD_SERVICE_HOST", "10.96.7.7"),
        ("INTROSPOD_SERVICE_PORT", "80"),
        ("INTROSPOD_PORT_80_TCP", "tcp://10.96.7.7:80"),
        ("INTROSPOD_HELP", "1"),
        ("INTROSPOD_", "x"),
    ];
    let told = print(&world, &[], &service).expect_code(0);
    assert_eq!(told.stdout, print(&world, &[], &[]).stdout);
    assert_eq!(told.stderr, print(&world, &[], &[]).stderr);
}

#[test]
fn a_variable_of_another_subcommand_is_no_mistake() {
    let mut command = introspod(["exec", "echo", "started"]);
    command.env("INTROSPOD_FORMAT", "json").env("INTROSPOD_EXPLAIN", "1");
    assert_eq!(run(command).expect_code(0).stdout, "started\n");
}

#[test]
fn help_is_on_standard_output_and_no_failure() {
    for subcommand in ["exec", "write", "print", "get", "install"] {
        for help in ["--help", "-h"] {
            let outcome = run(introspod([subcommand, help])).expect_code(0);
            assert_eq!(outcome.stderr, "");
            let usage = format!("Usage: introspod {subcommand} ");
            assert!(outcome.stdout.starts_with(&usage), "{}", outcome.stdout);
            assert!(outcome.stdout.ends_with('\n') && !outcome.stdout.ends_with("\n\n"));
            assert!(outcome.stdout.lines().all(|line| line.chars().count() <= 100), "{}", outcome.stdout);
        }
        let general = run(introspod(["--help"])).expect_code(0);
        assert_eq!(general.stderr, "");
        assert!(general.stdout.lines().any(|line| line.starts_with(&format!("  {subcommand} "))));
    }
}

#[test]
fn help_lists_every_option_and_no_braces_of_a_template() {
    let help = |subcommand| run(introspod([subcommand, "--help"])).expect_code(0).stdout;
    for (option, _) in OPTIONS {
        assert!(help("print").contains(&format!("\n  --{option} ")), "--{option}");
    }
    for option in ["require", "out", "mode", "api", "api-url", "timeout", "root", "pod"] {
        for subcommand in ["exec", "write", "print"] {
            assert!(help(subcommand).contains(&format!("\n  --{option} ")), "{subcommand} --{option}");
        }
    }
    assert!(help("exec").contains("\n  --expand ") && !help("print").contains("\n  --expand "));
    for code in ["125", "126", "127"] {
        assert!(help("exec").contains(code));
    }
    for subcommand in ["exec", "write", "print", "get", "install"] {
        assert!(!help(subcommand).contains("{{") && !help(subcommand).contains("}}"), "{}", help(subcommand));
    }
}

#[test]
fn help_of_the_command_is_the_command_s() {
    let outcome = run(introspod(["exec", "sh", "-c", "echo $1", "sh", "--help"])).expect_code(0);
    assert_eq!(outcome.stdout, "--help\n");
}

#[test]
fn the_version_is_the_crate_s() {
    for option in ["--version", "-V"] {
        let outcome = run(introspod([option])).expect_code(0);
        assert_eq!(outcome.stdout, format!("introspod {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn an_unknown_option_names_the_nearest_only_if_one_is_near() {
    for (option, nearest) in [
        ("--lables", Some("--labels")),
        ("--Labels", Some("--labels")),
        ("--annotation", Some("--annotations")),
        ("--requires=X", Some("--require")),
        ("--token_file", Some("--token-file")),
        ("--apiurl", Some("--api-url")),
        ("--fromat", Some("--format")),
        ("--verbose", None),
        ("--namespace", None),
        ("-x", None),
    ] {
        let outcome = run(introspod(["print", option])).expect_code(2);
        let line = only_line(&outcome);
        let name = option.split('=').next().unwrap();
        assert!(line.contains(&format!("unknown option {name}; ")), "{line}");
        assert!(line.contains("introspod print --help lists the options"), "{line}");
        match nearest {
            Some(nearest) => assert!(line.contains(&format!("did you mean {nearest}?")), "{line}"),
            None => assert!(!line.contains("did you mean"), "{line}"),
        }
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn without_a_subcommand_the_subcommands_are_named() {
    for arguments in [&[][..], &["run"], &["--labels"], &["Exec"]] {
        let outcome = run(introspod(arguments)).expect_code(2);
        let line = only_line(&outcome);
        assert!(line.contains("exec, write, print") && line.contains("introspod --help"), "{line}");
    }
}

#[test]
fn words_too_many_are_a_mistake() {
    for arguments in [&["print", "POD_NAME"][..], &["write", "--out=x.env", "y.env"], &["print", "--", "x"]] {
        let outcome = run(introspod(arguments)).expect_code(2);
        assert!(only_line(&outcome).contains(arguments.last().unwrap()), "{outcome:?}");
    }
}

#[test]
fn an_option_without_its_value_is_a_mistake() {
    for arguments in [&["print", "--set"][..], &["print", "--root"], &["write", "--out"]] {
        let outcome = run(introspod(arguments)).expect_code(2);
        assert!(only_line(&outcome).contains(&format!("option {} needs a value", arguments[1])));
    }
}

#[test]
fn an_option_that_is_not_utf_8_is_a_mistake_and_a_command_is_none() {
    let word = std::os::unix::ffi::OsStringExt::from_vec(b"--root=\xff".to_vec());
    let word: std::ffi::OsString = word;
    let mut command = introspod(["print"]);
    command.arg(&word);
    assert!(only_line(&run(command).expect_code(2)).contains("not UTF-8"));
    let mut command = introspod(["exec", "printf", "%s"]);
    command.arg(&word);
    assert_eq!(output(command).stdout, b"--root=\xff");
}

#[test]
fn a_variable_that_is_not_utf_8_is_no_crash() {
    let value: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(b"\xff".to_vec());
    let mut command: Command = introspod(["exec", "echo", "started"]);
    command.env("INTROSPOD_CONTAINER", &value).env("INTROSPOD_LOG", &value);
    let outcome = run(command);
    assert!(outcome.code == 0 || outcome.code == 125, "{outcome:?}");
    assert!(!outcome.stderr.contains("a bug"), "{outcome:?}");
}
