//! The options: each is declared once, with its name, placeholder, help and type.
//!
//! A group is a struct that argh parses. Its docstring is the heading of the group in the help. The name of
//! an option gives the name of its variable ([`variable_of`](super::variables::variable_of)).

use std::path::PathBuf;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::values::{self, Out, Set};
use crate::client::ApiUrl;
use crate::client::notify::NotifyUrl;
use crate::render::Format;
use crate::sources::api::When;

/// Variables
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Variables {
    /// set one more variable; EXPR is a field, such as metadata.labels['team'], a resource, such as
    /// limits.memory*75%/1Mi, or a text with variables in it, such as '-Xmx$(HEAP_MB)m'; :- begins a
    /// default, as in limits.cpu:-2; repeatable
    #[argh(option, arg_name = "NAME=EXPR")]
    pub(super) set: Vec<Set>,
    /// set a variable POD_LABEL_KEY for every label
    #[argh(switch)]
    pub(super) labels: bool,
    /// set a variable POD_ANNOTATION_KEY for every annotation
    #[argh(switch)]
    pub(super) annotations: bool,
    /// set OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME
    #[argh(switch)]
    pub(super) otel: bool,
    /// fail if the variable NAME is not known; repeatable
    #[argh(option, arg_name = "NAME", from_str_fn(values::variable_name))]
    pub(super) require: Vec<String>,
    /// replace variables that are already set; without this option they stay as they are
    #[argh(switch, long = "override")]
    pub(super) replaces: bool,
    /// expand $(VAR) in the value of the variable NAME; repeatable
    #[argh(option, arg_name = "NAME", from_str_fn(values::variable_name))]
    pub(super) expand_env: Vec<String>,
}

/// Variables
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Command {
    /// expand $(VAR) in the arguments of COMMAND, by the rules of Kubernetes
    #[argh(switch)]
    pub(super) expand: bool,
}

/// Output
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Output {
    /// variable to print: only its value, one line for each NAME
    #[argh(positional, arg_name = "NAME", from_str_fn(values::variable_name))]
    pub(super) names: Vec<String>,
    /// format of the output: {formats}; default table on a terminal, env elsewhere
    #[argh(option, short = 'o', arg_name = "FORMAT", from_str_fn(values::format))]
    pub(super) format: Option<Format>,
    /// show the source of each value, and why a value is not known
    #[argh(switch)]
    pub(super) explain: bool,
}

/// Files
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Files {
    /// write FILE in the format of its suffix: {suffixes}; {container} in its name stands for the name of
    /// the container; repeatable
    #[argh(option, arg_name = "FILE")]
    pub(super) out: Vec<Out>,
    /// mode of the written files; default 0644
    #[argh(option, arg_name = "OCTAL", from_str_fn(values::mode))]
    pub(super) mode: Option<u32>,
}

/// Files
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Notifying {
    /// send a POST to URL after each change; URL must be on loopback, such as
    /// http://127.0.0.1:9090/-/reload
    #[argh(option, arg_name = "URL")]
    pub(super) notify: Option<NotifyUrl>,
}

/// API server
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Asking {
    /// when to query the API server: auto (only for requested values that no other source knows), always
    /// or never; default auto
    #[argh(option, arg_name = "WHEN")]
    pub(super) api: Option<When>,
}

/// API server
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Server {
    /// URL of the API server, such as https://10.96.0.1:443; http:// only on loopback, for a kubectl proxy
    #[argh(option, arg_name = "URL")]
    pub(super) api_url: Option<ApiUrl>,
    /// total time for API requests, such as 500ms or 1m; default 5s
    #[argh(option, arg_name = "DURATION", from_str_fn(values::timeout))]
    pub(super) timeout: Option<Duration>,
}

/// Where to read
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Places {
    /// directory of a downwardAPI volume; default /etc/podinfo and /etc/downward; repeatable
    #[argh(option, arg_name = "DIR")]
    pub(super) volume: Vec<PathBuf>,
    /// another service account token to read; it is never sent
    #[argh(option, arg_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// container to describe; repeatable for write and watch
    #[argh(option, arg_name = "NAME", from_str_fn(values::container))]
    pub(super) container: Vec<String>,
    /// read the Pod object in FILE (- is standard input) and nothing else
    #[argh(option, arg_name = "FILE")]
    pub(super) pod: Option<PathBuf>,
}

/// Where to read
#[derive(FromArgs, ArgsInfo)]
pub(super) struct OtherProcess {
    /// describe the container of the process PID, not that of introspod
    #[argh(option, arg_name = "PID", from_str_fn(values::process))]
    pub(super) process: Option<u32>,
}

/// Where to read
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Below {
    /// read every path below DIR, such as the root of a recorded container
    #[argh(option, arg_name = "DIR")]
    pub(super) root: Option<PathBuf>,
}

/// Request
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Request {
    /// path and query of the request; {namespace} in it stands for the pod's own namespace
    #[argh(positional, arg_name = "PATH")]
    pub(super) path: String,
}

/// Target
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Target {
    /// directory to copy to, such as that of an emptyDir
    #[argh(positional, arg_name = "DIR")]
    pub(super) dir: PathBuf,
}
