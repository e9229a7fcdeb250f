//! Options, their `INTROSPOD_…` defaults, and where the command begins.
//!
//! argh parses and explains the options ([`options`]); one pass before it ([`words`]) does what
//! argh does not: `--x=y`, the environment, `--switch=false`, and a command of any bytes.

mod options;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};

use crate::client::notify::NotifyUrl;
use crate::facts::subject::Asked;
use crate::render::Format;
use crate::system::environment::Environment;
use crate::variables::Selection;

use options::{ExecArguments, Gathering, PrintArguments, WatchArguments, WriteArguments};
pub(crate) use options::{Get, Install, Out};
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
    pub(crate) api: crate::sources::api::Settings,
    pub(crate) volumes: Vec<PathBuf>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) container: Option<String>,
    pub(crate) root: PathBuf,
    pub(crate) pod: Option<PathBuf>,
}

impl Options {
    fn checked(mut self) -> Result<Self, UsageError> {
        let named = &mut self.selection.set;
        for position in 1..named.len() {
            if named[..position].iter().any(|(name, _)| *name == named[position].0) {
                return Err(UsageError::SetTwice(named[position].0.clone()));
            }
        }
        match self.pod.is_some() && self.api.url.is_some() {
            true => Err(UsageError::PodWith("--api-url")),
            false => Ok(self),
        }
    }

    fn with_out(self, subcommand: &'static str) -> Result<Self, UsageError> {
        match self.out.is_empty() {
            true => Err(UsageError::NoOut(subcommand)),
            false => Ok(self),
        }
    }

    /// What `exec` and `print` describe: the container that they run in.
    pub(crate) fn own(&self) -> Asked {
        Asked { container: self.container.clone(), is_beside: false }
    }

    /// What `write` and `watch` describe: they run beside it.
    pub(crate) fn beside(&self) -> Asked {
        Asked { container: self.container.clone(), is_beside: true }
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
        Some("exec") => gathering("exec", rest, environment, |own: ExecArguments, options, command| {
            match command.is_empty() {
                true => Err(UsageError::NoCommand),
                false => Ok(Invocation::Exec(Box::new(Exec { options, expand: own.expand, command }))),
            }
        }),
        Some("write") => gathering("write", rest, environment, |_: WriteArguments, options, _| {
            let options = options.with_out("write")?;
            Ok(Invocation::Write(Box::new(options)))
        }),
        Some("print") => gathering("print", rest, environment, |own: PrintArguments, options, _| {
            Ok(Invocation::Print(Box::new(Print { options, format: own.format, explain: own.explain })))
        }),
        Some("watch") => gathering("watch", rest, environment, |own: WatchArguments, options, _| {
            let options = options.with_out("watch")?;
            match options.pod {
                Some(_) => Err(UsageError::PodWith("watch")),
                None => Ok(Invocation::Watch(Box::new(Watch { options, notify: own.notify }))),
            }
        }),
        Some("get") => plain("get", rest, environment, |get: Get| match get.path.starts_with('/') {
            true => Ok(Invocation::Get(get)),
            false => Err(UsageError::NoPath(get.path)),
        }),
        Some("install") => plain("install", rest, environment, |install| Ok(Invocation::Install(install))),
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
    let (own, shared) = (ExecArguments::get_args_info().flags, Gathering::get_args_info().flags);
    let words = Words::split("exec", own, shared, rest).ok()?;
    (subcommand == "exec" && !words.command.is_empty()).then_some(words.command)
}

/// Parses a subcommand that gathers: its own options, and those that all of them have.
fn gathering<T: FromArgs + ArgsInfo>(
    name: &'static str,
    arguments: &[OsString],
    environment: &Environment,
    build: impl FnOnce(T, Options, Vec<OsString>) -> Result<Invocation, UsageError>,
) -> Result<Invocation, UsageError> {
    let (own, shared) = (T::get_args_info().flags, Gathering::get_args_info().flags);
    let mut words = Words::split(name, own, shared, arguments)?;
    words.add_defaults(own, shared, environment)?;
    let own = match argh_parse::<T>(name, &words.own, &words)? {
        Ok(own) => own,
        Err(help) => return Ok(Invocation::Text(with_shared_options(&help))),
    };
    match argh_parse::<Gathering>(name, &words.shared, &words)? {
        Ok(shared) => build(own, shared.options().checked()?, words.command),
        Err(help) => Ok(Invocation::Text(help)),
    }
}

/// Parses a subcommand that does not gather.
fn plain<T: FromArgs + ArgsInfo>(
    name: &'static str,
    arguments: &[OsString],
    environment: &Environment,
    build: impl FnOnce(T) -> Result<Invocation, UsageError>,
) -> Result<Invocation, UsageError> {
    let own = T::get_args_info().flags;
    let mut words = Words::split(name, own, &[], arguments)?;
    words.add_defaults(own, &[], environment)?;
    match argh_parse(name, &words.own, &words)? {
        Ok(parsed) => build(parsed),
        Err(help) => Ok(Invocation::Text(help)),
    }
}

/// What argh makes of `tokens`, or the help text if that was asked for.
fn argh_parse<T: FromArgs>(
    name: &str,
    tokens: &[String],
    words: &Words,
) -> Result<Result<T, String>, UsageError> {
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    match T::from_args(&["introspod", name], &tokens) {
        Ok(parsed) => Ok(Ok(parsed)),
        Err(exit) if exit.status.is_ok() => Ok(Err(exit.output.trim_end().to_owned() + "\n")),
        Err(exit) => Err(UsageError::Argh(explain(&exit.output, words))),
    }
}

/// A subcommand's help, with the options that all of those which gather have before its own.
fn with_shared_options(help: &str) -> String {
    const HEADING: &str = "Options:\n";
    let all = Gathering::from_args(&[""], &["--help"]).err().map(|exit| exit.output).unwrap_or_default();
    let shared = all.split_once(HEADING).map_or("", |(_, options)| options);
    let shared = shared.split_once("  -h, --help").map_or(shared, |(options, _)| options);
    help.replacen(HEADING, &(HEADING.to_owned() + shared), 1)
}

/// argh's message in one line, and of which variable the option came that it did not like.
fn explain(message: &str, words: &Words) -> String {
    let message = crate::system::logging::one_line(message.trim()).replace("Error parsing option", "option");
    let is_named = |option: &&String| message.contains(&format!("'{option}'"));
    match words.from_variables.iter().find(is_named) {
        Some(option) => format!("{message} ({} says so)", words::variable_of(option)),
        None => message,
    }
}
