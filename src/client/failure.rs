//! Why a request failed, whether another attempt can help, and what to do about it.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::url::{EndpointError, shown_path};
use super::{rbac, tls};
use crate::system::logging::one_line;

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the API server's address is not known: {0}")]
    NoEndpoint(#[source] EndpointError),
    #[error("the token cannot be used: {path}: {source}")]
    NoToken { path: String, source: io::Error },
    #[error("the CA certificate cannot be used: {path}: {source}")]
    NoCa { path: String, source: io::Error },
    #[error("the HTTP client cannot be set up: {}", deepest(.0.as_ref()))]
    NoClient(#[source] Box<dyn Error + Send + Sync>),
    #[error("{address}: no answer within {timeout} ({step})")]
    Timeout { address: String, step: Step, timeout: humantime::Duration },
    #[error("DNS: the name {host} cannot be resolved: {source}")]
    Dns { host: String, source: io::Error },
    /// The connection could not be made, or broke.
    #[error("{address}: {}", deepest(source.as_ref()))]
    Connection { address: String, source: Box<dyn Error + Send + Sync> },
    /// The CA certificates are those in the file `ca`.
    #[error("{address}: {}", tls::explain(source, ca).0)]
    Tls { address: String, ca: String, source: rustls::Error },
    /// With a `kubectl proxy`, 403 means that the proxy's account was refused.
    #[error("the API server answered {status}: {message}")]
    Status { status: u16, message: String, retry_after: Duration, through_proxy: bool },
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
    /// The shortest pause before another attempt; none if another attempt cannot help.
    ///
    /// The rules are those of client-go (`k8s.io/client-go/rest/with_retry.go`). A certificate, a 403 or a
    /// 404 would be the same at the next attempt.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Failure::Timeout { .. } | Failure::Dns { .. } | Failure::Connection { .. } => {
                Some(Duration::ZERO)
            }
            Failure::Status { status: 408 | 429 | 500..=599, retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// How much the failure says about the server, compared with that of another attempt: an answer more
    /// than none, and a refused connection more than a timeout.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Failure::Timeout { .. } => 0,
            Failure::Status { .. } => 2,
            _ => 1,
        }
    }

    /// Whether the answer may come from an outdated cache, which a request without `resourceVersion=0`
    /// does not use.
    pub(crate) fn may_be_stale(&self) -> bool {
        matches!(self, Failure::Status { status: 404, .. } | Failure::WrongUid { .. })
    }

    fn advice(&self) -> &'static str {
        match self {
            Failure::NoEndpoint(_) => {
                "outside a cluster, name the API server with --api-url https://HOST:PORT, or run kubectl proxy \
                 and use --api-url http://127.0.0.1:8001"
            }
            Failure::NoToken { .. } => {
                "set automountServiceAccountToken: true in the pod's spec or its ServiceAccount, \
                 or do without the API: --api never"
            }
            Failure::NoCa { .. } => {
                "mount the whole volume of the service account: it brings ca.crt beside the token \
                 (from the ConfigMap kube-root-ca.crt)"
            }
            Failure::NoClient(_) => {
                "raise the container's limits: a request needs two threads and a few file descriptors"
            }
            Failure::Dns { .. } | Failure::Timeout { step: Step::Dns, .. } => {
                "name the API server by its IP address in --api-url, which needs no DNS, or leave out --api-url: \
                 the pod's variables have the address; or mend /etc/resolv.conf and the cluster's DNS"
            }
            Failure::Timeout { step: Step::Connect, .. } => {
                "check that a NetworkPolicy lets the pod reach the API server, or raise --timeout"
            }
            Failure::Timeout { step: Step::Response, .. } => {
                "the API server is slow, or the network drops its answer; raise --timeout"
            }
            Failure::Connection { .. } => {
                "check that the API server is up, and that a NetworkPolicy lets the pod reach it"
            }
            Failure::Tls { source, ca, .. } => tls::explain(source, ca).1,
            _ => self.advice_on_answer(),
        }
    }

    fn advice_on_answer(&self) -> &'static str {
        match self {
            Failure::Status { status: 401, .. } => {
                "the token has expired or is for another audience: mount the default service account token"
            }
            Failure::Status { status: 404, .. } => {
                "check the namespace and the name, and that the object is in this cluster"
            }
            Failure::Status { status: 408 | 429 | 500..=599, .. } => {
                "the API server is overloaded or failing; try again, or raise --timeout"
            }
            Failure::Redirect { .. } => "use the API server's own address with --api-url",
            Failure::WrongUid { .. } => {
                "another object replaced this one under the same name, or POD_NAME and POD_NAMESPACE name \
                 another pod"
            }
            Failure::WrongObject { .. } | Failure::InvalidObject { .. } => {
                "check that the API server answers at this address, not a proxy or a login page"
            }
            _ => "check that the API server answers at this address",
        }
    }
}

/// The known facts about the sender of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity<'a> {
    pub(crate) namespace: Option<&'a str>,
    pub(crate) service_account: Option<&'a str>,
    /// The pod's name, if it stays the same after a restart, as in a StatefulSet.
    pub(crate) stable_name: Option<&'a str>,
}

/// The messages about a failure.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// What happened, in one line.
    pub(crate) problem: String,
    /// What to do about it, in one line. It may be a command, which users paste into a shell. So it
    /// contains no newline and no special character that comes from outside.
    pub(crate) advice: String,
}

/// Explains the `failure` of a GET of `path`.
///
/// The advice on a 403 is `kubectl create role … && kubectl create rolebinding …`. The problem also says
/// what else this role would allow.
pub(crate) fn explain(failure: &Failure, path: &str, who: Identity) -> Explanation {
    let problem = shortened(&failure.to_string());
    match failure {
        Failure::Status { status: 403, message, through_proxy, .. } => {
            rbac::explain(problem, message, *through_proxy, &one_line(shown_path(path)), who)
        }
        _ => Explanation { problem, advice: failure.advice().to_owned() },
    }
}

/// The longest text from the server in a message, in bytes.
const TEXT_LIMIT: usize = 1024;

/// The beginning of a text from the server, in one line.
pub(super) fn shortened(text: &str) -> String {
    let text = one_line(text);
    if text.len() <= TEXT_LIMIT {
        text.into_owned()
    } else {
        format!("{}…", &text[..text.floor_char_boundary(TEXT_LIMIT)])
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
