//! What is said: nothing when all is well, one line for what is broken, and `--explain`.

use serde_json::json;

use crate::made::annotated;
use crate::recorded::CONTAINERS;
use crate::world::{Outcome, World, introspod, recorded, run};

fn explain(world: &World) -> Outcome {
    let outcome = world.run(["print", "--explain", "--format", "table"]).expect_code(0);
    assert_eq!(outcome.stderr, "", "{outcome:#?}");
    outcome
}

/// The line that explains the source `name`.
#[track_caller]
fn line<'a>(outcome: &'a Outcome, name: &str) -> &'a str {
    let start = format!("{name}: ");
    outcome
        .stdout
        .lines()
        .find(|line| line.starts_with(&start))
        .unwrap_or_else(|| panic!("{name}: {outcome:#?}"))
}

#[test]
fn nothing_is_said_when_all_is_well() {
    for (pod, container) in CONTAINERS {
        for subcommand in ["print", "exec"] {
            let mut command = introspod([subcommand, "--root"]);
            command.arg(recorded(pod, container)).args((subcommand == "exec").then_some("true"));
            assert_eq!(run(command).expect_code(0).stderr, "", "{subcommand} {pod}/{container}");
        }
    }
}

#[test]
fn outside_of_any_pod_nothing_is_said_either() {
    assert_eq!(run(introspod(["exec", "true"])).expect_code(0).stderr, "");
}

#[test]
fn each_value_has_its_source() {
    let outcome = explain(&World::recorded("downward", "main"));
    for (name, source, value) in [
        ("POD_NAME", "token", "downward"),
        ("CONTAINER_NAME", "kubelet", "main"),
        ("POD_QOS_CLASS", "cgroup", "Burstable"),
        ("HOST_IP", "env", "10.99.0.1"),
    ] {
        let row = outcome.stdout.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), [name, source, value]);
    }
}

#[test]
fn no_token_says_what_may_be_off_and_what_else_would_do() {
    let outcome = explain(&World::recorded("notoken", "main"));
    let line = line(&outcome, "token");
    assert!(line.contains("no token is mounted"), "{line}");
    assert!(line.contains("/etc/podinfo/token") && line.contains("--token-file"), "{line}");
}

#[test]
fn no_volume_says_where_it_was_looked_for_and_how_to_name_another() {
    let outcome = explain(&World::recorded("bare", "web"));
    let line = line(&outcome, "volume");
    for part in ["/etc/podinfo", "/etc/downward", "--volume"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn a_private_control_group_namespace_is_named() {
    let world = World::recorded("bare", "web");
    world.write("proc/self/cgroup", "0::/\n");
    let outcome = explain(&world);
    let line = line(&outcome, "cgroup");
    assert!(line.contains("private cgroup namespace"), "{line}");
}

#[test]
fn limits_that_cannot_be_read_are_named() {
    let world = World::recorded("downward", "main");
    world.remove("sys/fs/cgroup/memory/memory.limit_in_bytes");
    world.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "0\n");
    let outcome = explain(&world);
    assert!(outcome.stdout.contains("cgroup: the memory limit is not known: "), "{outcome:#?}");
    assert!(outcome.stdout.contains("memory.limit_in_bytes"), "{outcome:#?}");
    assert!(outcome.stdout.contains("cgroup: the CPU limit is not known: "), "{outcome:#?}");
    world.remove("sys").remove("proc/self/mountinfo").write("proc/self/mountinfo", "");
    assert!(explain(&world).stdout.contains("no cgroup file system with the controller memory is mounted"));
}

#[test]
fn an_api_that_is_not_asked_says_why_and_how_to_ask_it() {
    let outcome = explain(&World::recorded("bare", "web"));
    let asked = line(&outcome, "api");
    assert!(asked.contains("not queried") && asked.contains("--api=always"), "{asked}");
    let world = World::recorded("bare", "web");
    let outcome = world.run(["print", "--explain", "--format=table", "--api=never"]).expect_code(0);
    let never = line(&outcome, "api");
    assert!(never.contains("--api") && never.contains("never"), "{never}");
}

#[test]
fn the_likely_name_is_shown_when_nothing_better_is_known() {
    let outcome = explain(&World::recorded("notoken", "main"));
    assert!(line(&outcome, "hostname").contains("probably \"notoken\""), "{outcome:#?}");
    let outcome = explain(&World::recorded("bare", "web"));
    assert!(!outcome.stdout.contains("hostname"), "{outcome:#?}");
}

#[test]
fn the_host_network_and_foreign_files_are_named() {
    let outcome = explain(&World::recorded("hostnet", "main"));
    assert!(outcome.stdout.contains("kubelet: /etc/hosts has no pod IP: the pod is on the host network"));
    let world = World::recorded("bare", "web");
    world.write("etc/hosts", "127.0.0.1 localhost\n").write("etc/resolv.conf", "nameserver 1.1.1.1\n");
    world.write("proc/self/mountinfo", "");
    let outcome = explain(&world);
    for part in ["/etc/hosts is not a file of the kubelet", "dnsPolicy", "a sandboxed runtime, or not a pod"]
    {
        assert!(outcome.stdout.contains(part), "{part} in {outcome:#?}");
    }
}

#[test]
fn no_variable_of_the_manifest_s_is_named() {
    let outcome = explain(&World::recorded("bare", "web"));
    assert!(line(&outcome, "env").contains("POD_NAME"));
    assert!(!explain(&World::recorded("downward", "main")).stdout.contains("\nenv: "));
}

#[test]
fn json_has_the_explanation_too() {
    let world = World::recorded("bare", "web");
    let told = world.run(["print", "--explain", "--format", "json"]).expect_code(0).json();
    let lines: Vec<&str> =
        told["explanation"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!(lines.iter().any(|line| line.starts_with("volume: ")), "{lines:?}");
    let told = world.run(["print", "--format", "json"]).expect_code(0).json();
    assert_eq!(told["explanation"], serde_json::Value::Null);
}

#[test]
fn at_info_each_source_has_one_line_with_its_time() {
    let world = World::recorded("downward", "main");
    let mut command = world.command(["print"]);
    command.env("INTROSPOD_LOG", "info");
    let outcome = run(command).expect_code(0);
    for source in ["token", "kubelet", "cgroup", "env", "volume"] {
        let start = format!("introspod: info: {source}: ");
        let lines: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with(&start)).collect();
        assert_eq!(lines.len(), 1, "{source}: {outcome:#?}");
        let time = lines[0].rsplit_once(" (").unwrap().1;
        let number = time.strip_suffix(" µs)").unwrap();
        assert!(number.parse::<u64>().is_ok(), "{time}");
    }
    assert!(outcome.stderr.contains("token: cluster.issuer"), "what it told: {}", outcome.stderr);
}

#[test]
fn the_log_filter_is_introspod_s_own() {
    let world = World::recorded("bare", "web");
    let stderr = |name: &str, value: &str| {
        let mut command = world.command(["print", "--volume", "/nowhere"]);
        command.env(name, value);
        run(command).expect_code(0).stderr
    };
    assert_eq!(stderr("RUST_LOG", "trace").lines().count(), 1, "RUST_LOG is the application's");
    assert_eq!(stderr("INTROSPOD_LOG", "error"), "");
    assert_eq!(stderr("INTROSPOD_LOG", "off"), "");
    assert_eq!(stderr("INTROSPOD_LOG", "").lines().count(), 1, "empty is unset");
    assert!(stderr("INTROSPOD_LOG", "info").lines().count() > 5);
}

#[test]
fn the_log_filter_reaches_the_application_unchanged() {
    let mut command = introspod(["exec", "sh", "-c", "echo $RUST_LOG $INTROSPOD_LOG"]);
    command.env("RUST_LOG", "debug").env("INTROSPOD_LOG", "error");
    assert_eq!(run(command).expect_code(0).stdout, "debug error\n");
}

#[test]
fn nothing_from_outside_makes_a_line_of_its_own() {
    let pod = annotated([("a\nintrospod: error: forged", "1"), ("a\tintrospod: error: forged", "2")]);
    let outcome = crate::made::run_with_pod("print", ["--annotations"], &pod).expect_code(0);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    let world = World::empty();
    world.environ(&[("CONTAINER_CPU_LIMIT_MILLICORES", "1\nintrospod: error: forged\u{1b}[2J")]);
    let outcome = world.run(["print", "--explain"]).expect_code(0);
    assert!(!outcome.stdout.contains("forged") && !outcome.stderr.contains("forged"), "{outcome:#?}");
    assert!(!outcome.stderr.contains('\u{1b}'));
}

#[test]
fn a_pod_object_needs_no_explanation_of_other_sources() {
    let outcome =
        crate::made::run_with_pod("print", ["--explain", "--format=json"], &crate::made::pod(json!({})))
            .expect_code(0);
    assert_eq!(outcome.json()["explanation"], json!([]));
}

/// The variables of the table of fields.
const VARIABLES: [&str; 25] = [
    "CLUSTER_DOMAIN",
    "CONTAINER_CPU_LIMIT_MILLICORES",
    "CONTAINER_CPU_REQUEST_MILLICORES",
    "CONTAINER_ID",
    "CONTAINER_IMAGE",
    "CONTAINER_IMAGE_ID",
    "CONTAINER_MEMORY_LIMIT_KIBIBYTES",
    "CONTAINER_MEMORY_REQUEST_KIBIBYTES",
    "CONTAINER_NAME",
    "HOST_IP",
    "HOST_IPS",
    "NODE_NAME",
    "NODE_UID",
    "POD_IP",
    "POD_IPS",
    "POD_NAME",
    "POD_NAMESPACE",
    "POD_ORDINAL",
    "POD_OWNER_KIND",
    "POD_OWNER_NAME",
    "POD_QOS_CLASS",
    "POD_UID",
    "SERVICE_ACCOUNT",
    "WORKLOAD_KIND",
    "WORKLOAD_NAME",
];

/// The rows of the table above the empty line, which are aligned: name, source, and value or reason.
#[track_caller]
fn rows(table: &str) -> Vec<[&str; 3]> {
    let mut starts = std::collections::BTreeSet::new();
    let lines = table.lines().take_while(|line| !line.is_empty());
    let split = lines.map(|line| {
        let (name, rest) = line.split_once(' ').unwrap();
        let (source, value) = rest.trim_start().split_once(' ').unwrap();
        starts.insert((line.len() - rest.trim_start().len(), line.len() - value.trim_start().len()));
        [name, source, value.trim_start()]
    });
    let rows = split.collect();
    assert_eq!(starts.len(), 1, "the columns are aligned: {table}");
    rows
}

#[test]
fn every_variable_of_the_table_is_known_or_says_why_not() {
    for (pod, container) in CONTAINERS {
        let world = World::recorded(pod, container);
        let told = world.run(["print", "--explain", "--format=json"]).expect_code(0).json();
        let table = explain(&world).stdout;
        let rows = rows(&table);
        let names: Vec<&str> = rows.iter().map(|[name, ..]| *name).collect();
        assert_eq!(names, VARIABLES, "{pod}/{container}");
        for [name, source, value] in rows {
            assert!(!value.is_empty(), "{name}");
            let (known, unknown) = (&told["variables"][name], &told["unknown"][name]);
            match source {
                "-" => assert_eq!((known, unknown), (&json!(null), &json!(value)), "{pod}/{container}"),
                _ => {
                    assert_eq!((known, unknown), (&json!(value), &json!(null)), "{pod}/{container}");
                    assert_eq!(told["sources"][name], source, "{name}");
                }
            }
        }
        for format in ["env", "sh"] {
            let text = world.run(["print", "--explain", "--format", format]).expect_code(0).stdout;
            for name in VARIABLES {
                let lines = text.lines().filter(|line| line.starts_with(&format!("# {name}: "))).count();
                assert_eq!(lines, 1, "{name} in {format}");
            }
            assert!(
                text.contains("# POD_UID: kubelet\n") && text.contains("# CONTAINER_IMAGE: unknown: "),
                "{text}"
            );
        }
    }
}

#[test]
fn a_reason_says_what_to_do_where_something_can_be_done() {
    for (pod, container, name, says) in [
        (
            "bare",
            "web",
            "CONTAINER_IMAGE",
            "not asked for; ask the API with --set CONTAINER_IMAGE=container.image (one request; needs get on pods)",
        ),
        (
            "bare",
            "web",
            "HOST_IP",
            "no local source has it; set HOST_IP with fieldRef status.hostIP, or ask the API with --set HOST_IP=status.hostIP (one request; needs get on pods)",
        ),
        (
            "bare",
            "web",
            "WORKLOAD_NAME",
            "not asked for; mount labels in a downwardAPI volume, or ask the API with --set WORKLOAD_NAME=workload.name (one request; needs get on pods)",
        ),
        (
            "downward",
            "main",
            "WORKLOAD_NAME",
            "not asked for; ask the API with --set WORKLOAD_NAME=workload.name (one request; needs get on pods)",
        ),
        (
            "bare",
            "web",
            "CONTAINER_CPU_REQUEST_MILLICORES",
            "not asked for; set CONTAINER_CPU_REQUEST_MILLICORES with resourceFieldRef requests.cpu, or ask the API with --set CONTAINER_CPU_REQUEST_MILLICORES=requests.cpu (one request; needs get on pods)",
        ),
        ("nolimits", "main", "CONTAINER_MEMORY_LIMIT_KIBIBYTES", "the container has no limits.memory"),
        (
            "notoken",
            "main",
            "POD_NAME",
            "no local source has it; mount the service account token, or set POD_NAME with fieldRef metadata.name",
        ),
        ("notoken", "main", "NODE_UID", "no local source has it; mount the service account token"),
        (
            "notoken",
            "main",
            "CONTAINER_IMAGE",
            "not asked for; mount the service account token and ask the API with --set CONTAINER_IMAGE=container.image (one request; needs get on pods)",
        ),
    ] {
        let world = World::recorded(pod, container);
        let told = world.run(["print", "--explain", "--format=json"]).expect_code(0).json();
        assert_eq!(told["unknown"][name], says, "{pod}/{container}");
    }
}

#[test]
fn what_is_asked_for_is_explained_too() {
    let world = World::recorded("bare", "web");
    let options = ["--set=IMAGE=container.image", "--set=FROM=$(IMAGE)$(NOWHERE)", "--set=TWO=limits.cpu:-2"];
    let all = [
        &["print", "--explain", "--format=json", "--require=POD_LABEL_APP", "--require=NEVER"],
        &options[..],
    ];
    let told = world.run(all.concat()).expect_code(1).json();
    for (name, says) in [
        ("IMAGE", "container.image comes only from the API, which --root turns off; add --api-url"),
        ("FROM", "$(IMAGE) is not set; $(NOWHERE) is not set"),
        (
            "POD_LABEL_APP",
            "metadata.labels is not known: no local source has it, and --root turns the API off; add --api-url",
        ),
        ("NEVER", "it is not in the environment, and no option sets it; use --set NAME=VALUE"),
    ] {
        assert_eq!(told["unknown"][name], says, "{name}");
    }
    assert_eq!((&told["sources"]["TWO"], &told["unknown"]["TWO"]), (&json!("default"), &json!(null)));
}

/// The kubelet runs it without the API server, so it cannot mount a token. Its UID is a hash.
#[test]
fn a_static_pod_is_not_told_to_mount_a_token() {
    let advises = |world: &World| {
        let table = explain(world).stdout;
        rows(&table).iter().any(|[_, _, reason]| reason.contains("mount the service account token"))
    };
    let world = World::recorded("notoken", "main");
    assert!(advises(&world), "another pod is");
    let pod = std::fs::read(crate::world::pod_json("notoken")).unwrap();
    let pod: serde_json::Value = serde_json::from_slice(&pod).unwrap();
    for file in ["proc/self/mountinfo", "proc/self/cgroup"] {
        let recorded = std::fs::read_to_string(world.path().join(file)).unwrap();
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        world.write(file, recorded.replace(uid, "9d6bfcf4ab7d4c1b8f2e3a5c6d7e8f90"));
    }
    assert_eq!(world.run(["print", "POD_UID"]).stdout, "9d6bfcf4ab7d4c1b8f2e3a5c6d7e8f90\n");
    assert!(!advises(&world));
}
