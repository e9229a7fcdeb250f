//! Lines `NAME=value` without quotes, as `docker run --env-file`, podman, `kubectl create configmap
//! --from-env-file` and `$GITHUB_ENV` read them.
//!
//! They have no escape sequences, and give up the whole file at the first line that they cannot parse.

use super::{LINE_LIMIT, Line, NAME};

/// The line of a variable.
pub(super) fn line(name: &str, value: &str) -> Line {
    let line = format!("{name}={value}");
    match obstacle(&line) {
        _ if !is_name(name) => Err(NAME),
        Some(what) => Err(what),
        None => Ok(line),
    }
}

/// Whether every reader accepts the variable `name`. kubectl is the strictest of them (`IsEnvVarName` in
/// `k8s.io/apimachinery/pkg/util/validation`).
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let starts_well = !name.starts_with(|first: char| first.is_ascii_digit());
    name.bytes().all(is_letter) && starts_well && name != "." && !name.starts_with("..")
}

fn obstacle(line: &str) -> Option<&'static str> {
    if line.contains('\0') {
        return Some("which cannot contain NUL");
    }
    if line.contains(['\r', '\n']) {
        return Some("which cannot contain a carriage return or a newline");
    }
    (line.len() > LINE_LIMIT).then_some("which cannot contain a line of 64 KiB")
}
