//! An API server that fails: the messages, the time, and the number of attempts.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::*;
use crate::server::{Answer, End, Portion, Response, SECRET, Unaccepting, always, in_order, token};

/// Runs `exec --labels` against a server that answers by `script`, without waiting for long.
#[track_caller]
fn fails(script: impl FnMut(&crate::server::Request) -> Answer + Send + 'static, words: &[&str]) -> Server {
    let server = Server::start(script);
    let world = server.world("bare", "web");
    let mut limit = Duration::from_millis(500);
    // On a busy machine the time may be over before the request has been sent.
    loop {
        let shown = humantime::format_duration(limit).to_string();
        let outcome = exec(&world, &server.url(), &["--labels", "--timeout", &shown]).expect_code(0);
        if !server.requests().is_empty() {
            assert!(started(&outcome));
            assert_eq!(variable(&outcome, "POD_LABEL_APP"), None, "{outcome:#?}");
            assert_says(&outcome, words);
            return server;
        }
        limit *= 2;
        assert!(limit < Duration::from_secs(60), "no request: {outcome:#?}");
    }
}

/// The same for an answer that will not get better, however often it is asked for.
#[track_caller]
fn fails_at_once(response: Response, words: &[&str]) {
    let server = Server::start(always(response));
    let world = server.world("bare", "web");
    let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
    assert!(started(&outcome));
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), None);
    assert_says(&outcome, words);
    assert_eq!(server.requests().len(), 1, "asked again for what will not change");
}

/// Answers with what comes first, and then with the Pod: the labels are there after two requests.
#[track_caller]
fn succeeds_after(first: Answer) -> Server {
    let server = Server::start(in_order([first, Response::json(&pod("bare")).into()]));
    let outcome = exec(&server.world("bare", "web"), &server.url(), &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "{outcome:#?}");
    assert_eq!(server.requests().len(), 2);
    assert!(server.targets().iter().all(|target| target.ends_with("?resourceVersion=0")));
    server
}

fn bare() -> Response {
    Response::json(&pod("bare"))
}

fn unavailable() -> Response {
    Response::failure(503, "ServiceUnavailable", "the apiserver is shutting down")
}

#[test]
fn a_refused_connection_is_reported_as_refused() {
    let anywhere = Server::silent();
    // Nothing listens on port 1, and nothing is given it by chance.
    let world = anywhere.world("bare", "web");
    let outcome = starts_without_labels(&world, "https://127.0.0.1:1", &["127.0.0.1:1", "refused"]);
    assert!(!outcome.stderr.contains("no answer within"), "{outcome:#?}");
}

/// A server that starts while introspod waits for it, and hangs: the last attempt runs into the deadline.
#[test]
fn a_timeout_does_not_hide_that_the_connection_was_refused() {
    // Nothing else listens at this address of the loopback.
    let address = "127.53.0.7:6443";
    let world = Server::silent().world("bare", "web");
    let mut command = exec_command(&world, &format!("https://{address}"), &["--labels", "--timeout", "2s"]);
    command.env("INTROSPOD_LOG", "info").stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let refused = lines.find(|line| line.contains("refused"));
    assert!(refused.is_some(), "nothing was refused");
    let _accepting_none = std::net::TcpListener::bind(address).unwrap();
    let lines: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success());
    assert!(lines.iter().any(|line| line.contains("GET") && line.contains("no answer within")), "{lines:#?}");
    let warning = lines.iter().find(|line| line.contains("warn: ") && line.contains(address)).unwrap();
    assert!(warning.contains("refused") && !warning.contains("no answer within"), "{warning}");
}

/// The other way round: of several failures the one that says most.
#[test]
fn a_timeout_does_not_hide_that_the_connection_was_reset() {
    let server = Server::resetting_at_first();
    let options = ["--labels", "--timeout", "2s"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert!(server.connections() > 1, "not retried");
    assert_says(&outcome, &["reset|closed"]);
    assert!(!outcome.stderr.contains("no answer within"), "{outcome:#?}");
}

/// One warning is enough, however many objects the server was to be asked for.
#[test]
fn a_server_that_refuses_is_reported_once() {
    let world = Server::silent().world("bare", "web");
    let options = ["--labels", "--set=ZONE=node.labels['zone']", "--set=UID=cluster.uid", "--timeout", LIMIT];
    let outcome = exec(&world, "https://127.0.0.1:1", &options).expect_code(0);
    assert!(started(&outcome));
    assert_eq!(outcome.stderr.matches("127.0.0.1:1").count(), 1, "{outcome:#?}");
}

#[test]
fn what_the_server_says_is_cut_and_escaped() {
    let long = format!("{}\u{2028}\u{85}\u{feff}\n{}", "a".repeat(900), "b".repeat(5000));
    let denied = Response::failure(403, "Forbidden", &long);
    let server = Server::start(always(denied));
    let outcome = exec(&server.world("bare", "web"), &server.url(), &["--labels"]).expect_code(0);
    assert_says(&outcome, &[r"aa\u{2028}\u{85}\u{feff}\n"]);
    let line = outcome.stderr.lines().find(|line| line.contains("403")).unwrap();
    assert!(line.len() < 2000 && !line.contains(&"b".repeat(1000)), "{}", line.len());
    assert!(!outcome.stderr.contains('\u{2028}'), "{outcome:#?}");
}

#[test]
fn a_token_that_the_server_echoes_is_struck_out() {
    let own = token("bare");
    let page = || Response::failure(403, "Forbidden", &format!("Bearer {own} may not, {SECRET} may not"));
    let moved = Response::new(302, "text/plain", "").with("Location", &format!("https://10.0.0.1/{own}"));
    let encoded = Response::json(&pod("bare")).with("Content-Encoding", &own);
    for response in [page(), moved, encoded] {
        let server = Server::start(always(response));
        let world = server.world("bare", "web");
        let mut command = exec_command(&world, &server.url(), &["--labels"]);
        command.env("INTROSPOD_LOG", "info");
        let outcome = without_token(run(command)).expect_code(0);
        assert_says(&outcome, &["[token]"]);
        without_token(run(super::command(&world, &server.url(), "get", &["/version"])));
    }
}

#[test]
fn an_object_of_a_kind_without_end_is_cut() {
    let mut object = pod("bare");
    object["kind"] = "x".repeat(1 << 20).into();
    let server = Server::start(always(Response::json(&object)));
    let outcome = exec(&server.world("bare", "web"), &server.url(), &["--labels"]).expect_code(0);
    assert!(outcome.stderr.len() < 4096, "{}", outcome.stderr.len());
}

#[test]
fn a_reset_before_tls_is_tried_again() {
    let server = Server::resetting();
    let address = server.address().to_string();
    let world = server.world("bare", "web");
    starts_without_labels(&world, &server.url(), &[&address, "reset|closed"]);
    assert!(server.connections() > 1, "not retried");
}

#[test]
fn a_reset_in_the_answer_is_tried_again() {
    for portion in [Portion::Nothing, Portion::HalfTheHead, Portion::HalfTheBody] {
        let server = Server::start(always(Answer::Part(portion, bare(), End::Reset)));
        starts_within("3s", &server.world("bare", "web"), &server.url(), &["127.0.0.1"]);
        assert!(server.requests().len() > 1, "not retried: {portion:?}");
    }
}

#[test]
fn a_reset_connection_is_made_again() {
    succeeds_after(Answer::Part(Portion::HalfTheBody, bare(), End::Reset));
}

/// With a limit of which half, which connecting may take, is more than a busy machine needs.
#[track_caller]
fn hangs_while_connecting(world: &World, url: &str) {
    starts_within("4s", world, url, &["connecting by TCP and TLS", "4s", "each start waits"]);
}

#[test]
fn connecting_that_hangs_ends_at_the_deadline() {
    let server = Unaccepting::new();
    let world = Server::silent().world("bare", "web");
    hangs_while_connecting(&world, &server.url());
}

#[test]
fn tls_that_hangs_ends_at_the_deadline() {
    let server = Server::silent();
    hangs_while_connecting(&server.world("bare", "web"), &server.url());
}

#[test]
fn a_replica_that_hangs_is_given_up_for_another() {
    let server = Server::silent_at_first(always(bare()));
    let options = ["--labels", "--timeout", "2s"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "{outcome:#?}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_answer_that_never_begins_ends_at_the_deadline() {
    fails(always(Answer::Part(Portion::Nothing, bare(), End::Hang)), &["waiting for the response"]);
}

#[test]
fn headers_that_hang_end_at_the_deadline() {
    fails(always(Answer::Part(Portion::HalfTheHead, bare(), End::Hang)), &["waiting for the response"]);
}

#[test]
fn a_body_that_hangs_ends_at_the_deadline() {
    fails(always(Answer::Part(Portion::HalfTheBody, bare(), End::Hang)), &["waiting for the response"]);
}

#[test]
fn an_answer_that_trickles_ends_at_the_deadline() {
    let pause = Duration::from_millis(20);
    fails(always(Answer::Trickle(pause, bare())), &["waiting for the response"]);
}

#[test]
fn statuses_that_pass_are_retried_until_the_deadline() {
    for (code, reason) in
        [(408, "Timeout"), (429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")]
    {
        let message = "what the server has to say";
        let words = [&code.to_string(), message];
        let server = fails(always(Response::failure(code, reason, message)), &words);
        assert!(server.requests().len() > 1, "not retried: {code}");
    }
}

#[test]
fn running_out_of_time_does_not_hide_what_the_server_said() {
    let hang = Answer::Part(Portion::Nothing, bare(), End::Hang);
    let server = fails(in_order([unavailable().into(), hang]), &["503", "shutting down"]);
    assert_eq!(server.requests().len(), 2);
}

/// An API server that shuts down: what it said says more than that it is gone.
#[test]
fn a_broken_connection_does_not_hide_what_the_server_said() {
    let reset = Answer::Part(Portion::Nothing, bare(), End::Reset);
    let server = fails(in_order([unavailable().into(), reset]), &["503", "shutting down"]);
    assert!(server.requests().len() > 2, "not retried");
}

#[test]
fn a_status_that_has_passed_is_forgotten() {
    for code in [408, 429, 500, 503] {
        succeeds_after(Response::failure(code, "Passing", "not now").into());
    }
}

#[test]
fn retry_after_is_obeyed() {
    for code in [429, 503] {
        let busy = Response::failure(code, "TooManyRequests", "not now").with("Retry-After", "1");
        let requests = succeeds_after(busy.into()).requests();
        let waited = requests[1].arrived - requests[0].arrived;
        // The backoff alone would wait for 50 ms at most.
        assert!(waited >= Duration::from_millis(900), "{code}: {waited:?}");
    }
}

#[test]
fn retry_after_does_not_outlast_the_deadline() {
    for seconds in ["60", &u64::MAX.to_string()] {
        let busy = Response::failure(429, "TooManyRequests", "not now").with("Retry-After", seconds);
        let server = fails(always(busy), &["429"]);
        assert_eq!(server.requests().len(), 1, "asked before the time that the server has named");
    }
}

#[test]
fn retry_after_no_time_is_no_reason_to_storm_the_server() {
    let busy = Response::failure(429, "TooManyRequests", "not now").with("Retry-After", "0");
    let requests = fails(always(busy), &["429"]).requests().len();
    assert!((2..30).contains(&requests), "{requests}");
}

#[test]
fn a_retry_after_that_is_no_number_is_no_reason_to_wait() {
    let date = unavailable().with("Retry-After", "Sat, 21 Nov 2093 00:00:00 GMT");
    succeeds_after(date.into());
}

#[test]
fn not_found_is_asked_once_more_without_the_cache() {
    let missing = Response::failure(404, "NotFound", "pods \"bare\" not found");
    let server = fails(always(missing), &["404|not found", "bare"]);
    let path = "/api/v1/namespaces/default/pods/bare";
    assert_eq!(server.targets(), [&format!("{path}?resourceVersion=0"), path]);
}

#[test]
fn not_found_in_the_cache_but_there() {
    let missing = Response::failure(404, "NotFound", "pods \"bare\" not found");
    let server = Server::start(in_order([missing.into(), bare().into()]));
    let outcome = exec(&server.world("bare", "web"), &server.url(), &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_body_of_nine_mebibytes() {
    let mut body = pod("bare").to_string().into_bytes();
    body.resize(9 << 20, b' ');
    fails_at_once(Response::new(200, "application/json", body), &["8 MiB"]);
}

#[test]
fn an_answer_cut_short_is_asked_for_again() {
    let server = fails(always(Answer::Part(Portion::HalfTheBody, bare(), End::Close)), &["127.0.0.1"]);
    assert!(server.requests().len() > 1, "not retried");
}

#[test]
fn chunks_cut_short_are_asked_for_again() {
    let answer = Answer::Part(Portion::HalfTheBody, bare().chunked(), End::Close);
    let server = fails(always(answer), &["127.0.0.1"]);
    assert!(server.requests().len() > 1, "not retried");
}

#[test]
fn closed_without_an_answer() {
    succeeds_after(Answer::Part(Portion::Nothing, bare(), End::Close));
}

#[test]
fn an_answer_that_is_not_json_is_not_used() {
    let page = "<html><body>Please log in to the hotel's network</body></html>";
    fails_at_once(Response::new(200, "text/html", page), &["JSON"]);
    fails_at_once(Response::new(200, "application/json", ""), &["JSON"]);
}

#[test]
fn json_of_another_shape() {
    for body in ["[]", "null", "42", "{}"] {
        fails_at_once(Response::new(200, "application/json", body), &["Pod"]);
    }
}

#[test]
fn a_list_of_pods() {
    let list = serde_json::json!({"kind": "PodList", "apiVersion": "v1", "items": [pod("bare")]});
    fails_at_once(Response::json(&list), &["PodList"]);
}

#[test]
fn compressed_without_being_asked() {
    // `printf '{}' | gzip -n9`
    let gzip: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0";
    let response = Response::new(200, "application/json", gzip).with("Content-Encoding", "gzip");
    fails_at_once(response, &["gzip|JSON"]);
}

#[test]
fn a_chunked_answer_is_read() {
    let server = Server::start(always(bare().chunked()));
    let outcome = exec(&server.world("bare", "web"), &server.url(), &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn as_recorded_from_a_real_server() {
    for name in ["200-http11", "200-reader-own-pod", "200-reader-own-pod-nocurl-ua"] {
        let server = Server::start(always(Response::recorded(name)));
        let world = server.world("bare", "web");
        let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
        assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "{name}");
    }
}

#[test]
fn what_is_required_is_required() {
    let server = Server::start(always(unavailable()));
    let world = server.world("bare", "web");
    let options = ["--require", "POD_LABEL_APP", "--timeout", "2s"];
    let begun = Instant::now();
    let outcome = exec(&world, &server.url(), &options).expect_code(125);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(!started(&outcome));
    assert_says(&outcome, &["POD_LABEL_APP", "503"]);
    let outcome = print(&world, &server.url(), &options).expect_code(1);
    assert_says(&outcome, &["POD_LABEL_APP", "503"]);
}

#[test]
fn print_explains_why_the_api_told_nothing() {
    let server = Server::start(always(unavailable()));
    let world = server.world("bare", "web");
    let options = ["--explain", "--labels", "--timeout", LIMIT];
    let outcome = print(&world, &server.url(), &options).expect_code(0);
    assert!(outcome.stdout.contains("503"), "{outcome:#?}");
}
