//! What can go wrong with a request, in one line each.

use std::time::Duration;

use crate::kubernetes::object;

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the API server's address is not known: {0}")]
    NoEndpoint(String),
    #[error("there is no token to authenticate with: {0}")]
    NoToken(String),
    #[error("there is no CA certificate to trust: {0}")]
    NoCa(String),
    #[error("no client of the API server can be made: {0}")]
    NoClient(String),
    #[error("{address}: no answer within {timeout} ({step})")]
    Timeout { address: String, step: &'static str, timeout: humantime::Duration },
    #[error("the name {host} cannot be resolved: {why}")]
    Dns { host: String, why: String },
    #[error("{address}: {why}")]
    Connection { address: String, why: String },
    #[error("{address}: the certificate is not to be trusted: {why} ({ca})")]
    Certificate { address: String, why: String, remedy: &'static str, ca: String },
    #[error("{address}: TLS failed: {why}")]
    Tls { address: String, why: String },
    #[error("the API server answered {status}: {message}")]
    Status { status: u16, message: String, retry_after: Duration },
    #[error("the API server answered {status}, a redirect to {to}, which is not followed", to = location.as_deref().unwrap_or("nowhere"))]
    Redirect { status: u16, location: Option<String> },
    #[error("the answer is larger than 8 MiB")]
    TooLarge,
    #[error("the answer is encoded as {0}, which was not asked for")]
    Encoded(String),
    #[error("the answer is not the pod's object: {0}")]
    NotThePod(String),
    #[error("the answer is another pod's object: its UID is {uid}, and this pod's is {own}")]
    AnotherPod { uid: String, own: String },
    #[error("the answer is not the node's object: {0}")]
    NotTheNode(String),
}

impl Failure {
    /// The failure that a `Status` object tells of (`k8s.io/apimachinery/pkg/apis/meta/v1`).
    pub(super) fn status(status: u16, body: &[u8], retry_after: Duration) -> Self {
        let object = object::parse(body).unwrap_or_default();
        let message =
            object["message"].as_str().map(|message| crate::system::logging::one_line(message).into_owned());
        let reason = reqwest::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        Failure::Status {
            status,
            message: message.unwrap_or_else(|| reason.unwrap_or("no reason is given").to_owned()),
            retry_after,
        }
    }

    /// How long to wait at least before another attempt, if one can help.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Failure::Timeout { .. } | Failure::Dns { .. } | Failure::Connection { .. } => {
                Some(Duration::ZERO)
            }
            Failure::Status { status: 408 | 429 | 500..=599, retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The status of the answer, if there was one.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Failure::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}
