//! The language of values: each sentence of `docs/expressions.md`, with the binary.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use crate::made::{lines, only_line, output, pod, run_with_pod, token, variables, with_resources};
use crate::world::{World, introspod, run};

/// A pod of a StatefulSet with 1500m, 1 GiB and labels.
fn web() -> Value {
    let mut pod = with_resources(json!({"limits": {"cpu": "1500m", "memory": "1Gi"}}));
    pod["metadata"]["labels"] = json!({"team": "core", "empty": "", "apps.kubernetes.io/pod-index": "3"});
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true}]);
    pod["spec"]["priority"] = json!(7);
    pod["spec"]["containers"][0]["ports"] = json!([{"name": "http", "containerPort": 8080}]);
    pod["spec"]["containers"][0]["env"] = json!([{"name": "PASSWORD", "value": "swordfish"}]);
    pod["status"] = json!({"podIP": "fd00::1", "podIPs": [{"ip": "fd00::1"}]});
    pod
}

#[track_caller]
fn is(set: &str, expected: impl Into<Value>) {
    let (name, _) = set.split_once('=').unwrap();
    let told = run_with_pod("print", ["--format=json", "--set", set], &web()).expect_code(0).json();
    assert_eq!(told["variables"][name], expected.into(), "{set}");
}

/// An address in brackets is for a URL; what only looks like one stays.
#[test]
fn only_an_ipv6_address_gets_brackets() {
    is("A=$(host(status.podIP))", "[fd00::1]");
    is("B=$(host(replace(metadata.name, '-', ':')))", "web:0");
    is("C=$(host(metadata.name))", "web-0");
}

#[test]
fn the_examples_of_the_documentation() {
    is("HEAP_MB=limits.memory*75%/1Mi", "768");
    is("GOMEMLIMIT=max(limits.memory - 64Mi, 32Mi)", "1006632960");
    is("HEAP=min(limits.memory*50%, 31Gi)", "536870912");
    is("BROKER_ID=pod.ordinal + 100", "103");
    is("ROLE=pick(min(pod.ordinal, 1), 'primary', 'replica')", "replica");
    is("NODE=replace(metadata.name, '-', '_')", "web_0");
    is("TEAM=metadata.labels['team']:-'none'", "core");
    is("LISTEN=$(host(status.podIP)):8080", "[fd00::1]:8080");
    is("ID=$(metadata.namespace)/$(metadata.name)", "shop/web-0");
    is("LOG=--level=$(LOG_LEVEL:-'info')", "--level=info");
    is("LABELS=json(metadata.labels)", r#"{"apps.kubernetes.io/pod-index":"3","empty":"","team":"core"}"#);
    is("ADVERTISED=PLAINTEXT://$(host(status.podIP)):9092", "PLAINTEXT://[fd00::1]:9092");
    is("WORKERS=limits.cpu*2 + 1", "4");
    is("UP=limits.cpu", "2");
    is("DOWN=max(1, limits.cpu)", "1");
}

/// Every VALUE of the documentation's table parses.
#[test]
fn every_value_of_the_table_is_one() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/expressions.md")).unwrap();
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ") && line.contains(" | `")).collect();
    let sets: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            row.strip_suffix("` |")?.rsplit_once(" | `").map(|(_, set)| set.replace("\\|", "|"))
        })
        .filter(|set| set.contains('=') && !set.contains("--set "))
        .collect();
    assert!(sets.len() > 10, "{sets:?}");
    for set in sets {
        run_with_pod("print", ["--set", &set], &web()).expect_code(0);
    }
}

#[test]
fn a_variable_that_refers_to_itself_is_added_to() {
    let options = "JAVA_TOOL_OPTIONS=$(JAVA_TOOL_OPTIONS) -Xmx$(HEAP)m";
    let started = |own: Option<&str>, more: &[&str]| {
        let world = crate::recipes::limited();
        let arguments = ["exec", "--set", options, "--set=HEAP=limits.memory/1Mi", "--omit=HEAP"];
        let script = "echo \"[$JAVA_TOOL_OPTIONS] $HEAP\"";
        let mut command = world.command([&arguments[..], more, &["sh", "-c", script]].concat());
        command.envs(own.map(|own| ("JAVA_TOOL_OPTIONS", own)));
        let outcome = run(command).expect_code(0);
        assert_eq!(outcome.stderr, "");
        outcome.stdout
    };
    assert_eq!(started(Some("-Xss1m"), &[]), "[-Xss1m -Xmx1024m] \n");
    assert_eq!(started(Some(""), &[]), "[ -Xmx1024m] \n");
    assert_eq!(started(None, &[]), "[ -Xmx1024m] \n");
    assert_eq!(started(Some("-Xss1m"), &["--override=*"]), "[-Xss1m -Xmx1024m] \n");
    // The result of the author's is private: it may be a secret.
    let world = crate::recipes::limited();
    world.environ(&[("JAVA_TOOL_OPTIONS", "swordfish")]);
    let outcome = world.run(["print", "--set=JAVA_TOOL_OPTIONS=$(JAVA_TOOL_OPTIONS) -Xmx1m"]).expect_code(0);
    assert!(!outcome.stdout.contains("JAVA") && !outcome.stderr.contains("swordfish"), "{outcome:?}");
    // A standard variable is a fact.
    is("POD_NAME=$(POD_NAME)-x", "web-0-x");
    is("OWN=[$(OWN)]", "[]");
    is("OWN=$(OWN:-'x')", "x");
}

#[test]
fn without_that_what_is_set_stays() {
    let started = |name: &str, options: &[&str]| {
        let set = format!("--set={name}=container.name");
        let script = format!("echo ${name}");
        let arguments = [&["exec", "--container=app", &set], options, &["sh", "-c", &script]].concat();
        let mut command = introspod(arguments);
        command.env(name, "/own").env("INTROSPOD_LOG", "info");
        let outcome = run(command).expect_code(0);
        (outcome.stdout.trim().to_owned(), outcome.stderr)
    };
    for name in ["HOME", "HOSTNAME"] {
        let (value, said) = started(name, &[]);
        assert_eq!(value, "/own");
        assert!(
            said.contains(&format!("warn: --set {name} has no effect"))
                && said.contains(&format!("--override {name}")),
            "{said}"
        );
        let (value, said) = started(name, &["--override", name]);
        assert_eq!((value.as_str(), said.contains("no effect")), ("app", false), "{said}");
    }
    let (value, said) = started("OTHER", &[]);
    assert_eq!(value, "/own");
    assert!(said.contains("info: OTHER keeps the value that was set, not that of --set OTHER"), "{said}");
    assert_eq!(started("OTHER", &["--override=*"]).0, "app");
    assert_eq!(started("OTHER", &["--override=OTHERS"]).0, "/own");
}

#[test]
fn files_are_private_and_never_the_token() {
    let world = World::empty();
    world.write("run/secrets/db/password", "swordfish\n").write("windows", "a\r\n").write("two", "a\n\n");
    world.write("large", "a".repeat((1 << 20) + 1)).write("bytes", b"\xff").write("empty", "");
    let claims = json!({"kubernetes.io": {"namespace": "shop", "pod": {"name": "web-0", "uid": "u"}}});
    let own = "var/run/secrets/kubernetes.io/serviceaccount/token";
    world.write(own, token(&claims)).write("run/secrets/other/token", token(&claims) + "\n");
    std::fs::hard_link(world.path().join(own), world.path().join("copy")).unwrap();
    std::fs::create_dir(world.path().join("directory")).unwrap();
    let shown = |path: &str| {
        let set = format!("--set=V=file('{path}')");
        world.run(["exec", &set, "sh", "-c", "printf \"[$V] ${V-unset}\""]).expect_code(0)
    };
    for (path, value) in
        [("/run/secrets/db/password", "swordfish"), ("/windows", "a"), ("/two", "a\n"), ("/empty", "")]
    {
        let outcome = shown(path);
        assert_eq!(outcome.stdout, format!("[{value}] {value}"));
        assert_eq!(outcome.stderr, "");
    }
    for (path, why) in [
        ("/missing", "/missing: No such file"),
        ("/directory", "not a regular file"),
        ("/large", "larger than 1 MiB"),
        ("/bytes", "not valid UTF-8"),
        ("/run/secrets/other/token", "service account token"),
        ("/copy", "service account token"),
        ("/var/run/secrets/kubernetes.io/serviceaccount/token", "service account token"),
        ("/var/../var//run/./secrets/kubernetes.io/serviceaccount/token", "service account token"),
    ] {
        let outcome = shown(path);
        assert_eq!(outcome.stdout, "[] unset", "{path}");
        assert!(only_line(&outcome).contains(why), "{outcome:?}");
        assert!(!outcome.stderr.contains("eyJ"), "{outcome:?}");
    }
    let out = world.path().join("out.json");
    let options =
        ["--set=P=file('/run/secrets/db/password')", "--set=LENGTH=$(P:-'')", "--set=NAME=metadata.name"];
    for arguments in
        [&["write", "--out", out.to_str().unwrap()][..], &["print", "--explain"], &["print", "--format=json"]]
    {
        let mut command = world.command([arguments, &options].concat());
        command.env("INTROSPOD_LOG", "trace");
        let outcome = run(command).expect_code(0);
        for text in [&outcome.stdout, &outcome.stderr, &std::fs::read_to_string(&out).unwrap()] {
            assert!(!text.contains("swordfish"), "{text}");
        }
    }
    let outcome = run_with_pod("print", ["--set=V=file('/etc/hostname'):-'none'", "V"], &web());
    assert_eq!(outcome.expect_code(0).stdout, "none\n", "with --pod no file is read");
}

#[test]
fn what_arithmetic_makes_of_the_environment_is_public() {
    let world = World::empty();
    world.environ(&[("PER_CORE", "3"), ("EMPTY", ""), ("WORDS", "swordfish")]);
    let options = [
        "--set=N=$(PER_CORE*2)",
        "--set=T=<$(PER_CORE)>",
        "--set=E=[$(EMPTY:-'x')]",
        "--set=W=$(WORDS*2:-0)",
    ];
    let outcome = world.run([&["print", "--format=json"], &options[..]].concat()).expect_code(0);
    let told = &outcome.json()["variables"];
    assert_eq!(
        (&told["N"], &told["T"], &told["E"], &told["W"]),
        (&json!("6"), &Value::Null, &json!("[x]"), &json!("0"))
    );
    assert!(!outcome.stderr.contains("swordfish"), "{outcome:?}");
}

#[test]
fn an_unknown_value_says_why() {
    for (value, why) in [
        ("metadata.name + 1", "metadata.name is not a number"),
        ("limits.memory - 2Gi", "below zero"),
        ("pod.ordinal/(pod.ordinal - 3)", "the divisor is zero"),
        ("pick(7, 'a')", "pick has no value of this number"),
        ("metadata.labels['missing']", "the pod has no metadata.labels['missing']"),
        ("$(NOBODY)", "$(NOBODY) is not set"),
    ] {
        let set = format!("--set=V={value}");
        let outcome = run_with_pod("print", ["--format=json", "--explain", &set], &web()).expect_code(0);
        assert!(only_line(&outcome).starts_with("introspod: warn: V is not set: "), "{outcome:?}");
        assert!(only_line(&outcome).ends_with(why), "{outcome:?}");
        let told = outcome.json();
        assert_eq!(told["variables"]["V"], Value::Null);
        assert!(told["unknown"]["V"].as_str().unwrap().contains(why), "{told}");
        let outcome = run_with_pod("print", [&set, "--require=V"], &web()).expect_code(1);
        assert!(only_line(&outcome).contains(why), "{outcome:?}");
    }
}

/// The number that picks a value has sources, too.
#[test]
fn the_sources_of_a_value_are_those_of_all_its_fields() {
    let world = World::recorded("downward", "main");
    for (value, sources) in [
        ("pick(limits.cpu, 'a', 'b')", "cgroup"),
        ("pick(limits.cpu*0, metadata.uid, metadata.namespace)", "kubelet,cgroup"),
        ("replace(metadata.name, metadata.uid, limits.memory)", "token,kubelet,cgroup"),
        ("metadata.labels['missing']:-metadata.uid", "kubelet"),
    ] {
        let set = format!("V={value}");
        let outcome = world.run(["print", "--format=json", "--api=never", "--set", &set]).expect_code(0);
        assert_eq!(outcome.json()["sources"]["V"], sources, "{value}");
    }
}

#[test]
fn no_error_shows_a_value() {
    for value in [
        "hunter2",
        "hunter2.x",
        "postgres://u:hunter2@h",
        "'hunter2",
        "$(hunter2 x)",
        "metadata.labels['hunter2 ']",
        "hunter2['x']",
        "hunter2()",
        "metadata.hunter2",
        "99hunter2",
        "hunter2:-1",
    ] {
        let set = format!("PGPASSWORD={value}");
        for command in [introspod(["print", "--set", &set]), introspod(["exec", "--set", &set, "--", "true"])]
        {
            let outcome = run(command);
            assert!(outcome.code == 2 || outcome.code == 125, "{value}: {outcome:?}");
            let line = only_line(&outcome);
            assert!(line.contains("PGPASSWORD") && !line.contains("hunter2"), "{line}");
        }
        let mut command = introspod(["exec", "--", "true"]);
        command.env("INTROSPOD_SET", &set).env("INTROSPOD_LOG", "trace");
        let outcome = run(command).expect_code(0);
        assert!(!outcome.stderr.is_empty() && !outcome.stderr.contains("hunter2"), "{outcome:?}");
    }
}

#[test]
fn values_have_at_most_1_mib_each_and_8_together() {
    let world = World::empty();
    world.write("file", "a".repeat(1 << 20));
    let options: Vec<String> = (0..10).map(|number| format!("--set=V{number}=file('/file')")).collect();
    let mut arguments = vec!["exec".to_owned()];
    arguments.extend(options);
    arguments.extend(["--set=LONG=$(V0)x", "--set=N=json(1)", "--", "true"].map(str::to_owned));
    let outcome = world.run(&arguments).expect_code(0);
    let unset = lines(&outcome).iter().filter(|line| line.contains(" is not set: ")).count();
    // Eight are 8 MiB. The kernel takes none of them.
    assert_eq!(unset, 4, "{outcome:?}");
    assert!(outcome.stderr.contains("LONG is not set: its value would be longer than 1 MiB"), "{outcome:?}");
    assert!(outcome.stderr.contains("N is not set: the values of --set together"), "{outcome:?}");
}

#[test]
fn what_is_omitted_can_be_referred_to() {
    let options =
        ["--omit=POD_NAME", "--set=A=$(POD_NAME)-$(B)", "--set=B=metadata.labels['team']", "--omit=B"];
    let told = variables(options, &web());
    assert_eq!(
        (&told["A"], &told["B"], &told["POD_NAME"]),
        (&json!("web-0-core"), &Value::Null, &Value::Null)
    );
    let arguments =
        [&["--expand"], &options[..], &["sh", "-c", "echo $(POD_NAME) ${POD_NAME-unset} ${B-unset}"]]
            .concat();
    let outcome = run_with_pod("exec", arguments, &web()).expect_code(0);
    assert_eq!(outcome.stdout, "web-0 unset unset\n");
    let told = variables(["--standard=false", "--set=A=$(POD_NAME)", "--require=POD_UID"], &web());
    let names: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(names, ["A", "POD_UID"]);
}

#[test]
fn names_may_be_whatever_kubernetes_allows() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (json, sh, env) = (path("x.json"), path("x.sh"), path("x.env"));
    let set = ["--set=node.name=metadata.name", "--set=a-b c=metadata.name", "--set=1=metadata.name"];
    let arguments = [&["--out", &json, "--out", &sh, "--out", &env], &set[..]].concat();
    let outcome = run_with_pod("write", arguments, &web()).expect_code(0);
    assert!(lines(&outcome).iter().any(|line| line.contains("node.name")), "{outcome:?}");
    let text = std::fs::read_to_string(&json).unwrap();
    assert!(text.contains("\"node.name\": \"web-0\"") && text.contains("\"a-b c\": \"web-0\""), "{text}");
    for file in [sh, env] {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(
            !text.contains("node.name") && !text.contains("a-b") && text.contains("POD_NAME='web-0'"),
            "{text}"
        );
    }
}

#[test]
fn a_variable_that_is_not_utf_8_reaches_arguments_only() {
    let mut command =
        introspod(["exec", "--expand", "--set=V=<$(BYTES)>", "--", "printf", "%s|", "$(BYTES)", "$(V)"]);
    command.env("BYTES", OsStr::from_bytes(b"\x80"));
    assert_eq!(output(command).stdout, b"\x80|$(V)|");
}

#[test]
fn a_label_that_is_not_there_is_unset_and_its_default_may_be_empty() {
    is("V=metadata.labels['missing']", Value::Null);
    is("V=metadata.labels['missing']:-''", "");
    is("V=metadata.labels['empty']", "");
    is("V=pod.ordinal:-'x'", "3");
    assert_eq!(variables(["--set=V=$(metadata.labels['missing']:-'')"], &pod(json!({})))["V"], "");
}

#[test]
fn print_of_what_is_no_fact_says_how_to_see_it() {
    let mut command = introspod(["print", "HOSTNAME"]);
    command.env("HOSTNAME", "swordfish");
    let outcome = run(command).expect_code(1);
    let says =
        "HOSTNAME is set, but is no fact about the pod, and print hides such values. Use printenv HOSTNAME";
    assert!(only_line(&outcome).ends_with(says), "{outcome:?}");
}

#[test]
fn a_number_of_a_percentage_with_a_sign_is_an_error() {
    for set in ["V=limits.cpu:--5%", "V=limits.cpu:-5%", "V=limits.cpu + 50%"] {
        let outcome = run_with_pod("print", ["--set", set], &web()).expect_code(2);
        assert!(only_line(&outcome).contains("a percentage must be multiplied"), "{outcome:?}");
    }
}

#[test]
fn paths_and_what_the_container_may_use() {
    is("GRACE=pod.spec.terminationGracePeriodSeconds:-30", "30");
    is("GRACE=json(pod.spec.priority)", "7");
    is("NAME=json(pod.metadata.name)", r#""web-0""#);
    is("PORT=pod.spec.containers.[name=app].ports.[name=http].containerPort + 1", "8081");
    is("SECRET=pod.spec.containers.[name=app].env.[name=PASSWORD].value", Value::Null);
    is("CPUS=container.cpus*2 + 1", "5");
    // The kubelet has no value of its own for it.
    is("GIB=container.memory/1000M", "1");
    is("MIB=limits.memory/1000M", "2");
}
