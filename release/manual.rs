//! The manual page and the completions for shells, generated from the declarations of options and subcommands. They are
//! part of a release and not of the program, so this is a test: `release/manual DIR` writes them to DIR.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

use super::help::{filled, left};
use super::options::{DECLARATIONS, Declaration, Kind};
use super::subcommands::{Row, SUBCOMMANDS};
use crate::render::Format;

/// The variable that names the directory to write to.
const DIRECTORY: &str = "INTROSPOD_MANUAL";
/// What every subcommand takes besides its options.
const HELP: &str = "--help";
/// The first words that are not subcommands.
const OTHERS: [(&str, &str); 3] =
    [("help", "Show the help of a subcommand"), (HELP, "Show the help"), ("--version", "Show the version")];

#[test]
fn manual() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = std::env::var_os(DIRECTORY).map_or(temporary.path().to_owned(), PathBuf::from);
    for (name, text, check) in [
        ("introspod.1", page(), &["mandoc", "-T", "lint", "-W", "error"][..]),
        ("introspod.bash", bash(), &["bash", "-n"]),
        ("_introspod", zsh(), &["zsh", "-n"]),
        ("introspod.fish", fish(), &["fish", "-n"]),
    ] {
        assert!(SUBCOMMANDS.iter().all(|row| text.contains(row.name)), "{name}");
        assert!(
            DECLARATIONS
                .iter()
                .all(|option| text.contains(&option.name.replace('-', "\\-")) || text.contains(option.name)),
            "{name}"
        );
        let file = directory.join(name);
        std::fs::write(&file, text).unwrap();
        // A machine may lack the shell.
        if let Ok(output) = Command::new(check[0]).args(&check[1..]).arg(&file).output() {
            assert!(output.status.success(), "{name}: {output:?}");
        }
    }
}

/// What completes the value of an option or a word.
enum Value {
    File,
    Directory,
    OneOf(Vec<&'static str>),
    Unknown,
}

fn value(placeholder: &str) -> Value {
    match placeholder {
        "FILE" => Value::File,
        "DIR" => Value::Directory,
        "FORMAT" => Value::OneOf(Format::names()),
        "WHEN" => Value::OneOf(vec!["auto", "always", "never"]),
        _ => Value::Unknown,
    }
}

/// The help up to its first semicolon.
fn short(option: &Declaration) -> String {
    filled(option).split(';').next().unwrap_or_default().trim().to_owned()
}

/// The options of a subcommand: `--set --labels -o`.
fn words(row: &Row) -> String {
    let options = Declaration::of(row.subcommand);
    let long = options.clone().map(|option| format!("--{}", option.name));
    let short = options.filter_map(|option| Some(format!("-{}", option.short?)));
    long.chain(short).chain([HELP.to_owned()]).collect::<Vec<_>>().join(" ")
}

/// The names of the subcommands that have an option.
fn subcommands(option: &Declaration) -> Vec<&'static str> {
    let rows = SUBCOMMANDS.iter().filter(|row| option.subcommands.contains(&row.subcommand));
    rows.map(|row| row.name).collect()
}

/// Text for man(7).
fn roff(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// The page in the format of man(7).
fn page() -> String {
    let mut text = format!(
        ".TH INTROSPOD 1 \"\" \"introspod {}\" \"User Commands\"\n.SH NAME\nintrospod \\- makes a Kubernetes pod know itself\n.SH SYNOPSIS\n",
        env!("CARGO_PKG_VERSION")
    );
    for row in &SUBCOMMANDS {
        let _ = writeln!(text, ".br\n.B introspod {}\n{}", row.name, roff(row.usage));
    }
    text += ".SH DESCRIPTION\nintrospod gathers what a container can know about its own pod, node and workload. It becomes \
             the application, writes files or prints.\n.SH SUBCOMMANDS\n";
    for row in &SUBCOMMANDS {
        let _ = writeln!(text, ".TP\n.B {}\n{}.", row.name, roff(row.summary));
        for note in row.notes {
            let _ = writeln!(text, ".IP\n{}", roff(note));
        }
    }
    text += ".SH OPTIONS\n";
    let mut group = "";
    for option in DECLARATIONS {
        if group != option.group {
            group = option.group;
            let _ = writeln!(text, ".SS {group}");
        }
        let by = subcommands(option).join(", ");
        let _ = writeln!(text, ".TP\n.B {}\n{} ({by}).", roff(&left(option)), roff(&filled(option)));
    }
    text += ".SH ENVIRONMENT\nEach option can also be given as a variable. The command line wins.\n";
    for option in DECLARATIONS {
        let lines =
            if matches!(option.kind, Kind::Switch | Kind::Once) { "" } else { ", one value per line" };
        let _ = writeln!(text, ".TP\n.B {}\nThe option {}{lines}.", option.variable(), roff(&left(option)));
    }
    text += ".TP\n.B INTROSPOD_DISABLED\nMakes exec execute its command at once and do nothing else.\n.TP\n.B INTROSPOD_LOG\n\
             Sets what is logged: error, warn (default) or info.\n.SH EXIT STATUS\n";
    // The same codes for several subcommands.
    let mut codes: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for row in &SUBCOMMANDS {
        codes.entry(row.exit_codes()).or_default().push(row.name);
    }
    for (codes, names) in codes {
        let _ = writeln!(text, ".SS {}", names.join(", "));
        for (code, when) in codes {
            let _ = writeln!(text, ".TP\n.B {code}\n{}.", roff(when));
        }
    }
    text + ".SH SEE ALSO\nhttps://github.com/introspod/introspod\n"
}

fn bash() -> String {
    let names: Vec<&str> = SUBCOMMANDS.iter().map(|row| row.name).collect();
    let first: Vec<&str> = names.iter().copied().chain(OTHERS.map(|(name, _)| name)).collect();
    let mut text = format!(
        "# Completions of introspod for bash.\n\n_introspod() {{\n    local options= word=$2\n    case $COMP_CWORD:${{COMP_WORDS[1]}}:$word in\n        \
         1:*) options=\"{}\" ;;\n        2:help:*) options=\"{}\" ;;\n",
        first.join(" "),
        names.join(" ")
    );
    for row in &SUBCOMMANDS {
        let _ = writeln!(text, "        *:{}:-*) options=\"{}\" ;;", row.name, words(row));
    }
    text += "    esac\n    case $3 in\n";
    for option in DECLARATIONS.iter().filter(|option| option.kind != Kind::Switch) {
        let short = option.short.map_or(String::new(), |short| format!("-{short} | "));
        let reply = match value(option.placeholder) {
            Value::File => "compgen -f".to_owned(),
            Value::Directory => "compgen -d".to_owned(),
            Value::OneOf(words) => format!("compgen -W \"{}\"", words.join(" ")),
            Value::Unknown => "true".to_owned(),
        };
        let _ = writeln!(
            text,
            "        {short}--{}) mapfile -t COMPREPLY < <({reply} -- \"$word\"); return ;;",
            option.name
        );
    }
    text + "    esac\n    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n}\n\ncomplete -o default -F _introspod introspod\n"
}

/// Text inside the single quotes of zsh's `_arguments`, where colons and brackets are special.
fn zsh_text(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '\'' => escaped += "'\\''",
            '[' | ']' | ':' | '\\' => escaped.extend(['\\', letter]),
            _ => escaped.push(letter),
        }
    }
    escaped
}

fn zsh() -> String {
    let mut text = "#compdef introspod\n\n_introspod() {\n    local curcontext=$curcontext state line\n    local -a subcommands\n    \
                    subcommands=(\n"
        .to_owned();
    let summaries = SUBCOMMANDS.iter().map(|row| (row.name, row.summary));
    for (name, summary) in summaries.chain(OTHERS) {
        let _ = writeln!(text, "        '{name}:{}'", zsh_text(summary));
    }
    text += "    )\n    _arguments -C '1:subcommand:->subcommand' '*::word:->words' && return\n    case $state in\n        \
             subcommand) _describe subcommand subcommands ;;\n        words)\n            case $words[1] in\n                \
             help) _describe subcommand subcommands ;;\n";
    for row in &SUBCOMMANDS {
        let _ = writeln!(text, "                {}) _arguments -S '--help[show this help]' \\", row.name);
        for option in Declaration::of(row.subcommand) {
            let _ = writeln!(text, "{} \\", zsh_option(option));
        }
        let operand = match &row.operand {
            Some(operand) => format!("'*:{}:{}'", operand.name, zsh_action(value(operand.name))),
            None if row.takes_command() => "'*:::command:_normal'".to_owned(),
            None => "'*: :'".to_owned(),
        };
        let _ = writeln!(text, "                    {operand} ;;");
    }
    text + "            esac ;;\n    esac\n}\n\n_introspod \"$@\"\n"
}

fn zsh_option(option: &Declaration) -> String {
    let help = zsh_text(&short(option));
    let value = match option.kind {
        Kind::Switch => String::new(),
        _ => format!(":{}:{}", zsh_text(option.placeholder), zsh_action(value(option.placeholder))),
    };
    let repeats = if matches!(option.kind, Kind::Switch | Kind::Once) { "" } else { "*" };
    let equals = if option.kind == Kind::Switch { "" } else { "=" };
    let short = option
        .short
        .map_or(String::new(), |short| format!("                    '-{short}+[{help}]{value}' \\\n"));
    format!("{short}                    '{repeats}--{}{equals}[{help}]{value}'", option.name)
}

fn zsh_action(value: Value) -> String {
    match value {
        Value::File => "_files".to_owned(),
        Value::Directory => "_files -/".to_owned(),
        Value::OneOf(words) => format!("({})", words.join(" ")),
        Value::Unknown => " ".to_owned(),
    }
}

fn fish() -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut text = "# Completions of introspod for fish.\n\n".to_owned();
    let summaries = SUBCOMMANDS.iter().map(|row| (row.name, row.summary));
    for (name, summary) in summaries.chain([OTHERS[0]]) {
        let _ = writeln!(
            text,
            "complete -c introspod -n __fish_use_subcommand -f -a {name} -d {}",
            quoted(summary)
        );
    }
    let names: Vec<&str> = SUBCOMMANDS.iter().map(|row| row.name).collect();
    let _ = writeln!(
        text,
        "complete -c introspod -n '__fish_seen_subcommand_from help' -f -a '{}'",
        names.join(" ")
    );
    text += "complete -c introspod -n __fish_use_subcommand -f -l version -d 'Show the version'\n";
    text += "complete -c introspod -s h -l help -d 'Show the help'\n";
    for option in DECLARATIONS {
        let by = format!("__fish_seen_subcommand_from {}", subcommands(option).join(" "));
        let short_name = option.short.map_or(String::new(), |short| format!(" -s {short}"));
        let value = match (option.kind, value(option.placeholder)) {
            (Kind::Switch, _) => String::new(),
            (_, Value::File) => " -r -F".to_owned(),
            (_, Value::Directory) => " -x -a '(__fish_complete_directories)'".to_owned(),
            (_, Value::OneOf(words)) => format!(" -x -a '{}'", words.join(" ")),
            (_, Value::Unknown) => " -x".to_owned(),
        };
        let help = quoted(&short(option));
        let _ = writeln!(
            text,
            "complete -c introspod -n {}{short_name} -l {}{value} -d {help}",
            quoted(&by),
            option.name
        );
    }
    text
}
