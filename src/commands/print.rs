//! The dry run.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use super::{CommandError, prepare, write_files};
use crate::cli::{Options, Print};
use crate::facts::field::Field;
use crate::render;
use crate::sources::gather::Gathered;
use crate::system::environment::Environment;
use crate::system::root::Root;

/// Gathers and shows.
pub(super) fn run(
    print: &Print,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let options = &print.options;
    let prepared = prepare(options, &options.whose_own(), environment, &Environment::default(), clock)?;
    write_files(options, &prepared)?;
    let format = print.format.unwrap_or_else(|| match std::io::stdout().is_terminal() {
        true => render::TABLE,
        false => render::ENV,
    });
    let mut document = prepared.document();
    if print.explain {
        document.explanation = Some(explanation(options, &prepared.gathered));
    }
    to_standard_output(&format.render(&document))
}

/// Each source that could not tell something, and why.
fn explanation(options: &Options, gathered: &Gathered) -> Vec<(&'static str, String)> {
    let mut lines: Vec<_> =
        gathered.notes.iter().map(|(source, note)| (source.name(), note.text.clone())).collect();
    if options.pod.is_none()
        && gathered.facts.text(&Field::PodName).is_none()
        && let Some(hostname) = hostname(&options.root)
    {
        lines.push((
            "hostname",
            format!("the pod's name is likely {hostname:?}, but a hostname can be another: it is not used"),
        ));
    }
    lines
}

fn hostname(root: &Path) -> Option<String> {
    crate::sources::kubelet::hostname(&Root::open(root).ok()?)
}

/// Writes to standard output; a reader that went away ends the process as it ends `cat(1)`.
pub(super) fn to_standard_output(content: &[u8]) -> Result<(), CommandError> {
    crate::system::process::restore_sigpipe();
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(content).and_then(|()| stdout.flush()).map_err(CommandError::Standard)
}
