//! The formats: one file and one function each.

mod env;
mod json;
mod list;
mod sh;
mod table;
pub(crate) mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::system::logging::one_line;
use crate::variables::Run;
use crate::variables::variable::Variables;

/// The reasons why values are not known, for `--explain`.
#[derive(Debug, Default)]
pub(crate) struct Explanation {
    /// By a variable's name: why it is not known, and how to make it known.
    pub(crate) unknown: BTreeMap<String, String>,
    /// The sources that do not know something, and why.
    pub(crate) sources: Vec<(&'static str, String)>,
}

/// In the name of a file to write, this stands for the name of the described container.
const CONTAINER_PLACEHOLDER: &str = "{container}";

/// Whether the name of a file to write depends on the container.
pub(crate) fn names_container(file: &Path) -> bool {
    file.to_string_lossy().contains(CONTAINER_PLACEHOLDER)
}

/// The file to write for this container; `None` if its name is needed and is not known.
pub(crate) fn for_container(file: &Path, container: Option<&str>) -> Option<PathBuf> {
    if !names_container(file) {
        return Some(file.to_owned());
    }
    Some(file.to_str()?.replace(CONTAINER_PLACEHOLDER, container?).into())
}

/// A format: a row of [`FORMATS`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) name: &'static str,
    /// The suffix of its files; `None` if the format is only for terminals.
    suffix: Option<&'static str>,
    /// Renders facts and variables. Without it, the format has a line for each variable.
    whole: Option<Render>,
    /// The line of a variable without its newline, or why the format cannot have it.
    line: fn(&str, &str) -> Result<String, &'static str>,
}

/// The format cannot have a variable because of its name.
const NAME: &str = "whose readers do not accept this name";

type Render = fn(&Run, Option<&Explanation>) -> Vec<u8>;

/// A format that can have every variable.
const WHOLE: Format = Format { name: "", suffix: None, whole: None, line: |_, _| Ok(String::new()) };

/// For people.
pub(crate) const TABLE: Format = Format { name: "table", whole: Some(table::render), ..WHOLE };
/// One object.
pub(crate) const JSON: Format =
    Format { name: "json", suffix: Some("json"), whole: Some(json::render), ..WHOLE };
/// Lines `NAME='value'`.
pub(crate) const ENV: Format = Format { name: "env", suffix: Some("env"), whole: None, line: env::line };
/// Lines `export NAME='value'`.
pub(crate) const SH: Format = Format { name: "sh", suffix: Some("sh"), whole: None, line: sh::line };
/// Lines `NAME=value`.
pub(crate) const LIST: Format = Format { name: "list", suffix: Some("list"), whole: None, line: list::line };

/// Every format.
pub(crate) const FORMATS: [Format; 5] = [TABLE, ENV, SH, LIST, JSON];

impl Format {
    /// The facts and variables in this format. The text ends in a newline unless it is empty. A warning names each
    /// variable that the format cannot have.
    pub(crate) fn render(self, run: &Run, explanation: Option<&Explanation>) -> Vec<u8> {
        if let Some(render) = self.whole {
            return render(run, explanation);
        }
        let mut text =
            explanation.map(|explanation| comments(&run.variables, explanation)).unwrap_or_default();
        for (name, variable) in run.variables.shown() {
            match (self.line)(name, &variable.value) {
                Ok(line) => text += &(line + "\n"),
                Err(why) => log::warn!("{name} is left out of the {} format, {why}", self.name),
            }
        }
        text.into_bytes()
    }

    /// Why a file in this format lacks the variable `name`.
    pub(crate) fn why_lacking(self, name: &str, variables: &Variables) -> Option<String> {
        match variables.get(name) {
            None => Some("it is not one of its variables".to_owned()),
            Some(variable) if !variable.is_shown() => Some("it is private, or omitted".to_owned()),
            Some(variable) => {
                let why = (self.line)(name, &variable.value).err()?;
                Some(format!("it is left out of the {} format, {why}", self.name))
            }
        }
    }

    /// The format for the suffix of the file `path`, which may be its whole name: `.env`.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        let (_, suffix) = path.file_name()?.to_str()?.rsplit_once('.')?;
        FORMATS.into_iter().find(|format| format.suffix == Some(suffix))
    }

    /// The names of the formats.
    pub(crate) fn names() -> Vec<&'static str> {
        FORMATS.iter().map(|format| format.name).collect()
    }

    /// The suffixes of all files, each with its dot.
    pub(crate) fn suffixes() -> Vec<String> {
        FORMATS.iter().filter_map(|format| Some(format!(".{}", format.suffix?))).collect()
    }
}

/// The longest line that readers in Go accept, in bytes without the newline (`bufio.MaxScanTokenSize`).
const LINE_LIMIT: usize = 65_535;

/// Whether a shell can assign the variable `name` (POSIX.1-2017, 3.235 "Name").
fn is_assignable(name: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && name.starts_with(|first: char| !first.is_ascii_digit())
}

/// `--explain` as comment lines, which shells, systemd and the kubelet all ignore.
fn comments(variables: &Variables, explanation: &Explanation) -> String {
    let mut text = String::new();
    for (name, variable) in variables.shown() {
        text += &format!("# {name}: {}\n", variable.source);
    }
    for (name, why) in &explanation.unknown {
        text += &format!("# {name}: unknown: {}\n", one_line(why));
    }
    for (source, why) in &explanation.sources {
        text += &format!("# {source}: {}\n", one_line(why));
    }
    text
}
