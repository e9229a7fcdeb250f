//! What can go wrong with a request, in one line each.

use std::time::Duration;

use serde_json::Value as Json;

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("where the API server is is not known: {0}")]
    NoEndpoint(String),
    #[error("there is no token to authenticate with: {0}")]
    NoToken(String),
    #[error("there is no CA certificate to trust: {0}")]
    NoCa(String),
    #[error("{address}: no answer within {timeout} ({step})")]
    Timeout { address: String, step: &'static str, timeout: humantime::Duration },
    #[error("the name {host} cannot be resolved: {why}")]
    Dns { host: String, why: String },
    #[error("{address}: {why}")]
    Connection { address: String, why: String },
    #[error("{address}: the certificate is not to be trusted: {why} ({ca})")]
    Certificate { address: String, why: String, ca: String },
    #[error("{address}: TLS failed: {why}")]
    Tls { address: String, why: String },
    #[error("the API server answered {status}: {message}")]
    Status { status: u16, message: String, details: Box<Json>, retry_after: Option<Duration> },
    #[error("the API server answered {status}, a redirect to {to}, which is not followed", to = location.as_deref().unwrap_or("nowhere"))]
    Redirect { status: u16, location: Option<String> },
    #[error("the answer is larger than 8 MiB")]
    TooLarge,
    #[error("the answer is encoded as {0}, which was not asked for")]
    Encoded(String),
    #[error("the answer is not the pod's object: {0}")]
    NotThePod(String),
    #[error("the answer is not the node's object: {0}")]
    NotTheNode(String),
}

/// Whether another attempt can help.
pub(super) enum Retry {
    Never,
    /// Once: with the token read again.
    Once,
    /// After this time, or a pause.
    After(Option<Duration>),
}

impl Failure {
    /// The failure that a `Status` object tells of (`k8s.io/apimachinery/pkg/apis/meta/v1`).
    pub(super) fn status(status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let mut object: Json = serde_json::from_slice(body).unwrap_or_default();
        let message = object["message"].as_str().map(|message| crate::one_line(message).into_owned());
        let reason = reqwest::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        Failure::Status {
            status,
            message: message.unwrap_or_else(|| reason.unwrap_or("no reason is given").to_owned()),
            details: Box::new(object["details"].take()),
            retry_after,
        }
    }

    pub(super) fn retry(&self) -> Retry {
        match self {
            Failure::Timeout { .. } | Failure::Dns { .. } | Failure::Connection { .. } => Retry::After(None),
            Failure::Status { status: 401, .. } => Retry::Once,
            Failure::Status { status: 408 | 429 | 500..=599, retry_after, .. } => Retry::After(*retry_after),
            _ => Retry::Never,
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
