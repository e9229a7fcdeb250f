//! Who the API server is: it must chain to `ca.crt`, and to nothing else.

use super::*;
use crate::server::{Certificate, Response, SERVICE_ACCOUNT, always};

/// A server with a wrong certificate gets no request, is not asked again, and the advice is `words`.
#[track_caller]
fn refuses(certificate: Certificate, words: &[&str]) {
    let server = Server::presenting(certificate, always(Response::json(&pod("bare"))));
    let outcome = starts_without_labels(&server.world("bare", "web"), &server.url(), words);
    assert_eq!(server.requests().len(), 0, "{outcome:#?}");
    assert_eq!(server.connections(), 1, "retried what will not change");
}

#[test]
fn expired() {
    refuses(Certificate::Expired, &["certificate", "expired on 2021-01-01", "clock"]);
}

#[test]
fn not_yet_valid() {
    refuses(Certificate::NotYetValid, &["certificate", "not valid before 2090-01-01", "clock"]);
}

#[test]
fn for_another_name() {
    refuses(Certificate::OtherName, &["certificate", "127.0.0.1", "other.example|name"]);
}

#[test]
fn from_another_authority() {
    refuses(Certificate::OtherAuthority, &["certificate", "ca.crt"]);
}

#[test]
fn from_another_authority_of_the_same_name() {
    refuses(Certificate::NamesakeAuthority, &["certificate", "ca.crt"]);
}

#[test]
fn self_signed() {
    refuses(Certificate::SelfSigned, &["certificate", "ca.crt"]);
}

#[test]
fn the_file_is_named_where_it_is() {
    let server = Server::presenting(Certificate::OtherAuthority, always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
    assert_says(&outcome, &[&format!("/{SERVICE_ACCOUNT}/ca.crt")]);
}

/// Runs `exec --labels` with this `ca.crt`; whether the labels came, and what was said.
fn with_ca(content: impl FnOnce(&Server) -> String) -> (Server, Outcome) {
    let server = Server::start(always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    world.write(&format!("{SERVICE_ACCOUNT}/ca.crt"), content(&server));
    let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
    (server, outcome)
}

#[test]
fn one_of_several_authorities_is_enough() {
    let other = || crate::server::Authority::new("kubernetes").pem();
    let (_server, outcome) = with_ca(|server| [other(), server.ca(), other()].concat());
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "{outcome:#?}");
}

#[test]
fn a_broken_certificate_beside_a_good_one_does_no_harm() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let (_server, outcome) = with_ca(|server| format!("{broken}{}", server.ca()));
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "{outcome:#?}");
}

#[test]
fn a_file_without_certificates_is_named() {
    for content in ["", "nothing of that kind\n"] {
        let (server, outcome) = with_ca(|_| content.to_owned());
        assert_says(&outcome, &["ca.crt"]);
        assert_eq!(server.connections(), 0);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let server = Server::start(always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    world.remove(&format!("{SERVICE_ACCOUNT}/ca.crt"));
    starts_without_labels(&world, &server.url(), &["ca.crt"]);
    assert_eq!(server.connections(), 0);
}
