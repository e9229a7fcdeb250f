//! The identity of the API server: its certificate must chain to `ca.crt`.

use super::*;
use crate::server::{Certificate, Response, SERVICE_ACCOUNT, Validity, always};

/// A server with a wrong certificate gets no request, is not asked again, and the advice is `words`.
#[track_caller]
fn refuses(certificate: Certificate, words: &[&str]) {
    let server = Server::presenting(certificate, always(Response::json(&pod("bare"))));
    let outcome = starts_at_once_without_labels(&server.world("bare", "web"), &server.url(), words);
    assert_eq!(server.requests().len(), 0, "{outcome:#?}");
    assert_eq!(server.connections(), 1, "retried what will not change");
    assert_plain(&outcome);
}

/// No message is what Rust's `Debug` makes of an error.
#[track_caller]
fn assert_plain(outcome: &Outcome) {
    for dumped in ["{", "}", "Context", "Error(", "Some(", "[48", "Certificate("] {
        assert!(!outcome.stderr.contains(dumped), "{dumped:?} is in:\n{}", outcome.stderr);
    }
    let is_camel = |word: &str| {
        let word = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let inner = word.get(1..).unwrap_or_default();
        !word.contains('/') && inner.contains(char::is_uppercase) && inner.contains(char::is_lowercase)
    };
    // rustls names what a certificate is for as `DnsName("other.example")`.
    let known = ["NetworkPolicy", "ConfigMap", "ServiceAccount", "Ed25519", "DnsName(\"other.example\")"];
    let camel = outcome.stderr.split([' ', '\n', ':']).find(|word| is_camel(word) && !known.contains(word));
    assert_eq!(camel, None, "{}", outcome.stderr);
}

#[test]
fn an_expired_certificate_is_refused() {
    refuses(Certificate::Expired, &["certificate", "expired on 2021-01-01", "clock"]);
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_refused() {
    refuses(Certificate::NotYetValid, &["certificate", "not valid before 2090-01-01", "clock"]);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    refuses(Certificate::OtherName, &["certificate", "127.0.0.1", "other.example|name"]);
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    refuses(Certificate::OtherAuthority, &["certificate", "ca.crt"]);
}

#[test]
fn a_certificate_of_another_authority_with_the_same_name_is_refused() {
    refuses(Certificate::NamesakeAuthority, &["certificate", "ca.crt"]);
}

#[test]
fn a_self_signed_certificate_is_refused() {
    refuses(Certificate::SelfSigned, &["certificate", "ca.crt"]);
}

#[test]
fn a_signature_algorithm_that_is_not_supported_is_refused() {
    let words = ["certificate", "signature algorithm is not supported", "P-384"];
    refuses(Certificate::EcdsaSha512, &words);
}

#[test]
fn a_ca_certificate_as_the_servers_own_is_refused() {
    refuses(Certificate::Authority, &["certificate", "CA certificate"]);
}

#[test]
fn a_certificate_for_clients_only_is_refused() {
    refuses(Certificate::ForClients, &["certificate", "server authentication"]);
}

#[test]
fn a_chain_of_ed25519_is_accepted() {
    let server = Server::presenting(Certificate::Ed25519, always(Response::json(&pod("bare"))));
    let outcome = exec(&server.world("bare", "web"), &server.url(), &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "{outcome:#?}");
    assert_eq!(outcome.stderr, "");
}

#[test]
fn a_server_that_does_not_speak_tls() {
    let server = Server::without_tls();
    let url = server.url().replace("http://", "https://");
    let outcome =
        starts_at_once_without_labels(&server.world("bare", "web"), &url, &["127.0.0.1", "TLS", "http://"]);
    assert_plain(&outcome);
    assert_eq!(server.connections(), 1, "retried what will not change");
}

#[test]
fn the_file_is_named_where_it_is() {
    let server = Server::presenting(Certificate::OtherAuthority, always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
    assert_says(&outcome, &[&format!("/{SERVICE_ACCOUNT}/ca.crt")]);
}

/// Runs `exec --labels` with this `ca.crt`. Answers whether the labels came, with the messages.
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
        assert_says(&outcome, &["ca.crt", "no CA certificate"]);
        assert_eq!(server.connections(), 0);
    }
}

/// client-go and OpenSSL refuse such a chain.
#[test]
fn an_authority_outside_its_validity_is_named_and_not_trusted() {
    for (validity, words) in [
        (Validity::Past, "expired on 2021-01-01"),
        (Validity::Future, "is not valid before 2090-01-01"),
        (Validity::Never, "its validity ends before it begins"),
    ] {
        let server = Server::of_authority(validity, always(Response::json(&pod("bare"))));
        let world = server.world("bare", "web");
        let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
        assert!(started(&outcome));
        assert_says(&outcome, &["ca.crt", "certificate 1", words, "not used"]);
        assert_plain(&outcome);
        assert_eq!(variable(&outcome, "POD_LABEL_APP"), None, "{outcome:#?}");
        assert_eq!(server.connections(), 0, "asked a server that it cannot trust");
        // Another one in the file is used.
        let good = Server::start(always(Response::json(&pod("bare"))));
        world.write(&format!("{SERVICE_ACCOUNT}/ca.crt"), [server.ca(), good.ca()].concat());
        let outcome = exec(&world, &good.url(), &["--labels"]).expect_code(0);
        assert_says(&outcome, &["certificate 1", words]);
        assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "{outcome:#?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let server = Server::start(always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    world.remove(&format!("{SERVICE_ACCOUNT}/ca.crt"));
    starts_at_once_without_labels(&world, &server.url(), &["ca.crt"]);
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_certificate_that_is_no_authoritys_is_named_and_not_trusted() {
    let (server, outcome) = with_ca(|server| server.leaf());
    assert_says(&outcome, &["ca.crt", "certificate 1", "not a CA certificate"]);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), None);
    assert_eq!(server.connections(), 0);
    let (_server, outcome) = with_ca(|server| [server.ca(), server.leaf()].concat());
    assert_says(&outcome, &["ca.crt", "certificate 2", "not a CA certificate"]);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "{outcome:#?}");
}

#[test]
fn a_broken_certificate_is_told_in_words() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let (_server, outcome) = with_ca(|server| format!("{broken}{}", server.ca()));
    assert_says(&outcome, &["certificate 1", "not a valid X.509 certificate"]);
    assert_plain(&outcome);
}
