//! Lines `NAME=value` without quotes, as `docker run --env-file`, podman, `kubectl create configmap
//! --from-env-file` and `$GITHUB_ENV` read them.
//!
//! They have no escape sequences, and give up the whole file at the first line that they cannot parse.

use super::{Document, LINE_LIMIT, comments};

/// Renders the variables that this format can represent. A warning names each of the others.
pub(super) fn render(document: &Document) -> Vec<u8> {
    let mut text = comments(document);
    for (name, variable) in document.named("list", is_name) {
        let line = format!("{name}={}", variable.value);
        match obstacle(&line) {
            None => text += &(line + "\n"),
            Some(what) => log::warn!("{name} is left out of the list format, which cannot contain {what}"),
        }
    }
    text.into_bytes()
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
        return Some("NUL");
    }
    if line.contains(['\r', '\n']) {
        return Some("a carriage return or a newline");
    }
    (line.len() > LINE_LIMIT).then_some("a line of 64 KiB")
}
