//! Lines `NAME=value` without quotes, as `docker run --env-file`, podman, `kubectl create configmap
//! --from-env-file` and `$GITHUB_ENV` read them.
//!
//! They have no escape sequences, and give up the whole file at the first line that they cannot parse.

use super::{LINE_LIMIT, NAME};

/// The line of a variable.
pub(super) fn line(name: &str, value: &str) -> Result<String, &'static str> {
    let line = format!("{name}={value}");
    if !is_name(name) {
        return Err(NAME);
    }
    if value.contains('\0') {
        return Err("which cannot contain NUL");
    }
    if value.contains(['\r', '\n']) {
        return Err("which cannot contain a carriage return or a newline");
    }
    if line.len() > LINE_LIMIT {
        return Err("which cannot contain a line of 64 KiB");
    }
    Ok(line)
}

/// Whether every reader accepts the variable `name`. kubectl is the strictest of them (`IsEnvVarName` in
/// `k8s.io/apimachinery/pkg/util/validation`).
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let starts_well = !name.starts_with(|first: char| first.is_ascii_digit());
    name.bytes().all(is_letter) && starts_well && name != "." && !name.starts_with("..")
}
