//! The fields that the table finds in the Pod object and in other objects.

use serde_json::json;

use super::*;
use crate::server::{Answer, Request, Response};

const POD_PATH: &str = "/api/v1/namespaces/default/pods/bare";

fn namespace(name: &str, uid: &str) -> Response {
    Response::json(&json!({
        "kind": "Namespace", "apiVersion": "v1",
        "metadata": {"name": name, "uid": uid, "labels": {"team": "blue"}},
    }))
}

/// Answers with the pod `bare`, and with the namespaces `default` and `kube-system`.
fn cluster(request: &Request) -> Answer {
    match request.target.split('?').next().unwrap() {
        POD_PATH => {
            let mut pod = pod("bare");
            pod["spec"]["priorityClassName"] = json!("high");
            pod["spec"]["runtimeClassName"] = json!("gvisor");
            Response::json(&pod).into()
        }
        "/api/v1/namespaces/default" => namespace("default", "uid-of-default").into(),
        "/api/v1/namespaces/kube-system" => namespace("kube-system", "uid-of-the-cluster").into(),
        _ => Response::failure(404, "NotFound", "no such object").into(),
    }
}

fn paths(server: &Server) -> Vec<String> {
    server.targets().iter().map(|target| target.split('?').next().unwrap().to_owned()).collect()
}

#[test]
fn fields_that_only_the_pod_object_has() {
    let object = pod("bare");
    for (expression, expected) in [
        ("pod.metadata.creationTimestamp", object["metadata"]["creationTimestamp"].as_str().unwrap()),
        ("pod.status.startTime", object["status"]["startTime"].as_str().unwrap()),
        ("pod.spec.schedulerName", object["spec"]["schedulerName"].as_str().unwrap()),
        ("pod.spec.priorityClassName", "high"),
        ("pod.spec.runtimeClassName", "gvisor"),
    ] {
        let server = Server::start(cluster);
        let set = format!("WANTED={expression}");
        let outcome = exec(&server.world("bare", "web"), &server.url(), &["--set", &set]).expect_code(0);
        assert_eq!(variable(&outcome, "WANTED"), Some(expected), "{expression}");
        assert_eq!(paths(&server), [POD_PATH], "{expression}");
    }
}

#[test]
fn what_the_pod_is_known_not_to_have_is_asked_for_once() {
    let server = Server::start(crate::server::always(Response::json(&pod("bare"))));
    let options = ["--set", "CLASS=pod.spec.runtimeClassName"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "CLASS"), None);
    assert_says(&outcome, &["CLASS", "pod.spec.runtimeClassName", "no such member: runtimeClassName"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_namespace_costs_one_request() {
    let server = Server::start(cluster);
    let options = ["--set", "UID=namespace.metadata.uid", "--set", "TEAM=namespace.metadata.labels['team']"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "UID"), Some("uid-of-default"));
    assert_eq!(variable(&outcome, "TEAM"), Some("blue"));
    assert_eq!(paths(&server), ["/api/v1/namespaces/default"]);
}

#[test]
fn the_cluster_s_uid_is_that_of_kube_system() {
    let server = Server::start(cluster);
    let options = ["--set", "CLUSTER=cluster.uid"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "CLUSTER"), Some("uid-of-the-cluster"));
    assert_eq!(paths(&server), ["/api/v1/namespaces/kube-system"]);
}

#[test]
fn a_namespace_of_another_name_is_not_used() {
    let server = Server::start(crate::server::always(namespace("other", "uid-of-other")));
    let options = ["--set", "UID=namespace.metadata.uid"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "UID"), None);
    assert!(started(&outcome));
}

#[test]
fn an_object_of_another_kind_is_not_a_namespace() {
    for (field, name) in [("namespace.metadata.uid", "default"), ("cluster.uid", "kube-system")] {
        let object =
            json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "uid": "of-a-node"}});
        let server = Server::start(crate::server::always(Response::json(&object)));
        let set = format!("UID={field}");
        let outcome = exec(&server.world("bare", "web"), &server.url(), &["--set", &set]).expect_code(0);
        assert_eq!(variable(&outcome, "UID"), None, "{field}");
        assert_says(&outcome, &["not a valid Namespace object", "Node"]);
        assert!(started(&outcome));
    }
}

#[test]
fn they_are_in_the_document() {
    let server = Server::start(cluster);
    let url = server.url();
    let world = server.world("bare", "web");
    let mut command = world.command(["print", "--format=json", "--api-url", &url]);
    command.args([
        "--set",
        "A=namespace.metadata.uid",
        "--set",
        "B=cluster.uid",
        "--set",
        "C=pod.status.startTime",
    ]);
    let told = crate::world::run(command).expect_code(0).json();
    assert_eq!(told["variables"]["A"], "uid-of-default");
    assert_eq!(told["cluster"]["uid"], "uid-of-the-cluster");
    assert!(told["variables"]["C"].is_string());
}
