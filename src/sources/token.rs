//! The service account token: a JWT whose claims name the pod.
//!
//! It is decoded and not verified: the kubelet mounted it. The claims are those of
//! `pkg/serviceaccount/claims.go`; the node is named since Kubernetes 1.30.

use std::io::ErrorKind;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value as Json;

use crate::facts::Told;
use crate::facts::field::Field;
use crate::kubernetes::object;
use crate::system::surroundings::Surroundings;

/// The largest token in bytes: an API server takes 1 MiB of headers (Go's `http.DefaultMaxHeaderBytes`).
const SIZE_LIMIT: usize = 1 << 20;

/// Tells what the token claims, and the namespace of the file beside it.
pub(crate) fn tell(surroundings: &Surroundings) -> Told {
    let mut told = Told::default();
    let default = Surroundings::service_account_file("token");
    let path = surroundings.token_file.as_deref().unwrap_or(&default);
    if let Err(why) = tell_claims(surroundings, path, &mut told) {
        why.note(&surroundings.root.display(path), surroundings.token_file.is_some(), &mut told);
    }
    if !told.values.iter().any(|(field, _)| *field == Field::PodNamespace) {
        let namespace = surroundings.read_text(&Surroundings::service_account_file("namespace"));
        told.text(Field::PodNamespace, namespace.unwrap_or_default().trim());
    }
    told
}

enum Why {
    Unreadable(std::io::Error),
    Garbled(&'static str),
    NoPod,
}

impl Why {
    fn note(self, path: &str, was_named: bool, told: &mut Told) {
        match self {
            Why::Unreadable(error) if error.kind() == ErrorKind::NotFound && !was_named => told.absent(
                "no service account token is mounted: automountServiceAccountToken is off? \
                 A projected token of an audience of its own tells as much and opens nothing: --token-file",
            ),
            Why::Unreadable(error) => told.broken(format!("{path}: {error}; its claims are not used")),
            Why::Garbled(what) => {
                told.broken(format!("{path} is not a service account token: {what}; it is not used"));
            }
            Why::NoPod => told.absent(format!(
                "{path} does not name a pod: it is a legacy token, not one that the kubelet projected"
            )),
        }
    }
}

fn tell_claims(surroundings: &Surroundings, path: &Path, told: &mut Told) -> Result<(), Why> {
    let token = surroundings.root.read(path).map_err(Why::Unreadable)?;
    let claims = decode(&token).map_err(Why::Garbled)?;
    let own = &claims["kubernetes.io"];
    let mut text = |field, value: &Json| told.text(field, value.as_str().unwrap_or_default());
    text(Field::PodNamespace, &own["namespace"]);
    text(Field::ServiceAccount, &own["serviceaccount"]["name"]);
    text(Field::NodeName, &own["node"]["name"]);
    text(Field::NodeUid, &own["node"]["uid"]);
    text(Field::PodName, &own["pod"]["name"]);
    text(Field::PodUid, &own["pod"]["uid"]);
    // Legacy tokens carry flat claims; they name no pod, but these two.
    text(Field::PodNamespace, &claims["kubernetes.io/serviceaccount/namespace"]);
    text(Field::ServiceAccount, &claims["kubernetes.io/serviceaccount/service-account.name"]);
    match own["pod"]["name"].is_string() {
        true => Ok(()),
        false => Err(Why::NoPod),
    }
}

/// The claims of a JWT in compact serialisation (RFC 7519).
///
/// # Errors
/// What is wrong, in words that hold nothing of the token.
pub(crate) fn decode(token: &[u8]) -> Result<Json, &'static str> {
    let token = token.trim_ascii();
    if token.is_empty() {
        return Err("it is empty");
    }
    if token.len() > SIZE_LIMIT {
        return Err("it is larger than an HTTP header can be");
    }
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(_header), Some(payload), Some(_signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("it does not have three parts separated by dots");
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| "its payload is not base64url")?;
    let claims = object::parse(&payload).map_err(|_| "its payload is not JSON, or not of a token's size")?;
    match claims.is_object() {
        true => Ok(claims),
        false => Err("its payload is not a JSON object"),
    }
}
