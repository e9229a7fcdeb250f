//! The service account token: a JWT whose claims name the pod.
//!
//! introspod does not verify the signature, because the kubelet mounted the token. Since Kubernetes 1.30
//! the claims also name the node.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value as Json;

use crate::facts::field::Field;
use crate::facts::{Note, Report};
use crate::kubernetes::object::{self, ObjectError};
use crate::system::surroundings::Surroundings;

/// Other places of projected tokens: introspod's own, and those of Istio and of GKE's fleets. The claims name the
/// pod, whatever the audience is. These tokens are never sent.
const PROJECTED: [&str; 3] =
    ["/etc/podinfo/token", "/var/run/secrets/tokens/istio-token", "/var/run/secrets/tokens/gcp-ksa/token"];

/// The end of the name of a variable that names the file of a token, as the webhooks of AWS, Azure, Alibaba Cloud
/// and Tencent Cloud set it.
const TOKEN_FILE: &str = "_TOKEN_FILE";

/// The largest token in bytes. The API server accepts 1 MiB of headers (Go's `http.DefaultMaxHeaderBytes`).
const SIZE_LIMIT: usize = 1 << 20;

/// Whether `content` is a service account token, this pod's own or a projected one.
pub(crate) fn is_token(surroundings: &Surroundings, content: &[u8]) -> bool {
    let has_claims = |claims: Json| {
        claims.as_object().is_some_and(|claims| claims.keys().any(|name| name.starts_with("kubernetes.io")))
    };
    let own = surroundings.root.read(&Surroundings::service_account_file("token"));
    decode(content).is_ok_and(has_claims) || own.is_ok_and(|own| own.trim_ascii() == content.trim_ascii())
}

/// Why a token has only a namespace.
const NO_POD: &str = "names no pod: it is a legacy token, which the kubelet did not project";

/// Reads the claims of the first token that names a pod. If no token does, it reads only the namespace, from a token or
/// from the file beside it.
pub(crate) fn read(surroundings: &Surroundings) -> Report {
    let (mut report, mut notes, mut unreadable) = (Report::default(), Vec::new(), Vec::new());
    for (index, path) in paths(surroundings).enumerate() {
        let display = || surroundings.root.display(&path);
        // A file at one of the other places may be something else.
        let is_named = index == 0;
        match read_claims(surroundings, &path) {
            Ok(claims) if claims["kubernetes.io"]["pod"]["name"].is_string() => {
                report.values.clear();
                claims["iat"].as_u64().map(|issued| surroundings.issued.set(issued));
                report_pod(&claims, &mut report);
                return report;
            }
            Ok(claims) => {
                report_namespace(&claims, &mut report);
                notes.push(Note::new(format!("{} {NO_POD}", display()), false));
            }
            Err(TokenError::Read { source, .. })
                if is_absent(&source) && surroundings.token_file.is_none() => {}
            Err(TokenError::Read { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
                unreadable.push(display());
            }
            Err(error) => notes.push(Note::new(error.to_string(), is_named)),
        }
    }
    if !unreadable.is_empty() {
        notes.push(Note::new(unreadable_by_user(&unreadable), true));
    }
    if report.values.is_empty() && notes.is_empty() {
        report.absent(format!(
            "no token is mounted; mount the service account's, or a projected one at {} \
             (--token-file names another place)",
            PROJECTED[0]
        ));
    }
    report.notes.extend(notes);
    let namespace = surroundings.read_text(&Surroundings::service_account_file("namespace"));
    report_text(Field::POD_NAMESPACE, namespace.unwrap_or_default().trim(), &mut report);
    report
}

/// Whether there is a token of any kind.
pub(crate) fn is_mounted(surroundings: &Surroundings) -> bool {
    paths(surroundings).any(|path| read_claims(surroundings, &path).is_ok())
}

/// The files that may hold a token, the most certain first. `--token-file` names the only one.
fn paths<'a>(surroundings: &'a Surroundings) -> impl Iterator<Item = PathBuf> + 'a {
    let environment = &*surroundings.environment;
    let named = environment.names_with_prefix("").filter(|name| name.ends_with(TOKEN_FILE));
    let named = named.filter_map(|name| environment.get(name)).filter(|path| path.starts_with('/'));
    let [projected, others @ ..] = PROJECTED;
    let usual = [projected].into_iter().chain(named).chain(others).map(PathBuf::from);
    let own = std::iter::once_with(|| Surroundings::service_account_file("token"));
    let usual = own.chain(usual).filter(|_| surroundings.token_file.is_none());
    surroundings.token_file.clone().into_iter().chain(usual)
}

/// A warning for files that only another user may read.
pub(crate) fn unreadable_by_user(paths: &[String]) -> String {
    format!(
        "{}: permission denied for this user; set securityContext.fsGroup of the pod, or defaultMode of the volume",
        paths.join(", ")
    )
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Reads the claims of a token that the kubelet projected (`pkg/serviceaccount/claims.go`).
fn report_pod(claims: &Json, report: &mut Report) {
    let of_cluster = &claims["kubernetes.io"];
    let mut text = |field, value: &Json| report_text(field, value.as_str().unwrap_or_default(), report);
    if claims["iss"].as_str().is_some_and(|issuer| issuer.starts_with("https://")) {
        text(Field::CLUSTER_ISSUER, &claims["iss"]);
    }
    text(Field::POD_NAMESPACE, &of_cluster["namespace"]);
    text(Field::SERVICE_ACCOUNT, &of_cluster["serviceaccount"]["name"]);
    text(Field::NODE_NAME, &of_cluster["node"]["name"]);
    text(Field::NODE_UID, &of_cluster["node"]["uid"]);
    text(Field::POD_NAME, &of_cluster["pod"]["name"]);
    text(Field::POD_UID, &of_cluster["pod"]["uid"]);
}

/// Reads only the namespace: a token without a pod may belong to any service account. The claims of a
/// legacy token are flat (`pkg/serviceaccount/legacy.go`).
fn report_namespace(claims: &Json, report: &mut Report) {
    let nested = claims["kubernetes.io"]["namespace"].as_str();
    let flat = claims["kubernetes.io/serviceaccount/namespace"].as_str();
    report_text(Field::POD_NAMESPACE, nested.or(flat).unwrap_or_default(), report);
}

/// Adds the text of a field, if it has the field's syntax. The first one counts.
fn report_text(field: Field, text: &str, report: &mut Report) {
    let is_valid = field.kind.accepts(text);
    if is_valid && report.text_of(field).is_none() {
        report.text(field, text);
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
    let claims = object::parse(&payload, &[]).map_err(|error| match error {
        ObjectError::NotJson(_) => JwtError::Json,
        ObjectError::TooLarge(_) => JwtError::TooLarge,
    })?;
    if claims.is_object() { Ok(claims) } else { Err(JwtError::NotAnObject) }
}
