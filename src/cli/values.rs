//! The values that options take.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::help::one_of;
use crate::kubernetes::names;
use crate::render::{FORMATS, Format};
use crate::variables::definition::{Definition, DefinitionError};

/// The value of an option is not valid.
///
/// If a message starts with "must", its subject is the option or variable, whose name precedes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("must be NAME=EXPR, such as TEAM=metadata.labels['team']")]
    NotASetting,
    #[error("{name:?} is not the name of a variable: use letters, digits and _, and no digit first")]
    Name { name: String },
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    #[error("must name files that end in {suffixes}, and {file:?} does not", suffixes = one_of(&Format::suffixes()))]
    Suffix { file: String },
    #[error("must be {names}", names = one_of(&Format::names()))]
    Format,
    #[error("must be an octal number from 0 to 0777, such as 0644")]
    Mode,
    #[error("must be a time above 0, such as 5s, 500ms or 1m")]
    Timeout,
    #[error(
        "{name:?} is not the name of a container: use at most 63 lower-case letters, digits and -, and no - first or last"
    )]
    Container { name: String },
    #[error("must be the ID of a process, a number above 0")]
    Process,
}

// argh accepts only text as the error of a function.
impl From<ValueError> for String {
    fn from(error: ValueError) -> String {
        error.to_string()
    }
}

/// The NAME and the EXPR of `--set NAME=EXPR`.
pub(super) struct Set(pub(super) String, pub(super) Definition);

impl FromStr for Set {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (name, definition) = text.split_once('=').ok_or(ValueError::NotASetting)?;
        check_name(name)?;
        Ok(Set(name.to_owned(), Definition::parse(definition)?))
    }
}

/// In a file's name it stands for the name of the described container.
pub(super) const CONTAINER_PLACEHOLDER: &str = "{container}";

/// A file to write, in the format of its suffix.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    /// With [`CONTAINER_PLACEHOLDER`] for the name of the container.
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
}

impl FromStr for Out {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let path = PathBuf::from(text);
        let format = Format::of_file(&path).ok_or_else(|| ValueError::Suffix { file: text.to_owned() })?;
        Ok(Out { path, format })
    }
}

impl Out {
    /// Whether the name of the file depends on the container.
    pub(super) fn has_placeholder(&self) -> bool {
        self.path.to_string_lossy().contains(CONTAINER_PLACEHOLDER)
    }

    /// The file for this container; none if its name is needed and is not known.
    pub(crate) fn path_for(&self, container: Option<&str>) -> Option<PathBuf> {
        if !self.has_placeholder() {
            return Some(self.path.clone());
        }
        Some(self.path.to_str()?.replace(CONTAINER_PLACEHOLDER, container?).into())
    }
}

/// Checks that `name` is a variable's name for every shell (POSIX.1-2017, 3.235 "Name").
fn check_name(name: &str) -> Result<(), ValueError> {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let starts_well = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    match is_word && starts_well {
        true => Ok(()),
        false => Err(ValueError::Name { name: name.to_owned() }),
    }
}

/// Parses the name of a variable.
pub(super) fn variable_name(name: &str) -> Result<String, String> {
    check_name(name)?;
    Ok(name.to_owned())
}

/// Parses the name of a container.
pub(super) fn container(name: &str) -> Result<String, String> {
    match names::is_label(name) {
        true => Ok(name.to_owned()),
        false => Err(ValueError::Container { name: name.to_owned() }.into()),
    }
}

/// Parses the name of a format.
pub(super) fn format(name: &str) -> Result<Format, String> {
    let format = FORMATS.into_iter().find(|format| format.name == name);
    Ok(format.ok_or(ValueError::Format)?)
}

/// Parses the mode of a file. Only permissions are allowed, not bits such as set-user-ID.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    Ok(mode.filter(|_| !text.starts_with('+')).ok_or(ValueError::Mode)?)
}

/// Parses a duration. A number without a unit is in seconds.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    let duration = seconds.or_else(|| humantime::parse_duration(text).ok());
    Ok(duration.filter(|duration| !duration.is_zero()).ok_or(ValueError::Timeout)?)
}

/// Parses the ID of a process.
pub(super) fn process(text: &str) -> Result<u32, String> {
    let id = text.parse::<NonZeroU32>().ok().filter(|_| !text.starts_with('+'));
    Ok(id.map(NonZeroU32::get).ok_or(ValueError::Process)?)
}
