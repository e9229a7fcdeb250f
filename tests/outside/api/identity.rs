//! The answer must describe this pod.

use serde_json::json;

use super::*;
use crate::server::{Response, always, in_order};

/// Another pod of the same name, as a StatefulSet makes one after the other.
fn namesake() -> Response {
    let mut object = pod("bare");
    object["metadata"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    object["metadata"]["labels"]["app"] = json!("somebody-elses");
    Response::json(&object)
}

const PATH: &str = "/api/v1/namespaces/default/pods/bare";

#[test]
fn another_pod_is_not_used() {
    let server = Server::start(always(namesake()));
    let world = server.world("bare", "web");
    let words = ["UID", "11111111-2222-3333-4444-555555555555"];
    let outcome = starts_at_once_without_labels(&world, &server.url(), &words);
    assert!(!outcome.stdout.contains("somebody-elses"));
    assert_eq!(variable(&outcome, "POD_UID"), Some("a842ea9c-d88b-4d9f-aa86-7f5aa3946662"));
    assert_eq!(server.targets(), [&format!("{PATH}?resourceVersion=0"), PATH]);
}

#[test]
fn another_pod_does_for_no_requirement() {
    let server = Server::start(always(namesake()));
    let world = server.world("bare", "web");
    let outcome = exec(&world, &server.url(), &["--require", "POD_LABEL_APP"]).expect_code(125);
    assert!(!started(&outcome));
}

#[test]
fn a_stale_cache_is_passed_by() {
    let server = Server::start(in_order([namesake().into(), Response::json(&pod("bare")).into()]));
    let outcome = exec(&server.world("bare", "web"), &server.url(), &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"));
    assert_eq!(server.targets(), [&format!("{PATH}?resourceVersion=0"), PATH]);
}

#[test]
fn a_pod_without_a_uid_is_nobodys() {
    let mut object = pod("bare");
    object["metadata"].as_object_mut().unwrap().remove("uid");
    let server = Server::start(always(Response::json(&object)));
    let world = server.world("bare", "web");
    let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
    assert!(started(&outcome));
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), None);
}

/// A static pod as the kubelet runs it: no token, and a UID that is not the object's.
const STATIC_UID: &str = "9d6bfcf4ab7d4c1b8f2e3a5c6d7e8f90";

/// Runs `exec --labels` in a static pod whose mirror has this annotation.
fn of_static_pod(mirror: &str) -> (Server, Outcome) {
    let mut object = pod("notoken");
    object["metadata"]["labels"] = json!({"tier": "control-plane"});
    object["metadata"]["annotations"] =
        json!({"kubernetes.io/config.mirror": mirror, "kubernetes.io/config.source": "file"});
    let world = World::recorded("notoken", "main");
    for file in ["proc/self/mountinfo", "proc/self/cgroup"] {
        let recorded = std::fs::read_to_string(world.path().join(file)).unwrap();
        let uid = object["metadata"]["uid"].as_str().unwrap();
        world.write(file, recorded.replace(uid, STATIC_UID));
    }
    world.environ(&[("POD_NAME", "notoken"), ("POD_NAMESPACE", "default")]);
    let server = Server::plain(always(Response::json(&object)));
    let outcome = exec(&world, &server.url(), &["--labels", "--annotations"]).expect_code(0);
    (server, outcome)
}

#[test]
fn the_mirror_of_a_static_pod_is_the_pod() {
    let (server, outcome) = of_static_pod(STATIC_UID);
    assert_eq!(variable(&outcome, "POD_LABEL_TIER"), Some("control-plane"), "{outcome:#?}");
    assert_eq!(variable(&outcome, "POD_UID"), Some(STATIC_UID));
    // Annotations of the kubelet are not facts, because they change when the kubelet restarts.
    assert_eq!(variable(&outcome, "POD_ANNOTATION_KUBERNETES_IO_CONFIG_SOURCE"), None);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn the_mirror_of_another_static_pod_is_not() {
    let (server, outcome) = of_static_pod("00000000000000000000000000000000");
    assert!(started(&outcome));
    assert_eq!(variable(&outcome, "POD_LABEL_TIER"), None);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn an_object_of_another_name_or_namespace_is_not_used() {
    for (key, other) in [("name", "web-1"), ("namespace", "elsewhere")] {
        let mut object = pod("bare");
        object["metadata"][key] = json!(other);
        object["metadata"]["labels"]["app"] = json!("somebody-elses");
        let server = Server::start(always(Response::json(&object)));
        starts_at_once_without_labels(&server.world("bare", "web"), &server.url(), &[key, other]);
    }
}

#[test]
fn a_uid_that_only_a_variable_or_a_file_knows_counts_too() {
    for is_variable in [true, false] {
        let world = World::empty();
        let server = Server::plain(always(namesake()));
        world.environ(&[("POD_NAME", "bare"), ("POD_NAMESPACE", "default")]);
        let own = "a842ea9c-d88b-4d9f-aa86-7f5aa3946662";
        if is_variable {
            world.environ(&[("POD_UID", own)])
        } else {
            world.write("etc/podinfo/podUid", own)
        };
        starts_at_once_without_labels(
            &world,
            &server.url(),
            &["UID", "11111111-2222-3333-4444-555555555555"],
        );
    }
}

/// The pod's author can write such a list (`dnsPolicy: None`), and it may name another namespace.
#[test]
fn the_search_list_of_dns_addresses_no_request() {
    let server = Server::plain(always(Response::json(&pod("notoken"))));
    let world = World::recorded("notoken", "main");
    world.environ(&[("POD_NAME", "notoken")]);
    let namespace = world.run(["print", "POD_NAMESPACE"]).expect_code(0).stdout;
    assert_eq!(namespace, "default\n", "the list names it");
    let outcome =
        exec(&world, &server.url(), &["--labels", "--set=UID=namespace.metadata.uid"]).expect_code(0);
    assert!(started(&outcome));
    assert_says(&outcome, &["the pod's name or namespace is not known", "POD_NAMESPACE with fieldRef"]);
    let get = ["/api/v1/namespaces/{namespace}/pods"];
    let outcome = run(command(&world, &server.url(), "get", &get)).expect_code(1);
    assert_says(&outcome, &["{namespace}: the pod's namespace is not known"]);
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_pod_name_of_the_environment_that_no_pod_has_is_no_fact() {
    let missing = Response::failure(404, "NotFound", "pods \"typo\" not found");
    let server = Server::plain(always(missing));
    let world = World::recorded("notoken", "main");
    world.environ(&[("POD_NAME", "typo"), ("POD_NAMESPACE", "elsewhere")]);
    let told = document(&world, &server, &[]);
    assert_eq!(told["pod"]["name"], json!(null));
    assert_ne!(told["pod"]["namespace"], "elsewhere");
    assert_eq!(told["variables"]["POD_NAME"], json!(null));
    assert_eq!(server.requests().len(), 2);
}
