//! `introspod get PATH`: one GET with the same client, and the unchanged body.

use super::*;
use crate::server::{Answer, End, Portion, Response, always, in_order};

fn get(world: &World, server: &Server, arguments: &[&str]) -> Outcome {
    without_token(run(command(world, &server.url(), "get", arguments)))
}

/// A server and the outcome of getting `path` from it, where it answers `response`.
fn got(response: impl Into<Answer>, path: &str) -> (Server, Outcome) {
    let answer: Answer = response.into();
    let server = Server::start(always(answer));
    let outcome = get(&server.world("bare", "web"), &server, &["--timeout", LIMIT, path]);
    (server, outcome)
}

#[test]
fn the_body_as_it_came() {
    for response in [
        Response::recorded("200-version-anonymous"),
        Response::recorded("200-http11"),
        Response::new(200, "text/plain", "ok"),
        Response::new(200, "application/octet-stream", &b"\xff\xfe no text\r\n"[..]),
        Response::new(200, "text/plain", ""),
    ] {
        let server = Server::start(always(response.clone()));
        let world = server.world("bare", "web");
        let output = command(&world, &server.url(), "get", &["/version"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, response.body());
        assert!(output.stderr.is_empty(), "{output:?}");
        assert_eq!(server.targets(), ["/version"]);
    }
}

#[test]
fn the_pods_own_namespace() {
    let path = "/api/v1/namespaces/{namespace}/pods/bare?fieldSelector=a%3Db";
    let (server, outcome) = got(Response::json(&pod("bare")), path);
    outcome.expect_code(0);
    assert_eq!(server.targets(), ["/api/v1/namespaces/default/pods/bare?fieldSelector=a%3Db"]);
}

#[test]
fn not_found_is_what_the_server_says() {
    let path = "/api/v1/namespaces/{namespace}/pods/doesnotexist";
    let (server, outcome) = got(Response::recorded("404-reader-missing-pod"), path);
    assert_says(&outcome, &["404", "pods \"doesnotexist\" not found"]);
    assert_eq!(outcome.stdout, "");
    assert_eq!(outcome.code, 1);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn forbidden_says_what_is_missing() {
    let path = "/api/v1/namespaces/{namespace}/pods/bare";
    let (server, outcome) = got(Response::recorded("403-noperm-own-pod"), path);
    assert_says(&outcome, &["403", "cannot get resource \"pods\"", "kubectl create role "]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_recorded_container_has_no_api_server_unless_it_is_named() {
    let server = Server::start(always(Response::new(200, "text/plain", "ok")));
    let world = server.world("bare", "web");
    let port = server.address().port().to_string();
    world.environ(&[("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", &port)]);
    let outcome = run(world.command(["get", "/version"])).expect_code(1);
    assert_says(&outcome, &["--root", "--api-url"]);
    assert_eq!(server.connections(), 0);
}

#[test]
fn unauthorized_says_what_to_do() {
    let (_server, outcome) = got(Response::recorded("401-bad-token"), "/version");
    assert_says(&outcome, &["401", "expired", "audience"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
}

#[test]
fn what_passes_is_retried() {
    let busy = Response::failure(503, "ServiceUnavailable", "not now");
    let server = Server::start(in_order([busy.into(), Response::new(200, "text/plain", "ok").into()]));
    let outcome = get(&server.world("bare", "web"), &server, &["/healthz"]).expect_code(0);
    assert_eq!(outcome.stdout, "ok");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn what_does_not_pass_ends_at_the_deadline() {
    let hang = Answer::Part(Portion::HalfTheBody, Response::json(&pod("bare")), End::Hang);
    let begun = Instant::now();
    let (_server, outcome) = got(hang, "/version");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "half a body is none");
}

#[test]
fn a_body_of_nine_mebibytes() {
    let large = Response::new(200, "text/plain", vec![b' '; 9 << 20]);
    let server = Server::start(always(large));
    let outcome = get(&server.world("bare", "web"), &server, &["/version"]).expect_code(1);
    assert_says(&outcome, &["8 MiB"]);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_path_begins_with_a_slash() {
    for arguments in [&["version"][..], &["https://admin:hunter2@example.com/version"], &[], &["/a", "/b"]] {
        let server = Server::start(always(Response::new(200, "text/plain", "ok")));
        let outcome = get(&server.world("bare", "web"), &server, arguments).expect_code(2);
        assert_eq!(outcome.stdout, "");
        assert!(!outcome.stderr.contains("hunter2"), "{outcome:#?}");
        assert!(!outcome.stderr.is_empty());
        assert_eq!(server.connections(), 0);
    }
}

#[test]
fn a_path_cannot_name_another_host() {
    let trap = crate::server::Trap::new();
    let server = Server::start(always(Response::new(200, "text/plain", "ok")));
    let path = format!("//{}/version", trap.address());
    let outcome = get(&server.world("bare", "web"), &server, &[&path]);
    trap.assert_untouched();
    // The path is used unchanged, or rejected.
    assert!(server.requests().len() == 1 || outcome.code == 2, "{outcome:#?}");
}

/// What no header can hold is not sent, and is not shown.
#[test]
fn a_file_that_holds_no_token_is_named() {
    let server = Server::start(always(Response::new(200, "text/plain", "ok")));
    for content in ["hunter2 hunter2", "hunter2\nhunter2", "hunter2\u{e9}", "", " \n"] {
        let world = server.world("bare", "web");
        world.write(&format!("{}/token", crate::server::SERVICE_ACCOUNT), content);
        let outcome = get(&world, &server, &["/version"]).expect_code(1);
        assert_says(&outcome, &["serviceaccount/token", "it does not hold a token"]);
        assert!(!outcome.stderr.contains("hunter2"), "{outcome:#?}");
    }
    assert_eq!(server.connections(), 0);
}
