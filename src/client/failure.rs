//! The failures of requests.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::kubernetes::object;

use super::tls;
use super::url::EndpointError;

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the API server's address is not known: {0}")]
    NoEndpoint(#[source] EndpointError),
    #[error("the token cannot be read: {path}: {source}")]
    NoToken { path: String, source: io::Error },
    #[error("{path} does not hold a token")]
    EmptyToken { path: String },
    #[error("the CA certificate cannot be read: {path}: {source}")]
    NoCa { path: String, source: io::Error },
    #[error("{path} holds no CA certificate in PEM")]
    EmptyCa { path: String },
    #[error("the HTTP client cannot be set up: {}", deepest(.0))]
    NoClient(#[source] reqwest::Error),
    #[error("a thread cannot be started: {0}")]
    NoThread(#[source] io::Error),
    #[error("{address}: no answer within {timeout} ({step})")]
    Timeout { address: String, step: Step, timeout: humantime::Duration },
    #[error("DNS: the name {host} cannot be resolved: {source}")]
    Dns { host: String, source: io::Error },
    #[error("DNS: the name {host} has no address")]
    NoAddress { host: String },
    #[error(
        "the name {host} resolves to an address that is not loopback, and plain http:// is for loopback only"
    )]
    NotLoopback { host: String },
    #[error("{address}: {}", deepest(source))]
    Connection { address: String, source: reqwest::Error },
    #[error("{address}: the response was cut short: {}", deepest(source))]
    Truncated { address: String, source: io::Error },
    #[error(
        "{address}: the server's certificate is not trusted: {} (CA file {ca})",
        tls::certificate_words(problem)
    )]
    Certificate { address: String, ca: String, problem: rustls::CertificateError },
    #[error("{address}: TLS failed: {}", tls::words(source))]
    Tls { address: String, source: rustls::Error },
    #[error("the API server answered {status}: {message}")]
    Status { status: u16, message: String, retry_after: Duration },
    /// 403. With a `kubectl proxy`, the proxy's account was refused.
    #[error("the API server answered 403: {message}")]
    Forbidden { message: String, through_proxy: bool },
    /// `location` has no user information and no query.
    #[error("the API server answered {status}, a redirect to {location}, which is not followed")]
    Redirect { status: u16, location: String },
    #[error("the answer is larger than 8 MiB")]
    TooLarge,
    #[error("the answer has the encoding {0}, which was not requested")]
    Encoded(String),
    /// The answer is not a valid object of the requested kind.
    #[error("the answer is not a valid {kind} object: {source}")]
    InvalidObject { kind: &'static str, source: Box<dyn Error + Send + Sync> },
    /// The answer is an object of another name or namespace. `wanted` and `found` are `NAME` or
    /// `NAME in the namespace NAMESPACE`.
    #[error("the answer is the {kind} {found}, not {wanted}")]
    WrongObject { kind: &'static str, wanted: String, found: String },
    /// The answer is an object with the right name and another UID.
    #[error(
        "the answer is another {kind} with the same name: its UID is {found}, the expected UID is {expected}"
    )]
    WrongUid { kind: &'static str, found: String, expected: String },
}

/// The step of a request that took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Dns,
    /// TCP and TLS, which are one step in the HTTP client.
    Connect,
    Response,
}

impl std::fmt::Display for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(match self {
            Step::Dns => "DNS",
            Step::Connect => "connecting by TCP and TLS",
            Step::Response => "waiting for the response",
        })
    }
}

impl Failure {
    /// The failure that a `Status` object describes (`k8s.io/apimachinery/pkg/apis/meta/v1/types.go`).
    pub(super) fn status(status: u16, body: &[u8], retry_after: Duration, through_proxy: bool) -> Self {
        let object = object::parse(body).unwrap_or_default();
        let message =
            object["message"].as_str().map(|message| crate::system::logging::one_line(message).into_owned());
        let reason = reqwest::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let message = message.unwrap_or_else(|| reason.unwrap_or("no reason is given").to_owned());
        match status {
            403 => Failure::Forbidden { message, through_proxy },
            _ => Failure::Status { status, message, retry_after },
        }
    }

    /// The shortest pause before another attempt; none if another attempt cannot help.
    ///
    /// The rules are those of client-go (`k8s.io/client-go/rest/with_retry.go`). A certificate, a 403 or a
    /// 404 would be the same at the next attempt.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Failure::Timeout { .. }
            | Failure::Dns { .. }
            | Failure::NoAddress { .. }
            | Failure::Connection { .. }
            | Failure::Truncated { .. } => Some(Duration::ZERO),
            Failure::Status { status: 408 | 429 | 500..=599, retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, Failure::Timeout { .. })
    }

    /// Whether the answer may come from an outdated cache, which a request without `resourceVersion=0`
    /// does not use.
    pub(crate) fn may_be_stale(&self) -> bool {
        self.code() == Some(404) || matches!(self, Failure::WrongUid { .. })
    }

    /// The HTTP status of the answer, if it is an error.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Failure::Status { status, .. } | Failure::Redirect { status, .. } => Some(*status),
            Failure::Forbidden { .. } => Some(403),
            _ => None,
        }
    }
}

/// The innermost cause. Unlike the outer ones of a [`reqwest::Error`], it contains no URL or header.
pub(super) fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
