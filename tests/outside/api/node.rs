//! The fields that only the Node object has.

use serde_json::json;

use super::*;
use crate::server::{Answer, Request, Response, SERVICE_ACCOUNT, always, claims_of, token};

const ZONE: &str = "topology.kubernetes.io/zone";
const POD_PATH: &str = "/api/v1/namespaces/default/pods/bare";
const NODE_PATH: &str = "/api/v1/nodes/kt-node-1";

/// The recorded node, in a zone and a rack.
fn node() -> Response {
    let mut node = read_json(fixtures().join("node.json"));
    node["metadata"]["labels"][ZONE] = json!("zone-a");
    node["metadata"]["labels"]["rack"] = json!("7");
    Response::json(&node)
}

/// Answers with the pod `bare`, and to a request for a node with `node`.
fn cluster(node: Response) -> impl FnMut(&Request) -> Answer {
    let bare = Response::json(&pod("bare"));
    move |request| {
        if request.target.starts_with("/api/v1/nodes/") { node.clone().into() } else { bare.clone().into() }
    }
}

fn paths(server: &Server) -> Vec<String> {
    let path = |target: &String| target.split('?').next().unwrap().to_owned();
    server.targets().iter().map(path).collect()
}

#[test]
fn a_node_label_costs_one_request_more() {
    let server = Server::start(cluster(node()));
    let options = ["--labels", "--set", &format!("ZONE=node.labels['{ZONE}']")];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "ZONE"), Some("zone-a"), "{outcome:#?}");
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"));
    assert_eq!(paths(&server), [POD_PATH, NODE_PATH]);
}

#[test]
fn several_node_labels_cost_no_more() {
    let server = Server::start(cluster(node()));
    let zone = format!("ZONE=node.labels['{ZONE}']");
    let options = ["--set", &zone, "--set", "RACK=node.labels['rack']", "--labels"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "ZONE"), Some("zone-a"));
    assert_eq!(variable(&outcome, "RACK"), Some("7"));
    assert_eq!(paths(&server), [POD_PATH, NODE_PATH]);
}

#[test]
fn a_topology_label_that_the_pod_has_itself_costs_no_request_for_the_node() {
    let mut object = pod("bare");
    object["metadata"]["labels"][ZONE] = json!("zone-of-the-pod");
    let server = Server::start(always(Response::json(&object)));
    let options = ["--set", &format!("ZONE=node.labels['{ZONE}']")];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "ZONE"), Some("zone-of-the-pod"));
    assert_eq!(paths(&server), [POD_PATH]);
}

#[test]
fn a_topology_label_in_a_volume_costs_nothing() {
    let server = Server::start(cluster(node()));
    let world = server.world("bare", "web");
    world.write("etc/podinfo/labels", format!("{ZONE}=\"zone-of-the-volume\""));
    let options = ["--set", &format!("ZONE=node.labels['{ZONE}']")];
    let outcome = exec(&world, &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "ZONE"), Some("zone-of-the-volume"));
    assert_eq!(server.connections(), 0);
}

#[test]
fn any_other_label_of_the_pod_is_not_the_nodes() {
    let mut object = pod("bare");
    object["metadata"]["labels"]["rack"] = json!("the-pods-own");
    let (object, node) = (Response::json(&object), node());
    let server = Server::start(move |request: &Request| {
        let is_node = request.target.starts_with("/api/v1/nodes/");
        if is_node { node.clone().into() } else { object.clone().into() }
    });
    let options = ["--set", "RACK=node.labels['rack']"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "RACK"), Some("7"));
}

#[test]
fn a_label_that_the_node_does_not_have_is_unset() {
    let server = Server::start(cluster(node()));
    let options = ["--set", "GPU=node.labels['gpu']"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "GPU"), None);
}

#[test]
fn without_the_wish_no_node_is_asked_for() {
    let server = Server::start(cluster(node()));
    let options = ["--api", "always", "--labels", "--annotations"];
    exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(paths(&server), [POD_PATH]);
}

#[test]
fn the_nodes_uid_where_the_token_does_not_know_it() {
    let server = Server::start(cluster(node()));
    let world = server.world("bare", "web");
    let token = token_without_node();
    world.write(&format!("{SERVICE_ACCOUNT}/token"), &token);
    server.accept_token(&token);
    let outcome = exec(&world, &server.url(), &["--set", "N=node.uid"]).expect_code(0);
    assert_eq!(variable(&outcome, "N"), Some("d5dd0935-5eac-4784-a586-4834fb354011"));
    assert_eq!(paths(&server), [POD_PATH, NODE_PATH]);
}

/// The token as Kubernetes before 1.30 issued it.
fn token_without_node() -> String {
    claims_of(&token("bare"), |claims| {
        claims["kubernetes.io"].as_object_mut().unwrap().remove("node").unwrap();
    })
}

#[test]
fn a_node_of_another_name_is_not_used() {
    let mut other = read_json(fixtures().join("node.json"));
    other["metadata"]["name"] = json!("kt-node-2");
    other["metadata"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    other["metadata"]["labels"]["rack"] = json!("8");
    let server = Server::start(cluster(Response::json(&other)));
    let options = ["--set", "RACK=node.labels['rack']", "--timeout", LIMIT];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert!(started(&outcome));
    assert_eq!(variable(&outcome, "RACK"), None);
}

/// A Pod can have the node's name; what it says of itself is not the node's.
#[test]
fn an_object_of_another_kind_is_not_used() {
    for kind in ["Pod", "NodeList", ""] {
        let mut other = read_json(fixtures().join("node.json"));
        other["kind"] = json!(kind);
        other["metadata"]["labels"]["rack"] = json!("8");
        let server = Server::start(cluster(Response::json(&other)));
        let options = ["--set", "RACK=node.labels['rack']", "--timeout", AMPLE];
        let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
        assert!(started(&outcome));
        assert_eq!(variable(&outcome, "RACK"), None, "{kind:?}");
        assert_says(&outcome, &["not a valid Node object", &format!("{kind:?}")]);
        assert_eq!(paths(&server), [NODE_PATH], "asked again for what will not change");
    }
}

/// Before Kubernetes 1.35 the pod has no copy of the label, and its account needs `get nodes` alone.
#[test]
fn a_failure_is_not_reported_if_all_that_was_requested_is_known() {
    let (node, denied) = (node(), Response::failure(403, "Forbidden", "pods \"bare\" is forbidden"));
    let server = Server::start(move |request: &Request| {
        let is_node = request.target.starts_with("/api/v1/nodes/");
        if is_node { node.clone().into() } else { denied.clone().into() }
    });
    let zone = format!("ZONE=node.labels['{ZONE}']");
    let world = server.world("bare", "web");
    let outcome = exec(&world, &server.url(), &["--set", &zone]).expect_code(0);
    assert_eq!(variable(&outcome, "ZONE"), Some("zone-a"), "{outcome:#?}");
    assert_eq!(outcome.stderr, "");
    assert_eq!(paths(&server), [POD_PATH, NODE_PATH]);
    // With a field of the Pod it is.
    let outcome = exec(&world, &server.url(), &["--set", &zone, "--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "ZONE"), Some("zone-a"), "{outcome:#?}");
    assert_says(&outcome, &["403", "kubectl create role "]);
}

/// The pod's author can set the copy: where the Node is asked, it decides.
#[test]
fn always_asks_the_node_for_a_label_of_the_topology() {
    let mut without = read_json(fixtures().join("node.json"));
    without["metadata"]["labels"] = json!({"rack": "7"});
    for (node, zone) in [(node(), Some("zone-a")), (Response::json(&without), None)] {
        let server = Server::start(cluster(node));
        let world = server.world("bare", "web");
        world.write("etc/podinfo/labels", format!("{ZONE}=\"zone-of-the-volume\""));
        let set = format!("--set=ZONE=node.labels['{ZONE}']");
        let outcome = exec(&world, &server.url(), &[&set, "--api=always"]).expect_code(0);
        assert_eq!(variable(&outcome, "ZONE"), zone, "{outcome:?}");
    }
}
