//! The client's identity: the token, its use, and that it never leaks.

use super::*;
use crate::server::{Answer, End, Portion, Request, Response, SECRET, SERVICE_ACCOUNT, Trap, always, token};

#[test]
fn the_token_is_sent_as_it_is_less_the_newline() {
    let server = Server::start(always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    world.write(&format!("{SERVICE_ACCOUNT}/token"), format!(" {}\n", token("bare")));
    exec(&world, &server.url(), &["--labels"]).expect_code(0);
    let sent = format!("Bearer {}", token("bare"));
    assert_eq!(server.requests()[0].header("authorization"), Some(sent.as_str()));
}

#[test]
fn a_token_that_does_not_open() {
    let server = Server::start(always(Response::recorded("401-bad-token")));
    let world = server.world("bare", "web");
    starts_at_once_without_labels(&world, &server.url(), &["401", "token", "expired", "audience"]);
    assert!((1..=2).contains(&server.requests().len()));
}

/// Answers 401 to any token but `new`, and while it does so has the file replaced by `next`.
fn rotating(new: String, file: std::path::PathBuf, next: String) -> impl FnMut(&Request) -> Answer {
    move |request| {
        if request.header("authorization") == Some(&format!("Bearer {new}")) {
            return Response::json(&pod("bare")).into();
        }
        std::fs::write(&file, &next).unwrap();
        Response::recorded("401-bad-token").into()
    }
}

#[test]
fn a_token_that_rotates_is_read_again() {
    let (world, new) = (World::recorded("bare", "web"), format!("{}-new", token("bare")));
    let file = world.path().join(SERVICE_ACCOUNT).join("token");
    let server = Server::start(rotating(new.clone(), file, new.clone()));
    server.accept_any_token();
    give_service_account(&world, &server);
    let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "{outcome:#?}");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_token_is_read_again_only_once() {
    let world = World::recorded("bare", "web");
    let file = world.path().join(SERVICE_ACCOUNT).join("token");
    let next = format!("{}-never-right", token("bare"));
    let server = Server::start(rotating("the one that is never there".to_owned(), file, next));
    server.accept_any_token();
    give_service_account(&world, &server);
    starts_at_once_without_labels(&world, &server.url(), &["401"]);
    assert_eq!(server.requests().len(), 2);
}

fn give_service_account(world: &World, server: &Server) {
    world
        .write(&format!("{SERVICE_ACCOUNT}/ca.crt"), server.ca())
        .write(&format!("{SERVICE_ACCOUNT}/token"), token("bare"));
}

#[test]
fn no_token_no_request() {
    let server = Server::start(always(Response::json(&pod("notoken"))));
    let world = World::recorded("notoken", "main");
    world.environ(&[("POD_NAME", "notoken"), ("POD_NAMESPACE", "default")]);
    let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
    assert!(started(&outcome));
    assert_says(&outcome, &["token", "automountServiceAccountToken"]);
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_redirect_is_not_followed() {
    for code in [301, 302, 307, 308] {
        let trap = Trap::new();
        for scheme in ["http", "https"] {
            let location = format!("{scheme}://{}/api/v1/namespaces/default/pods/bare", trap.address());
            let moved = Response::new(code, "text/plain", "moved").with("Location", &location);
            let server = Server::start(always(moved));
            let words = ["redirect", &code.to_string()];
            starts_at_once_without_labels(&server.world("bare", "web"), &server.url(), &words);
        }
        trap.assert_untouched();
    }
}

#[test]
fn secrets_of_a_redirect_and_of_a_path_are_shown_nowhere() {
    for (location, shown) in [
        ("https://admin:hunter2@sso.example/login?state=hunter2#hunter2", "https://sso.example/login"),
        ("/login?state=hunter2", "/login"),
        ("//hunter2@sso.example", "https://sso.example/"),
        ("https://[hunter2", "302"),
    ] {
        let server = Server::start(always(Response::new(302, "text/plain", "").with("Location", location)));
        let world = server.world("bare", "web");
        let mut command = command(&world, &server.url(), "get", &["/x?token=hunter2"]);
        command.env("INTROSPOD_LOG", "trace");
        let outcome = without_token(run(command)).expect_code(1);
        assert_says(&outcome, &["302", "redirect", shown]);
        assert!(!outcome.stderr.contains("hunter2"), "{outcome:#?}");
        assert_eq!(server.targets(), ["/x?token=hunter2"]);
    }
}

#[test]
fn a_proxy_in_the_environment_is_not_used() {
    let trap = Trap::new();
    let server = Server::start(always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    let mut command = exec_command(&world, &server.url(), &["--labels"]);
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, format!("http://{}", trap.address()));
        world.environ(&[(name, &format!("http://{}", trap.address()))]);
    }
    let outcome = run(command).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "{outcome:#?}");
    trap.assert_untouched();
}

#[test]
fn a_token_for_claims_only_is_never_sent() {
    let server = Server::start(always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    world.write("var/run/secrets/tokens/vault", format!("{}-for-vault", token("bare")));
    let options = ["--labels", "--token-file", "/var/run/secrets/tokens/vault"];
    exec(&world, &server.url(), &options).expect_code(0);
    let sent = format!("Bearer {}", token("bare"));
    assert_eq!(server.requests()[0].header("authorization"), Some(sent.as_str()));
}

#[test]
fn the_token_is_nowhere_even_at_trace_level() {
    let bare = Response::json(&pod("bare"));
    let answers: [Answer; 9] = [
        bare.clone().into(),
        Answer::Part(Portion::Nothing, bare.clone(), End::Reset),
        Answer::Part(Portion::HalfTheBody, bare.clone(), End::Close),
        Answer::Part(Portion::HalfTheHead, bare.clone(), End::Hang),
        Response::recorded("401-bad-token").into(),
        Response::recorded("403-noperm-own-pod").into(),
        Response::failure(429, "TooManyRequests", "not now").into(),
        Response::new(302, "text/plain", "").with("Location", "https://127.0.0.1:1/").into(),
        Response::new(200, "text/html", "<html>").into(),
    ];
    for answer in answers {
        let server = Server::start(always(answer));
        let world = server.world("bare", "web");
        let file = world.path().join("written.json");
        let options = ["--labels", "--annotations", "--timeout", "1s", "--out", file.to_str().unwrap()];
        let mut command = exec_command(&world, &server.url(), &options);
        command.env("INTROSPOD_LOG", "trace");
        without_token(run(command).expect_code(0));
        assert_token_absent(&std::fs::read_to_string(file).unwrap());
        // Otherwise there was nothing to be found.
        assert!(server.requests()[0].header("authorization").unwrap().contains(SECRET));
    }
}
