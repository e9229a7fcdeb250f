//! The log, and text from outside made safe to show on one line.

use std::io::Write;

use super::environment::Environment;

/// The log goes to standard error, a line a record. `RUST_LOG` is the application's.
pub(crate) fn start(environment: &Environment) {
    let filter = environment.get_nonempty("INTROSPOD_LOG").unwrap_or("warn");
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter).format(|formatter, record| {
        let text = record.args().to_string();
        if record.target() == ADVICE {
            return writeln!(formatter, "{text}");
        }
        let level = record.level().as_str().to_ascii_lowercase();
        writeln!(formatter, "introspod: {level}: {}", one_line(&text))
    });
    builder.init();
}

/// The target of log records that are advice: of several lines, to be copied as they stand.
pub(crate) const ADVICE: &str = "introspod::advice";

/// `text` with control characters as escapes, so that nothing from outside makes a line of its own,
/// and those that turn the direction of what follows (UAX #9), so that nothing reads as what it is not.
pub(crate) fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return std::borrow::Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match is_deceptive(letter) {
            true => line.extend(letter.escape_default()),
            false => line.push(letter),
        }
    }
    line.into()
}

fn is_deceptive(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn what_makes_lines_or_turns_them_is_escaped() {
        assert_eq!(one_line("a\nb\u{1b}[31m"), r"a\nb\u{1b}[31m");
        assert_eq!(one_line("\u{202e}drow"), r"\u{202e}drow");
        assert_eq!(one_line("Grüße, 世界"), "Grüße, 世界");
    }
}
