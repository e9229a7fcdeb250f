//! Options, their `INTROSPOD_…` defaults, and where the command begins.
//!
//! argh parses and explains the options; one pass before it does what argh does not: `--x=y`,
//! the environment, `--switch=false`, and a command of any bytes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use argh::{ArgsInfo, FlagInfo, FlagInfoKind, FromArgs, Optionality};

use crate::client::ApiUrl;
use crate::environment::Environment;
use crate::expression::{Expression, distance};
use crate::gather::Whose;
use crate::notify::NotifyUrl;
use crate::output::Out;
use crate::render::Format;
use crate::source::api::When;
use crate::variables::Selection;

/// The prefix of the variables that stand for options.
const PREFIX: &str = "INTROSPOD_";
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

struct Set(String, Expression);

impl std::str::FromStr for Set {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, expression) = text.split_once('=').ok_or("write it so: --set NAME=EXPRESSION")?;
        let name = check_name(name)?;
        let expression = Expression::parse(expression).map_err(|error| error.to_string())?;
        Ok(Set(name, expression))
    }
}

/// A name that every shell takes for a variable's.
fn check_name(name: &str) -> Result<String, String> {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let starts_well = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    match is_word && starts_well {
        true => Ok(name.to_owned()),
        false => Err(format!("{name:?} is not a variable's name: letters, digits and _, no digit first")),
    }
}

fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.filter(|_| !text.starts_with('+')).ok_or_else(|| "it is octal, 0 to 0777, such as 0644".to_owned())
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    let duration = seconds.or_else(|| humantime::parse_duration(text).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| "write it so: 5s, 500ms, 1m".to_owned())
}

/// The least and the most; more would be the same as no end.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_MODE: u32 = 0o644;

macro_rules! gathering {
    ($(#[$meta:meta])* struct $name:ident { $($own:tt)* }) => {
        #[derive(FromArgs, ArgsInfo)]
        $(#[$meta])*
        struct $name {
            /// one more variable, from a field: --set TEAM=metadata.labels['team'],
            /// --set HEAP_MB=limits.memory*75%/1Mi; repeatable
            #[argh(option, arg_name = "name=expr")]
            set: Vec<Set>,
            /// every label as a variable POD_LABEL_KEY
            #[argh(switch)]
            labels: bool,
            /// every annotation as a variable POD_ANNOTATION_KEY
            #[argh(switch)]
            annotations: bool,
            /// fail unless this variable is known; repeatable
            #[argh(option, arg_name = "name", from_str_fn(check_name))]
            require: Vec<String>,
            /// set OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME
            #[argh(switch)]
            otel: bool,
            $($own)*
            /// resolve $(VAR) in the value of the variable NAME; repeatable
            #[argh(option, arg_name = "name", from_str_fn(check_name))]
            expand_env: Vec<String>,
            /// write FILE; its suffix says the format: .json, .env or .sh; repeatable
            #[argh(option, arg_name = "file")]
            out: Vec<Out>,
            /// mode of written files, in octal; default 0644
            #[argh(option, arg_name = "octal", from_str_fn(parse_mode))]
            mode: Option<u32>,
            /// let gathered values replace variables that are already set
            #[argh(switch, long = "override")]
            replaces: bool,
            /// ask the API server: auto (for what was asked for by name and is not known
            /// otherwise), always or never; default auto
            #[argh(option, arg_name = "when")]
            api: Option<When>,
            /// where the API server is; http:// only on loopback, for a kubectl proxy
            #[argh(option, arg_name = "url")]
            api_url: Option<ApiUrl>,
            /// the time that the API server has in all; default 5s
            #[argh(option, arg_name = "duration", from_str_fn(parse_timeout))]
            timeout: Option<Duration>,
            /// where a downwardAPI volume is mounted; default /etc/podinfo and /etc/downward;
            /// repeatable
            #[argh(option, arg_name = "dir")]
            volume: Vec<PathBuf>,
            /// another token, for its claims only: it is never sent
            #[argh(option, arg_name = "file")]
            token_file: Option<PathBuf>,
            /// the container that is meant
            #[argh(option, arg_name = "name")]
            container: Option<String>,
            /// take every path below DIR: the dry run on a recorded container
            #[argh(option, arg_name = "dir")]
            root: Option<PathBuf>,
            /// take everything from the Pod object in FILE (-: standard input)
            #[argh(option, arg_name = "file")]
            pod: Option<PathBuf>,
        }

        impl $name {
            fn options(&mut self) -> Options {
                use std::mem::take;
                Options {
                    selection: Selection {
                        set: take(&mut self.set).into_iter().map(|Set(name, value)| (name, value)).collect(),
                        labels: self.labels,
                        annotations: self.annotations,
                        require: take(&mut self.require),
                        otel: self.otel,
                        expand_env: take(&mut self.expand_env),
                        replaces: self.replaces,
                    },
                    out: take(&mut self.out),
                    mode: self.mode.unwrap_or(DEFAULT_MODE),
                    api: crate::source::api::Settings {
                        when: self.api,
                        url: self.api_url.take(),
                        timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT),
                    },
                    volumes: take(&mut self.volume),
                    token_file: self.token_file.take(),
                    container: self.container.take(),
                    root: self.root.take().unwrap_or_else(|| PathBuf::from("/")),
                    pod: self.pod.take(),
                }
            }
        }
    };
}

gathering! {
    /// Become COMMAND, with variables that tell the pod about itself.
    #[argh(usage = "[options] [--] COMMAND [ARG...]", help_triggers("-h", "--help"))]
    #[argh(note = "Everything from the first word that is not an option, or after --, is the command.\nEach option can also be given as a variable: --api-url as INTROSPOD_API_URL,\nrepeatable ones one per line. INTROSPOD_DISABLED=1 executes the command at once.\nINTROSPOD_LOG says what is logged: error, warn (default) or info.")]
    #[argh(note = "Exit codes: 125 introspod itself failed, 126 the command cannot be executed,\n127 it was not found; else the command's own.")]
    struct ExecArguments {
        /// resolve $(VAR) in the command's arguments, by Kubernetes' rules
        #[argh(switch)]
        expand: bool,
    }
}

gathering! {
    /// Write files that tell the pod about itself, and exit: for an initContainer.
    #[argh(usage = "[options] --out FILE...", help_triggers("-h", "--help"))]
    #[argh(note = "Facts of a container (its name, limits, image) are left out unless --container says\nwhose they are: an initContainer writes for another.\nEach option can also be given as a variable: --api-url as INTROSPOD_API_URL,\nrepeatable ones one per line.")]
    struct WriteArguments {}
}

gathering! {
    /// Show the variables: a dry run.
    #[argh(usage = "[options]", help_triggers("-h", "--help"))]
    #[argh(note = "Each option can also be given as a variable: --api-url as INTROSPOD_API_URL,\nrepeatable ones one per line.")]
    struct PrintArguments {
        /// table, env, sh or json; default table on a terminal, else env
        #[argh(option, arg_name = "format")]
        format: Option<Format>,
        /// say where each value comes from, and why what is missing is not known
        #[argh(switch)]
        explain: bool,
    }
}

gathering! {
    /// Keep files true: write them, and again whenever a downwardAPI volume changes. A sidecar.
    #[argh(usage = "[options] --out FILE...", help_triggers("-h", "--help"))]
    #[argh(note = "Facts of a container (its name, limits, image) are left out unless --container says\nwhose they are. A file is replaced only when its bytes change. SIGTERM ends it with 0.\nEach option can also be given as a variable: --api-url as INTROSPOD_API_URL,\nrepeatable ones one per line.")]
    struct WatchArguments {
        /// tell the application of each change by a POST to a loopback URL, such as
        /// http://127.0.0.1:9090/-/reload
        #[argh(option, arg_name = "url")]
        notify: Option<NotifyUrl>,
    }
}

/// One GET of the API server, as `kubectl get --raw`: the body goes to standard output.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(usage = "[options] PATH", help_triggers("-h", "--help"))]
#[argh(example = "introspod get '/api/v1/namespaces/{{namespace}}/pods'")]
pub(crate) struct Get {
    /// the path, with its query; {namespace} in it stands for the pod's own
    #[argh(positional)]
    pub(crate) path: String,
    /// where the API server is; http:// only on loopback, for a kubectl proxy
    #[argh(option, arg_name = "url")]
    pub(crate) api_url: Option<ApiUrl>,
    /// the time that the API server has in all; default 5s
    #[argh(option, arg_name = "duration", from_str_fn(parse_timeout), default = "DEFAULT_TIMEOUT")]
    pub(crate) timeout: Duration,
    /// take the token and the CA certificate below DIR
    #[argh(option, arg_name = "dir", default = "PathBuf::from(\"/\")")]
    pub(crate) root: PathBuf,
}

/// Copy this binary into DIR, so that an unchanged third-party image can be wrapped.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(usage = "DIR", help_triggers("-h", "--help"))]
pub(crate) struct Install {
    /// the directory, such as that of an emptyDir
    #[argh(positional)]
    pub(crate) dir: PathBuf,
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
        Some("get") => subcommand("get", rest, environment, |parsed: Get, _| match parsed.path.starts_with('/') {
            true => Ok(Invocation::Get(parsed)),
            false => Err(UsageError::NoPath(parsed.path)),
        }),
        Some("install") => {
            subcommand("install", rest, environment, |parsed, _| Ok(Invocation::Install(parsed)))
        }
        _ => Err(UsageError::UnknownSubcommand(first.to_string_lossy().into_owned())),
    }
}

/// Whether `exec` is to execute its command at once and do nothing else.
pub(crate) fn is_disabled(environment: &Environment) -> bool {
    environment.get_nonempty(DISABLED).and_then(parse_boolean) == Some(true)
}

/// The command of an `exec`, whatever its options say.
pub(crate) fn command(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let (subcommand, rest) = arguments.split_first()?;
    let split = split("exec", ExecArguments::get_args_info().flags, rest).ok()?;
    (subcommand == "exec" && !split.command.is_empty()).then_some(split.command)
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
    let mut split = split(name, info.flags, arguments)?;
    add_defaults(info.flags, environment, &mut split)?;
    let tokens: Vec<&str> = split.tokens.iter().map(String::as_str).collect();
    match T::from_args(&["introspod", name], &tokens) {
        Ok(parsed) => build(parsed, split.command),
        Err(exit) if exit.status.is_ok() => Ok(Invocation::Text(exit.output.trim_end().to_owned() + "\n")),
        Err(exit) => Err(UsageError::Argh(explain(&exit.output, &split))),
    }
}

/// argh's message in one line, and of which variable the option came that it did not like.
fn explain(message: &str, split: &Split) -> String {
    let message = crate::one_line(message.trim()).replace("Error parsing option", "option");
    let is_named = |option: &&String| message.contains(&format!("'{option}'"));
    match split.from_variables.iter().find(is_named) {
        Some(option) => format!("{message} ({} says so)", variable_of(option)),
        None => message,
    }
}

/// The words before the command, as argh takes them, and the command.
#[derive(Debug, Default)]
struct Split {
    tokens: Vec<String>,
    seen: Vec<String>,
    from_variables: Vec<String>,
    command: Vec<OsString>,
}

fn split(subcommand: &'static str, flags: &[FlagInfo], arguments: &[OsString]) -> Result<Split, UsageError> {
    let mut split = Split::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let is_option = argument.as_bytes().starts_with(b"-") && argument.len() > 1;
        if argument == "--" || (!is_option && subcommand == "exec") {
            let first = (!is_option).then(|| argument.clone());
            split.command = first.into_iter().chain(rest.cloned()).collect();
            break;
        }
        let text = argument.to_str().ok_or_else(|| UsageError::NotUtf8(argument.clone()))?;
        if !is_option || matches!(text, "--help" | "-h") {
            split.tokens.push(text.to_owned());
            continue;
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let flag = flags.iter().find(|flag| flag.long == name);
        let flag = flag.ok_or_else(|| unknown_option(subcommand, flags, name))?;
        split.seen.push(name.to_owned());
        match flag.kind {
            FlagInfoKind::Switch => split.add_switch(name, value)?,
            FlagInfoKind::Option { .. } => {
                let next = || -> Result<String, UsageError> {
                    let next = rest.next().ok_or_else(|| UsageError::NoValue(name.to_owned()))?;
                    let text = next.to_str().ok_or_else(|| UsageError::NotUtf8(next.clone()))?;
                    Ok(text.to_owned())
                };
                let value = value.map_or_else(next, Ok)?;
                split.tokens.extend([name.to_owned(), value]);
            }
        }
    }
    if subcommand != "exec" && !split.command.is_empty() {
        for argument in std::mem::take(&mut split.command) {
            split.tokens.push(argument.into_string().map_err(UsageError::NotUtf8)?);
        }
    }
    Ok(split)
}

impl Split {
    fn add_switch(&mut self, name: &str, value: Option<String>) -> Result<(), UsageError> {
        let is_on = match value {
            None => true,
            Some(value) => parse_boolean(&value)
                .ok_or_else(|| UsageError::NotBoolean { place: name.to_owned(), value })?,
        };
        // The last word counts.
        self.tokens.retain(|token| token != name);
        if is_on {
            self.tokens.push(name.to_owned());
        }
        Ok(())
    }
}

fn unknown_option(subcommand: &'static str, flags: &[FlagInfo], name: &str) -> UsageError {
    let nearest = flags.iter().map(|flag| flag.long).min_by_key(|long| distance(name, long));
    let nearest = nearest.unwrap_or("--help").to_owned();
    UsageError::UnknownOption { option: name.to_owned(), nearest, subcommand }
}

fn variable_of(option: &str) -> String {
    let name = option.trim_start_matches('-').replace('-', "_");
    PREFIX.to_owned() + &name.to_ascii_uppercase()
}

/// Adds what variables say: of a repeatable option in front of what the command line says,
/// of another only where the command line does not say it.
fn add_defaults(flags: &[FlagInfo], environment: &Environment, split: &mut Split) -> Result<(), UsageError> {
    if !environment.has_prefix(PREFIX) {
        return Ok(());
    }
    let mut defaults = Vec::new();
    for flag in flags.iter().filter(|flag| flag.long != "--help") {
        let variable = variable_of(flag.long);
        let Some(text) = environment.get_nonempty(&variable) else { continue };
        let is_repeatable = matches!(flag.optionality, Optionality::Repeating);
        let is_seen = split.seen.iter().any(|seen| seen == flag.long);
        let values: Vec<&str> = match flag.kind {
            FlagInfoKind::Switch => {
                let wrong = || UsageError::NotBoolean { place: variable.clone(), value: text.to_owned() };
                if parse_boolean(text).ok_or_else(wrong)? && !is_seen {
                    defaults.push(flag.long.to_owned());
                }
                continue;
            }
            _ if is_repeatable => text.lines().map(str::trim).filter(|line| !line.is_empty()).collect(),
            _ if is_seen => continue,
            _ => vec![text],
        };
        for value in values {
            // An option on the command line wins over its variable: here, of the same NAME.
            if flag.long == "--set" && is_set_on_command_line(split, value) {
                continue;
            }
            defaults.extend([flag.long.to_owned(), value.to_owned()]);
            split.from_variables.push(flag.long.to_owned());
        }
    }
    split.tokens.splice(..0, defaults);
    Ok(())
}

fn is_set_on_command_line(split: &Split, value: &str) -> bool {
    let name = |set: &str| set.split('=').next().unwrap_or_default().to_owned();
    split.tokens.windows(2).any(|pair| pair[0] == "--set" && name(&pair[1]) == name(value))
}

fn parse_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}
