//! The formats: one file each, of one signature.

mod env;
mod json;
mod sh;
mod table;

use std::path::Path;
use std::str::FromStr;

use crate::facts::Facts;
use crate::variables::variable::{Variable, Variables, shown};

/// What is rendered.
pub(crate) struct Document<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) variables: &'a Variables,
    /// For `--explain`: each source that could not tell something, and why.
    pub(crate) explanation: Option<Vec<(&'static str, String)>>,
}

impl Document<'_> {
    /// The variables that may be printed and written.
    fn shown(&self) -> impl Iterator<Item = (&String, &Variable)> {
        shown(self.variables)
    }
}

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// Lines `NAME='value'`.
    Env,
    /// Lines `export NAME='value'`.
    Sh,
    /// One object.
    Json,
}

impl Format {
    /// The document in this format, ending in a newline unless it is empty.
    pub(crate) fn render(self, document: &Document) -> Vec<u8> {
        match self {
            Format::Table => table::render(document),
            Format::Env => env::render(document),
            Format::Sh => sh::render(document),
            Format::Json => json::render(document),
        }
    }

    /// The format that the suffix of `path` says.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "env" => Some(Format::Env),
            "sh" => Some(Format::Sh),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "table" => Ok(Format::Table),
            "env" => Ok(Format::Env),
            "sh" => Ok(Format::Sh),
            "json" => Ok(Format::Json),
            _ => Err("it is one of table, env, sh, json".to_owned()),
        }
    }
}

/// `--explain` as comment lines, which shells, systemd and the kubelet all pass over.
fn comments(document: &Document) -> String {
    let Some(explanation) = &document.explanation else { return String::new() };
    let mut text = String::new();
    for (name, variable) in document.shown() {
        text += &format!("# {name}: {}\n", variable.source);
    }
    for (source, why) in explanation {
        text += &format!("# {source}: {}\n", crate::system::logging::one_line(why));
    }
    text
}
