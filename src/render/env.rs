//! Lines `NAME='value'` that every reader parses alike.
//!
//! The readers are POSIX `.`, systemd's `EnvironmentFile=`, and the kubelet's parser for `fileKeyRef`
//! (`pkg/kubelet/util/env/env_util.go`). The kubelet's parser is the strictest: it accepts only single
//! quotes, has no escape sequences, and stops at the first line that it cannot parse.

use super::{LINE_LIMIT, NAME, is_assignable};
use crate::variables::value::evaluate::is_noncharacter;

/// The line of a variable.
pub(super) fn line(name: &str, value: &str) -> Result<String, &'static str> {
    let line = format!("{name}='{value}'");
    if !is_assignable(name) {
        return Err(NAME);
    }
    if value.contains('\'') {
        return Err("which cannot contain a single quote");
    }
    if value.contains('\0') {
        return Err("which cannot contain NUL");
    }
    if value.contains("\r\n") {
        return Err("which cannot contain a carriage return before a newline");
    }
    // It makes systemd ignore the whole file (`unichar_is_valid` in `src/basic/utf8.c`).
    if value.contains(is_noncharacter) {
        return Err("which cannot contain a Unicode noncharacter");
    }
    if line.split('\n').any(|line| line.len() > LINE_LIMIT) {
        return Err("which cannot contain a line of 64 KiB");
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kubelet_cannot_read_is_an_obstacle() {
        for value in [
            "it's",
            "a\r\nb",
            "a\0b",
            "\u{fdd0}",
            "\u{fdef}",
            "\u{ffff}",
            "\u{1fffe}",
            "\u{10ffff}",
            &"x".repeat(LINE_LIMIT - 2),
        ] {
            assert!(line("N", value).is_err(), "{:?}", value.chars().next());
        }
        for value in [
            "",
            "\u{fdcf}\u{fdf0}\u{fffd}\u{10000}",
            "a\nb",
            "\r",
            "a\rb",
            "\"$`\\#",
            &"x".repeat(LINE_LIMIT - 4),
        ] {
            assert!(line("N", value).is_ok(), "{:?}", value.chars().next());
        }
        let broken_over_lines = format!("{}\n", "x".repeat(60_000)).repeat(3);
        assert!(line("N", &broken_over_lines).is_ok());
    }
}
