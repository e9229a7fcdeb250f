//! The command line.
//!
//! [`options`] declares each option once, and [`subcommands`] has one row for each subcommand. [`help`]
//! generates the help from both. [`words`] splits the command line, adds the variables `INTROSPOD_…`,
//! and passes the options to argh group by group.

mod error;
mod help;
mod options;
mod subcommands;
mod values;
mod variables;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::ApiUrl;
use crate::client::notify::NotifyUrl;
use crate::facts::subject::Asked;
use crate::render::Format;
use crate::system::environment::Environment;
use crate::system::suggest;
use crate::variables::Selection;
use crate::variables::definition::in_order;

pub(crate) use error::UsageError;
use subcommands::{SUBCOMMANDS, Subcommand};
pub(crate) use values::Out;
pub(crate) use variables::is_disabled;
use words::Words;

/// The parsed command line.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// The help or the version, which is printed.
    Text(String),
    Exec(Box<Exec>),
    Write(Box<Options>),
    Watch(Box<Watch>),
    Print(Box<Print>),
    Get(Get),
    Install(Install),
}

/// The options of `exec`.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) options: Options,
    pub(crate) expand: bool,
    pub(crate) command: Vec<OsString>,
}

/// The options of `watch`.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) options: Options,
    pub(crate) notify: Option<NotifyUrl>,
}

/// The options of `print`.
#[derive(Debug)]
pub(crate) struct Print {
    pub(crate) options: Options,
    /// The variables whose values are printed. If there is none, all variables are printed in a format.
    pub(crate) names: Vec<String>,
    pub(crate) format: Option<Format>,
    pub(crate) explain: bool,
}

/// The options that `exec`, `write`, `print` and `watch` share.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) selection: Selection,
    /// The files to write.
    pub(crate) out: Vec<Out>,
    pub(crate) mode: u32,
    pub(crate) api: crate::sources::api::Settings,
    pub(crate) volumes: Vec<PathBuf>,
    pub(crate) token_file: Option<PathBuf>,
    /// The containers to describe, without duplicates. `exec` and `print` allow at most one.
    pub(crate) containers: Vec<String>,
    pub(crate) root: PathBuf,
    /// The process whose container is described, instead of introspod's own. It is above 0.
    pub(crate) process: Option<u32>,
    pub(crate) pod: Option<PathBuf>,
}

/// The options of `get`.
#[derive(Debug)]
pub(crate) struct Get {
    /// The path and the query. It starts with `/`.
    pub(crate) path: String,
    pub(crate) api_url: Option<ApiUrl>,
    pub(crate) timeout: Duration,
    pub(crate) root: PathBuf,
}

/// The options of `install`.
#[derive(Debug)]
pub(crate) struct Install {
    /// The directory to copy to.
    pub(crate) dir: PathBuf,
}

impl Options {
    /// The first container of `--container`.
    pub(crate) fn container(&self) -> Option<&str> {
        self.containers.first().map(String::as_str)
    }

    /// The choice of `exec` and `print`: the container that they run in.
    pub(crate) fn own(&self) -> Asked {
        Asked { container: self.container().map(str::to_owned), is_beside: false }
    }

    /// The choice of `write` and `watch`: a container beside their own, or that of `--process`.
    pub(crate) fn beside(&self) -> Asked {
        Asked { container: self.container().map(str::to_owned), is_beside: self.process.is_none() }
    }

    /// The options for each container of `--container`. Without `--container` these are the options themselves.
    pub(crate) fn per_container(&self) -> Vec<Options> {
        if self.containers.is_empty() {
            return vec![self.clone()];
        }
        let of = |name: &String| Options { containers: vec![name.clone()], ..self.clone() };
        self.containers.iter().map(of).collect()
    }

    fn checked(mut self) -> Result<Self, UsageError> {
        self.selection.set = in_order(self.selection.set)?;
        if let Some(name) = repeated(self.containers.iter()) {
            return Err(UsageError::ContainerTwice(name.clone()));
        }
        let excluded = [("--api-url", self.api.url.is_some()), ("--process", self.process.is_some())];
        if let Some((with, _)) = excluded.iter().find(|(_, is_given)| *is_given && self.pod.is_some()) {
            return Err(UsageError::Combined { option: "--pod", with });
        }
        Ok(self)
    }

    /// Checks the files of `write` and `watch`, which may describe several containers.
    fn with_out(self, subcommand: &'static str) -> Result<Self, UsageError> {
        if self.out.is_empty() {
            return Err(UsageError::NoOut(subcommand));
        }
        for out in &self.out {
            let file = || out.path.display().to_string();
            match (self.containers.len(), out.has_placeholder()) {
                (0, true) => return Err(UsageError::NoContainer { file: file() }),
                (2.., false) => return Err(UsageError::OneFileForSeveral { file: file() }),
                _ => {}
            }
        }
        Ok(self)
    }

    fn describing_one(self, subcommand: &'static str) -> Result<Self, UsageError> {
        match self.containers.len() {
            0 | 1 => Ok(self),
            _ => Err(UsageError::SeveralContainers(subcommand)),
        }
    }
}

/// The first name that is repeated.
fn repeated<'a>(names: impl Iterator<Item = &'a String> + Clone) -> Option<&'a String> {
    names.clone().enumerate().find_map(|(position, name)| {
        names.clone().take(position).any(|before| before == name).then_some(name)
    })
}

/// Parses `arguments`, which do not include the program's name.
pub(crate) fn parse(arguments: &[OsString], environment: &Environment) -> Result<Invocation, UsageError> {
    let (first, rest) = arguments.split_first().ok_or(UsageError::NoSubcommand)?;
    let name = first.to_string_lossy();
    match (&*name, rest) {
        ("help", [subcommand, ..]) => Ok(Invocation::Text(help::of(named(&subcommand.to_string_lossy())?))),
        ("--help" | "-h" | "help", _) => Ok(Invocation::Text(help::general())),
        ("--version" | "-V", _) => Ok(Invocation::Text(format!("introspod {}\n", env!("CARGO_PKG_VERSION")))),
        _ => {
            let subcommand = named(&name)?;
            let mut words = Words::split(subcommand, rest)?;
            if words.asks_for_help {
                return Ok(Invocation::Text(help::of(subcommand)));
            }
            variables::warn_of_near_misses(environment);
            words.add_variables(environment)?;
            subcommand.invocation(&words)
        }
    }
}

fn named(name: &str) -> Result<&'static Subcommand, UsageError> {
    Subcommand::named(name).ok_or_else(|| {
        let nearest = suggest::nearest(name, SUBCOMMANDS.iter().map(|subcommand| subcommand.name));
        let hint = nearest.map_or(String::new(), |nearest| format!("did you mean {nearest}? "));
        UsageError::UnknownSubcommand { name: name.to_owned(), hint }
    })
}

/// The command of `exec`, even if its options are not valid.
///
/// If an option is not valid, the command starts after the first `--`. Without `--` there is no command:
/// a word after an unknown option may be its value, and must not be executed.
pub(crate) fn command(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let (name, rest) = arguments.split_first()?;
    let subcommand = Subcommand::named(name.to_str()?).filter(|subcommand| subcommand.takes_command())?;
    let command = match Words::split(subcommand, rest) {
        Ok(words) => words.command,
        Err(_) => rest.iter().skip_while(|word| *word != "--").skip(1).cloned().collect(),
    };
    (!command.is_empty()).then_some(command)
}
