//! The options, as argh parses and explains them.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::Options;
use crate::client::ApiUrl;
use crate::client::notify::NotifyUrl;
use crate::render::Format;
use crate::sources::api::{Settings, When};
use crate::variables::Selection;
use crate::variables::definition::Definition;

/// A name and what it is to be.
pub(super) struct Set(String, Definition);

impl FromStr for Set {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, definition) = text.split_once('=').ok_or("write it so: --set NAME=EXPRESSION")?;
        let name = check_name(name)?;
        let definition = Definition::parse(definition).map_err(|error| error.to_string())?;
        Ok(Set(name, definition))
    }
}

/// A file that the options name, with the format that its suffix says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Out {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
}

impl FromStr for Out {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let format = Format::of_file(&path);
        let format = format.ok_or("the suffix says the format: .json, .env or .sh")?;
        Ok(Out { path, format })
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

/// What holds where no option says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_MODE: u32 = 0o644;

/// The options that the subcommands which gather have in common.
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("-h", "--help"))]
pub(super) struct Gathering {
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

impl Gathering {
    /// The options, with what holds where none is given.
    pub(super) fn options(self) -> Options {
        Options {
            selection: Selection {
                set: self.set.into_iter().map(|Set(name, value)| (name, value)).collect(),
                labels: self.labels,
                annotations: self.annotations,
                require: self.require,
                otel: self.otel,
                expand_env: self.expand_env,
                replaces: self.replaces,
            },
            out: self.out,
            mode: self.mode.unwrap_or(DEFAULT_MODE),
            api: Settings {
                when: self.api.unwrap_or_default(),
                url: self.api_url,
                timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT),
            },
            volumes: self.volume,
            token_file: self.token_file,
            container: self.container,
            root: self.root.unwrap_or_else(|| PathBuf::from("/")),
            pod: self.pod,
        }
    }
}

/// Become COMMAND, with variables that tell the pod about itself.
#[derive(FromArgs, ArgsInfo)]
#[argh(usage = "[options] [--] COMMAND [ARG...]", help_triggers("-h", "--help"))]
#[argh(
    note = "Everything from the first word that is not an option, or after --, is the command.\nEach option can also be given as a variable: --api-url as INTROSPOD_API_URL,\nrepeatable ones one per line. INTROSPOD_DISABLED=1 executes the command at once.\nINTROSPOD_LOG says what is logged: error, warn (default) or info."
)]
#[argh(
    note = "Exit codes: 125 introspod itself failed, 126 the command cannot be executed,\n127 it was not found; else the command's own."
)]
pub(super) struct ExecArguments {
    /// resolve $(VAR) in the command's arguments, by Kubernetes' rules
    #[argh(switch)]
    pub(super) expand: bool,
}

/// Write files that tell the pod about itself, and exit: for an initContainer.
#[derive(FromArgs, ArgsInfo)]
#[argh(usage = "[options] --out FILE...", help_triggers("-h", "--help"))]
#[argh(
    note = "Facts of a container (its name, limits, image) are left out unless --container says\nwhose they are: an initContainer writes for another.\nEach option can also be given as a variable: --api-url as INTROSPOD_API_URL,\nrepeatable ones one per line."
)]
pub(super) struct WriteArguments {}

/// Show the variables: a dry run.
#[derive(FromArgs, ArgsInfo)]
#[argh(usage = "[options]", help_triggers("-h", "--help"))]
#[argh(
    note = "Each option can also be given as a variable: --api-url as INTROSPOD_API_URL,\nrepeatable ones one per line."
)]
pub(super) struct PrintArguments {
    /// table, env, sh or json; default table on a terminal, else env
    #[argh(option, arg_name = "format")]
    pub(super) format: Option<Format>,
    /// say where each value comes from, and why what is missing is not known
    #[argh(switch)]
    pub(super) explain: bool,
}

/// Keep files true: write them, and again whenever a downwardAPI volume changes. A sidecar.
#[derive(FromArgs, ArgsInfo)]
#[argh(usage = "[options] --out FILE...", help_triggers("-h", "--help"))]
#[argh(
    note = "Facts of a container (its name, limits, image) are left out unless --container says\nwhose they are. A file is replaced only when its bytes change. SIGTERM ends it with 0.\nEach option can also be given as a variable: --api-url as INTROSPOD_API_URL,\nrepeatable ones one per line."
)]
pub(super) struct WatchArguments {
    /// tell the application of each change by a POST to a loopback URL, such as
    /// http://127.0.0.1:9090/-/reload
    #[argh(option, arg_name = "url")]
    pub(super) notify: Option<NotifyUrl>,
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
