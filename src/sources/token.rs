//! The service account token: a JWT whose claims name the pod.
//!
//! introspod does not verify the signature, because the kubelet mounted the token. Since Kubernetes 1.30
//! the claims also name the node.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value as Json;

use crate::facts::field::{Field, Source};
use crate::facts::{Note, Told};
use crate::kubernetes::object::{self, ObjectError};
use crate::system::surroundings::Surroundings;

/// Other paths of a projected token. Its claims name the pod, whatever its audience is. It is never sent.
const PROJECTED: &str = "/etc/podinfo/token";

/// The largest token in bytes. The API server accepts 1 MiB of headers (Go's `http.DefaultMaxHeaderBytes`).
const SIZE_LIMIT: usize = 1 << 20;

/// The sources that outrank the token for the pod's UID. They read it from the kernel, and nobody in the
/// pod can change that.
pub(crate) const OUTRANKED_BY: [Source; 2] = [Source::Kubelet, Source::Cgroup];

/// Reads the claims of the token, and the namespace from the file beside it.
pub(crate) fn tell(surroundings: &Surroundings) -> Told {
    let mut told = Told::default();
    tell_claims(surroundings, &mut told);
    if !told.values.iter().any(|(field, _)| *field == Field::POD_NAMESPACE) {
        let namespace = surroundings.read_text(&Surroundings::service_account_file("namespace"));
        told.text(Field::POD_NAMESPACE, namespace.unwrap_or_default().trim());
    }
    told
}

/// Drops the token's facts if `others` show that it belongs to another pod.
pub(crate) fn check<'a>(token: &mut Told, others: impl Iterator<Item = &'a (Source, Told)>) {
    let uid = |told: &'a Told| told.text_of(Field::POD_UID);
    let Some(own) = others.into_iter().find_map(|(_, told)| uid(told)) else { return };
    if token.text_of(Field::POD_UID).is_some_and(|claimed| claimed != own) {
        *token = Told::default();
        token.broken(format!(
            "the token belongs to another pod: the UID of this pod is {own}; its claims are not used"
        ));
    }
}

/// Reads the claims of the first token that names a pod. If none does, it reads only the namespace of
/// the first token.
fn tell_claims(surroundings: &Surroundings, told: &mut Told) {
    let own = Surroundings::service_account_file("token");
    let paths = match &surroundings.token_file {
        Some(path) => vec![path.clone()],
        None => vec![own, PathBuf::from(PROJECTED)],
    };
    let mut notes = Vec::new();
    for path in &paths {
        match read_claims(surroundings, path) {
            Ok(claims) if claims["kubernetes.io"]["pod"]["name"].is_string() => {
                tell_pod(&claims["kubernetes.io"], told);
                notes.clear();
                break;
            }
            Ok(claims) => {
                tell_namespace(&claims, told);
                notes.push(Note::new(
                    format!(
                        "{} names no pod: it is a legacy token, which the kubelet did not project",
                        surroundings.root.display(path)
                    ),
                    false,
                ));
            }
            Err(TokenError::Read { source, .. })
                if is_absent(&source) && surroundings.token_file.is_none() => {}
            // A file at one of the other paths may be something else.
            Err(error) => notes.push(Note::new(error.to_string(), path.as_path() != Path::new(PROJECTED))),
        }
    }
    if told.values.is_empty() && notes.is_empty() {
        told.absent(format!(
            "no token is mounted; mount the service account's, or a projected one at {PROJECTED} \
             (--token-file names another place)"
        ));
    }
    told.notes.extend(notes);
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Reads the claims of a token that the kubelet projected (`pkg/serviceaccount/claims.go`).
fn tell_pod(claims: &Json, told: &mut Told) {
    let mut text = |field, value: &Json| told.text(field, value.as_str().unwrap_or_default());
    text(Field::POD_NAMESPACE, &claims["namespace"]);
    text(Field::SERVICE_ACCOUNT, &claims["serviceaccount"]["name"]);
    text(Field::NODE_NAME, &claims["node"]["name"]);
    text(Field::NODE_UID, &claims["node"]["uid"]);
    text(Field::POD_NAME, &claims["pod"]["name"]);
    text(Field::POD_UID, &claims["pod"]["uid"]);
}

/// Reads only the namespace: a token without a pod may belong to any service account. The claims of a
/// legacy token are flat (`pkg/serviceaccount/legacy.go`).
fn tell_namespace(claims: &Json, told: &mut Told) {
    let nested = claims["kubernetes.io"]["namespace"].as_str();
    let flat = claims["kubernetes.io/serviceaccount/namespace"].as_str();
    if told.text_of(Field::POD_NAMESPACE).is_none() {
        told.text(Field::POD_NAMESPACE, nested.or(flat).unwrap_or_default());
    }
}

/// The claims of a token cannot be read.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error("cannot read {path}: {source}; its claims are not used")]
    Read { path: String, source: std::io::Error },
    #[error("{path} is not a service account token: {source}; its claims are not used")]
    Decode { path: String, source: JwtError },
}

fn read_claims(surroundings: &Surroundings, path: &Path) -> Result<Json, TokenError> {
    let display = || surroundings.root.display(path);
    let token = surroundings.root.read(path);
    let token = token.map_err(|source| TokenError::Read { path: display(), source })?;
    decode(&token).map_err(|source| TokenError::Decode { path: display(), source })
}

/// A token is not a JWT. The message contains nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    #[error("it is empty")]
    Empty,
    #[error("it does not have three parts separated by dots")]
    Parts,
    #[error("its payload is not base64url")]
    Base64,
    #[error("it is larger than a token can be")]
    TooLarge,
    #[error("its payload is not JSON")]
    Json,
    #[error("its payload is not a JSON object")]
    NotAnObject,
}

/// The claims of a JWT in compact serialisation (RFC 7519).
pub(crate) fn decode(token: &[u8]) -> Result<Json, JwtError> {
    let token = token.trim_ascii();
    if token.is_empty() {
        return Err(JwtError::Empty);
    }
    if token.len() > SIZE_LIMIT {
        return Err(JwtError::TooLarge);
    }
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(_header), Some(payload), Some(_signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(JwtError::Parts);
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| JwtError::Base64)?;
    let claims = object::parse(&payload).map_err(|error| match error {
        ObjectError::NotJson(_) => JwtError::Json,
        ObjectError::TooLarge(_) => JwtError::TooLarge,
    })?;
    match claims.is_object() {
        true => Ok(claims),
        false => Err(JwtError::NotAnObject),
    }
}
