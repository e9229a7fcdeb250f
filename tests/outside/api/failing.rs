//! An API server that fails: the messages, the time, and the number of attempts.

use super::*;
use crate::server::{Answer, End, Portion, Response, Unaccepting, always, in_order};

/// Runs `exec --labels` against a server that answers by `script`, without waiting for long.
#[track_caller]
fn fails(script: impl FnMut(&crate::server::Request) -> Answer + Send + 'static, words: &[&str]) -> Server {
    let server = Server::start(script);
    starts_without_labels(&server.world("bare", "web"), &server.url(), words);
    server
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
fn refused() {
    let anywhere = Server::silent();
    // Nothing listens on port 1, and nothing is given it by chance.
    let world = anywhere.world("bare", "web");
    starts_without_labels(&world, "https://127.0.0.1:1", &["127.0.0.1:1", "refused"]);
}

#[test]
fn reset_before_tls() {
    let server = Server::resetting();
    let address = server.address().to_string();
    let world = server.world("bare", "web");
    starts_without_labels(&world, &server.url(), &[&address, "reset|closed"]);
    assert!(server.connections() > 1, "not retried");
}

#[test]
fn reset_in_the_answer() {
    for portion in [Portion::Nothing, Portion::HalfTheHead, Portion::HalfTheBody] {
        let server = fails(always(Answer::Part(portion, bare(), End::Reset)), &["127.0.0.1"]);
        assert!(server.requests().len() > 1, "not retried: {portion:?}");
    }
}

#[test]
fn reset_once() {
    succeeds_after(Answer::Part(Portion::HalfTheBody, bare(), End::Reset));
}

#[test]
fn hanging_at_connect() {
    let server = Unaccepting::new();
    let world = Server::silent().world("bare", "web");
    starts_without_labels(&world, &server.url(), &["connect", LIMIT]);
}

#[test]
fn hanging_in_tls() {
    let server = Server::silent();
    starts_without_labels(&server.world("bare", "web"), &server.url(), &["TLS", LIMIT]);
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
fn hanging_before_the_headers() {
    fails(always(Answer::Part(Portion::Nothing, bare(), End::Hang)), &["response|answer", LIMIT]);
}

#[test]
fn hanging_inside_the_headers() {
    fails(always(Answer::Part(Portion::HalfTheHead, bare(), End::Hang)), &["response|answer", LIMIT]);
}

#[test]
fn hanging_inside_the_body() {
    fails(always(Answer::Part(Portion::HalfTheBody, bare(), End::Hang)), &["response|answer|body", LIMIT]);
}

#[test]
fn trickling() {
    let pause = Duration::from_millis(20);
    fails(always(Answer::Trickle(pause, bare())), &["response|answer|body", LIMIT]);
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
fn cut_short() {
    let server = fails(always(Answer::Part(Portion::HalfTheBody, bare(), End::Close)), &["127.0.0.1"]);
    assert!(server.requests().len() > 1, "not retried");
}

#[test]
fn chunks_cut_short() {
    let answer = Answer::Part(Portion::HalfTheBody, bare().chunked(), End::Close);
    let server = fails(always(answer), &["127.0.0.1"]);
    assert!(server.requests().len() > 1, "not retried");
}

#[test]
fn closed_without_an_answer() {
    succeeds_after(Answer::Part(Portion::Nothing, bare(), End::Close));
}

#[test]
fn not_json() {
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
fn chunked() {
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
    let options = ["--require", "POD_LABEL_APP", "--timeout", LIMIT];
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
