//! When the API server is queried, and how often.

use super::*;
use crate::server::{Response, always};

fn api_of(name: &str) -> Server {
    Server::start(always(Response::json(&pod(name))))
}

#[test]
fn labels_cost_exactly_one_request() {
    let server = api_of("bare");
    let outcome = exec(&server.world("bare", "web"), &server.url(), &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"));
    assert_eq!(variable(&outcome, "POD_LABEL_POD_TEMPLATE_HASH"), Some("6d4b75cb6d"));
    assert_eq!(outcome.stderr, "");
    assert_eq!(server.targets(), ["/api/v1/namespaces/default/pods/bare?resourceVersion=0"]);
    assert_eq!(server.requests()[0].method, "GET");
    assert_eq!(server.connections(), 1);
}

#[test]
fn the_standard_set_costs_none() {
    let server = api_of("bare");
    let outcome = exec(&server.world("bare", "web"), &server.url(), &[]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_NAME"), Some("bare"));
    assert_eq!(server.connections(), 0);
}

#[test]
fn labels_that_a_volume_tells_cost_none() {
    let server = api_of("downward");
    let world = server.world("downward", "main");
    let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_ZONE"), Some("us_east-1.a"));
    assert_eq!(server.connections(), 0);
}

#[test]
fn never_is_never() {
    let server = api_of("bare");
    let options = ["--labels", "--set", "HOST=status.hostIP", "--api", "never"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert!(started(&outcome));
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), None);
    assert_eq!(server.connections(), 0);
}

#[test]
fn always_is_once_even_for_the_standard_set() {
    let server = api_of("bare");
    let world = server.world("bare", "web");
    let outcome = exec(&world, &server.url(), &["--api", "always"]).expect_code(0);
    assert_eq!(variable(&outcome, "CONTAINER_IMAGE"), Some("docker.io/library/busybox:local"));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_is_wanted_and_known_already_costs_none() {
    let server = api_of("bare");
    let options = ["--set", "N=metadata.name", "--set", "IP=status.podIP", "--require", "NODE_NAME"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "IP"), Some("10.244.0.5"));
    assert_eq!(server.connections(), 0);
}

#[test]
fn whatever_wants_the_unknown_costs_one() {
    let wanting: [&[&str]; 5] = [
        &["--set", "HOST=status.hostIP"],
        &["--annotations"],
        &["--require", "POD_LABEL_APP"],
        &["--require", "CONTAINER_IMAGE"],
        &["--otel"],
    ];
    for options in wanting {
        let server = api_of("bare");
        let outcome = exec(&server.world("bare", "web"), &server.url(), options).expect_code(0);
        assert!(started(&outcome));
        assert_eq!(server.requests().len(), 1, "{options:?}");
    }
}

#[test]
fn a_label_that_is_not_there_is_unset_and_not_waited_for() {
    let server = api_of("bare");
    let options = ["--set=TEAM=metadata.labels['team']", "--set=EMPTY=metadata.labels['team']:-''"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!((variable(&outcome, "TEAM"), variable(&outcome, "EMPTY")), (None, Some("")));
    assert_says(&outcome, &["TEAM is not set: the pod has no metadata.labels['team']"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_required_label_that_is_not_there_ends_exec_after_one_request() {
    let server = api_of("bare");
    let options = ["--require", "POD_LABEL_TEAM"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(125);
    assert!(!started(&outcome));
    assert_says(&outcome, &["POD_LABEL_TEAM"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn otel_takes_the_workload_from_the_pod() {
    let server = api_of("bare");
    let outcome = exec(&server.world("bare", "web"), &server.url(), &["--otel"]).expect_code(0);
    let attributes = variable(&outcome, "OTEL_RESOURCE_ATTRIBUTES").unwrap();
    assert!(attributes.contains("k8s.pod.name=bare"), "{attributes}");
    assert!(attributes.contains("k8s.container.name=web"), "{attributes}");
}

#[test]
fn write_asks_once_and_writes_no_token() {
    let server = api_of("bare");
    let world = server.world("bare", "init");
    let files = ["pod.json", "pod.env", "pod.sh"].map(|name| world.path().join(name));
    let mut options = vec!["--labels"];
    for file in &files {
        options.extend(["--out", file.to_str().unwrap()]);
    }
    let outcome = without_token(run(command(&world, &server.url(), "write", &options)));
    outcome.expect_code(0);
    assert_eq!(server.requests().len(), 1);
    for file in files {
        let content = std::fs::read_to_string(file).unwrap();
        assert!(content.contains("POD_LABEL_APP"), "{content}");
        assert_token_absent(&content);
    }
}

#[test]
fn a_recorded_container_is_not_looked_up_in_the_cluster_of_whoever_looks_at_it() {
    let server = api_of("bare");
    let world = server.world("bare", "web");
    let port = server.address().port().to_string();
    let service = [("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", &port)];
    world.environ(&service);
    let mut command = world.command(["print", "--labels"]);
    command.envs(service);
    let outcome = run(command).expect_code(0);
    assert!(outcome.stdout.contains("POD_NAME='bare'"), "{outcome:#?}");
    assert_eq!(server.connections(), 0);
}

#[test]
fn disabled_means_nothing_at_all() {
    let server = api_of("bare");
    let world = server.world("bare", "web");
    let mut command = exec_command(&world, &server.url(), &["--labels"]);
    command.env("INTROSPOD_DISABLED", "1");
    let outcome = run(command).expect_code(0);
    assert!(started(&outcome));
    assert_eq!(server.connections(), 0);
}
