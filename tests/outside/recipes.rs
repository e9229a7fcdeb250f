//! The recipes of the documentation: resources for programs, Datadog, and a profile.

use std::collections::BTreeMap;

use serde_json::json;

use crate::made::{annotated, pod, run_with_pod};
use crate::world::{INTROSPOD, Outcome, World, run};

/// A container under version 2 of control groups, with these limits.
pub fn container(memory: &str, cpu: &str) -> World {
    let world = World::empty();
    world.write("proc/self/cgroup", "0::/\n");
    world.write("proc/self/mountinfo", "31 30 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    world.write("sys/fs/cgroup/memory.max", format!("{memory}\n"));
    world.write("sys/fs/cgroup/cpu.max", format!("{cpu}\n"));
    world
}

/// 1 GiB and 2.5 CPUs.
pub fn limited() -> World {
    container("1073741824", "250000 100000")
}

/// Containers without limits. The manifest of one has the size of the node in its variables, which
/// is what the downward API gives then.
fn unlimited() -> [World; 2] {
    [container("max", "max 100000"), World::recorded("nolimits", "main")]
}

/// The variables of the application, and the messages.
#[track_caller]
fn application(world: &World, options: &[&str]) -> (BTreeMap<String, String>, Outcome) {
    let outcome = world.run([&["exec"], options, &["--", "env", "-0"]].concat()).expect_code(0);
    let pairs = outcome.stdout.split('\0').filter_map(|entry| entry.split_once('='));
    let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (variables, outcome)
}

/// With limits the application has these variables and nobody complains; without, it has none of
/// them: not 0, not what the node has, and not a reference as it stands. It starts in both.
#[track_caller]
fn assert_recipe(sets: &[&str], expected: &[(&str, &str)]) {
    let options: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let (variables, outcome) = application(&limited(), &options);
    assert_eq!(outcome.stderr, "");
    for (name, value) in expected {
        assert_eq!(variables[*name], *value, "{name}");
    }
    for world in unlimited() {
        let (variables, outcome) = application(&world, &options);
        for (name, _) in expected {
            assert_eq!(variables.get(*name), None);
            assert!(outcome.stderr.contains(&format!("{name} is not set: ")), "{outcome:?}");
        }
        assert_eq!(outcome.stderr.lines().count(), sets.len(), "{outcome:?}");
    }
}

/// Go 1.25 and later sizes GOMAXPROCS by itself, and keeps it up to date unless it is set.
#[test]
fn go_leaves_a_tenth_of_the_limit_free() {
    assert_recipe(&["GOMEMLIMIT=limits.memory*90%"], &[("GOMEMLIMIT", "966367641")]);
}

#[test]
fn the_java_heap_is_a_share_of_the_limit() {
    assert_recipe(
        &["HEAP_MB=limits.memory*75%/1Mi", "JAVA_TOOL_OPTIONS=-Xmx$(HEAP_MB)m"],
        &[("HEAP_MB", "768"), ("JAVA_TOOL_OPTIONS", "-Xmx768m")],
    );
}

#[test]
fn the_heap_of_node_js_is_a_share_of_the_limit() {
    assert_recipe(
        &["HEAP_MB=limits.memory*75%/1Mi", "NODE_OPTIONS=--max-old-space-size=$(HEAP_MB)"],
        &[("HEAP_MB", "768"), ("NODE_OPTIONS", "--max-old-space-size=768")],
    );
}

#[test]
fn openmp_has_a_thread_for_each_cpu_of_the_limit() {
    assert_recipe(&["OMP_NUM_THREADS=limits.cpu"], &[("OMP_NUM_THREADS", "3")]);
}

#[test]
fn rayon_and_tokio() {
    assert_recipe(
        &["RAYON_NUM_THREADS=limits.cpu", "TOKIO_WORKER_THREADS=limits.cpu"],
        &[("RAYON_NUM_THREADS", "3"), ("TOKIO_WORKER_THREADS", "3")],
    );
}

/// The rows of the table of recipes in docs/expressions.md, as a shell takes them.
#[test]
fn every_recipe_of_the_documentation_starts_with_and_without_a_limit() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/expressions.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix("` |")?.split_once(" | `--set "))
        .map(|(_, options)| options)
        .collect();
    assert_eq!(rows.len(), 6, "{rows:?}");
    for options in rows {
        let started = |world: &World| {
            let mut command = std::process::Command::new("/bin/sh");
            command.args(["-c", &format!("exec \"$0\" exec --set {options} -- env"), INTROSPOD]);
            command.env_clear().env("PATH", "/usr/bin:/bin").env("INTROSPOD_ROOT", world.path());
            run(command).expect_code(0)
        };
        let outcome = started(&limited());
        assert_eq!(outcome.stderr, "", "{options}");
        assert!(!outcome.stdout.contains("$("), "{outcome:?}");
        for world in unlimited() {
            let outcome = started(&world);
            assert!(outcome.stderr.contains(" is not set: "), "{options}: {outcome:?}");
            assert!(!outcome.stdout.contains("$("), "{outcome:?}");
        }
    }
}

/// The options of the author's that are there already are kept in front of the heap's size.
#[test]
fn options_that_are_there_already() {
    let sets = ["--set", "HEAP_MB=limits.memory*75%/1Mi", "--set", "OPTIONS=$(JAVA_OPTS) -Xmx$(HEAP_MB)m"];
    let started = |world: &World| {
        let mut command =
            world.command([&["exec"], &sets[..], &["--", "sh", "-c", "echo ${OPTIONS-none}"]].concat());
        command.env("JAVA_OPTS", "-Xss1m");
        run(command).expect_code(0)
    };
    assert_eq!(started(&limited()).stdout, "-Xss1m -Xmx768m\n");
    for world in unlimited() {
        let outcome = started(&world);
        assert_eq!(outcome.stdout, "none\n");
        assert!(outcome.stderr.contains("OPTIONS is not set: $(HEAP_MB) is not set"), "{outcome:?}");
    }
}

/// Where an application must have a number.
#[test]
fn a_number_of_threads_with_a_default() {
    let options = ["--set", "THREADS=limits.cpu:-requests.cpu:-2"];
    let (variables, outcome) = application(&limited(), &options);
    assert_eq!((variables["THREADS"].as_str(), outcome.stderr.as_str()), ("3", ""));
    for world in unlimited() {
        let (variables, _) = application(&world, &options);
        assert!(["1", "2"].contains(&variables["THREADS"].as_str()), "a request of the author's, or 2");
    }
}

/// The kubelet has expanded the manifest before. It leaves unknown references unchanged.
#[test]
fn a_heap_in_the_arguments() {
    let arguments = |world: &World| {
        let options = ["exec", "--set", "HEAP_MB=limits.memory*75%/1Mi", "--expand"];
        world.run([&options as &[&str], &["--", "echo", "-Xmx$(HEAP_MB)m"]].concat()).expect_code(0)
    };
    assert_eq!(arguments(&limited()).stdout, "-Xmx768m\n");
    for world in unlimited() {
        let outcome = arguments(&world);
        assert_eq!(outcome.stdout, "-Xmx$(HEAP_MB)m\n");
        assert!(outcome.stderr.contains("$(HEAP_MB) stays as it is in the arguments"), "{outcome:?}");
    }
}

/// A share of a CPU is a whole thread, and the smallest budget is not nothing.
#[test]
fn no_limit_is_so_small_that_it_becomes_0() {
    let options = ["--set", "THREADS=limits.cpu", "--set", "HEAP_MB=limits.memory*75%/1Mi"];
    let (variables, _) = application(&container("4096", "1000 100000"), &options);
    assert_eq!((variables["THREADS"].as_str(), variables["HEAP_MB"].as_str()), ("1", "1"));
}

const DATADOG: [&str; 6] = [
    "--set",
    "DD_SERVICE=metadata.labels['tags.datadoghq.com/service']",
    "--set",
    "DD_ENV=metadata.labels['tags.datadoghq.com/env']",
    "--set",
    "DD_VERSION=metadata.labels['tags.datadoghq.com/version']",
];

/// Datadog's unified service tagging
/// (docs.datadoghq.com/getting_started/tagging/unified_service_tagging), from a volume.
#[test]
fn datadog_s_variables_come_from_the_labels() {
    let world = World::empty();
    let labels = ["env=\"prod\"", "service=\"checkout\"", "version=\"1.4.2\""];
    let labels = labels.map(|label| format!("tags.datadoghq.com/{label}\n"));
    world.write("etc/podinfo/labels", labels.concat());
    let (variables, outcome) = application(&world, &DATADOG);
    assert_eq!(variables["DD_SERVICE"], "checkout");
    assert_eq!(variables["DD_ENV"], "prod");
    assert_eq!(variables["DD_VERSION"], "1.4.2");
    assert_eq!(outcome.stderr, "");
}

#[test]
fn datadog_s_labels_that_are_not_there_are_unset() {
    let pod = pod(json!({"labels": {"tags.datadoghq.com/service": "checkout"}}));
    let variables = crate::made::variables(DATADOG, &pod);
    assert_eq!(variables["DD_SERVICE"], "checkout");
    assert_eq!(variables["DD_ENV"], serde_json::Value::Null);
}

/// What README's manifest says in `env`.
const PROFILE: [(&str, &str); 2] = [
    ("INTROSPOD_LABELS", "true"),
    ("INTROSPOD_SET", "GOMEMLIMIT=limits.memory*90%\nTEAM=metadata.labels['example.com/team']\n"),
];

/// What `exec OPTIONS` makes of two variables under the profile.
#[track_caller]
fn under_profile(options: &[&str]) -> String {
    let world = limited();
    world.write("etc/podinfo/labels", "example.com/team=\"core\"\nother=\"9\"\n");
    let script = "echo $GOMEMLIMIT $TEAM $POD_LABEL_OTHER";
    let mut command = world.command([&["exec"], options, &["--", "sh", "-c", script]].concat());
    command.envs(PROFILE);
    run(command).expect_code(0).stdout.trim_end().to_owned()
}

#[test]
fn a_profile_from_the_manifest() {
    assert_eq!(under_profile(&[]), "966367641 core 9");
}

#[test]
fn the_command_line_wins_over_the_profile() {
    assert_eq!(under_profile(&["--labels=false", "--set", "TEAM=metadata.labels['other']"]), "966367641 9");
}

/// A user who may only annotate a pod cannot set options of the application.
#[test]
fn an_annotation_is_no_profile() {
    let pod = annotated([("INTROSPOD_LABELS", "true"), ("INTROSPOD_SET", "A=metadata.name")]);
    let outcome = run_with_pod("print", [""; 0], &pod).expect_code(0);
    assert!(!outcome.stdout.contains("A=") && !outcome.stdout.contains("LABEL"), "{outcome:?}");
}
