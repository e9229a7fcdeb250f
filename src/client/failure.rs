//! Why a request failed, whether another attempt can help, and what to do about it.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::rbac::{self, Identity};
use super::tls;
use super::url::{UrlError, shown_path};
use crate::system::logging::one_line;

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the API server's address is not known: {0}")]
    NoEndpoint(#[source] UrlError),
    #[error("the token cannot be used: {path}: {source}")]
    NoToken { path: String, source: io::Error },
    #[error("the CA certificate cannot be used: {path}: {source}")]
    NoCa { path: String, source: io::Error },
    #[error("the HTTP client cannot be set up: {}", deepest(.0.as_ref()))]
    NoClient(#[source] Box<dyn Error + Send + Sync>),
    #[error("{address}: no answer within {timeout} ({step})")]
    Timeout { address: String, step: &'static str, timeout: humantime::Duration },
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
    /// The answer cannot be used as it is.
    #[error("the answer {0}")]
    Unusable(String),
    /// The answer is an object with the right name and another UID.
    #[error(
        "the answer is another Pod with the same name: its UID is {found}, the expected UID is {expected}"
    )]
    WrongUid { found: String, expected: String },
}

/// The steps of a request that may take too long. TCP and TLS are one step in the HTTP client.
pub(super) const DNS: &str = "DNS";
pub(super) const CONNECT: &str = "connecting by TCP and TLS";
pub(super) const RESPONSE: &str = "waiting for the response";

impl Failure {
    /// The shortest pause before another attempt, if another attempt can help. The rules are those of client-go
    /// (`k8s.io/client-go/rest/with_retry.go`).
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Failure::Timeout { .. } | Failure::Dns { .. } | Failure::Connection { .. } => {
                Some(Duration::ZERO)
            }
            Failure::Status { status: 408 | 429 | 500..=599, retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// How much it says about the server: an answer says most, and a timeout says least.
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
            Self::NoEndpoint(_) => {
                "outside a cluster use --api-url https://HOST:PORT, or kubectl proxy and http://127.0.0.1:8001"
            }
            Self::NoToken { .. } => {
                "set automountServiceAccountToken: true in the pod's spec or its ServiceAccount, or --api never"
            }
            Self::NoCa { .. } => {
                "mount the whole volume of the service account: it contains ca.crt (of the ConfigMap kube-root-ca.crt)"
            }
            Self::NoClient(_) => "raise the container's limits: a request needs threads and file descriptors",
            Self::Dns { .. } | Self::Timeout { step: DNS, .. } => {
                "name the API server by its IP address in --api-url, which needs no DNS, or leave out --api-url: \
                 the pod's variables have the address; or repair /etc/resolv.conf and the cluster's DNS"
            }
            Self::Timeout { step: CONNECT, .. } => "let a NetworkPolicy allow it, or raise --timeout",
            Self::Timeout { .. } => "the API server is slow, or its answer gets lost; raise --timeout",
            Self::Connection { .. } => "check that the API server is up, and that a NetworkPolicy allows it",
            Self::Tls { source, ca, .. } => tls::explain(source, ca).1,
            Self::Status { status: 401, .. } => {
                "the token has expired or is for another audience: mount the default service account token"
            }
            Self::Status { status: 404, .. } => {
                "check namespace and name, and that this is the right cluster"
            }
            Self::Status { status: 408 | 429 | 500.., .. } => "the API server is overloaded; raise --timeout",
            Self::Redirect { .. } => "use the API server's own address with --api-url",
            Self::WrongUid { .. } => {
                "another pod replaced this one, or POD_NAME and POD_NAMESPACE name another"
            }
            _ => "check that the API server answers at this address, not a proxy or a login page",
        }
    }
}

/// Why a GET of `path` failed and what to do about it, each in one line.
///
/// The advice may be a command, which users paste into a shell, so it contains no special character that comes from
/// outside. On a 403 it is `kubectl create role … && kubectl create rolebinding …`.
pub(crate) fn explain(failure: &Failure, path: &str, who: Identity) -> (String, String) {
    let problem = shortened(&failure.to_string());
    match failure {
        Failure::Status { status: 403, message, through_proxy, .. } => {
            rbac::explain(problem, message, *through_proxy, &one_line(shown_path(path)), who)
        }
        _ => (problem, failure.advice().to_owned()),
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

/// The innermost cause. It contains no URL or header, as the outer causes of a [`reqwest::Error`] do.
pub(super) fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
