//! The facts of the Pod object: for the right container, and with the limits that the kernel enforces.

use serde_json::json;

use super::*;
use crate::server::{Response, always};
use crate::world::introspod;

/// The container IDs that the Pod object `bare` has, by the container's name.
const IDS: [(&str, &str); 4] = [
    ("web", "5c333dd34fdf87097d279e53cc233dae54f5b68423ffb47ddc898c7ba8c4d63a"),
    ("side", "73e35eb5625bc300510a774ce9efcdcbf68901a29138a43c847369726a988aca"),
    ("init", "53f6b3dda2d710fcf12c678564972031dd5231298670ff2cde0791d918c7ab36"),
    ("debugger", "c6b68a8b4da61aee937e334602d6bdf60c461e897bd310c7d8a46b9bc19a5e57"),
];

const IMAGE_ID: &str = "sha256:b40dfd19798656db8ea706d1883b63cae7c75fe552c823344c28659bf74c2573";

/// cgroup v2 in a private namespace: the path contains no ID.
const PRIVATE_CGROUP: &str = "0::/\n";

fn api_of(name: &str) -> Server {
    let mut object = pod(name);
    // What asks runs, also where it had ended when the object was recorded.
    if let Some(init) = object["status"]["initContainerStatuses"].as_array_mut() {
        init[0]["state"] = json!({"running": {}});
    }
    Server::start(always(Response::json(&object)))
}

#[test]
fn the_container_is_the_one_that_the_mounts_name() {
    for (container, id) in IDS {
        let server = api_of("bare");
        let world = server.world("bare", container);
        world.write("proc/self/cgroup", PRIVATE_CGROUP);
        let shown = document(&world, &server, &[])["container"].clone();
        assert_eq!(shown["name"], container);
        assert_eq!(shown["id"], id, "{container}");
        assert_eq!(shown["image"], "docker.io/library/busybox:local", "{container}");
        assert_eq!(shown["imageID"], IMAGE_ID, "{container}");
    }
}

#[test]
fn the_container_is_the_one_that_the_option_names() {
    for (container, id) in IDS {
        let server = api_of("bare");
        let world = server.world("bare", "init");
        let shown = document(&world, &server, &["--container", container])["container"].clone();
        assert_eq!(shown["name"], container);
        assert_eq!(shown["id"], id, "{container}");
    }
}

#[test]
fn the_only_container_is_the_one() {
    let server = api_of("deployment-web");
    let world = server.world("deployment-web", "main");
    world.write("proc/self/mountinfo", "").write("proc/self/cgroup", PRIVATE_CGROUP);
    let shown = document(&world, &server, &[])["container"].clone();
    assert_eq!(shown["name"], "main");
    assert_eq!(shown["imageID"], IMAGE_ID);
}

#[test]
fn one_of_several_containers_is_not_guessed() {
    let server = api_of("bare");
    let world = server.world("bare", "web");
    world.write("proc/self/mountinfo", "").write("proc/self/cgroup", PRIVATE_CGROUP);
    let shown = document(&world, &server, &[]);
    assert_eq!(shown["container"]["name"], Value::Null);
    assert_eq!(shown["container"]["id"], Value::Null);
    assert_eq!(shown["container"]["image"], Value::Null);
    assert_eq!(shown["pod"]["hostIP"], "10.99.0.1");
}

#[test]
fn a_container_that_the_pod_does_not_have_has_no_facts() {
    let server = api_of("bare");
    let world = server.world("bare", "web");
    let shown = document(&world, &server, &["--container", "typo"]);
    assert_eq!(shown["container"]["image"], Value::Null);
    assert_eq!(shown["container"]["id"], Value::Null);
}

#[test]
fn the_id_of_the_last_instance_is_not_this_ones() {
    let mut object = pod("deployment-web");
    object["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let server = Server::start(always(Response::json(&object)));
    let world = server.world("deployment-web", "main");
    world.write("proc/self/cgroup", PRIVATE_CGROUP);
    let shown = document(&world, &server, &[])["container"].clone();
    assert_eq!(shown["name"], "main");
    assert_eq!((&shown["id"], &shown["imageID"]), (&Value::Null, &Value::Null));
}

#[test]
fn the_whole_document_of_a_deployments_pod() {
    let server = api_of("deployment-web");
    let shown = document(&server.world("deployment-web", "main"), &server, &[]);
    let pod = &shown["pod"];
    assert_eq!(pod["hostIP"], "10.99.0.1");
    assert_eq!(pod["hostIPs"], json!(["10.99.0.1"]));
    assert_eq!(pod["ip"], "10.244.0.8");
    assert_eq!(pod["labels"], json!({"app": "web", "pod-template-hash": "c8d954974"}));
    assert_eq!(pod["owner"], json!({"kind": "ReplicaSet", "name": "web-c8d954974"}));
    assert_eq!(pod["workload"], json!({"kind": "Deployment", "name": "web"}));
    assert_eq!(pod["qosClass"], "BestEffort");
    assert_eq!(shown["sources"]["POD_OWNER_KIND"], "api");
    assert_eq!(shown["sources"]["POD_NAME"], "token");
}

#[test]
fn a_stateful_set_and_the_ordinal() {
    let server = api_of("statefulset-db-0");
    let shown = document(&server.world("statefulset-db-0", "main"), &server, &[]);
    assert_eq!(shown["pod"]["owner"], json!({"kind": "StatefulSet", "name": "db"}));
    assert_eq!(shown["pod"]["workload"], json!({"kind": "StatefulSet", "name": "db"}));
    assert_eq!(shown["pod"]["ordinal"], 0);
}

#[test]
fn a_replica_set_without_the_hash_is_its_own_workload() {
    let mut object = pod("deployment-web");
    object["metadata"]["labels"].as_object_mut().unwrap().remove("pod-template-hash");
    let server = Server::start(always(Response::json(&object)));
    let shown = document(&server.world("deployment-web", "main"), &server, &[]);
    assert_eq!(shown["pod"]["workload"], json!({"kind": "ReplicaSet", "name": "web-c8d954974"}));
}

#[test]
fn a_pod_that_nobody_owns_has_no_owner() {
    let server = api_of("hostnet");
    let shown = document(&server.world("hostnet", "main"), &server, &[]);
    assert_eq!(shown["pod"]["owner"], Value::Null);
    assert_eq!(shown["pod"]["workload"], Value::Null);
}

#[test]
fn requests_and_limits() {
    let server = api_of("downward");
    let options = [
        "--set",
        "STORAGE=limits.ephemeral-storage",
        "--set",
        "STORAGE_REQUEST_KI=requests.ephemeral-storage/1Ki",
    ];
    let shown = document(&server.world("downward", "main"), &server, &options);
    let expected = json!({
        "limits": {"cpu": "100m", "ephemeral-storage": "100Mi", "memory": "64Mi"},
        "requests": {"cpu": "15m", "ephemeral-storage": "1500Ki", "memory": "100Ki"},
    });
    assert_eq!(shown["container"]["resources"], expected);
    assert_eq!(shown["variables"]["STORAGE"], "104857600");
    assert_eq!(shown["variables"]["STORAGE_REQUEST_KI"], "1500");
    assert_eq!(shown["variables"]["CONTAINER_CPU_REQUEST_MILLICORES"], "15");
}

/// The memory limit in KiB from the API alone in `deployment-web`, with these three limits.
fn memory_limit(status: Option<&str>, container: Option<&str>, pod_level: Option<&str>) -> Value {
    let mut object = pod("deployment-web");
    if let Some(limit) = status {
        object["status"]["containerStatuses"][0]["resources"] = json!({"limits": {"memory": limit}});
    }
    if let Some(limit) = container {
        object["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": limit}});
        if status.is_none() {
            // Before in-place resizing the kubelet reported none.
            let status = &mut object["status"]["containerStatuses"][0];
            status.as_object_mut().unwrap().remove("resources");
        }
    }
    if let Some(limit) = pod_level {
        object["spec"]["resources"] = json!({"limits": {"memory": limit}, "requests": {"memory": "50Mi"}});
    }
    let server = Server::start(always(Response::json(&object)));
    let world = server.world("deployment-web", "main");
    world.remove("sys/fs/cgroup");
    let variables = document(&world, &server, &[])["variables"].clone();
    assert_eq!(variables["CONTAINER_MEMORY_REQUEST_KIBIBYTES"], Value::Null, "inherited");
    variables["CONTAINER_MEMORY_LIMIT_KIBIBYTES"].clone()
}

#[test]
fn status_resources_before_spec_resources_before_the_pods() {
    assert_eq!(memory_limit(Some("100Mi"), Some("200Mi"), Some("300Mi")), "102400");
    assert_eq!(memory_limit(None, Some("200Mi"), Some("300Mi")), "204800");
    assert_eq!(memory_limit(None, None, Some("300Mi")), "307200");
}

#[test]
fn no_limit_is_no_fact() {
    // The recorded status of the pod says 9007199254740988Ki.
    assert_eq!(memory_limit(None, None, None), Value::Null);
}

/// The memory limit of `deployment-web`, where the kernel and the API say these.
fn with_kernel(kernel: &str, api: &str) -> Value {
    let mut object = pod("deployment-web");
    object["status"]["containerStatuses"][0]["resources"] = json!({"limits": {"memory": api}});
    let server = Server::start(always(Response::json(&object)));
    let world = server.world("deployment-web", "main");
    world.write("sys/fs/cgroup/memory/memory.limit_in_bytes", format!("{kernel}\n"));
    document(&world, &server, &["--set", "M=limits.memory"])["variables"]["M"].clone()
}

#[test]
fn the_kernel_has_the_last_word() {
    // A resize that is deferred; a page that was rounded down; no limit at all.
    assert_eq!(with_kernel("67108864", "100Mi"), "67108864");
    assert_eq!(with_kernel("67108864", "67109000"), "67109000");
    assert_eq!(with_kernel("9223372036854771712", "100Mi"), Value::Null);
}

#[test]
fn a_pod_object_from_a_file_goes_through_the_same_code() {
    let server = api_of("bare");
    let world = server.world("bare", "side");
    world.write("proc/self/cgroup", PRIVATE_CGROUP);
    let asked = document(&world, &server, &[])["container"].clone();
    let file = pod_json("bare");
    let options = ["--pod", file.to_str().unwrap(), "--container", "side", "--format", "json"];
    let read = run(introspod([&["print"], &options[..]].concat())).expect_code(0).json();
    assert_eq!(read["container"]["id"], asked["id"]);
    assert_eq!(read["container"]["imageID"], asked["imageID"]);
    assert_eq!(server.requests().len(), 1, "--pod asks nobody");
}

/// The recorded pod of a StatefulSet. Its volume has the labels of its controller.
fn labelled_by_a_stateful_set(server: &Server) -> World {
    let world = server.world("statefulset-db-0", "main");
    let labels = "controller-revision-hash=\"db-698c9565f8\"\nstatefulset.kubernetes.io/pod-name=\"db-0\"\n";
    world.write("etc/podinfo/labels", labels);
    world
}

#[test]
fn the_answer_about_the_owner_outranks_labels() {
    let none = json!([]);
    let other = json!([{"kind": "CloneSet", "name": "clone", "controller": true}]);
    for (references, owner) in [(none, Value::Null), (other, json!({"kind": "CloneSet", "name": "clone"}))] {
        let mut object = pod("statefulset-db-0");
        object["metadata"]["ownerReferences"] = references;
        object["metadata"]["labels"].as_object_mut().unwrap().remove("apps.kubernetes.io/pod-index");
        let server = Server::start(always(Response::json(&object)));
        let world = labelled_by_a_stateful_set(&server);

        let by_labels = world.run(["print", "--format=json"]).expect_code(0).json();
        assert_eq!(by_labels["pod"]["owner"], json!({"kind": "StatefulSet", "name": "db"}));
        assert_eq!(by_labels["pod"]["workload"], json!({"kind": "StatefulSet", "name": "db"}));
        assert_eq!(by_labels["pod"]["ordinal"], 0);
        for name in ["POD_OWNER_KIND", "POD_OWNER_NAME", "WORKLOAD_KIND", "WORKLOAD_NAME", "POD_ORDINAL"] {
            assert_eq!(by_labels["sources"][name], "labels", "{name}");
        }

        let shown = document(&world, &server, &["--explain"]);
        assert_eq!(shown["pod"]["owner"], owner);
        assert_eq!(shown["pod"]["workload"], owner);
        assert_eq!(shown["pod"]["ordinal"], Value::Null, "the name's number means nothing then");
        assert_eq!(shown["unknown"]["POD_ORDINAL"], "the pod has no pod.ordinal");
    }
}

#[test]
fn the_label_of_the_index_is_an_ordinal_if_something_owns_the_pod() {
    let other = json!([{"apiVersion": "example.com/v1", "kind": "Other", "name": "db", "uid": "u"}]);
    for (references, ordinal) in [(other, json!(0)), (json!([]), Value::Null)] {
        let mut object = pod("statefulset-db-0");
        object["metadata"]["ownerReferences"] = references;
        let server = Server::start(always(Response::json(&object)));
        let shown = document(&server.world("statefulset-db-0", "main"), &server, &[]);
        assert_eq!(shown["pod"]["ordinal"], ordinal);
    }
}

#[test]
fn a_container_name_of_the_environment_that_the_pod_does_not_have_is_no_fact() {
    let server = api_of("bare");
    let world = server.world("bare", "web");
    world.write("proc/self/mountinfo", "").write("proc/self/cgroup", PRIVATE_CGROUP);
    for (name, known) in [("typo", json!(null)), ("side", json!("side"))] {
        world.environ(&[("CONTAINER_NAME", name)]);
        let told = document(&world, &server, &[]);
        assert_eq!(told["container"]["name"], known);
        assert_eq!(told["variables"]["CONTAINER_NAME"], known);
    }
}
