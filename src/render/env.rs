//! Lines `NAME='value'` that every reader understands alike.
//!
//! Readers are POSIX `.`, systemd's `EnvironmentFile=`, and the kubelet's parser for `fileKeyRef`
//! (`pkg/kubelet/util/env/env_util.go`), which is the strictest: it accepts nothing but single
//! quotes, has no escape, and gives up at the first line that it does not like.

use super::{Document, comments};

/// The longest line that the kubelet reads, in bytes, without its newline (`bufio.MaxScanTokenSize`).
const LINE_LIMIT: usize = 65_535;

/// Renders the variables that can be written so; each other one is named in a warning.
pub(super) fn render(document: &Document) -> Vec<u8> {
    let mut text = comments(document);
    for (name, variable) in document.shown() {
        let line = format!("{name}='{}'", variable.value);
        match obstacle(&variable.value, &line) {
            None => text += &(line + "\n"),
            Some(what) => log::warn!("{name} is left out of the env format: {what} cannot be written there"),
        }
    }
    text.into_bytes()
}

fn obstacle(value: &str, line: &str) -> Option<&'static str> {
    if value.contains('\'') {
        return Some("a single quote");
    }
    if value.contains('\0') {
        return Some("NUL");
    }
    if value.contains("\r\n") {
        return Some("a carriage return before a newline");
    }
    let is_long = line.split('\n').any(|line| line.len() > LINE_LIMIT);
    is_long.then_some("a line of 64 KiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kubelet_cannot_read_is_an_obstacle() {
        for value in ["it's", "a\r\nb", "a\0b", &"x".repeat(LINE_LIMIT - 2)] {
            let line = format!("N='{value}'");
            assert!(obstacle(value, &line).is_some(), "{:?}", &value[..4.min(value.len())]);
        }
        for value in ["", "a\nb", "\r", "a\rb", "\"$`\\#", &"x".repeat(LINE_LIMIT - 4)] {
            let line = format!("N='{value}'");
            assert_eq!(obstacle(value, &line), None, "{:?}", &value[..4.min(value.len())]);
        }
        let broken_over_lines = format!("{}\n", "x".repeat(60_000)).repeat(3);
        assert_eq!(obstacle(&broken_over_lines, &format!("N='{broken_over_lines}'")), None);
    }
}
