//! The subcommands: one row each, and one function that converts its options to an [`Invocation`].

use std::path::PathBuf;
use std::time::Duration;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo};

use super::error::UsageError;
use super::options::{
    Asking, Below, Command, Files, Notifying, OtherProcess, Output, Places, Request, Server, Target,
    Variables,
};
use super::values::Set;
use super::words::Words;
use super::{Exec, Get, Install, Invocation, Options, Print, Watch};
use crate::sources::api::Settings;
use crate::variables::Selection;

/// A group of options ([`options`](super::options)).
type Group = fn() -> CommandInfoWithArgs;

/// The options about what to read, which several subcommands share.
const READING: [Group; 3] = [Asking::get_args_info, Server::get_args_info, Places::get_args_info];

/// A subcommand.
#[derive(Debug)]
pub(super) struct Subcommand {
    pub(super) name: &'static str,
    /// Its purpose, for the list of subcommands and for its help.
    pub(super) summary: &'static str,
    /// The arguments after its name.
    pub(super) usage: &'static str,
    /// Its groups of options, in the order of the help.
    pub(super) groups: &'static [&'static [Group]],
    /// Its options that do not have variables.
    pub(super) without_variable: &'static [&'static str],
    pub(super) notes: &'static [&'static str],
    pub(super) exit_codes: &'static [(&'static str, &'static str)],
    parse: fn(&Words) -> Result<Invocation, UsageError>,
}

/// Every subcommand.
pub(super) static SUBCOMMANDS: [Subcommand; 6] = [
    Subcommand {
        name: "exec",
        summary: "Become a command, with the variables set",
        usage: "[OPTION...] [--] COMMAND [ARG...]",
        groups: &[
            &[Variables::get_args_info, Command::get_args_info, Files::get_args_info],
            &READING,
            &[Below::get_args_info],
        ],
        without_variable: &[],
        notes: &[
            "The first word that is not an option, or the first word after --, is COMMAND.",
            "INTROSPOD_DISABLED=1 executes COMMAND at once and does nothing else. With -- before COMMAND this \
             works even if introspod does not know an option.",
        ],
        exit_codes: &EXEC_CODES,
        parse: exec,
    },
    Subcommand {
        name: "write",
        summary: "Write files and exit, as an initContainer",
        usage: "[OPTION...] --out FILE...",
        groups: &[
            &[Files::get_args_info, Variables::get_args_info],
            &READING,
            &[OtherProcess::get_args_info, Below::get_args_info],
        ],
        without_variable: &[],
        notes: &[ANOTHER_CONTAINER, SEVERAL_CONTAINERS],
        exit_codes: &CODES,
        parse: write,
    },
    Subcommand {
        name: "print",
        summary: "Print the variables, or the values of the named ones: a dry run",
        usage: "[OPTION...] [NAME...]",
        groups: &[
            &[Output::get_args_info, Variables::get_args_info, Files::get_args_info],
            &READING,
            &[OtherProcess::get_args_info, Below::get_args_info],
        ],
        // A dry run must not write files because of a variable that is meant for another subcommand.
        without_variable: &["--out"],
        notes: &[],
        exit_codes: &CODES,
        parse: print,
    },
    Subcommand {
        name: "watch",
        summary: "Keep files up to date while labels and annotations change, as a sidecar",
        usage: "[OPTION...] --out FILE...",
        groups: &[
            &[Files::get_args_info, Notifying::get_args_info, Variables::get_args_info],
            &READING,
            &[Below::get_args_info],
        ],
        without_variable: &[],
        notes: &[
            ANOTHER_CONTAINER,
            SEVERAL_CONTAINERS,
            "A file is replaced only when its bytes change. SIGTERM ends watch with exit code 0.",
        ],
        exit_codes: &CODES,
        parse: watch,
    },
    Subcommand {
        name: "get",
        summary: "Send one GET request to the API server and print the body, as kubectl get --raw does",
        usage: "[OPTION...] PATH",
        groups: &[&[Request::get_args_info, Server::get_args_info, Below::get_args_info]],
        without_variable: &[],
        notes: &["Example: introspod get '/api/v1/namespaces/{namespace}/pods'"],
        exit_codes: &CODES,
        parse: get,
    },
    Subcommand {
        name: "install",
        summary: "Copy this binary into a directory, so that an unchanged image can be wrapped",
        usage: "DIR",
        groups: &[&[Target::get_args_info]],
        without_variable: &[],
        notes: &["Example: introspod install /run/introspod"],
        exit_codes: &CODES,
        parse: install,
    },
];

const ANOTHER_CONTAINER: &str = "Values of a container (its name, limits and image) are left out without \
                                 --container, because the files are for another container than the one that \
                                 introspod runs in.";
const SEVERAL_CONTAINERS: &str = "With several --container each container gets its own files: every --out must \
                                  have {container} in its name, such as --out '/run/introspod/{container}.env'.";

// The names of these codes are in `exit.rs`.
const EXEC_CODES: [(&str, &str); 5] = [
    ("125", "introspod failed: wrong usage, an unknown required variable, or an error while writing a file"),
    ("126", "COMMAND was found but cannot be executed"),
    ("127", "COMMAND was not found"),
    ("130, 143", "SIGINT or SIGTERM ended introspod before it executed COMMAND"),
    ("others", "the exit code of COMMAND"),
];
const CODES: [(&str, &str); 3] = [("0", "success"), ("1", "failure"), ("2", "wrong usage")];

impl Subcommand {
    /// The subcommand of this name.
    pub(super) fn named(name: &str) -> Option<&'static Subcommand> {
        SUBCOMMANDS.iter().find(|subcommand| subcommand.name == name)
    }

    /// The options, without `--help`.
    pub(super) fn flags(&self) -> impl Iterator<Item = &'static FlagInfo<'static>> {
        self.groups
            .iter()
            .copied()
            .flatten()
            .flat_map(|group| group().flags)
            .filter(|flag| flag.long != "--help")
    }

    /// Whether it takes a command after its options.
    pub(super) fn takes_command(&self) -> bool {
        self.name == "exec"
    }

    /// Converts its words to an invocation.
    pub(super) fn invocation(&self, words: &Words) -> Result<Invocation, UsageError> {
        (self.parse)(words)
    }
}

fn exec(words: &Words) -> Result<Invocation, UsageError> {
    let options = options(words)?.describing_one("exec")?;
    let expand = words.parse::<Command>()?.expand;
    match words.command.is_empty() {
        true => Err(UsageError::NoCommand),
        false => Ok(Invocation::Exec(Box::new(Exec { options, expand, command: words.command.clone() }))),
    }
}

fn write(words: &Words) -> Result<Invocation, UsageError> {
    words.expect_no_operand()?;
    Ok(Invocation::Write(Box::new(options(words)?.with_out("write")?)))
}

fn print(words: &Words) -> Result<Invocation, UsageError> {
    let mut options = options(words)?.describing_one("print")?;
    let Output { names, format, explain } = words.parse()?;
    // The named variables are requested and required.
    options.selection.require.extend(names.iter().cloned());
    let on_command_line =
        ["--format", "--explain"].into_iter().find(|option| words.is_on_command_line(option));
    match on_command_line.filter(|_| !names.is_empty()) {
        Some(option) => Err(UsageError::Combined { option, with: "names of variables" }),
        None => Ok(Invocation::Print(Box::new(Print { options, names, format, explain }))),
    }
}

fn watch(words: &Words) -> Result<Invocation, UsageError> {
    words.expect_no_operand()?;
    let options = options(words)?.with_out("watch")?;
    let notify = words.parse::<Notifying>()?.notify;
    match options.pod {
        Some(_) => Err(UsageError::Combined { option: "--pod", with: "watch" }),
        None => Ok(Invocation::Watch(Box::new(Watch { options, notify }))),
    }
}

fn get(words: &Words) -> Result<Invocation, UsageError> {
    words.expect_one_operand("a path", "/version")?;
    let Request { path } = words.parse()?;
    let Server { api_url, timeout } = words.parse()?;
    if !path.starts_with('/') {
        return Err(UsageError::NoPath);
    }
    let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
    Ok(Invocation::Get(Get { path, api_url, timeout, root: root(words)?.unwrap_or_else(default_root) }))
}

fn install(words: &Words) -> Result<Invocation, UsageError> {
    words.expect_one_operand("a directory", "/run/introspod")?;
    let Target { dir } = words.parse()?;
    Ok(Invocation::Install(Install { dir }))
}

/// The defaults of options.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_MODE: u32 = 0o644;

fn default_root() -> PathBuf {
    PathBuf::from("/")
}

fn root(words: &Words) -> Result<Option<PathBuf>, UsageError> {
    Ok(words.parse::<Below>()?.root)
}

/// The options that `exec`, `write`, `print` and `watch` share.
fn options(words: &Words) -> Result<Options, UsageError> {
    let variables: Variables = words.parse()?;
    let Files { out, mode } = words.parse()?;
    let Server { api_url, timeout } = words.parse()?;
    let Places { volume, token_file, container, pod } = words.parse()?;
    let OtherProcess { process } = words.parse()?;
    let root = root(words)?;
    if process.is_some() && root.is_some() {
        return Err(UsageError::Combined { option: "--process", with: "--root" });
    }
    let options = Options {
        selection: Selection {
            set: variables.set.into_iter().map(|Set(name, value)| (name, value)).collect(),
            labels: variables.labels,
            annotations: variables.annotations,
            require: variables.require,
            otel: variables.otel,
            expand_env: variables.expand_env,
            replaces: variables.replaces,
        },
        out,
        mode: mode.unwrap_or(DEFAULT_MODE),
        api: Settings {
            when: words.parse::<Asking>()?.api.unwrap_or_default(),
            url: api_url,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        },
        volumes: volume,
        token_file,
        containers: container,
        root: root.unwrap_or_else(default_root),
        process,
        pod,
    };
    options.checked()
}
