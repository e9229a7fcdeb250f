//! Options, their `INTROSPOD_…` defaults, and where the command begins.
//!
//! argh parses and explains the options ([`arguments`]); one pass before it ([`words`]) does what
//! argh does not: `--x=y`, the environment, `--switch=false`, and a command of any bytes.

mod arguments;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};

use crate::environment::Environment;
use crate::gather::Whose;
use crate::notify::NotifyUrl;
use crate::output::Out;
use crate::render::Format;
use crate::variables::Selection;

use arguments::{ExecArguments, PrintArguments, WatchArguments, WriteArguments};
pub(crate) use arguments::{Get, Install};
use words::Words;

const DISABLED: &str = "INTROSPOD_DISABLED";

/// The command line cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("no subcommand: it is one of {}; introspod --help explains them", SUBCOMMANDS.join(", "))]
    NoSubcommand,
    #[error("unknown subcommand {0:?}: it is one of {names}; introspod --help explains them", names = SUBCOMMANDS.join(", "))]
    UnknownSubcommand(String),
    #[error("unknown option {option}; the nearest is {nearest}; introspod {subcommand} --help lists them")]
    UnknownOption { option: String, nearest: String, subcommand: &'static str },
    #[error("option {0} needs a value")]
    NoValue(String),
    #[error("{place} is {value:?}: it is either true or false")]
    NotBoolean { place: String, value: String },
    #[error("{0:?} is not UTF-8, which options must be; a command may be anything")]
    NotUtf8(OsString),
    #[error("{0}")]
    Argh(String),
    #[error("--set {0} is given twice")]
    SetTwice(String),
    #[error("exec needs a command: introspod exec [options] [--] COMMAND [ARG...]")]
    NoCommand,
    #[error("{0} needs a file to write: --out FILE")]
    NoOut(&'static str),
    #[error("{0:?} is no path of the API server: it begins with a slash, as /version does")]
    NoPath(String),
    #[error("--pod tells everything there is to know: it does not go with {0}")]
    PodWith(&'static str),
}

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// Text for standard output: help, or the version.
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
    pub(crate) format: Option<Format>,
    pub(crate) explain: bool,
}

/// The options that all subcommands which gather and render share.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) selection: Selection,
    pub(crate) out: Vec<Out>,
    pub(crate) mode: u32,
    pub(crate) api: crate::source::api::Settings,
    pub(crate) volumes: Vec<PathBuf>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) container: Option<String>,
    pub(crate) root: PathBuf,
    pub(crate) pod: Option<PathBuf>,
}

impl Options {
    /// Of which container `exec` and `print` speak.
    pub(crate) fn whose_own(&self) -> Whose {
        self.container.clone().map_or(Whose::Own, Whose::Named)
    }

    /// Of which container `write` and `watch` speak: they run beside the one that is meant.
    pub(crate) fn whose_other(&self) -> Whose {
        self.container.clone().map_or(Whose::Nobody, Whose::Another)
    }
}

/// The names of the subcommands.
const SUBCOMMANDS: [&str; 6] = ["exec", "write", "print", "watch", "get", "install"];

const HELP: &str = "\
Usage: introspod SUBCOMMAND [options]

Makes a Kubernetes pod know itself: gathers what a container can know about its
pod, node and workload, and becomes the application, or writes files, or prints.

Subcommands:
  exec     become a command, with the variables set
  write    write files and exit: for an initContainer
  print    show the variables: a dry run
  watch    keep files true while labels and annotations change: a sidecar
  get      one GET of the API server, with the pod's own token
  install  copy this binary into a directory

introspod SUBCOMMAND --help explains each; --version tells the version.
";

/// What `arguments` (without the program's name) ask for.
pub(crate) fn parse(arguments: &[OsString], environment: &Environment) -> Result<Invocation, UsageError> {
    let (first, rest) = arguments.split_first().ok_or(UsageError::NoSubcommand)?;
    match first.to_str() {
        Some("--help" | "-h" | "help") => Ok(Invocation::Text(HELP.to_owned())),
        Some("--version" | "-V") => {
            Ok(Invocation::Text(format!("introspod {}\n", env!("CARGO_PKG_VERSION"))))
        }
        Some("exec") => subcommand("exec", rest, environment, |mut parsed: ExecArguments, command| {
            if command.is_empty() {
                return Err(UsageError::NoCommand);
            }
            let options = checked(parsed.options())?;
            Ok(Invocation::Exec(Box::new(Exec { options, expand: parsed.expand, command })))
        }),
        Some("write") => subcommand("write", rest, environment, |mut parsed: WriteArguments, _| {
            let options = checked(parsed.options())?;
            match options.out.is_empty() {
                true => Err(UsageError::NoOut("write")),
                false => Ok(Invocation::Write(Box::new(options))),
            }
        }),
        Some("print") => subcommand("print", rest, environment, |mut parsed: PrintArguments, _| {
            let options = checked(parsed.options())?;
            Ok(Invocation::Print(Box::new(Print { options, format: parsed.format, explain: parsed.explain })))
        }),
        Some("watch") => subcommand("watch", rest, environment, |mut parsed: WatchArguments, _| {
            let options = checked(parsed.options())?;
            if options.pod.is_some() {
                return Err(UsageError::PodWith("watch"));
            }
            match options.out.is_empty() {
                true => Err(UsageError::NoOut("watch")),
                false => Ok(Invocation::Watch(Box::new(Watch { options, notify: parsed.notify }))),
            }
        }),
        Some("get") => {
            subcommand("get", rest, environment, |parsed: Get, _| match parsed.path.starts_with('/') {
                true => Ok(Invocation::Get(parsed)),
                false => Err(UsageError::NoPath(parsed.path)),
            })
        }
        Some("install") => {
            subcommand("install", rest, environment, |parsed, _| Ok(Invocation::Install(parsed)))
        }
        _ => Err(UsageError::UnknownSubcommand(first.to_string_lossy().into_owned())),
    }
}

/// Whether `exec` is to execute its command at once and do nothing else.
pub(crate) fn is_disabled(environment: &Environment) -> bool {
    environment.get_nonempty(DISABLED).and_then(words::parse_boolean) == Some(true)
}

/// The command of an `exec`, whatever its options say.
pub(crate) fn command(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let (subcommand, rest) = arguments.split_first()?;
    let words = Words::split("exec", ExecArguments::get_args_info().flags, rest).ok()?;
    (subcommand == "exec" && !words.command.is_empty()).then_some(words.command)
}

fn checked(mut options: Options) -> Result<Options, UsageError> {
    let named = &mut options.selection.set;
    for position in 1..named.len() {
        if named[..position].iter().any(|(name, _)| *name == named[position].0) {
            return Err(UsageError::SetTwice(named[position].0.clone()));
        }
    }
    if options.pod.is_some() && options.api.url.is_some() {
        return Err(UsageError::PodWith("--api-url"));
    }
    Ok(options)
}

fn subcommand<T: FromArgs + ArgsInfo>(
    name: &'static str,
    arguments: &[OsString],
    environment: &Environment,
    build: impl FnOnce(T, Vec<OsString>) -> Result<Invocation, UsageError>,
) -> Result<Invocation, UsageError> {
    let info = T::get_args_info();
    let mut words = Words::split(name, info.flags, arguments)?;
    words.add_defaults(info.flags, environment)?;
    let tokens: Vec<&str> = words.tokens.iter().map(String::as_str).collect();
    match T::from_args(&["introspod", name], &tokens) {
        Ok(parsed) => build(parsed, words.command),
        Err(exit) if exit.status.is_ok() => Ok(Invocation::Text(exit.output.trim_end().to_owned() + "\n")),
        Err(exit) => Err(UsageError::Argh(explain(&exit.output, &words))),
    }
}

/// argh's message in one line, and of which variable the option came that it did not like.
fn explain(message: &str, words: &Words) -> String {
    let message = crate::one_line(message.trim()).replace("Error parsing option", "option");
    let is_named = |option: &&String| message.contains(&format!("'{option}'"));
    match words.from_variables.iter().find(is_named) {
        Some(option) => format!("{message} ({} says so)", words::variable_of(option)),
        None => message,
    }
}
