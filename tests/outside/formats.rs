//! The formats: their real readers read the files back.

use std::collections::BTreeMap;
use std::process::Command;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::kubelet_env::value_of;
use crate::made::{annotated, lines, output, run_with_pod, variables};
use crate::needs::{needs, succeeds};
use crate::world::{Outcome, World, introspod, pod_json, recorded, run};

/// The shells of this machine, each as the words before a script.
fn shells() -> Vec<Vec<&'static str>> {
    let all = [&["/bin/sh", "-c"][..], &["bash", "-c"], &["bash", "--posix", "-c"], &["busybox", "sh", "-c"]];
    let is_there = |words: &&&[&str]| succeeds(Command::new(words[0]).args(&words[1..]).arg("exit 0"));
    let found: Vec<_> = all.iter().filter(is_there).map(|words| words.to_vec()).collect();
    needs("the Debian packages dash, bash and busybox-static", || found.len() == all.len());
    found
}

/// The variables that `text` sets in a shell that sources it.
fn sourced(shell: &[&str], text: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg("set -a; . \"$file\"; exec cat /proc/self/environ");
    command.env_clear().env("PATH", "/usr/bin:/bin").env("file", file.path());
    let output = output(command);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{text:?}");
    let entries = output.stdout.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    let pairs = entries.map(|entry| {
        let equals = entry.iter().position(|byte| *byte == b'=').unwrap();
        (entry[..equals].to_vec(), entry[equals + 1..].to_vec())
    });
    pairs.collect()
}

/// Characters that mean something to one reader or another, beside any.
fn text() -> impl Strategy<Value = String> {
    let hard = prop::sample::select(
        "\n\r\t '\"$`\\#=;&|!*?~<>(){}[]%^\u{1}\u{7f}\u{80}\u{81}\u{88}é☃😀\u{feff}\u{2028}\u{fdd0}\u{ffff}\u{1fffe}"
            .chars()
            .collect::<Vec<_>>(),
    );
    let letter = prop_oneof![3 => hard, 1 => prop::char::any(), 1 => prop::char::range('a', 'c')];
    let letter = letter.prop_filter("NUL is no value's", |letter| *letter != '\0');
    prop::collection::vec(letter, 0..24).prop_map(|letters| letters.into_iter().collect())
}

/// A Pod object whose annotations `k0`, `k1`… have these values, and the names of their variables.
fn pod_of(values: &[String]) -> (Value, BTreeMap<String, String>) {
    let keys: Vec<String> = (0..values.len()).map(|number| format!("k{number}")).collect();
    let pod = annotated(keys.iter().map(String::as_str).zip(values.iter().map(String::as_str)));
    let names = keys.iter().map(|key| format!("POD_ANNOTATION_{}", key.to_uppercase()));
    (pod, names.zip(values.iter().cloned()).collect())
}

/// `print --format FORMAT --annotations --set FIRST=metadata.annotations['k0']`
fn print(format: &str, pod: &Value) -> Outcome {
    let set = "FIRST=metadata.annotations['k0']";
    run_with_pod("print", ["--format", format, "--annotations", "--set", set], pod).expect_code(0)
}

/// Whether the env format can hold `value`, by the kubelet's grammar.
fn is_writable(name: &str, value: &str) -> bool {
    let line = format!("{name}='{value}'");
    let is_noncharacter =
        |letter: char| matches!(letter, '\u{fdd0}'..='\u{fdef}') || u32::from(letter) & 0xfffe == 0xfffe;
    let is_plain = !value.contains('\'') && !value.contains("\r\n") && !value.contains(is_noncharacter);
    is_plain && line.split('\n').all(|line| line.len() <= 65_535)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sh_is_sourced_back_whatever_the_values(values in prop::collection::vec(text(), 1..8)) {
        let (pod, mut expected) = pod_of(&values);
        expected.insert("FIRST".to_owned(), values[0].clone());
        let outcome = print("sh", &pod);
        prop_assert_eq!(&outcome.stderr, "");
        for shell in shells() {
            let told = sourced(&shell, &outcome.stdout);
            for (name, value) in &expected {
                prop_assert_eq!(told.get(name.as_bytes()).map(Vec::as_slice), Some(value.as_bytes()), "{:?} {}", shell, name);
            }
        }
    }

    #[test]
    fn env_is_read_back_by_the_kubelet_and_by_shells(values in prop::collection::vec(text(), 1..8)) {
        let (pod, expected) = pod_of(&values);
        let outcome = print("env", &pod);
        let sourced = sourced(&["/bin/sh", "-c"], &outcome.stdout);
        for (name, value) in &expected {
            let told = value_of(outcome.stdout.as_bytes(), name.as_bytes());
            let is_named = outcome.stderr.contains(&format!("warn: {name} is left out of the env format"));
            prop_assert_eq!(is_named, !is_writable(name, value), "{:?}", value);
            let written = is_writable(name, value).then(|| value.as_bytes().to_vec());
            prop_assert_eq!(sourced.get(name.as_bytes()), written.as_ref());
            prop_assert_eq!(told, Ok(written.filter(|value| !value.is_empty())));
        }
    }

    #[test]
    fn json_holds_every_value_and_its_keys_are_sorted(values in prop::collection::vec(text(), 1..8)) {
        let (pod, expected) = pod_of(&values);
        let outcome = print("json", &pod);
        let told = outcome.json();
        for (name, value) in &expected {
            prop_assert_eq!(&told["variables"][name], value);
        }
        assert_sorted(&outcome.stdout);
        prop_assert_eq!(&print("json", &pod).stdout, &outcome.stdout);
    }
}

/// In each object of an indented JSON text the keys are in order.
fn assert_sorted(text: &str) {
    // Of each open object the last key; none stands for an array.
    let mut open: Vec<Option<String>> = Vec::new();
    let mut keys = 0;
    for line in text.lines() {
        let line = line.trim_start_matches(' ');
        if line.starts_with(['}', ']']) {
            open.pop();
        } else if let Some(Some(last)) = open.last_mut() {
            let mut stream = serde_json::Deserializer::from_str(line).into_iter::<String>();
            let key = stream.next().unwrap().unwrap();
            assert!(last.is_empty() || *last < key, "{last:?} before {key:?}");
            *last = key;
            keys += 1;
        }
        match line.chars().last() {
            Some('{') => open.push(Some(String::new())),
            Some('[') => open.push(None),
            _ => {}
        }
    }
    assert!(open.is_empty() && keys > 5, "{text}");
}

#[test]
fn json_of_a_recorded_container_is_sorted_and_ends_in_one_newline() {
    let mut command = introspod(["print", "--format=json", "--labels", "--annotations", "--root"]);
    command.arg(recorded("downward", "main"));
    let outcome = run(command).expect_code(0);
    assert_sorted(&outcome.stdout);
    assert!(outcome.stdout.ends_with("\n}\n"));
    assert_eq!(outcome.json()["schema"], "introspod/v1");
}

#[test]
fn what_is_unknown_is_absent_from_json_and_never_null_or_empty() {
    fn is_full(value: &Value) -> bool {
        match value {
            Value::Object(members) => !members.is_empty() && members.values().all(is_full),
            Value::Array(items) => !items.is_empty() && items.iter().all(is_full),
            value => !value.is_null() && value != "",
        }
    }
    for (pod, container) in crate::recorded::CONTAINERS {
        let mut command = introspod(["print", "--format=json", "--root"]);
        command.arg(recorded(pod, container));
        let mut told = run(command).expect_code(0).json();
        // Known to be none, and known to be empty.
        told["pod"].as_object_mut().unwrap().retain(|name, _| name != "labels" && name != "annotations");
        assert!(is_full(&told), "{pod}/{container}: {told}");
    }
}

#[test]
fn labels_are_there_whenever_they_are_known_even_if_there_are_none() {
    let told =
        run_with_pod("print", ["--format", "json"], &crate::made::pod(json!({}))).expect_code(0).json();
    assert_eq!(told["pod"]["labels"], json!({}));
    assert_eq!(told["pod"]["annotations"], json!({}));
    let mut command = introspod(["print", "--format", "json", "--root"]);
    command.arg(recorded("bare", "web"));
    let told = run(command).expect_code(0).json();
    assert_eq!(told["pod"]["labels"], Value::Null);
}

#[test]
fn every_variable_has_its_source() {
    let mut command = introspod(["print", "--format=json", "--labels", "--root"]);
    command.arg(recorded("downward", "main"));
    let told = run(command).expect_code(0).json();
    let names = |part: &str| told[part].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names("variables"), names("sources"));
    assert_eq!(told["sources"]["POD_LABEL_FOO"], "volume");
}

#[test]
fn variables_are_what_exec_injects() {
    let options = ["--labels", "--set", "MEMORY=limits.memory", "--pod"];
    let mut command = introspod(["print", "--format=json", "--container=main"]);
    command.args(options).arg(pod_json("downward"));
    let told = run(command).expect_code(0).json()["variables"].take();
    let mut command = introspod(["exec", "--container=main"]);
    command.args(options).arg(pod_json("downward")).args(["cat", "/proc/self/environ"]);
    let environ = run(command).expect_code(0).stdout;
    let entries = environ.split_terminator('\0').filter_map(|entry| entry.split_once('='));
    let injected = entries.filter(|(name, _)| *name != "PATH");
    let injected: serde_json::Map<_, _> =
        injected.map(|(name, value)| (name.to_owned(), value.into())).collect();
    assert_eq!(told, Value::Object(injected));
}

#[test]
fn what_the_env_format_cannot_hold_is_left_out_and_named() {
    let long = "x".repeat(65_536);
    for (value, why) in [
        ("it's", "single quote"),
        ("a\r\nb", "carriage return"),
        ("a\u{fdd0}b", "noncharacter"),
        (&long, "64 KiB"),
    ] {
        let pod = annotated([("bad", value), ("good", "g")]);
        let outcome = run_with_pod("print", ["--format", "env", "--annotations"], &pod).expect_code(0);
        assert_eq!(lines(&outcome).len(), 1, "{outcome:#?}");
        assert!(
            outcome.stderr.contains("POD_ANNOTATION_BAD is left out") && outcome.stderr.contains(why),
            "{why}"
        );
        assert!(!outcome.stdout.contains("POD_ANNOTATION_BAD"));
        assert!(outcome.stdout.contains("POD_ANNOTATION_GOOD='g'\n"));
        let sh = run_with_pod("print", ["--format", "sh", "--annotations"], &pod).expect_code(0);
        assert_eq!(sh.stderr, "");
        assert!(sh.stdout.contains("POD_ANNOTATION_BAD='"));
    }
}

/// The variables that systemd reads in an `EnvironmentFile=`.
///
/// Where systemd does not run, its generator for `environment.d(5)` reads the file by the same parser
/// (`load_env_file` in `src/basic/env-file.c`). That one expands `$`, and takes an empty value for none.
fn read_by_systemd(text: &str) -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let environment_d = directory.path().join("environment.d");
    std::fs::create_dir(&environment_d).unwrap();
    let file = environment_d.join("pod.conf");
    std::fs::write(&file, text).unwrap();
    // `sd_booted(3)`
    let is_running = std::path::Path::new("/run/systemd/system").is_dir();
    let mut command = if is_running {
        let mut command = Command::new("systemd-run");
        command.args(["--quiet", "--pipe", "--wait", "--collect", "--property"]);
        command.arg(format!("EnvironmentFile={}", file.display())).args(["/usr/bin/env", "-0"]);
        command
    } else {
        let mut command = Command::new(SYSTEMD_GENERATOR);
        command.env_clear().env("XDG_CONFIG_HOME", directory.path());
        command
    };
    let output = output({
        command.current_dir("/");
        command
    });
    assert!(output.status.success(), "{output:?}");
    let output = String::from_utf8(output.stdout).unwrap();
    let entries: Vec<&str> = output.split(if is_running { '\0' } else { '\n' }).collect();
    let pairs = entries.into_iter().filter_map(|entry| entry.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), if is_running { value.to_owned() } else { unescaped(value) }))
        .collect()
}

/// A program of the Debian package systemd.
const SYSTEMD_GENERATOR: &str =
    "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator";

/// What systemd's `shell_maybe_quote` has quoted, with escape sequences as in C.
fn unescaped(value: &str) -> String {
    let Some(quoted) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut letters = quoted.chars();
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\\' => match letters.next().unwrap() {
                'n' => '\n',
                't' => '\t',
                letter => letter,
            },
            letter => letter,
        });
    }
    text
}

#[test]
fn systemd_reads_back_what_is_written() {
    if !needs("the Debian package systemd", || std::path::Path::new(SYSTEMD_GENERATOR).exists()) {
        return;
    }
    let values = [
        "plain",
        " blanks around ",
        "a\nb\n\nc",
        "\ttab",
        "\"`\\#=;&|!*?~<>(){}[]%^",
        "\\n \\\\",
        "é☃😀\u{feff}\u{2028}\u{fdcf}\u{fffd}",
        "# no comment",
        "A=B",
        // Each of these is left out: otherwise systemd reads none of the file.
        "a\u{fdd0}b",
        "\u{fdef}",
        "\u{fffe}",
        "\u{1ffff}",
        "\u{10ffff}",
        "last",
    ];
    let values = values.map(str::to_owned);
    let (pod, mut expected) = pod_of(&values);
    expected.retain(|name, value| is_writable(name, value));
    assert_eq!(expected.len(), 10);
    let outcome = print("env", &pod);
    assert_eq!(lines(&outcome).len(), 5, "{outcome:#?}");
    let mut read = read_by_systemd(&outcome.stdout);
    read.retain(|name, _| name.starts_with("POD_ANNOTATION_"));
    assert_eq!(read, expected);
}

#[test]
fn a_line_just_as_long_as_the_kubelet_reads_is_written() {
    let name = "POD_ANNOTATION_K=''";
    let value = "x".repeat(65_535 - name.len());
    let pod = annotated([("k", value.as_str())]);
    let outcome = run_with_pod("print", ["--format", "env", "--annotations"], &pod).expect_code(0);
    assert_eq!(outcome.stderr, "");
    assert_eq!(value_of(outcome.stdout.as_bytes(), b"POD_ANNOTATION_K"), Ok(Some(value.into_bytes())));
}

#[test]
fn a_line_one_byte_longer_than_the_kubelet_reads_is_left_out() {
    let longer = "x".repeat(65_536 - "POD_ANNOTATION_K=''".len());
    // One line of several is enough.
    for value in [longer.clone(), format!("{longer}x\nshort"), format!("short\n{}", "x".repeat(65_535))] {
        let pod = annotated([("k", value.as_str()), ("z", "last")]);
        let outcome = run_with_pod("print", ["--format", "env", "--annotations"], &pod).expect_code(0);
        assert!(outcome.stderr.contains("POD_ANNOTATION_K is left out"), "{outcome:#?}");
        assert_eq!(value_of(outcome.stdout.as_bytes(), b"POD_ANNOTATION_Z"), Ok(Some(b"last".to_vec())));
    }
}

#[test]
fn a_value_with_nul_is_left_out_of_every_format_and_named() {
    let pod = annotated([("bad", "a\0b"), ("good", "g")]);
    for format in ["env", "sh", "json", "table"] {
        let outcome = run_with_pod("print", ["--format", format, "--annotations"], &pod).expect_code(0);
        assert_eq!(lines(&outcome).len(), 1, "{outcome:#?}");
        assert!(
            outcome.stderr.contains("because a variable cannot contain NUL: POD_ANNOTATION_BAD"),
            "{outcome:#?}"
        );
        assert!(
            !outcome.stdout.contains("POD_ANNOTATION_BAD") && outcome.stdout.contains("POD_ANNOTATION_GOOD")
        );
    }
    let options = ["--set", "V=metadata.annotations['bad']", "sh", "-c", "echo ${V-unset} $POD_NAME"];
    let outcome = run_with_pod("exec", options, &pod).expect_code(0);
    assert_eq!(outcome.stdout, "unset web-0\n");
}

#[test]
fn explain_is_a_comment_to_every_reader() {
    let pod = annotated([("k", "v")]);
    for format in ["env", "sh"] {
        let outcome =
            run_with_pod("print", ["--explain", "--annotations", "--format", format], &pod).expect_code(0);
        assert!(outcome.stdout.starts_with("# "));
        let told = sourced(&["/bin/sh", "-c"], &outcome.stdout);
        assert_eq!(told[&b"POD_ANNOTATION_K".to_vec()], b"v");
        if format == "env" {
            assert_eq!(value_of(outcome.stdout.as_bytes(), b"POD_ANNOTATION_K"), Ok(Some(b"v".to_vec())));
        }
    }
}

#[test]
fn a_table_keeps_each_variable_on_its_line() {
    let pod = annotated([("k", "a\nPOD_NAME  forged\u{1b}[31m")]);
    let outcome = run_with_pod("print", ["--format", "table", "--annotations"], &pod).expect_code(0);
    let told = variables(["--annotations"], &pod);
    assert_eq!(outcome.stdout.lines().count(), told.as_object().unwrap().len());
    assert!(!outcome.stdout.contains('\u{1b}'));
    let columns: Vec<_> = outcome.stdout.lines().map(|line| line.find("  ").is_some()).collect();
    assert!(columns.iter().all(|has| *has), "{}", outcome.stdout);
}

#[test]
fn people_get_a_table_and_programs_get_env() {
    assert!(print("env", &annotated([("k0", "v")])).stdout.contains("POD_NAME='web-0'\n"));
    let pod = pod_json("bare");
    let line = format!("exec '{}' print --pod '{}'", crate::world::INTROSPOD, pod.display());
    let mut command = introspod(["print", "--pod"]);
    command.arg(&pod);
    assert!(run(command).expect_code(0).stdout.contains("POD_NAME='bare'\n"));
    if !needs("the Debian package bsdutils", || succeeds(Command::new("script").arg("--version"))) {
        return;
    }
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let text = run(command).expect_code(0).stdout;
    assert!(text.lines().any(|line| line.starts_with("POD_NAME  ") && line.ends_with("  bare")), "{text}");
}

#[test]
fn standard_output_that_is_full_is_said_and_one_that_is_closed_ends_it_as_cat() {
    let mut command = introspod(["print", "--container=web", "--pod"]);
    command.arg(pod_json("bare")).stdout(std::fs::File::create("/dev/full").unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("standard output: No space left on device") && stderr.lines().count() == 1,
        "{stderr}"
    );
}

/// `--require` means that the application has the variable: each file has it.
#[test]
fn a_required_variable_that_a_file_cannot_have_is_an_error_and_nothing_is_written() {
    let world = World::empty();
    world.write("etc/podinfo/annotations", "quote=\"it's\"\nplain=\"x\"").write("secret", "s3cret");
    let wrote = |name: &str, options: &[&str], code: i32| {
        let out = world.path().join(name);
        let all = [&["write", "--annotations", "--out", out.to_str().unwrap()], options].concat();
        let outcome = world.run(all).expect_code(code);
        assert_eq!(out.exists(), code == 0, "{name} {options:?}");
        outcome.stderr
    };
    let stderr = wrote("a.env", &["--require=POD_ANNOTATION_QUOTE"], 1);
    assert!(
        stderr.contains("POD_ANNOTATION_QUOTE is not in ") && stderr.contains("single quote"),
        "{stderr}"
    );
    wrote("b.env", &["--require=POD_ANNOTATION_PLAIN"], 0);
    wrote("c.json", &["--require=POD_ANNOTATION_QUOTE"], 0);
    let stderr = wrote("d.json", &["--set=S=file('/secret')", "--require=S"], 1);
    assert!(stderr.contains("S is not in ") && !stderr.contains("s3cret"), "{stderr}");
    wrote("e.sh", &["--set=a.b=metadata.annotations['plain']", "--require=a.b"], 1);
}
