//! `print`: a dry run.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use super::{CommandError, pipeline};
use crate::cli::Options;
use crate::facts::field::Field;
use crate::kubernetes::key_value::map_from;
use crate::render::{self, Explanation};
use crate::system::environment::Environment;
use crate::system::surroundings::Surroundings;
use crate::variables::variable::Variable;
use crate::variables::{Run, VariablesError};

/// Gathers facts, and prints the variables.
pub(super) fn run(
    options: &Options,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let (templates, origin) = pipeline::open(options, &[], environment, clock)?;
    let selection = options.selection(pipeline::texts(&templates, &[]), None);
    let run = pipeline::run(&origin, &options.own(), selection, options.api());
    if !options.template.is_empty() {
        pipeline::require(&run)?;
        // What is private stays as its reference is written.
        let rendered = pipeline::render(&run, &templates, true)?;
        for (template, content, _) in &rendered {
            if rendered.len() > 1 {
                // As head(1) does.
                to_standard_output(format!("==> {} <==\n", template.name).as_bytes())?;
            }
            to_standard_output(content)?;
        }
    } else if !options.operands.is_empty() {
        // First, because its errors say more about a variable that is set but not shown.
        let value = |name: &String| run.shown_value(name).map(|value| format!("{value}\n"));
        let values: String = options.operands.iter().map(value).collect::<Result<_, VariablesError>>()?;
        pipeline::require(&run)?;
        to_standard_output(values.as_bytes())?;
    } else {
        let default = if std::io::stdout().is_terminal() { render::TABLE } else { render::ENV };
        let explanation = (options.explain == Some(true)).then(|| explanation(&run));
        // The known values are printed even if a required one is not known.
        to_standard_output(&options.format.unwrap_or(default).render(&run, explanation.as_ref()))?;
        pipeline::require(&run)?;
    }
    pipeline::write_files(&run, options).map(drop)
}

/// Why each variable of the table or the options is not known, and what the sources do not know.
fn explanation(run: &Run) -> Explanation {
    let Run { facts, selection, variables, .. } = run;
    let of_table = Field::all().filter_map(|field| field.variable).map(str::to_owned);
    let names = of_table.chain(selection.set.iter().map(|(name, _)| name.clone()));
    let names = names.chain(selection.require.iter().cloned());
    let is_shown = |name: &str| variables.get(name).is_some_and(Variable::is_shown);
    let unknown = names.filter(|name| !is_shown(name)).map(|name| {
        let why = run.explain(&name);
        (name, why)
    });
    let notes = facts.notes().map(|(source, note)| (source.name(), note.text.clone()));
    let is_named = facts.text(Field::POD_NAME).is_some();
    let surroundings = if is_named { None } else { run.origin.surroundings() };
    let hostname = surroundings.and_then(Surroundings::hostname).map(|hostname| {
        let why =
            format!("the pod's name is probably {hostname:?}, but a hostname can differ, so it is not used");
        ("hostname", why)
    });
    Explanation { unknown: map_from(unknown.collect()), sources: notes.chain(hostname).collect() }
}

/// Writes to standard output. If the reader has gone, the process ends as `cat(1)` does.
pub(super) fn to_standard_output(content: &[u8]) -> Result<(), CommandError> {
    crate::system::process::end_on_closed_pipe();
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(content).and_then(|()| stdout.flush()).map_err(CommandError::Standard)
}
