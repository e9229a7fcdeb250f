//! The output that README.md and docs/ show after `$ introspod …` is the output of the binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::world::INTROSPOD;

/// What a newcomer types, for which the binary stands here.
const BUILT: &str = "cargo run --release --";

/// A command and what a document shows of its output.
#[derive(Debug)]
struct Example {
    line: usize,
    command: String,
    shown: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The examples of the console blocks: fenced, and beginning with `$ introspod ` or the like.
fn examples(text: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    // Of the open block: its fence, and whether it is a console's.
    let mut block: Option<(&str, Option<bool>)> = None;
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start();
        block = match block {
            None if fence.starts_with("```") => Some((&line[..line.len() - fence.len()], None)),
            None => None,
            Some(_) if fence == "```" => None,
            Some((indent, is_console)) => {
                let line = line.strip_prefix(indent).unwrap_or(line);
                let starts = |word: &str| line.strip_prefix("$ ").is_some_and(|rest| rest.starts_with(word));
                let is_console =
                    is_console.unwrap_or_else(|| starts("introspod ") || starts(&format!("{BUILT} ")));
                match (is_console, line.strip_prefix("$ ")) {
                    (false, _) => {}
                    (true, Some(command)) => {
                        examples.push(Example {
                            line: number + 1,
                            command: command.to_owned(),
                            shown: String::new(),
                        });
                    }
                    (true, None) => {
                        let last = examples.last_mut().unwrap();
                        // A command goes on after a backslash, as in a shell.
                        if last.shown.is_empty() && last.command.ends_with('\\') {
                            last.command += &format!("\n{line}");
                        } else {
                            last.shown += &format!("{line}\n");
                        }
                    }
                }
                Some((indent, Some(is_console)))
            }
        };
    }
    examples
}

/// Standard output and standard error, as a terminal would show them together.
fn shown_by(command: &str) -> String {
    let command = command.replace(BUILT, &format!("'{INTROSPOD}'"));
    let directory = Path::new(INTROSPOD).parent().unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(root()).env_clear();
    shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", directory.display()));
    let output = shell.stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// README.md and the documents in docs/.
fn documents() -> Vec<PathBuf> {
    let in_docs = std::fs::read_dir(root().join("docs")).into_iter().flatten();
    let mut documents: Vec<PathBuf> = in_docs.map(|entry| entry.unwrap().path()).collect();
    documents.retain(|path| path.extension().is_some_and(|suffix| suffix == "md"));
    documents.sort();
    documents.insert(0, root().join("README.md"));
    documents
}

#[test]
fn the_documents_show_what_the_binary_says() {
    let mut wrong = String::new();
    let mut count = 0;
    for path in documents() {
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for example in examples(&text) {
            count += 1;
            let said = shown_by(&example.command);
            if said != example.shown {
                wrong += &format!(
                    "{}:{}: $ {}\n--- shown\n{}--- said\n{said}\n",
                    path.display(),
                    example.line,
                    example.command,
                    example.shown
                );
            }
        }
    }
    assert!(count >= 5, "only {count} commands are shown with their output");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn examples_are_found_in_console_blocks_only() {
    let text = "Text\n$ introspod not this\n```console\n$ introspod print \\\n    --explain\nout\n$ true\n\n```\n\
                ```sh\necho\n$ introspod neither\n```\n  ```\n  $ cargo run --release -- --version\n  introspod 1\n  ```\n";
    let found: Vec<_> = examples(text).into_iter().map(|it| (it.line, it.command, it.shown)).collect();
    let expected = [
        (4, "introspod print \\\n    --explain", "out\n"),
        (7, "true", "\n"),
        (15, "cargo run --release -- --version", "introspod 1\n"),
    ];
    assert_eq!(found, expected.map(|(line, command, shown)| (line, command.to_owned(), shown.to_owned())));
}

#[test]
fn a_command_is_run_with_the_binary_in_place_of_cargo_and_in_path() {
    let version = format!("introspod {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(shown_by("cargo run --release -- --version"), version);
    assert_eq!(shown_by("introspod --version"), version);
    assert!(shown_by("introspod nothing").starts_with("introspod: error: "), "standard error is shown too");
    assert_eq!(shown_by("test -f Cargo.toml && echo here"), "here\n");
}
