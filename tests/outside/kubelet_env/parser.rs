//! The kubelet's parser of env files (`fileKeyRef`; `ParseEnv` in `pkg/kubelet/util/env/env_util.go`),
//! by the rules of `tests/fixtures/envfile/GRAMMAR.md`.
//!
//! The tests of the binary and the fuzz targets both include this file.

/// The kubelet rejects the file: the container waits in `CreateContainerConfigError`.
#[derive(Debug, PartialEq, Eq)]
pub struct Rejected;

/// The assignments of `file` in their order, up to the first line that the kubelet rejects.
pub fn assignments(file: &[u8]) -> impl Iterator<Item = Result<(&[u8], Vec<u8>), Rejected>> {
    let mut lines = Lines { rest: Some(file) };
    std::iter::from_fn(move || assignment(&mut lines).transpose())
}

/// A variable's name and value.
type Assignment<'a> = (&'a [u8], Vec<u8>);

/// The next assignment; none at the end of the file.
fn assignment<'a>(lines: &mut Lines<'a>) -> Result<Option<Assignment<'a>>, Rejected> {
    while let Some(line) = lines.next()? {
        let line = trim_start(line);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let equals = line.iter().position(|byte| *byte == b'=').ok_or(Rejected)?;
        let (name, value) = (&line[..equals], &line[equals + 1..]);
        if name.is_empty() || name.ends_with(b" ") || name.ends_with(b"\t") {
            return Err(Rejected);
        }
        return match value.first() {
            // The value is empty, and the kubelet ignores the rest of the line.
            Some(b' ' | b'\t') => Ok(Some((name, Vec::new()))),
            Some(b'\'') => Ok(Some((name, quoted(&value[1..], lines)?))),
            _ => Err(Rejected),
        };
    }
    Ok(None)
}

/// The text up to the closing quote; it may span several lines.
fn quoted(rest: &[u8], lines: &mut Lines) -> Result<Vec<u8>, Rejected> {
    let mut value = Vec::new();
    let mut line = rest;
    loop {
        if let Some(end) = line.iter().position(|byte| *byte == b'\'') {
            value.extend(&line[..end]);
            let after = trim_start(&line[end + 1..]);
            let is_clean = after.is_empty() || after.starts_with(b"#");
            return if is_clean { Ok(value) } else { Err(Rejected) };
        }
        value.extend(line);
        value.push(b'\n');
        line = lines.next()?.ok_or(Rejected)?;
    }
}

fn trim_start(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &line[blanks..]
}

/// Lines as Go's `bufio.Scanner` splits them.
struct Lines<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<Option<&'a [u8]>, Rejected> {
        let Some(rest) = self.rest.filter(|rest| !rest.is_empty()) else { return Ok(None) };
        let (line, rest) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        self.rest = rest;
        if line.len() > 65_535 {
            return Err(Rejected);
        }
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }
}
