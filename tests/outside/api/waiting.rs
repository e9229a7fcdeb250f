//! Fields that the API server does not have yet: the status comes up to a second after the start.

use super::*;
use crate::server::{Answer, Response, always, in_order};

const POD: &str = "deployment-web";

fn before() -> Answer {
    Response::json(&early("pod-without-ip.json", POD)).into()
}

fn after() -> Answer {
    Response::json(&early("pod-with-ip.json", POD)).into()
}

/// A container in which nothing but the API can tell the pod's address or the container's ID.
fn world(server: &Server) -> World {
    let world = server.world(POD, "main");
    world.remove("etc/hosts").write("proc/self/cgroup", "0::/\n");
    world
}

#[test]
fn what_is_wanted_is_asked_for_again_until_it_is_there() {
    for (expression, expected) in [
        ("status.podIP", "10.244.0.59"),
        ("status.podIPs", "10.244.0.59"),
        ("container.id", "9655ce9a77bdddb44e17d8212b0d39a21edffb095ca7e5d00ba26a8906cc3dec"),
        ("container.imageID", "sha256:b40dfd19798656db8ea706d1883b63cae7c75fe552c823344c28659bf74c2573"),
    ] {
        let server = Server::start(in_order([before(), before(), after()]));
        let set = format!("WANTED={expression}");
        let outcome = exec(&world(&server), &server.url(), &["--set", &set]).expect_code(0);
        assert_eq!(variable(&outcome, "WANTED"), Some(expected), "{outcome:#?}");
        assert_eq!(server.requests().len(), 3, "{expression}");
        assert!(server.targets().iter().all(|target| target.ends_with("?resourceVersion=0")));
    }
}

/// What the kubelet writes into the status.
#[test]
fn each_path_that_comes_late_is_waited_for() {
    let whole = early("pod-with-ip.json", POD);
    for (path, member, pointer) in [
        ("pod.status.startTime", "startTime", "/status/startTime"),
        ("pod.status.podIP", "podIP", "/status/podIP"),
        ("pod.status.podIPs.0.ip", "podIPs", "/status/podIPs/0/ip"),
        ("pod.status.hostIP", "hostIP", "/status/hostIP"),
        ("pod.status.hostIPs.0.ip", "hostIPs", "/status/hostIPs/0/ip"),
        (
            "pod.status.containerStatuses.0.imageID",
            "containerStatuses",
            "/status/containerStatuses/0/imageID",
        ),
    ] {
        let mut before = whole.clone();
        before["status"].as_object_mut().unwrap().remove(member).unwrap();
        let answers = [&before, &whole].map(|object| Response::json(object).into());
        let server = Server::start(in_order(answers));
        let set = format!("WANTED={path}");
        let outcome = exec(&world(&server), &server.url(), &["--set", &set]).expect_code(0);
        assert_eq!(variable(&outcome, "WANTED"), whole.pointer(pointer).unwrap().as_str(), "{path}");
        assert_eq!(server.requests().len(), 2, "{path}");
    }
}

#[test]
fn a_required_status_is_waited_for_too() {
    let server = Server::start(in_order([before(), after()]));
    let outcome = exec(&world(&server), &server.url(), &["--require", "POD_IP"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_IP"), Some("10.244.0.59"));
}

#[test]
fn what_is_not_wanted_is_not_waited_for() {
    let unwanting: [&[&str]; 4] =
        [&["--api", "always"], &["--labels"], &["--otel"], &["--set", "HOST=status.hostIP"]];
    for options in unwanting {
        let server = Server::start(always(before()));
        exec(&world(&server), &server.url(), options).expect_code(0);
        assert_eq!(server.requests().len(), 1, "{options:?}");
    }
}

#[test]
fn a_container_that_the_pod_does_not_have_is_not_waited_for() {
    for value in ["container.imageID", "container.id", "pod.status.containerStatuses.[name=typo].imageID"] {
        let server = Server::start(always(before()));
        let set = format!("X={value}");
        let outcome = exec(&world(&server), &server.url(), &["--container", "typo", "--set", &set]);
        assert!(started(&outcome.expect_code(0)), "{value}");
        assert_eq!(server.requests().len(), 1, "{value}");
    }
}

/// Runs `exec` with `options` until the deadline, while the API answers with `pod`.
#[track_caller]
fn until_the_deadline(pod: Answer, options: &[&str]) -> Outcome {
    let mut limit = Duration::from_millis(500);
    // On a busy machine the time may be over before the first answer.
    loop {
        let server = Server::start(always(pod.clone()));
        let shown = humantime::format_duration(limit).to_string();
        let begun = Instant::now();
        let outcome = exec(&world(&server), &server.url(), &[options, &["--timeout", &shown]].concat());
        assert!(begun.elapsed() < limit + SOON, "{:?}", begun.elapsed());
        if server.requests().len() > 1 {
            return outcome;
        }
        limit *= 2;
        assert!(limit < Duration::from_secs(60), "not waited for: {outcome:#?}");
    }
}

#[test]
fn at_the_deadline_the_application_starts_without() {
    for set in ["IP=status.podIP", "IP=pod.status.podIP"] {
        let outcome = until_the_deadline(before(), &["--set", set, "--labels"]).expect_code(0);
        assert!(started(&outcome));
        assert_eq!(variable(&outcome, "IP"), None);
        assert_says(&outcome, &["status.podIP", "the API server does not have it yet; raise --timeout"]);
    }
}

#[test]
fn what_the_api_told_before_the_deadline_is_kept() {
    let mut object = early("pod-without-ip.json", POD);
    object["metadata"]["labels"] = serde_json::json!({"team": "blue"});
    let options = ["--set", "IP=status.podIP", "--labels"];
    let outcome = until_the_deadline(Response::json(&object).into(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_TEAM"), Some("blue"));
}

#[test]
fn a_required_status_that_does_not_come_ends_exec() {
    let outcome = until_the_deadline(before(), &["--require", "POD_IP"]).expect_code(125);
    assert!(!started(&outcome));
    assert_says(&outcome, &["POD_IP", "the API server does not have it yet; raise --timeout"]);
}

#[test]
fn a_failure_while_waiting_is_only_one_more_attempt() {
    let busy = Response::failure(503, "ServiceUnavailable", "not now");
    let server = Server::start(in_order([before(), busy.into(), after()]));
    let outcome = exec(&world(&server), &server.url(), &["--set", "IP=status.podIP"]);
    assert_eq!(variable(&outcome.expect_code(0), "IP"), Some("10.244.0.59"));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_container_that_starts_after_this_one_is_not_waited_for() {
    // This process runs in an initContainer, before the container that is described.
    let mut object = early("pod-without-ip.json", POD);
    object["spec"]["initContainers"] = serde_json::json!([{"name": "first"}, {"name": "second"}]);
    for (own, container, requests) in [("first", "main", 1), ("first", "second", 1), ("first", "first", 2)] {
        let response = Response::json(&object);
        let server = Server::start(in_order([response.clone().into(), response.into()]));
        let world = world(&server);
        let mountinfo = std::fs::read_to_string(world.path().join("proc/self/mountinfo")).unwrap();
        world.write(
            "proc/self/mountinfo",
            mountinfo.replace("/containers/main/", &format!("/containers/{own}/")),
        );
        let out = world.path().join("out.json");
        let url = server.url();
        let mut command = world.command(["write", "--container", container, "--api-url", &url]);
        command.args(["--set", "ID=container.imageID", "--timeout", LIMIT, "--out"]).arg(out);
        crate::world::run(command).expect_code(0);
        let asked = server.requests().len();
        assert!(if requests == 1 { asked == 1 } else { asked > 1 }, "{own} for {container}: {asked}");
    }
}

#[test]
fn with_wait_the_api_is_asked_again_after_a_failure_and_after_an_answer_that_lacks_something() {
    let forbidden = Response::failure(403, "Forbidden", "not yet");
    let (mut without, mut with) = (pod(POD), pod(POD));
    without["metadata"]["labels"] = serde_json::json!({"foo": "bar"});
    with["metadata"]["labels"] = serde_json::json!({"team": "blue"});
    let answers = [forbidden.into(), Response::json(&without).into(), Response::json(&with).into()];
    let server = Server::start(in_order(answers));
    let options = ["--require", "POD_LABEL_TEAM", "--wait", "1h", "--timeout", AMPLE];
    let outcome = exec(&world(&server), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_TEAM"), Some("blue"));
    assert_eq!(outcome.stderr, "", "only what the last attempt logs");
    let asked: Vec<Instant> = server.requests().iter().map(|request| request.arrived).collect();
    assert_eq!(asked.len(), 3);
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(5)), "{asked:?}");
}
