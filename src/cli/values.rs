//! The values that options take.
//!
//! An error is the text why a value is not valid, as argh needs it. It does not contain the value, which may be a
//! secret. If it begins with "must", its subject is the option or variable, whose name precedes it.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::kubernetes::names;
use crate::render::template::FileTemplate;
use crate::render::{FORMATS, Format};
use crate::variables::value::Expression;

/// Parses a value of a type that has a parser of its own.
pub(super) fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Parses the value of a switch.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// Parses NAME=VALUE.
pub(super) fn setting(text: &str) -> Result<(String, Expression), String> {
    let (name, definition) =
        text.split_once('=').ok_or("must be NAME=VALUE, such as TEAM=metadata.labels['team']")?;
    let name = variable_name(name)?;
    let definition = Expression::parse(definition).map_err(|error| error.to_string())?;
    Ok((name, definition))
}

/// Parses the name of a file, whose suffix says the format.
pub(super) fn out(text: &str) -> Result<(PathBuf, Format), String> {
    let suffixes = || format!("must name files that end in {}", one_of(&Format::suffixes()));
    Ok((text.into(), Format::of_file(Path::new(text)).ok_or_else(suffixes)?))
}

/// Parses IN:OUT or IN.
pub(super) fn template(text: &str) -> Result<(PathBuf, Option<PathBuf>), String> {
    Ok(match text.split_once(':') {
        Some((input, output)) if !input.is_empty() && !output.is_empty() => {
            (input.into(), Some(output.into()))
        }
        _ => (text.into(), None),
    })
}

/// Parses OUT=TEXT.
pub(super) fn file(text: &str) -> Result<FileTemplate, String> {
    let pair = text.split_once('=').filter(|(out, _)| !out.is_empty());
    let (out, text) = pair.ok_or("must be OUT=TEXT, such as '/data/myid=$(pod.ordinal + 1)'")?;
    FileTemplate::of_text(out.into(), text).map_err(|error| error.to_string())
}

/// Parses the name of a variable, as Kubernetes allows it (`IsRelaxedEnvVarName` in
/// `k8s.io/apimachinery/pkg/util/validation`). A blank around it is a mistake, such as in `NAME = VALUE`.
pub(super) fn variable_name(name: &str) -> Result<String, String> {
    let is_valid = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    let name =
        (!name.is_empty() && name.trim() == name && name.bytes().all(is_valid)).then(|| name.to_owned());
    Ok(name.ok_or("must be the name of a variable: printable ASCII without =, and no blank first or last")?)
}

/// Parses the name of a container.
pub(super) fn container(name: &str) -> Result<String, String> {
    let name = names::is_label(name).then(|| name.to_owned());
    Ok(name.ok_or("must be the name of a container: at most 63 lower-case letters, digits and -, and no - first or last")?)
}

/// Parses the name of a format.
pub(super) fn format(name: &str) -> Result<Format, String> {
    let format = FORMATS.into_iter().find(|format| format.name == name);
    format.ok_or_else(|| format!("must be {}", one_of(&Format::names())))
}

/// Parses the mode of a file. Only permissions are allowed, not bits such as set-user-ID.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o777 && !text.starts_with('+'));
    Ok(mode.ok_or("must be an octal number from 0 to 0777, such as 0644")?)
}

/// Parses a duration. A number without a unit is in seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    let duration = seconds.or_else(|| humantime::parse_duration(text).ok());
    Ok(duration
        .filter(|duration| !duration.is_zero())
        .ok_or("must be a time above 0, such as 5s, 500ms or 1m")?)
}

/// Parses the ID of a process.
pub(super) fn process(text: &str) -> Result<u32, String> {
    let id = text.parse().ok().filter(|id| *id > 0 && !text.starts_with('+'));
    Ok(id.ok_or("must be the ID of a process, a number above 0")?)
}

/// Checks the path of a request.
pub(super) fn path(text: &str) -> Result<(), String> {
    Ok(text.starts_with('/').then_some(()).ok_or("must begin with /, such as introspod get /version")?)
}

/// `a, b or c`.
pub(super) fn one_of(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    }
}
