//! The subcommands: one row each.

use super::values;

/// A subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subcommand {
    Exec,
    Write,
    Print,
    Watch,
    Get,
    Install,
}

/// A word after the options.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// Whether there can be any number of them, instead of exactly one.
    pub(super) is_repeatable: bool,
    pub(super) check: fn(&str) -> Result<(), String>,
}

/// What the help and the parser know of a subcommand.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) subcommand: Subcommand,
    pub(super) name: &'static str,
    /// Its purpose, for the list of subcommands and for its help.
    pub(super) summary: &'static str,
    /// The arguments after its name.
    pub(super) usage: &'static str,
    /// What it needs, for the message that this is missing.
    pub(super) needs: &'static str,
    /// `None` for `exec`, which does not look at the words of its command.
    pub(super) operand: Option<Operand>,
    pub(super) notes: &'static [&'static str],
}

/// Every subcommand.
pub(super) static SUBCOMMANDS: [Row; 6] = [
    Row {
        subcommand: Subcommand::Exec,
        name: "exec",
        summary: "Become a command, with the variables set",
        usage: "[OPTION...] [--] COMMAND [ARG...]",
        needs: "a command: introspod exec [OPTION...] [--] COMMAND [ARG...]",
        operand: None,
        notes: &[
            "The first word that is not an option, or the first word after --, is COMMAND.",
            "INTROSPOD_DISABLED=1 executes COMMAND at once and does nothing else. With -- before COMMAND this \
             works even if introspod does not know an option.",
        ],
    },
    Row {
        subcommand: Subcommand::Write,
        name: "write",
        summary: "Write files and exit, as an initContainer",
        usage: "[OPTION...] (--out | --template | --file)...",
        needs: NEEDS_FILE,
        operand: None,
        notes: &[ANOTHER_CONTAINER, SEVERAL_CONTAINERS],
    },
    Row {
        subcommand: Subcommand::Print,
        name: "print",
        summary: "Print the variables, or the values of the named ones: a dry run",
        usage: "[OPTION...] [NAME...]",
        needs: "",
        operand: Some(Operand {
            name: "NAME",
            help: "variable to print: only its value, one line for each NAME",
            is_repeatable: true,
            check: |text| values::variable_name(text).map(drop),
        }),
        notes: &[],
    },
    Row {
        subcommand: Subcommand::Watch,
        name: "watch",
        summary: "Keep files up to date while labels and annotations change, as a sidecar",
        usage: "[OPTION...] (--out | --template | --file)...",
        needs: NEEDS_FILE,
        operand: None,
        notes: &[
            ANOTHER_CONTAINER,
            SEVERAL_CONTAINERS,
            "A file is replaced only when its bytes change. SIGTERM ends watch with exit code 0.",
        ],
    },
    Row {
        subcommand: Subcommand::Get,
        name: "get",
        summary: "Send one GET request to the API server and print the body, as kubectl get --raw does",
        usage: "[OPTION...] PATH",
        needs: "a path, such as introspod get /version",
        operand: Some(Operand {
            name: "PATH",
            help: "path and query of the request; {namespace} in it stands for the pod's own namespace",
            is_repeatable: false,
            check: values::path,
        }),
        notes: &["Example: introspod get '/api/v1/namespaces/{namespace}/pods'"],
    },
    Row {
        subcommand: Subcommand::Install,
        name: "install",
        summary: "Copy this binary into a directory, so that an unchanged image can be wrapped",
        usage: "DIR",
        needs: "a directory, such as introspod install /run/introspod",
        operand: Some(Operand {
            name: "DIR",
            help: "directory to copy to, such as that of an emptyDir",
            is_repeatable: false,
            check: |_| Ok(()),
        }),
        notes: &["Example: introspod install /run/introspod"],
    },
];

const NEEDS_FILE: &str = "a file to write: --out FILE, --template IN:OUT or --file OUT=TEXT";
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

impl Row {
    /// The subcommand of this name.
    pub(super) fn named(name: &str) -> Option<&'static Row> {
        SUBCOMMANDS.iter().find(|row| row.name == name)
    }

    /// Its exit codes, and when it ends with them.
    pub(super) fn exit_codes(&self) -> &'static [(&'static str, &'static str)] {
        if self.takes_command() { &EXEC_CODES } else { &CODES }
    }

    /// Whether the words after its options are a command and its arguments, byte for byte.
    pub(super) fn takes_command(&self) -> bool {
        self.subcommand == Subcommand::Exec
    }
}
