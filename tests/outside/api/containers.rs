//! Several containers of one pod: each has its own facts, and the API server is queried once for all.

use serde_json::json;

use super::*;
use crate::server::{Answer, Request, Response, always, in_order};

/// The container IDs that the Pod object `bare` has.
const WEB: &str = "5c333dd34fdf87097d279e53cc233dae54f5b68423ffb47ddc898c7ba8c4d63a";
const SIDE: &str = "73e35eb5625bc300510a774ce9efcdcbf68901a29138a43c847369726a988aca";

/// The pod `bare`, whose container `side` has another image and a limit.
fn two_containers() -> Value {
    let mut pod = pod("bare");
    let side = pod["spec"]["containers"].as_array_mut().unwrap();
    let side = side.iter_mut().find(|container| container["name"] == "side").unwrap();
    side["image"] = json!("side:2");
    side["resources"] = json!({"limits": {"memory": "1Gi"}});
    pod
}

/// `write` for `web` and `side`, and the documents that it wrote.
fn written(world: &World, server: &Server, options: &[&str]) -> (Outcome, [Value; 2]) {
    let out = world.path().join("{container}.json");
    let all = ["--container=web", "--container=side", "--out", out.to_str().unwrap()];
    let outcome = without_token(run(command(world, &server.url(), "write", &[&all, options].concat())));
    let read = |name: &str| {
        let file = world.path().join(format!("{name}.json"));
        crate::schema::checked(&std::fs::read_to_string(file).unwrap())
    };
    let outcome = outcome.expect_code(0);
    (outcome, ["web", "side"].map(read))
}

#[test]
fn one_request_is_enough_for_all_containers() {
    for own in ["init", "web", "debugger"] {
        let server = Server::start(always(Response::json(&two_containers())));
        let world = server.world("bare", own);
        // Without a token nothing names the pod of the recorded `debugger`.
        let options = ["--labels", "--set=IMAGE=container.image", "--set=HOST=status.hostIP"];
        let (outcome, [web, side]) = written(&world, &server, &options);
        assert_eq!(outcome.stderr, "", "{own}");
        assert_eq!(server.targets(), ["/api/v1/namespaces/default/pods/bare?resourceVersion=0"], "{own}");
        for (document, name, id) in [(&web, "web", WEB), (&side, "side", SIDE)] {
            assert_eq!(document["container"]["name"], name);
            assert_eq!(document["container"]["id"], id, "{own}");
            assert_eq!(document["variables"]["HOST"], "10.99.0.1");
            assert_eq!(document["pod"]["labels"]["app"], "demo");
        }
        assert_eq!(web["variables"]["IMAGE"], "docker.io/library/busybox:local");
        assert_eq!(side["variables"]["IMAGE"], "side:2");
        assert_eq!(web["container"]["resources"], Value::Null);
        assert_eq!(side["container"]["resources"]["limits"]["memory"], "1Gi");
    }
}

#[test]
fn other_objects_cost_one_request_for_all_containers_too() {
    let server = Server::start(|request: &Request| -> Answer {
        let namespace = json!({"kind": "Namespace", "metadata": {"name": "default", "uid": "uid-1"}});
        if request.target.contains("/pods/") {
            Response::json(&two_containers()).into()
        } else {
            Response::json(&namespace).into()
        }
    });
    let world = server.world("bare", "init");
    let (_, documents) =
        written(&world, &server, &["--set=UID=namespace.metadata.uid", "--set=IMAGE=container.image"]);
    for document in documents {
        assert_eq!(document["variables"]["UID"], "uid-1");
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_failure_is_heard_and_said_once() {
    let server = Server::start(always(Response::failure(403, "Forbidden", "pods is forbidden")));
    let (outcome, documents) = written(&server.world("bare", "init"), &server, &["--labels"]);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(outcome.stderr.matches("403").count(), 1, "{}", outcome.stderr);
    assert_eq!(outcome.stderr.matches("kubectl create rolebinding").count(), 1, "{}", outcome.stderr);
    for document in documents {
        assert_eq!(document["pod"]["name"], "bare");
    }
}

#[test]
fn each_container_is_waited_for() {
    let mut before = two_containers();
    let statuses = before["status"]["containerStatuses"].as_array_mut().unwrap();
    statuses.retain(|status| status["name"] != "side");
    let answers = [before.clone(), before, two_containers()].map(|pod| Response::json(&pod).into());
    let server = Server::start(in_order(answers));
    let options = ["--set=ID=container.imageID", "--require=ID"];
    let (_, documents) = written(&server.world("bare", "debugger"), &server, &options);
    for document in documents {
        assert!(document["variables"]["ID"].is_string(), "{document:#}");
    }
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_limit_that_a_container_does_not_have_is_said_with_its_name() {
    let server = Server::start(always(Response::json(&two_containers())));
    let options = ["--set=MEMORY=limits.memory"];
    let (outcome, [web, side]) = written(&server.world("bare", "init"), &server, &options);
    assert_eq!(web["variables"]["MEMORY"], Value::Null);
    assert_eq!(side["variables"]["MEMORY"], "1073741824");
    assert_says(&outcome, &["MEMORY is not set: the container web has no limits.memory"]);
    assert!(!outcome.stderr.contains("container side"), "{}", outcome.stderr);
}
