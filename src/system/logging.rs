//! The log, and the conversion of text from outside to one safe line.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use log::LevelFilter;

use super::environment::Environment;

/// The variable that sets the log level. `RUST_LOG` belongs to the application.
pub(crate) const VARIABLE: &str = "INTROSPOD_LOG";
const DEFAULT_FILTER: &str = "warn";

/// Starts the log: one line on standard error for each record.
pub(crate) fn start(environment: &Environment) {
    let given = environment.get_nonempty(VARIABLE).unwrap_or(DEFAULT_FILTER);
    let is_valid = is_filter(given);
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(if is_valid { given } else { DEFAULT_FILTER }).format(|formatter, record| {
        let text = record.args().to_string();
        let level = record.level().as_str().to_ascii_lowercase();
        let mut lines = text.split(|letter| letter == '\n' && record.target() == ADVICE);
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let output: &mut dyn Write = match held.as_mut() {
            Some(held) => held,
            None => formatter,
        };
        lines.try_for_each(|line| writeln!(output, "introspod: {level}: {}", one_line(line)))
    });
    builder.init();
    if !is_valid {
        log::warn!(
            "{VARIABLE} has no effect: it must be off, error, warn or info; the log level is {DEFAULT_FILTER}"
        );
    }
}

/// The lines that are held back.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// The result of `attempt`. Its log is held back, and written only if `shows` returns true for the result.
pub(crate) fn hold<T>(attempt: impl FnOnce() -> T, shows: impl FnOnce(&T) -> bool) -> T {
    let swap = |lines| std::mem::replace(&mut *HELD.lock().unwrap_or_else(PoisonError::into_inner), lines);
    swap(Some(Vec::new()));
    let result = attempt();
    let held = swap(None).unwrap_or_default();
    if shows(&result) {
        let _ = std::io::stderr().write_all(&held);
    }
    result
}

/// Whether `filter` has an effect: it contains levels, or modules of this program with or without a level.
/// `env_logger` reads any other word as the name of a module, and then logs nothing.
fn is_filter(filter: &str) -> bool {
    let is_level = |text: &str| text.trim().parse::<LevelFilter>().is_ok();
    filter.split(',').all(|directive| {
        let (module, level) = directive.split_once('=').unwrap_or((directive, "info"));
        let is_own = module.trim().split("::").next() == Some(env!("CARGO_CRATE_NAME"));
        is_level(directive) || (is_own && is_level(level))
    })
}

/// The target of advice in the log. Users copy it, so it may have several lines.
pub(crate) const ADVICE: &str = "introspod::advice";

/// The largest number of names in a message.
pub(crate) const NAMED: usize = 3;

/// The first few of `count` names: `A`, `A and B`, `A, B, C and 4 more`. The other names may be missing.
pub(crate) fn several(names: &[impl AsRef<str>], count: usize) -> String {
    let named: Vec<&str> = names.iter().take(NAMED).map(AsRef::as_ref).collect();
    match (named.as_slice(), count - named.len()) {
        ([names @ .., last], 0) if !names.is_empty() => format!("{} and {last}", names.join(", ")),
        (names, 0) => names.join(", "),
        (names, more) => format!("{} and {more} more", names.join(", ")),
    }
}

/// `text` with escape sequences for control characters, so that text from outside cannot add lines to the
/// log. Line separators (U+2028, U+2029), invisible characters and characters that change the direction of
/// text (UAX #9) are escaped too.
pub(crate) fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return std::borrow::Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_deceptive(letter) {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line.into()
}

fn is_deceptive(letter: char) -> bool {
    let is_invisible = matches!(
        letter,
        '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    letter.is_control() || is_invisible
}

#[cfg(test)]
mod tests {
    use super::{is_filter, one_line};

    #[test]
    fn a_filter_has_levels_and_own_modules() {
        for filter in ["off", "WARN", "trace", "introspod", "introspod=info", "info,introspod::client=off"] {
            assert!(is_filter(filter), "{filter}");
        }
        for filter in ["verbose", "1", "warn,", "introspod=loud", "other=info", "=", "warning"] {
            assert!(!is_filter(filter), "{filter}");
        }
    }

    #[test]
    fn what_makes_lines_or_turns_them_is_escaped() {
        assert_eq!(one_line("a\nb\u{1b}[31m"), r"a\nb\u{1b}[31m");
        assert_eq!(one_line("\u{202e}drow"), r"\u{202e}drow");
        assert_eq!(one_line("a\u{2028}b\u{2029}c\u{85}d\u{feff}"), r"a\u{2028}b\u{2029}c\u{85}d\u{feff}");
        for invisible in [
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200f}',
            '\u{2028}',
            '\u{202e}',
            '\u{2060}',
            '\u{206f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{fffb}',
            '\u{e0000}',
            '\u{e007f}',
        ] {
            assert_eq!(one_line(&invisible.to_string()), invisible.escape_unicode().to_string());
        }
        assert_eq!(one_line("Grüße, 世界\u{a0}\u{301}"), "Grüße, 世界\u{a0}\u{301}");
    }
}
