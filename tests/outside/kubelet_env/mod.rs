//! The kubelet's parser of env files, compared with what a real kubelet did.

mod parser;

use crate::world::fixtures;
use parser::{Rejected, assignments};

/// The value of `key` in `file`; none if `key` is missing or empty, which the kubelet treats alike.
///
/// # Errors
/// The kubelet rejects a line before the key.
pub fn value_of(file: &[u8], key: &[u8]) -> Result<Option<Vec<u8>>, Rejected> {
    for assignment in assignments(file) {
        let (name, value) = assignment?;
        if name == key {
            return Ok(Some(value).filter(|value| !value.is_empty()));
        }
    }
    Ok(None)
}

/// The bytes of a Python literal: `b'…'`.
fn python_bytes(literal: &str) -> Vec<u8> {
    let inner = literal.strip_prefix('b').unwrap();
    let inner = &inner[1..inner.len() - 1];
    let mut bytes = Vec::new();
    let mut rest = inner.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().unwrap() {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            },
            byte => byte,
        });
    }
    bytes
}

#[test]
fn the_parser_answers_what_a_real_kubelet_answered() {
    let directory = fixtures().join("envfile");
    let results = std::fs::read_to_string(directory.join("results.tsv")).unwrap();
    let mut compared = 0;
    for line in results.lines() {
        let [name, _kind, key, content, outcome, detail] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let Ok(file) = std::fs::read(directory.join("files").join(name)) else {
            assert!(content.starts_with('<'), "{name} is not recorded");
            continue;
        };
        compared += 1;
        let value = value_of(&file, key.as_bytes());
        match outcome {
            "started" if detail == "UNSET" => assert_eq!(value, Ok(None), "{name}"),
            "started" => {
                let value = value.unwrap().unwrap();
                // The runtime's JSON has U+FFFD for each byte that is not UTF-8.
                let expected = String::from_utf8(python_bytes(detail)).unwrap();
                assert_eq!(String::from_utf8_lossy(&value), expected, "{name}");
            }
            "terminated" => assert!(value.unwrap().unwrap().contains(&0), "{name}"),
            "waiting" if detail.contains("not found in file") => assert_eq!(value, Ok(None), "{name}"),
            "waiting" => assert_eq!(value, Err(Rejected), "{name}"),
            other => panic!("{other}"),
        }
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn the_parser_reads_lines_as_long_as_a_real_kubelet_does() {
    // results.tsv: longline-65535 and long-multiline-100k started, longline-65536 did not.
    let line = |length: usize| format!("V='{}'", "x".repeat(length - 4)).into_bytes();
    assert_eq!(value_of(&line(65_535), b"V").unwrap().unwrap().len(), 65_531);
    assert_eq!(value_of(&line(65_536), b"V"), Err(Rejected));
    let broken = format!("V='{}'", format!("{}\n", "y".repeat(99)).repeat(1000));
    assert_eq!(value_of(broken.as_bytes(), b"V").unwrap().unwrap().len(), 100_000);
}
