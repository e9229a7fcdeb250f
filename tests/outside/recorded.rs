//! In every recorded container, the facts agree with the Pod object.

use std::process::Command;

use serde_json::{Value, json};

use crate::made::{document, only_line};
use crate::needs::{has_strace, needs};
use crate::world::{INTROSPOD, World, fixtures, introspod, pod_json, recorded, run};

/// Every recorded container.
pub const CONTAINERS: [(&str, &str); 14] = [
    ("bare", "web"),
    ("bare", "side"),
    ("bare", "init"),
    ("bare", "debugger"),
    ("deployment-web", "main"),
    ("downward", "main"),
    ("hostnet", "main"),
    ("nolimits", "main"),
    ("nonroot", "main"),
    ("noperm", "main"),
    ("notoken", "main"),
    ("statefulset-db-0", "main"),
    ("subpath", "main"),
    ("withhost", "main"),
];

/// The recordings without token and variables, in which no source knows the pod's name.
const NAMELESS: [(&str, &str); 2] = [("bare", "debugger"), ("notoken", "main")];

fn read(path: std::path::PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The output of `print --root` for the recorded container. Standard error must be empty.
#[track_caller]
fn told(pod: &str, container: &str) -> Value {
    let mut command = introspod(["print", "--format", "json", "--root"]);
    command.arg(recorded(pod, container));
    let outcome = run(command).expect_code(0);
    assert_eq!(outcome.stderr, "", "{pod}/{container}");
    outcome.json()
}

/// The container `name` in a list of the Pod's, whichever list it is in.
fn of_container<'a>(part: &'a Value, lists: [&str; 3], name: &str) -> &'a Value {
    let all = lists.iter().filter_map(|list| part[list].as_array()).flatten();
    all.into_iter().find(|container| container["name"] == name).unwrap()
}

fn spec<'a>(pod: &'a Value, name: &str) -> &'a Value {
    of_container(&pod["spec"], ["containers", "initContainers", "ephemeralContainers"], name)
}

fn status<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    of_container(&pod["status"], lists, name)
}

#[test]
fn the_fixtures_are_all_covered() {
    let mut found = Vec::new();
    for pod in std::fs::read_dir(fixtures().join("pods")).unwrap() {
        let pod = pod.unwrap();
        for container in std::fs::read_dir(pod.path()).unwrap() {
            let container = container.unwrap();
            if container.path().join("root").is_dir() {
                let name = |entry: &std::fs::DirEntry| entry.file_name().into_string().unwrap();
                found.push((name(&pod), name(&container)));
            }
        }
    }
    found.sort();
    let mut covered = CONTAINERS.map(|(pod, container)| (pod.to_owned(), container.to_owned()));
    covered.sort();
    assert_eq!(found, covered);
}

#[test]
fn every_container_knows_its_pod_as_the_api_server_does() {
    for (name, container) in CONTAINERS {
        let pod = read(pod_json(name));
        let told = told(name, container);
        let id = status(&pod, container)["containerID"].as_str().unwrap();
        let known = [
            ("/pod/namespace", &pod["metadata"]["namespace"]),
            ("/pod/uid", &pod["metadata"]["uid"]),
            ("/pod/ip", &pod["status"]["podIP"]),
            ("/pod/qosClass", &pod["status"]["qosClass"]),
            ("/container/name", &json!(container)),
            ("/container/id", &json!(id.strip_prefix("containerd://").unwrap())),
        ];
        for (pointer, expected) in known {
            assert_eq!(told.pointer(pointer), Some(expected), "{name}/{container} {pointer}");
        }
        let by_token = [
            ("/pod/name", &pod["metadata"]["name"]),
            ("/node/name", &pod["spec"]["nodeName"]),
            ("/pod/serviceAccountName", &pod["spec"]["serviceAccountName"]),
            ("/node/uid", &read(fixtures().join("node.json"))["metadata"]["uid"]),
        ];
        let is_known = !NAMELESS.contains(&(name, container));
        for (pointer, expected) in by_token {
            let expected = is_known.then_some(expected);
            assert_eq!(told.pointer(pointer), expected, "{name}/{container} {pointer}");
        }
    }
}

#[test]
fn limits_are_those_of_the_manifest_and_no_limit_is_none() {
    for (name, container) in CONTAINERS {
        let pod = read(pod_json(name));
        let limits = &spec(&pod, container)["resources"]["limits"];
        let told = told(name, container);
        for resource in ["cpu", "memory"] {
            let told = &told["container"]["resources"]["limits"][resource];
            assert_eq!(told, &limits[resource], "{name}/{container} {resource}");
        }
    }
    let limits = &read(pod_json("downward"))["spec"]["containers"][0]["resources"]["limits"];
    assert_eq!(limits["memory"], "64Mi", "the comparison above compared something");
}

#[test]
fn node_allocatable_in_a_variable_is_not_taken_for_a_limit() {
    let environ = std::fs::read_to_string(recorded("nolimits", "main").join("proc/self/environ")).unwrap();
    assert!(environ.contains("CONTAINER_MEMORY_LIMIT_KIBIBYTES=24632892\0"));
    let told = told("nolimits", "main");
    assert_eq!(told["container"]["resources"], Value::Null);
    for (name, value) in told["variables"].as_object().unwrap() {
        assert!(!name.contains("LIMIT") && !name.contains("REQUEST"), "{name}={value}");
    }
}

#[test]
fn whatever_is_told_is_what_the_pod_object_says() {
    for (name, container) in CONTAINERS {
        let mut command = introspod(["print", "--format", "json", "--container", container, "--pod"]);
        command.arg(pod_json(name));
        let by_object = run(command).expect_code(0).json();
        let told = told(name, container);
        for part in ["pod", "node", "container", "cluster"] {
            let mut path = vec![part.to_owned()];
            assert_agrees(&told[part], &by_object[part], &mut path, name);
        }
    }
}

/// Checks that `told` agrees with `object`, except for fields that a Pod object does not have.
fn assert_agrees(told: &Value, object: &Value, path: &mut Vec<String>, pod: &str) {
    if let ["node", "uid"] | ["cluster", ..] = path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return;
    }
    if told.is_null() {
        return;
    }
    match told.as_object() {
        Some(members) => {
            for (key, value) in members {
                path.push(key.clone());
                assert_agrees(value, &object[key], path, pod);
                path.pop();
            }
        }
        None => assert_eq!(told, object, "{pod}: {}", path.join(".")),
    }
}

#[test]
fn the_pod_object_tells_labels_annotations_and_owner_too() {
    for (name, container) in CONTAINERS {
        let pod = read(pod_json(name));
        let mut command = introspod(["print", "--format", "json", "--container", container, "--pod"]);
        command.arg(pod_json(name));
        let outcome = run(command).expect_code(0);
        assert_eq!(outcome.stderr, "");
        let told = outcome.json();
        let or_empty = |value: &Value| if value.is_null() { json!({}) } else { value.clone() };
        assert_eq!(told["pod"]["labels"], or_empty(&pod["metadata"]["labels"]), "{name}");
        assert_eq!(told["pod"]["annotations"], or_empty(&pod["metadata"]["annotations"]), "{name}");
        assert_eq!(told["pod"]["name"], pod["metadata"]["name"]);
        assert_eq!(told["pod"]["hostIP"], pod["status"]["hostIP"]);
        assert_eq!(told["container"]["image"], spec(&pod, container)["image"]);
        assert_eq!(told["container"]["imageID"], status(&pod, container)["imageID"], "{name}/{container}");
        let owner = &pod["metadata"]["ownerReferences"][0];
        assert_eq!(told["pod"]["owner"]["kind"], owner["kind"], "{name}");
        assert_eq!(told["pod"]["owner"]["name"], owner["name"], "{name}");
    }
}

#[test]
fn owners_and_workloads_of_a_deployment_and_a_stateful_set() {
    let of = |pod: &str| {
        let mut command = introspod(["print", "--format", "json", "--pod"]);
        command.arg(pod_json(pod));
        run(command).expect_code(0).json()["pod"].take()
    };
    let web = of("deployment-web");
    assert_eq!(web["owner"], json!({"kind": "ReplicaSet", "name": "web-c8d954974"}));
    assert_eq!(web["workload"], json!({"kind": "Deployment", "name": "web"}));
    let db = of("statefulset-db-0");
    assert_eq!(db["workload"], json!({"kind": "StatefulSet", "name": "db"}));
    assert_eq!(db["ordinal"], json!(0));
}

#[test]
fn the_hostname_is_never_taken_for_the_name() {
    for (pod, hostname) in
        [("withhost", "custom-host"), ("hostnet", "kt-node-1"), ("notoken", "notoken"), ("bare", "bare")]
    {
        let world = World::recorded(pod, if pod == "bare" { "web" } else { "main" });
        world.write("proc/self/environ", format!("HOSTNAME={hostname}\0"));
        if pod != "notoken" {
            world.remove("var/run/secrets");
        }
        let told = document(&world, [] as [&str; 0]);
        assert_eq!(told["pod"]["name"], Value::Null, "{told}");
        assert_eq!(told["node"], Value::Null, "{told}");
        for (name, value) in told["variables"].as_object().unwrap() {
            assert_ne!(value, hostname, "{name}");
        }
    }
}

#[test]
fn the_host_network_tells_no_ip_and_no_namespace() {
    let world = World::recorded("hostnet", "main");
    world.write("proc/self/environ", "HOSTNAME=kt-node-1\0");
    // What a node's resolver may say is not the pod's.
    world.write("etc/resolv.conf", "search other.svc.cluster.local svc.cluster.local cluster.local\n");
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["pod"]["ip"], Value::Null);
    assert_eq!(told["pod"]["ips"], Value::Null);
    assert_eq!(told["pod"]["namespace"], "default", "by the token");
    assert_eq!(told["cluster"], Value::Null);
    world.remove("var/run/secrets");
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["namespace"], Value::Null);
}

#[test]
fn a_namespace_that_nothing_tells_does_not_become_default() {
    let world = World::empty();
    world.environ(&[("POD_NAME", "web-0")]);
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["pod"], json!({"name": "web-0"}));
}

#[test]
fn addresses_of_host_aliases_are_not_the_pod_s() {
    let world = World::recorded("bare", "web");
    let hosts = std::fs::read_to_string(world.path().join("etc/hosts")).unwrap();
    world.write("etc/hosts", format!("{hosts}\n# Entries added by HostAliases.\n10.9.9.9\tbare\n"));
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["ips"], json!(["10.244.0.5"]));
    world.write("etc/hosts", format!("{}fd00::5\tbare\n", hosts));
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["ips"], json!(["10.244.0.5", "fd00::5"]));
    world.write("etc/hosts", "127.0.0.1\tlocalhost\n10.244.0.5\tbare\n");
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["ip"], Value::Null);
}

#[test]
fn the_kubelet_s_directory_may_be_anywhere_and_mounts_may_be_odd() {
    let uid = "a842ea9c-d88b-4d9f-aa86-7f5aa3946662";
    for (root, options, super_options) in [
        ("/var/lib/kubelet", "", "rw"),
        ("", "shared:7 master:1 propagate_from:2 ", "rw"),
        ("/mnt/my\\040disk/kube\\134let", "unbindable ", "rw,lowerdir=/a b - c"),
    ] {
        let world = World::empty();
        let mounts = format!(
            "23 1 0:22 / / rw,relatime {options}- overlay overlay {super_options}\n\
             24 23 7:0 {root}/pods/{uid}/containers/web/2082a7b8 /my\\040logs/end rw {options}- ext4 /dev/sda1 {super_options}\n"
        );
        world.write("proc/self/mountinfo", mounts);
        let told = document(&world, [] as [&str; 0]);
        assert_eq!(told["pod"], json!({"uid": uid}), "{root:?}");
        assert_eq!(told["container"], json!({"name": "web"}), "{root:?}");
    }
}

#[test]
fn the_sandbox_s_id_is_not_the_container_s() {
    let world = World::recorded("bare", "web");
    let mountinfo = std::fs::read_to_string(world.path().join("proc/self/mountinfo")).unwrap();
    assert!(mountinfo.contains("/sandboxes/5bb2a4235c1922ab"));
    world.write("proc/self/cgroup", "0::/\n");
    assert_eq!(document(&world, [] as [&str; 0])["container"]["id"], Value::Null);
}

#[test]
fn an_empty_root_tells_nothing_and_says_nothing() {
    let told = document(&World::empty(), [] as [&str; 0]);
    assert_eq!(told, json!({"schema": "introspod/v1", "sources": {}, "variables": {}}));
}

#[test]
fn garbage_in_every_file_is_no_fact_and_no_crash() {
    let world = World::recorded("downward", "main");
    let list = Command::new("find").arg(world.path()).args(["-type", "f", "-print0"]).output().unwrap();
    let garbage: Vec<u8> = (0..=255u8).cycle().take(5000).collect();
    for file in String::from_utf8(list.stdout).unwrap().split_terminator('\0') {
        std::fs::write(file, &garbage).unwrap();
    }
    let outcome = world.run(["print", "--format", "json"]).expect_code(0);
    assert_eq!(outcome.json()["variables"], json!({}), "{outcome:#?}");
    assert!(outcome.stderr.lines().all(|line| line.starts_with("introspod: warn: ")), "{outcome:#?}");
}

#[test]
fn no_network_is_used() {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--quiet=exit,attach", "--trace=%network", "--output"]).arg(trace.path());
    command.args([INTROSPOD, "print", "--root"]).arg(recorded("downward", "main"));
    if !needs("the Debian package strace", has_strace) {
        return;
    }
    assert!(!run(command).expect_code(0).stdout.is_empty());
    assert_eq!(std::fs::read_to_string(trace.path()).unwrap(), "");
}

#[test]
fn a_root_that_is_not_there_is_said_in_one_line() {
    let outcome = run(introspod(["print", "--root", "/nowhere/at/all"])).expect_code(1);
    let line = only_line(&outcome);
    assert!(line.contains("--root /nowhere/at/all") && line.contains("No such file"), "{line}");
}
