//! The files `labels` and `annotations` of a downwardAPI volume: lines `key="value"`.
//!
//! The kubelet writes them with `FormatMap` (Kubernetes' `pkg/fieldpath/fieldpath.go`). The lines are
//! sorted by key, `strconv.Quote` of Go quotes the values, and the last line has no newline.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::slice::Iter;

/// Reads a `labels` or `annotations` file line by line.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    entries: Vec<(String, String)>,
    broken: Vec<(usize, &'static str)>,
    lines: usize,
    size: usize,
}

/// The largest memory of the entries, in bytes. It is enough for 90,000 labels with keys of 24 bytes. An object has at
/// most 1.5 MiB in etcd, and its annotations at most 256 KiB.
const SIZE_LIMIT: usize = 13_900_000;

/// The memory of an entry, in bytes: its part of a tree whose nodes are half full, and two allocations
/// with glibc's rounding.
fn size_of_entry(key: &str, value: &str) -> usize {
    let allocated = |text: &str| (text.len() + 8).next_multiple_of(16).max(32);
    90 + allocated(key) + allocated(value)
}

/// The largest number of broken lines that are reported.
const BROKEN_LIMIT: usize = 10;

/// The letters after a backslash, and the bytes that they stand for.
const ESCAPES: [(u8, u8); 9] = [
    (b'a', 0x07),
    (b'b', 0x08),
    (b'f', 0x0c),
    (b'n', b'\n'),
    (b'r', b'\r'),
    (b't', b'\t'),
    (b'v', 0x0b),
    (b'\\', b'\\'),
    (b'"', b'"'),
];

impl Reader {
    /// Reads the next line, without its newline.
    ///
    /// The rules for quoted values are those of Go's `strconv.Unquote`. If two lines have the same key,
    /// the last line wins. Empty lines are skipped.
    ///
    /// # Errors
    /// The entries are more than any Kubernetes object can hold.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), &'static str> {
        self.lines += 1;
        match parse_line(line) {
            _ if line.is_empty() => {}
            Ok((key, value)) => {
                self.size += size_of_entry(key, &value);
                if self.size > SIZE_LIMIT {
                    return Err("more labels or annotations than a Kubernetes object can hold");
                }
                self.entries.push((key.to_owned(), value));
            }
            Err(reason) if self.broken.len() < BROKEN_LIMIT => {
                self.broken.push((self.lines, reason));
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// The entries, and the numbers of the first lines that are not `key="value"`, from 1, with what is wrong with each.
    pub(crate) fn finish(self) -> (BTreeMap<String, String>, Vec<(usize, &'static str)>) {
        (map_from(self.entries), self.broken)
    }
}

/// The map of `entries`. Of equal keys, the last one stays.
///
/// A tree that grows entry by entry takes almost twice the memory. And each iterator that is collected into a tree brings
/// a sort of its own, which is 5 KB of code: so all strings go through this function.
pub(crate) fn map_from(entries: Vec<(String, String)>) -> BTreeMap<String, String> {
    BTreeMap::from_iter(entries)
}

/// Writes a `labels` or `annotations` file as the kubelet does.
pub(crate) fn format(map: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (key, value) in map {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(key);
        text.push('=');
        quote(value, &mut text);
    }
    text
}

fn parse_line(line: &str) -> Result<(&str, String), &'static str> {
    // A key cannot contain `=` or `"` (`IsQualifiedName`), so the value starts at the first `="`.
    let (key, quoted) = line.split_once("=\"").ok_or("not key=\"value\"")?;
    if key.is_empty() {
        return Err("no key");
    }
    Ok((key, unquote(quoted)?))
}

/// The value of a quoted string. `quoted` starts after the opening quote.
fn unquote(quoted: &str) -> Result<String, &'static str> {
    let mut value = Vec::with_capacity(quoted.len().saturating_sub(1));
    let mut rest = quoted.as_bytes();
    loop {
        let mut bytes = rest.iter();
        let end =
            bytes.position(|byte| matches!(byte, b'"' | b'\\')).ok_or("the value has no closing quote")?;
        value.extend_from_slice(&rest[..end]);
        let mut after = rest[end + 1..].iter();
        if rest[end] == b'"' {
            return match after.next() {
                None => String::from_utf8(value).map_err(|_| "the value is not valid UTF-8"),
                Some(_) => Err("something follows the value"),
            };
        }
        unescape(&mut after, &mut value).ok_or("the value has an unknown escape sequence")?;
        rest = after.as_slice();
    }
}

/// Reads an escape sequence after its backslash, and appends its meaning to `value`.
fn unescape(bytes: &mut Iter<u8>, value: &mut Vec<u8>) -> Option<()> {
    let byte = match bytes.next()? {
        b'\'' => b'\'',
        b'x' => number(bytes, 0, 2, 16)?.try_into().ok()?,
        digit @ b'0'..=b'7' => number(bytes, u32::from(digit - b'0'), 2, 8)?.try_into().ok()?,
        b'u' => return push_character(number(bytes, 0, 4, 16)?, value),
        b'U' => return push_character(number(bytes, 0, 8, 16)?, value),
        letter => ESCAPES.iter().find(|(known, _)| known == letter)?.1,
    };
    value.push(byte);
    Some(())
}

/// The number with the first digits `first` and `count` more digits. It has at most eight hexadecimal
/// digits, so it fits.
fn number(bytes: &mut Iter<u8>, first: u32, count: usize, radix: u32) -> Option<u32> {
    (0..count).try_fold(first, |number, _| Some(number * radix + char::from(*bytes.next()?).to_digit(radix)?))
}

fn push_character(code: u32, value: &mut Vec<u8>) -> Option<()> {
    let character = char::from_u32(code)?;
    value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

/// Appends `value` to `text` as Go's `strconv.Quote` writes it.
fn quote(value: &str, text: &mut String) {
    text.push('"');
    for character in value.chars() {
        let escape = ESCAPES.iter().find(|(_, escaped)| char::from(*escaped) == character);
        let is_literal = matches!(character, ' '..='~') || (!character.is_ascii() && is_printable(character));
        // Writing to a String cannot fail.
        let _ = match (escape, u32::from(character)) {
            (Some((letter, _)), _) => write!(text, "\\{}", char::from(*letter)),
            _ if is_literal => text.write_char(character),
            (None, code @ 0..=0x7f) => write!(text, "\\x{code:02x}"),
            (None, code @ 0x80..=0xffff) => write!(text, "\\u{code:04x}"),
            (None, code) => write!(text, "\\U{code:08x}"),
        };
    }
    text.push('"');
}

/// Whether Go's `strconv.IsPrint` says so of a character that is not ASCII. Kubernetes may be built with an
/// older version of Unicode.
fn is_printable(character: char) -> bool {
    // Only at the start of a text does Rust escape a mark that combines.
    [' ', character].iter().collect::<String>().escape_debug().nth(1) == Some(character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        owned.collect()
    }

    fn parse(text: &str) -> (BTreeMap<String, String>, Vec<(usize, &'static str)>) {
        let mut reader = Reader::default();
        text.split('\n').for_each(|line| reader.line(line).unwrap());
        reader.finish()
    }

    #[test]
    fn what_no_object_can_hold_is_refused_and_broken_lines_are_counted_out() {
        let mut reader = Reader::default();
        let lines = (0..1_000_000).map(|number| reader.line(&format!("{number}=\"\"")));
        assert!(lines.into_iter().any(|line| line.is_err()));
        let mut reader = Reader::default();
        (0..90_000).for_each(|number| reader.line(&format!("label-{number}=\"value\"")).unwrap());
        assert_eq!(reader.finish().0.len(), 90_000);
        assert_eq!(parse(&"broken\n".repeat(1000)).1.len(), BROKEN_LIMIT);
    }

    fn reason(line: &str) -> &'static str {
        let (map, broken) = parse(line);
        assert!(map.is_empty(), "{map:?}");
        broken[0].1
    }

    #[test]
    fn what_the_kubelet_writes_is_written_and_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vectors/format-map.json");
        let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in cases {
            let entries = case["map"].as_object().unwrap().iter();
            let map = entries.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect();
            assert_eq!(format(&map), case["text"]);
            assert_eq!(parse(case["text"].as_str().unwrap()), (map, Vec::new()));
        }
    }

    #[test]
    fn every_escape_of_go_is_read() {
        let text = r#"k="\a\b\f\n\r\t\v\\\"\'\x41\101\u00e9\U0001f30d\xc3\xa9""#;
        let value = "\x07\x08\x0c\n\r\t\x0b\\\"'AAé🌍é";
        assert_eq!(parse(text), (map(&[("k", value)]), Vec::new()));
    }

    #[test]
    fn a_value_may_hold_what_separates() {
        let text = "a=\"b=\\\"c\\\"\"\nd=\"=\"\ne=\"e=\"\n";
        let expected = map(&[("a", "b=\"c\""), ("d", "="), ("e", "e=")]);
        assert_eq!(parse(text), (expected, Vec::new()));
    }

    #[test]
    fn good_lines_count_and_broken_ones_are_reported() {
        let (map_read, broken) = parse("a=\"1\"\nb=2\n\nc=\"3\"\nd=\"4\n");
        assert_eq!(map_read, map(&[("a", "1"), ("c", "3")]));
        assert_eq!(broken.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 5]);
    }

    #[test]
    fn a_broken_line_has_a_reason() {
        assert_eq!(reason("key"), "not key=\"value\"");
        assert_eq!(reason("key=value"), "not key=\"value\"");
        assert_eq!(reason("=\"value\""), "no key");
        assert_eq!(reason("key=\"value"), "the value has no closing quote");
        assert_eq!(reason("key=\"value\\\""), "the value has no closing quote");
        assert_eq!(reason("key=\"value\" "), "something follows the value");
        assert_eq!(reason("key=\"value\"\r"), "something follows the value");
        assert_eq!(reason("key=\"\\xff\""), "the value is not valid UTF-8");
        for escape in ["\\", "\\z", "\\x4", "\\xg0", "\\400", "\\18", "\\ud800", "\\U00110000", "\\u00e"] {
            let line = format!("key=\"{escape}\"");
            assert!(!reason(&line).is_empty(), "{line}");
        }
    }

    #[test]
    fn what_is_not_printable_for_go_is_escaped() {
        for character in "¡é☃中🌍\u{fffd}\u{301}\u{323af}\u{e01ef}\u{31350}".chars() {
            assert!(is_printable(character), "{character:?}");
        }
        let others =
            "\u{80}\u{a0}\u{ad}\u{378}\u{200b}\u{2028}\u{3000}\u{e000}\u{feff}\u{ffff}\u{e0001}\u{f0000}";
        for character in others.chars() {
            assert!(!is_printable(character), "{character:?}");
        }
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        assert_eq!(parse(""), (BTreeMap::new(), Vec::new()));
        assert_eq!(format(&BTreeMap::new()), "");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            map in prop::collection::btree_map("[a-zA-Z0-9./_-]{1,9}", any::<String>(), 0..4),
            newline in "\n?",
        ) {
            prop_assert_eq!(parse(&(format(&map) + &newline)), (map, Vec::new()));
        }

        #[test]
        fn every_character_is_written_as_one_line_and_read_again(character: char) {
            let map = map(&[("key", &character.to_string())]);
            let text = format(&map);
            prop_assert!(!text.contains('\n'));
            prop_assert_eq!(parse(&text), (map, Vec::new()));
        }

        #[test]
        fn no_text_panics(text in "(k=)?\"?(\\\\[abxuU0-9\"]|\\PC){0,12}\"?|\\PC*") {
            let _ = parse(&text);
        }
    }
}
