//! The command line: both forms of options, their variables, help and errors.

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
    world.environ(&[("POD_NAME", "set-by-the-author"), ("REFERS", "$(NOBODY)")]);
    world
}

/// Options that change what `print` says, with their values.
const OPTIONS: [(&str, &str); 11] = [
    ("set", "A=metadata.uid"),
    ("labels", "true"),
    ("annotations", "true"),
    ("override", "POD_NAME"),
    ("explain", "true"),
    ("otel", "true"),
    ("omit", "POD_NAME"),
    ("standard", "false"),
    ("volume", "/mnt/other"),
    ("token-file", "/mnt/token"),
    ("container", "another"),
];

/// Switches, which take a value only after `=`.
const SWITCHES: [&str; 5] = ["labels", "annotations", "explain", "otel", "standard"];

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
            true if value == "false" => print(&world, &[&format!("--{option}=no")], &[]),
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
    let mut command = world.command(["write"]);
    run({
        command.env("INTROSPOD_OUT", &out).env("INTROSPOD_MODE", "0600");
        command
    })
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
        ("INTROSPOD_LABELS", "maybe"),
        ("INTROSPOD_REQUIRE", "not=a-name"),
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
    assert!(only_line(&outcome).contains("--labels must be true or false"));
}

#[test]
fn an_option_that_is_given_twice_is_a_mistake() {
    let outcome = print(&world(), &["--pod=a", "--pod=b"], &[]).expect_code(2);
    assert!(only_line(&outcome).contains("--pod is given twice"), "{outcome:?}");
}

#[test]
fn print_reads_no_out_of_a_variable() {
    let world = world();
    let directory = tempfile::tempdir().unwrap();
    let live = directory.path().join("live.env");
    std::fs::write(&live, "the container's own").unwrap();
    for value in [live.to_str().unwrap(), "x.txt"] {
        print(&world, &[], &[("INTROSPOD_OUT", value)]).expect_code(0);
    }
    assert_eq!(std::fs::read_to_string(&live).unwrap(), "the container's own");
    let other = directory.path().join("other.env");
    print(&world, &["--out", other.to_str().unwrap()], &[]).expect_code(0);
    assert!(std::fs::read_to_string(&other).unwrap().contains("POD_IP='10.244.0.3'"));
}

#[test]
fn a_variable_that_is_nearly_an_option_s_brings_a_warning() {
    let world = World::recorded("downward", "main");
    for (variable, meant) in [
        ("INTROSPOD_LABLES", "INTROSPOD_LABELS"),
        ("INTROSPOD_APIURL", "INTROSPOD_API_URL"),
        ("INTROSPOD_REQUIRES", "INTROSPOD_REQUIRE"),
        ("INTROSPOD_DISABLE", "INTROSPOD_DISABLED"),
        ("INTROSPOD_LOGS", "INTROSPOD_LOG"),
        ("INTROSPOD_labels", "INTROSPOD_LABELS"),
        ("INTROSPOD_NOTFY", "INTROSPOD_NOTIFY"),
    ] {
        let outcome = print(&world, &[], &[(variable, "a-value")]).expect_code(0);
        let expected =
            format!("introspod: warn: the variable {variable} has no effect; did you mean {meant}?\n");
        assert_eq!(outcome.stderr, expected);
        assert_eq!(outcome.stdout, print(&world, &[], &[]).stdout);
        let mut command = introspod(["exec", "echo", "started"]);
        command.env(variable, "a-value");
        let outcome = run(command).expect_code(0);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr), ("started\n", expected));
    }
}

#[test]
fn a_log_filter_that_means_nothing_brings_a_warning_and_hides_nothing() {
    for filter in ["verbose", "warning", "1", "introspod=loud"] {
        let mut command = introspod(["exec", "--set", "A=metadata.uid", "--api=never", "true"]);
        command.env("INTROSPOD_LOG", filter);
        let outcome = run(command).expect_code(0);
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{outcome:?}");
        assert!(
            lines[0].starts_with("introspod: warn: INTROSPOD_LOG ")
                && lines[0].contains("error, warn or info")
        );
        assert!(!lines[0].contains(filter) && lines[1].contains("A is not set"), "{outcome:?}");
    }
    for filter in ["off", "introspod=error", "ERROR", "error,introspod::cli=info"] {
        let mut command = introspod(["exec", "--set", "A=metadata.uid", "--api=never", "true"]);
        command.env("INTROSPOD_LOG", filter);
        assert_eq!(run(command).expect_code(0).stderr, "", "{filter}");
    }
}

#[test]
fn variables_that_are_no_option_s_are_ignored() {
    let world = world();
    let service = [
        ("INTROSPOD_PORT", "tcp://10.96.7.7:80"),
        ("INTROSPOD_SERVICE_HOST", "10.96.7.7"),
        ("INTROSPOD_SERVICE_PORT", "80"),
        ("INTROSPOD_SERVICE_PORT_HTTP", "80"),
        ("INTROSPOD_PORT_80_TCP", "tcp://10.96.7.7:80"),
        ("INTROSPOD_PORT_80_TCP_ADDR", "10.96.7.7"),
        ("INTROSPOD_PORT_80_TCP_PORT", "80"),
        ("INTROSPOD_PORT_80_TCP_PROTO", "tcp"),
        ("INTROSPOD_OUT_PORT", "tcp://10.96.7.8:80"),
        ("INTROSPOD_POD_SERVICE_HOST", "10.96.7.8"),
        ("INTROSPOD_VERBOSE", "1"),
        ("INTROSPOD_IMAGE", "example.org/introspod"),
        ("INTROSPOD_VERSION", "1"),
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

const SUBCOMMANDS: [&str; 6] = ["exec", "write", "print", "watch", "get", "install"];

fn help_of(subcommand: &str) -> String {
    let outcome = run(introspod([subcommand, "--help"])).expect_code(0);
    assert_eq!(outcome.stderr, "");
    outcome.stdout
}

#[test]
fn help_is_on_standard_output_and_no_failure() {
    let general = run(introspod(["--help"])).expect_code(0);
    assert_eq!(general.stderr, "");
    for subcommand in SUBCOMMANDS {
        let help = help_of(subcommand);
        assert!(help.starts_with(&format!("Usage: introspod {subcommand} ")), "{help}");
        assert!(help.ends_with('\n') && !help.ends_with("\n\n"));
        assert!(help.lines().all(|line| line.chars().count() <= 80 && line.trim_end() == line), "{help}");
        for arguments in
            [&[subcommand, "-h"][..], &["help", subcommand], &[subcommand, "--labels=no", "--help"]]
        {
            if !(arguments.len() == 3 && ["get", "install"].contains(&subcommand)) {
                assert_eq!(run(introspod(arguments)).expect_code(0).stdout, help, "{arguments:?}");
            }
        }
        // The list has the first sentence of each help.
        let summary = help.lines().nth(2).unwrap().split(' ').take(5).collect::<Vec<_>>().join(" ");
        assert!(
            general.stdout.contains(&format!("\n  {subcommand:7}  {summary}")),
            "{summary}\n{}",
            general.stdout
        );
    }
    for arguments in [&["help"][..], &["-h"]] {
        assert_eq!(run(introspod(arguments)).expect_code(0).stdout, general.stdout);
    }
    assert!(general.stdout.lines().all(|line| line.chars().count() <= 80), "{}", general.stdout);
}

#[test]
fn help_lists_the_fields() {
    let help = run(introspod(["help", "fields"])).expect_code(0).stdout;
    assert!(help.lines().all(|line| line.chars().count() <= 80 && line.trim_end() == line), "{help}");
    for (field, about) in [
        ("metadata.name", "POD_NAME; a DNS subdomain name; from token, env,"),
        ("container.image", "CONTAINER_IMAGE; a text; from api"),
        ("node.labels['KEY']", "an entry; from api"),
    ] {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {field:28}{about}"))), "{help}");
    }
    // Each of them can be used.
    for line in help.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let field = line.trim().split("  ").next().unwrap();
        let field = field.replace("['KEY']", "['example.com/key']");
        let field =
            if ["limits", "requests"].contains(&field.as_str()) { format!("{field}.cpu") } else { field };
        run(introspod(["print", "--api=never", &format!("--set=A={field}")])).expect_code(0);
    }
}

#[test]
fn help_of_no_subcommand_is_a_mistake() {
    let outcome = run(introspod(["help", "exce"])).expect_code(2);
    assert!(
        only_line(&outcome).contains("unknown subcommand \"exce\"; did you mean introspod exec?"),
        "{outcome:?}"
    );
    let mut command = introspod(["exec", "help"]);
    command.env("PATH", "/nowhere");
    assert!(run(command).expect_code(127).stderr.contains("help"), "a command may be called help");
}

/// Every option with its placeholder, and the subcommands that take it.
const DECLARED: [(&str, &[&str]); 30] = [
    ("--set NAME=VALUE", &["exec", "write", "print", "watch"]),
    ("--labels", &["exec", "write", "print", "watch"]),
    ("--annotations", &["exec", "write", "print", "watch"]),
    ("--otel", &["exec", "write", "print", "watch"]),
    ("--require NAME", &["exec", "write", "print", "watch"]),
    ("--override NAME", &["exec", "write", "print", "watch"]),
    ("--omit NAME", &["exec", "write", "print", "watch"]),
    ("--standard", &["exec", "write", "print", "watch"]),
    ("--expand", &["exec"]),
    ("--out FILE", &["exec", "write", "print", "watch"]),
    ("--template IN:OUT", &["exec", "write", "print", "watch"]),
    ("--file OUT=TEXT", &["exec", "write", "watch"]),
    ("--wait DURATION", &["exec", "write"]),
    ("--mode OCTAL", &["exec", "write", "print", "watch"]),
    ("--notify URL", &["watch"]),
    ("-o, --format FORMAT", &["print"]),
    ("--explain", &["print"]),
    ("--api WHEN", &["exec", "write", "print", "watch"]),
    ("--api-url URL", &["exec", "write", "print", "watch", "get"]),
    ("--timeout DURATION", &["exec", "write", "print", "watch", "get"]),
    ("--volume DIR", &["exec", "write", "print", "watch"]),
    ("--token-file FILE", &["exec", "write", "print", "watch"]),
    ("--container NAME", &["exec", "write", "print", "watch"]),
    ("--pod FILE", &["exec", "write", "print"]),
    ("--process PID", &["write", "print"]),
    ("--root DIR", &["exec", "write", "print", "watch", "get"]),
    ("-h, --help", &SUBCOMMANDS),
    ("NAME", &["print"]),
    ("PATH", &["get"]),
    ("DIR", &["install"]),
];

#[test]
fn help_shows_every_option_once_with_its_placeholder() {
    for subcommand in SUBCOMMANDS {
        let help = help_of(subcommand);
        let entries = help.split("Notes:").next().unwrap().split("Exit codes:").next().unwrap();
        let entries = entries.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let mut shown: Vec<&str> = entries.map(|line| line[2..].split("  ").next().unwrap()).collect();
        let mut expected: Vec<&str> =
            DECLARED.iter().filter(|(_, by)| by.contains(&subcommand)).map(|(entry, _)| *entry).collect();
        shown.sort_unstable();
        expected.sort_unstable();
        assert_eq!(shown, expected, "{subcommand}");
    }
}

#[test]
fn help_has_one_note_about_variables_formats_and_exit_codes() {
    let unwrapped = |subcommand| help_of(subcommand).split_whitespace().collect::<Vec<_>>().join(" ");
    for subcommand in SUBCOMMANDS {
        let help = unwrapped(subcommand);
        let notes = help.matches("Each option can also be given as a variable").count();
        assert_eq!(notes, usize::from(subcommand != "install"), "{help}");
        assert!(!help.contains("{{") && !help.contains("}}") && !help.contains("{formats}"), "{help}");
        let codes = match subcommand {
            "exec" => ["125 introspod failed", "126 COMMAND was found", "127 COMMAND was not found"],
            _ => ["0 success", "1 failure", "2 wrong usage"],
        };
        assert!(codes.iter().all(|code| help.contains(code)), "{help}");
    }
    assert!(unwrapped("exec").contains("suffix: .env, .sh, .list or .json"));
    assert!(unwrapped("print").contains("output: table, env, sh, list or json"));
    assert!(unwrapped("print").contains("print does not read INTROSPOD_OUT"));
    assert!(unwrapped("get").contains("'/api/v1/namespaces/{namespace}/pods'"));
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
        ("--json", Some("-o json")),
        ("--env", Some("-o env")),
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
    let general = run(introspod(["--help"])).stdout;
    let outcome = run(introspod::<&str>([])).expect_code(2);
    assert_eq!((outcome.stdout.as_str(), &outcome.stderr), ("", &general));
    for (arguments, hint) in [
        (&["version"][..], "introspod --version"),
        (&["Version"], "introspod --version"),
        (&["prnt"], "introspod print"),
        (&["-version"], "introspod --version"),
    ] {
        let outcome = run(introspod(arguments)).expect_code(2);
        assert!(only_line(&outcome).contains(&format!("did you mean {hint}? ")), "{outcome:?}");
    }
    for arguments in [&["run"][..], &["--labels"], &["Exec"]] {
        let outcome = run(introspod(arguments)).expect_code(2);
        let line = only_line(&outcome);
        assert!(line.contains("exec, write, print") && line.contains("introspod --help"), "{line}");
    }
}

#[test]
fn words_too_many_are_a_mistake() {
    for (arguments, number) in [
        (&["write", "--out=x.env", "y.env"][..], 1),
        (&["watch", "--out=x.env", "--", "y.env"], 1),
        (&["get", "/version", "/healthz"], 2),
        (&["install", "/a", "/b"], 2),
    ] {
        let outcome = run(introspod(arguments)).expect_code(2);
        let expected = format!("{} takes no word number {number} after its options", arguments[0]);
        assert!(only_line(&outcome).contains(&expected), "{outcome:?}");
    }
}

#[test]
fn a_word_that_is_missing_is_named_with_an_example() {
    for (subcommand, needs) in [
        ("get", "get needs a path, such as introspod get /version"),
        ("install", "install needs a directory, such as introspod install /run/introspod"),
        ("write", "write needs a file to write: --out FILE, --template IN:OUT or --file OUT=TEXT"),
    ] {
        let outcome = run(introspod([subcommand])).expect_code(2);
        assert!(only_line(&outcome).ends_with(needs), "{outcome:?}");
    }
    let outcome = run(introspod(["get", "version"])).expect_code(2);
    assert!(only_line(&outcome).contains("must begin with /"), "{outcome:?}");
}

#[test]
fn print_gives_the_bare_values_of_the_variables_that_are_named() {
    let world = World::recorded("downward", "main");
    let outcome = world.run(["print", "POD_IP"]).expect_code(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("10.244.0.3\n", ""));
    let outcome = world.run(["print", "A", "POD_IP", "--set", "A=metadata.namespace", "A"]).expect_code(0);
    assert_eq!(outcome.stdout, "default\n10.244.0.3\ndefault\n");
    let mut command = world.command(["print", "--", "POD_IP"]);
    command.env("INTROSPOD_FORMAT", "json").env("INTROSPOD_EXPLAIN", "1");
    assert_eq!(run(command).expect_code(0).stdout, "10.244.0.3\n", "a value is bare whatever variables say");

    let mut command = world.command(["print", "TEAM", "POD_IP", "CPUS", "--set", "CPUS=limits.cpu:-2"]);
    command.env("INTROSPOD_SET", "TEAM=metadata.labels['foo']\nCPUS=requests.cpu");
    assert_eq!(run(command).expect_code(0).stdout, "bar\n10.244.0.3\n1\n");
    let out = world.path().join("too.env");
    let outcome = world.run(["print", "POD_IP", "--out", out.to_str().unwrap()]).expect_code(0);
    assert_eq!(outcome.stdout, "10.244.0.3\n");
    assert!(std::fs::read_to_string(out).unwrap().contains("POD_IP='10.244.0.3'"));

    let outcome = world.run(["print", "POD_IP", "NOWHERE"]).expect_code(1);
    assert_eq!(outcome.stdout, "");
    assert!(only_line(&outcome).contains("NOWHERE"), "{outcome:?}");
    let mut command = world.command(["print", "POD_IP"]);
    command.env("INTROSPOD_REQUIRE", "NOWHERE");
    assert_eq!(run(command).expect_code(1).stdout, "", "all or nothing");
    for (arguments, says) in [
        (["POD_IP", "--format=json"], "--format cannot be combined with names of variables"),
        (["--explain", "POD_IP"], "--explain cannot be combined with names of variables"),
        (["POD_IP", "POD=IP"], "NAME 2 must be the name of a variable"),
        (["POD_IP", "Ä"], "NAME 2 must be the name of a variable"),
    ] {
        let outcome = world.run(["print"].iter().chain(&arguments)).expect_code(2);
        assert!(only_line(&outcome).contains(says), "{outcome:?}");
    }
}

/// The value may be a secret, and comes only from the environment.
#[test]
fn print_refuses_the_values_of_the_application_s_own_variables() {
    for (name, set, says) in [
        (
            "TOKEN",
            None,
            "TOKEN is set, but is no fact about the pod, and print hides such values. Use printenv",
        ),
        ("POD_NAME", None, "POD_NAME is set, but is no fact about the pod"),
        ("URL", Some("URL=db://$(TOKEN)"), "URL contains text of the environment or of a file"),
    ] {
        let mut command = introspod(["print", "--api=never", name]);
        command.args(set.map(|set| ["--set", set]).into_iter().flatten());
        command.env("TOKEN", "swordfish").env("POD_NAME", "Swordfish!");
        let outcome = run(command).expect_code(1);
        assert_eq!(outcome.stdout, "");
        let line = only_line(&outcome);
        assert!(line.contains(says) && !line.to_lowercase().contains("swordfish"), "{line}");
    }
    let mut command = introspod(["print", "--explain", "--format=json", "--require=TOKEN"]);
    command.env("TOKEN", "swordfish");
    let outcome = run(command).expect_code(0);
    let why = outcome.json()["unknown"]["TOKEN"].clone();
    assert_eq!(why, "its value comes from the environment; it is not shown");
}

#[test]
fn the_format_has_a_short_form() {
    let world = world();
    let long = world.run(["print", "--format", "json"]).expect_code(0).stdout;
    for short in [&["-o", "json"][..], &["-o=json"], &["-ojson"]] {
        assert_eq!(world.run(["print"].iter().chain(short)).expect_code(0).stdout, long, "{short:?}");
    }
    let outcome = world.run(["print", "-o", "yaml"]).expect_code(2);
    assert!(only_line(&outcome).ends_with("--format must be table, env, sh, list or json"), "{outcome:?}");
    let outcome = run(introspod(["exec", "-o", "json", "true"])).expect_code(125);
    assert!(only_line(&outcome).contains("unknown option -o"), "{outcome:?}");
}

#[test]
fn each_container_gets_its_own_files() {
    let world = world();
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("{container}/of-{container}.json");
    let out = out.to_str().unwrap();
    let written = |name: &str| {
        let text = std::fs::read(directory.path().join(format!("{name}/of-{name}.json"))).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()
    };
    for name in ["app", "side-1", "one"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    world.run(["write", "--container", "app", "--container=side-1", "--out", out]).expect_code(0);
    for name in ["app", "side-1"] {
        assert_eq!(written(name)["container"]["name"], name);
        assert_eq!(written(name)["pod"]["uid"], "e9547980-83bf-438d-9893-b0834b7358b8");
    }
    world.run(["write", "--container", "one", "--out", out]).expect_code(0);
    assert_eq!(written("one")["container"]["name"], "one");
    let mut command = world.command(["write", "--out", out]);
    command.env("INTROSPOD_CONTAINER", "app\nside-1");
    std::fs::remove_file(directory.path().join("app/of-app.json")).unwrap();
    run(command).expect_code(0);
    assert_eq!(written("app")["container"]["name"], "app");
}

/// `INTROSPOD_OUT` of a ConfigMap that `write` reads as well must not stop the application.
#[test]
fn exec_and_print_name_the_file_after_the_container_that_they_run_in() {
    let world = world();
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("{container}.json");
    let out = out.to_str().unwrap();
    for (arguments, name) in [
        (&["exec", "--", "true"][..], "main"),
        (&["exec", "--container=main", "--", "true"], "main"),
        (&["exec", "--container=app", "--", "true"], "app"),
        (&["print", "--out", out], "main"),
    ] {
        let mut command = world.command(arguments);
        command.env("INTROSPOD_OUT", out);
        run(command).expect_code(0);
        let file = directory.path().join(format!("{name}.json"));
        let document = crate::schema::checked(&std::fs::read_to_string(&file).unwrap());
        assert_eq!(document["container"]["name"], name, "{arguments:?}");
        std::fs::remove_file(file).unwrap();
    }
    for name in ["", "../etc/passwd", "A"] {
        let nowhere = World::empty();
        nowhere.environ(&[("CONTAINER_NAME", name)]);
        let other = directory.path().join("other.json");
        let mut command = nowhere.command(["exec", "--", "echo", "started"]);
        command.env("INTROSPOD_OUT", format!("{out}\n{}", other.display()));
        let outcome = run(command).expect_code(0);
        assert_eq!(outcome.stdout, "started\n");
        let line = only_line(&outcome);
        assert!(line.contains("{container}.json is not written: ") && line.contains("--container"), "{line}");
        std::fs::remove_file(other).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn what_is_required_for_one_container_is_required_before_any_file_is_written() {
    let pod = serde_json::json!({"kind": "Pod", "metadata": {"name": "web-0"}, "spec": {"containers": [
        {"name": "app", "image": "app:1", "resources": {"limits": {"cpu": "1"}}}, {"name": "side", "image": "side:1"},
    ]}});
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("{container}.env");
    let mut command = introspod(["write", "--container=app", "--container=side", "--pod=-", "--out"]);
    command.arg(&out).args(["--require", "CONTAINER_CPU_LIMIT_MILLICORES"]);
    let outcome = crate::world::run_with_input(command, pod.to_string().as_bytes()).expect_code(1);
    assert!(outcome.stderr.contains("CONTAINER_CPU_LIMIT_MILLICORES"), "{outcome:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    let mut command = introspod(["write", "--container=app", "--container=side", "--pod=-", "--out"]);
    command.arg(&out);
    crate::world::run_with_input(command, pod.to_string().as_bytes()).expect_code(0);
    for name in ["app", "side"] {
        let text = std::fs::read_to_string(directory.path().join(format!("{name}.env"))).unwrap();
        assert!(text.contains(&format!("CONTAINER_NAME='{name}'\n")), "{text}");
    }
}

#[test]
fn options_that_contradict_each_other_are_a_mistake() {
    let several = ["--container=a", "--container=b"];
    for (arguments, says) in [
        (&["print", several[0], several[1]][..], "--container is given twice"),
        (&["write", several[0], several[1], "--out=x.env"], "x.env must have {container} in its name"),
        (
            &["watch", several[0], several[1], "--out={container}.env", "--out=x.sh"],
            "x.sh must have {container}",
        ),
        (
            &["write", "--container=a", "--container=a", "--out={container}.env"],
            "--container a is given twice",
        ),
        (
            &["write", "--out={container}.env"],
            "{container}.env has {container} in its name, so it needs --container",
        ),
        (&["write", "--container=App", "--out=x.env"], "--container must be the name of a container"),
        (
            &["write", "--container=../x", "--out={container}.env"],
            "--container must be the name of a container",
        ),
        (&["print", "--container=-a"], "--container must be the name of a container"),
        (&["print", "--container="], "--container must be the name of a container"),
        (&["print", "--process=1", "--root=/x"], "--root cannot be combined with --process"),
        (&["print", "--process=1", "--pod=x"], "--pod cannot be combined with --process"),
        (&["print", "--pod=x", "--api-url=https://x"], "--api-url cannot be combined with --pod"),
        (&["watch", "--pod=x", "--out=x.env"], "unknown option --pod"),
        (&["print", "--process=0"], "--process must be the ID of a process, a number above 0"),
        (&["write", "--process=self", "--out=x.env"], "--process must be the ID of a process"),
        (&["print", "--process=-1"], "--process must be the ID of a process"),
        (&["print", "--process=4294967296"], "--process must be the ID of a process"),
        (&["print", "--process=+1"], "--process must be the ID of a process"),
        (&["print", "--timeout=0"], "--timeout must be a time above 0"),
        (&["print", "--timeout=0ms"], "--timeout must be a time above 0"),
        (&["watch", "--process=1", "--out=x.env"], "unknown option --process"),
    ] {
        let outcome = run(introspod(arguments)).expect_code(2);
        assert!(only_line(&outcome).contains(says), "{arguments:?}: {outcome:?}");
    }
    let outcome = run(introspod(["exec", several[0], several[1], "true"])).expect_code(125);
    assert!(only_line(&outcome).contains("--container is given twice"), "{outcome:?}");
}

/// Of a later version's options, too: what disables introspod must not depend on its version.
#[test]
fn what_follows_the_first_dashes_is_executed_when_disabled() {
    let disabled = |arguments: &[&std::ffi::OsStr]| {
        let mut command = introspod(["exec"]);
        command.args(arguments).env("INTROSPOD_DISABLED", "1").env("INTROSPOD_OUT", "x.txt");
        run(command)
    };
    let bytes: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(b"--root=\xff".to_vec());
    for options in [
        &["--some-newer-option"][..],
        &["--some-newer-option", "value"],
        &["--some-newer-option=value", "--labels=maybe"],
        &["-x", "--out", "x.txt"],
        &["--set", "A=no.field", "--root"],
        &["--labels"],
        &[],
    ] {
        let mut arguments: Vec<&std::ffi::OsStr> = options.iter().map(std::ffi::OsStr::new).collect();
        arguments.extend(["--", "echo", "--", "app"].map(std::ffi::OsStr::new));
        let outcome = disabled(&arguments).expect_code(0);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("-- app\n", ""), "{options:?}");
        arguments.insert(0, &bytes);
        assert_eq!(disabled(&arguments).expect_code(0).stdout, "-- app\n", "{options:?}");
    }
    // Which of these words is the command, only a version knows that has the option.
    let outcome =
        disabled(&["--some-newer-option", "echo", "app"].map(std::ffi::OsStr::new)).expect_code(125);
    assert!(only_line(&outcome).contains("unknown option --some-newer-option"), "{outcome:?}");
    assert_eq!(
        disabled(&["--api=never", "echo", "app"].map(std::ffi::OsStr::new)).expect_code(0).stdout,
        "app\n"
    );
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

/// It would be the name of a file, and the option would have no effect.
#[test]
fn a_forgotten_value_does_not_swallow_the_next_option() {
    for option in ["--token-file", "--container", "--set"] {
        let told = run(introspod(["print", option, "--labels"])).expect_code(2);
        assert!(told.stderr.contains(option) && told.stderr.contains("needs a value"), "{told:#?}");
        assert_eq!(run(introspod(["print", option])).expect_code(2).stderr, told.stderr);
    }
}
