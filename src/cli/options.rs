//! The options: each is declared once, with its name, placeholder, help, group and subcommands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::error::UsageError;
use super::subcommands::Row;
use super::subcommands::Subcommand::{self, Exec, Get, Print, Watch, Write};
use super::values;
use crate::client::ApiUrl;
use crate::client::notify::Notify;
use crate::facts::subject::Asked;
use crate::render::template::{self, FileTemplate, TemplateError};
use crate::render::{self, Format};
use crate::sources::api::{Settings, When};
use crate::system::environment::Environment;
use crate::variables::Selection;
use crate::variables::value::Expression;
use crate::variables::value::template::Template;

/// How often an option may be given, and how the command line combines with its variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Takes no value on the command line, where the last one counts.
    Switch,
    /// Has one value. The command line wins.
    Once,
    /// Repeatable. The command line adds to the variable.
    List,
    /// Repeatable where files describe several containers. The command line replaces the variable.
    Containers,
    /// `NAME=VALUE`. For each NAME the command line wins over `INTROSPOD_SET_<NAME>`, and that over
    /// `INTROSPOD_SET`.
    PerName,
}

impl Kind {
    /// The kind in a subcommand.
    pub(super) fn of(self, subcommand: Subcommand) -> Kind {
        if self == Kind::Containers && !matches!(subcommand, Write | Watch) { Kind::Once } else { self }
    }
}

/// What `print` takes besides options.
pub(super) const OPERANDS: &str = "names of variables";

/// The declaration of an option.
#[derive(Debug)]
pub(super) struct Declaration {
    /// Its name without `--`, which also gives the name of its variable.
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    /// What stands for its value in the help. A switch has none.
    pub(super) placeholder: &'static str,
    /// The lines of its help.
    pub(super) help: &'static [&'static str],
    /// The heading above it in the help.
    pub(super) group: &'static str,
    pub(super) subcommands: &'static [Subcommand],
    pub(super) kind: Kind,
    /// Whether the application depends on its variable, so that `exec` fails if the variable is not valid.
    pub(super) is_essential: bool,
    /// Whether its value names a file, or `-` for standard input. In `exec`, its variable has no effect if there is no
    /// such file.
    pub(super) names_file: bool,
    /// The subcommand that does not read its variable.
    pub(super) unread_by: Option<Subcommand>,
    /// The options that it cannot be combined with, or [`OPERANDS`].
    pub(super) excludes: &'static [&'static str],
    /// Says why a value is not valid. If the text starts with "must", its subject is the option.
    pub(super) check: fn(&str) -> Result<(), String>,
}

/// Declares the options. The docstring of an option is its help. After its name come its placeholder and
/// the function that parses its value.
macro_rules! options {
    ($($group:literal for $subcommands:tt {
        $($(#[doc = $help:tt])+
        $field:ident: $container:ident<$value:ty> =
            $name:tt $placeholder:tt, $($parse:ident)::+, { kind: $kind:ident $(, $column:ident: $with:expr)* };)+
    })+) => {
        /// The options of the command line and of variables; each subcommand uses its own.
        #[derive(Clone, Debug, argh::FromArgs)]
        pub(crate) struct Options {
            $($($(#[doc = $help])+ #[argh(option, long = $name, from_str_fn($($parse)::+))]
            pub(crate) $field: $container<$value>,)+)+
            /// the words after the options, except those of a command
            #[argh(positional)]
            pub(crate) operands: Vec<String>,
        }

        /// Every option, in the order of the help.
        pub(super) static DECLARATIONS: &[Declaration] = &[$($(Declaration {
            kind: Kind::$kind,
            $($column: $with,)*
            ..Declaration {
                name: $name,
                short: None,
                placeholder: $placeholder,
                help: &[$($help),+],
                group: $group,
                subcommands: &$subcommands,
                kind: Kind::Once,
                is_essential: false,
                names_file: false,
                unread_by: None,
                excludes: &[],
                check: |text| $($parse)::+(text).map(|_: $value| ()),
            }
        }),+),+];
    };
}

options! {
    "Output" for [Print] {
        /// format of the output: {formats}; default table on a terminal, env elsewhere
        format: Option<Format> = "format" "FORMAT", values::format, { kind: Once, short: Some('o'), excludes: &["template", OPERANDS] };
        /// show the source of each value, and why a value is not known
        explain: Option<bool> = "explain" "", values::boolean, { kind: Switch, excludes: &["template", OPERANDS] };
    }
    "Variables" for [Exec, Write, Print, Watch] {
        /// set one more variable; VALUE is an expression, such as metadata.labels['team'],
        /// limits.memory*75%/1Mi or limits.cpu:-2, or a text with expressions and variables in $( ), such as
        /// '-Xmx$(HEAP_MB)m'; repeatable
        set: Vec<(String, Expression)> = "set" "NAME=VALUE", values::setting, { kind: PerName };
        /// set a variable POD_LABEL_KEY for every label
        labels: Option<bool> = "labels" "", values::boolean, { kind: Switch };
        /// set a variable POD_ANNOTATION_KEY for every annotation
        annotations: Option<bool> = "annotations" "", values::boolean, { kind: Switch };
        /// set OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME
        otel: Option<bool> = "otel" "", values::boolean, { kind: Switch };
        /// fail if the variable NAME is not known; repeatable
        require: Vec<String> = "require" "NAME", values::variable_name, { kind: List, is_essential: true };
        /// leave out the variable NAME; repeatable
        omit: Vec<String> = "omit" "NAME", values::variable_name, { kind: List };
        /// set the standard variables (default); --standard=false sets only those that an option names
        standard: Option<bool> = "standard" "", values::boolean, { kind: Switch };
        /// replace the variable NAME, or all with '*', if it is already set; repeatable; without this option it stays
        overrides: Vec<String> = "override" "NAME", values::variable_name, { kind: List };
    }
    "Variables" for [Exec] {
        /// replace each $(EXPRESSION) that is known in the arguments of COMMAND
        expand: Option<bool> = "expand" "", values::boolean, { kind: Switch };
    }
    "Variables" for [Exec, Write] {
        /// wait until the variables of --require are known and the templates can be rendered, but at most for
        /// DURATION, such as 2m
        wait: Option<Duration> = "wait" "DURATION", values::duration, { kind: Once };
    }
    "Files" for [Exec, Write, Print, Watch] {
        /// write FILE in the format of its suffix: {suffixes}; {container} in its name stands for the name of
        /// the container; repeatable
        out: Vec<(PathBuf, Format)> = "out" "FILE", values::out, { kind: List, is_essential: true, unread_by: Some(Print) };
        /// mode of the written files; default 0644
        mode: Option<u32> = "mode" "OCTAL", values::mode, { kind: Once };
    }
    "Files" for [Exec, Write, Print, Watch] {
        /// write the file OUT from the template IN, in which $(EXPRESSION) stands for a value; of a directory IN every
        /// file; print --template IN shows the result; repeatable
        template: Vec<(PathBuf, Option<PathBuf>)> = "template" "IN:OUT", values::template,
            { kind: List, is_essential: true, unread_by: Some(Print), excludes: &["format", "explain", OPERANDS] };
    }
    "Files" for [Exec, Write, Watch] {
        /// write the file OUT from the template TEXT, and a newline; repeatable
        file: Vec<FileTemplate> = "file" "OUT=TEXT", values::file, { kind: List, is_essential: true };
    }
    "Files" for [Watch] {
        /// after each change, send a POST to a URL on loopback, such as http://127.0.0.1:9090/-/reload, or a
        /// signal to the oldest process of a name, such as signal:HUP@nginx
        notify: Option<Notify> = "notify" "URL", Notify::parse, { kind: Once };
    }
    "API server" for [Exec, Write, Print, Watch] {
        /// when to query the API server: auto (only for requested values that no other source knows), always
        /// or never; default auto
        api: Option<When> = "api" "WHEN", values::parsed, { kind: Once };
    }
    "API server" for [Exec, Write, Print, Watch, Get] {
        /// URL of the API server, such as https://10.96.0.1:443; http:// only on loopback, for a kubectl proxy
        api_url: Option<ApiUrl> = "api-url" "URL", ApiUrl::parse, { kind: Once, excludes: &["pod"] };
        /// total time for API requests, such as 500ms or 1m; default 5s
        timeout: Option<Duration> = "timeout" "DURATION", values::duration, { kind: Once };
    }
    "Where to read" for [Exec, Write, Print, Watch] {
        /// directory of a downwardAPI volume; default /etc/podinfo and /etc/downward; repeatable
        volume: Vec<PathBuf> = "volume" "DIR", values::parsed, { kind: List };
        /// another service account token to read; it is never sent
        token_file: Option<PathBuf> = "token-file" "FILE", values::parsed, { kind: Once };
        /// container to describe; repeatable for write and watch
        container: Vec<String> = "container" "NAME", values::container, { kind: Containers };
    }
    "Where to read" for [Exec, Write, Print] {
        /// read the Pod object in FILE (- is standard input) and nothing else
        pod: Option<PathBuf> = "pod" "FILE", values::parsed, { kind: Once, names_file: true, excludes: &["api-url", "process"] };
    }
    "Where to read" for [Write, Print] {
        /// describe the container of the process PID, not that of introspod
        process: Option<u32> = "process" "PID", values::process, { kind: Once, excludes: &["pod", "root"] };
    }
    "Where to read" for [Exec, Write, Print, Watch, Get] {
        /// read every path below DIR, such as the root of a recorded container
        root: Option<PathBuf> = "root" "DIR", values::parsed, { kind: Once, names_file: true, excludes: &["process"] };
    }
}

/// The prefix of the variables of options.
pub(super) const PREFIX: &str = "INTROSPOD_";

impl Declaration {
    /// The options of a subcommand.
    pub(super) fn of(subcommand: Subcommand) -> impl Iterator<Item = &'static Declaration> + Clone {
        DECLARATIONS.iter().filter(move |option| option.subcommands.contains(&subcommand))
    }

    /// The name of its variable: `INTROSPOD_API_URL` of `--api-url`.
    pub(super) fn variable(&self) -> String {
        PREFIX.to_owned() + &self.name.replace('-', "_").to_ascii_uppercase()
    }
}

/// The defaults of options.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_MODE: u32 = 0o644;
const PRIVATE_MODE: u32 = 0o600;

impl Options {
    /// The variables to make. `templates` may refer to them, and the `application` has its variables anyway.
    pub(crate) fn selection<'a>(
        &'a self,
        templates: Vec<Rc<Template>>,
        application: Option<&'a Environment>,
    ) -> Selection<'a> {
        Selection {
            set: &self.set,
            labels: self.labels == Some(true),
            annotations: self.annotations == Some(true),
            require: &self.require,
            otel: self.otel == Some(true),
            overrides: &self.overrides,
            omit: &self.omit,
            omits_standard: self.standard == Some(false),
            templates,
            application,
        }
    }

    /// When, where and how long to ask the API server.
    pub(crate) fn api(&self) -> Settings {
        let timeout = self.timeout.unwrap_or(DEFAULT_TIMEOUT);
        Settings { when: self.api.unwrap_or_default(), url: self.api_url.clone(), timeout }
    }

    /// The mode of a written file.
    pub(crate) fn mode_for(&self, is_private: bool) -> u32 {
        self.mode.unwrap_or(if is_private { PRIVATE_MODE } else { DEFAULT_MODE })
    }

    /// The directory below which every path is read.
    pub(crate) fn root(&self) -> &Path {
        self.root.as_deref().unwrap_or(Path::new("/"))
    }

    /// The only operand of `get` and `install`.
    pub(crate) fn operand(&self) -> &str {
        self.operands.first().map_or("", String::as_str)
    }

    /// The first container of `--container`.
    pub(crate) fn container(&self) -> Option<&str> {
        self.container.first().map(String::as_str)
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
        if self.container.is_empty() {
            return vec![self.clone()];
        }
        let of = |name: &String| Options { container: vec![name.clone()], ..self.clone() };
        self.container.iter().map(of).collect()
    }

    /// The templates of `--template` and `--file`, as they are now.
    ///
    /// # Errors
    /// A template cannot be read, or is not valid; a file would be written twice.
    pub(crate) fn templates(&self) -> Result<Vec<FileTemplate>, TemplateError> {
        template::load(&self.template, &self.file, self.out.iter().map(|(file, _)| file))
    }

    /// Checks the options together.
    pub(super) fn checked(mut self, row: &Row) -> Result<Self, UsageError> {
        let mut seen = BTreeSet::new();
        if let Some(name) = self.container.iter().find(|name| !seen.insert(*name)) {
            return Err(UsageError::Twice(format!("--container {name}")));
        }
        match row.subcommand {
            Print => {
                // The named variables are requested and required.
                self.require.extend(self.operands.iter().cloned());
                for (input, output) in &mut self.template {
                    if let Some(output) = output.take() {
                        *input = format!("{}:{}", input.display(), output.display()).into();
                    }
                }
            }
            _ if self.template.iter().any(|(_, output)| output.is_none()) => {
                let why = "must be IN:OUT, such as /etc/templates/app.conf:/run/app.conf".to_owned();
                return Err(UsageError::Value { place: "--template".to_owned(), why });
            }
            Write | Watch => self.check_files(row)?,
            _ => {}
        }
        Ok(self)
    }

    /// Checks the files of `write` and `watch`, which may describe several containers.
    fn check_files(&self, row: &Row) -> Result<(), UsageError> {
        let templates = self.template.iter().filter_map(|(_, output)| output.as_ref());
        let files = templates.chain(self.file.iter().filter_map(|file| file.target.as_ref()));
        let files: Vec<&PathBuf> = self.out.iter().map(|(file, _)| file).chain(files).collect();
        if files.is_empty() {
            return Err(UsageError::Needs { subcommand: row.name, needs: row.needs });
        }
        for file in files {
            let why = match (self.container.len(), render::names_container(file)) {
                (0, true) => "has {container} in its name, so it needs --container NAME",
                (2.., false) => {
                    "must have {container} in its name, because --container is given several times and each \
                     container needs a file"
                }
                _ => continue,
            };
            return Err(UsageError::Other(format!("{} {why}", file.display())));
        }
        Ok(())
    }
}
