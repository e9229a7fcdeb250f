//! `print`: a dry run.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Instant;

use super::CommandError;
use super::pipeline::{Input, Prepared, Templates};
use crate::cli::Options;
use crate::facts::field::Field;
use crate::render;
use crate::sources::gather::Gathered;
use crate::system::environment::Environment;
use crate::variables::value::template::Stays;
use crate::variables::variable::Variable;
use crate::variables::{explain, shown_value};

/// Gathers facts, and prints the variables.
pub(super) fn run(
    options: &Options,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let templates = Templates::load(options, &[])?;
    let input = Input::open(options, &templates, environment, clock)?;
    let nobody = Environment::default();
    let prepared = input.prepare_what_is_known(options, &nobody, &templates);
    if !options.template.is_empty() {
        input.require(&prepared, options)?;
        // What is private stays as its reference is written.
        let rendered = input.rendered(&prepared, options, &nobody, &templates, Stays::Private)?;
        for (template, content, _) in &rendered {
            if rendered.len() > 1 {
                // As head(1) does.
                to_standard_output(format!("==> {} <==\n", template.name()).as_bytes())?;
            }
            to_standard_output(content)?;
        }
        return prepared.write_files(options).map(drop);
    }
    if !options.operands.is_empty() {
        // First, because its errors say more about a variable that is set but not shown.
        let values = values(&options.operands, &input, &prepared)?;
        input.require(&prepared, options)?;
        to_standard_output(values.as_bytes())?;
        return prepared.write_files(options).map(drop);
    }
    let format = options.format.unwrap_or_else(|| match std::io::stdout().is_terminal() {
        true => render::TABLE,
        false => render::ENV,
    });
    let mut document = prepared.document();
    if options.explain == Some(true) {
        let sources = silent_sources(&input, &prepared.gathered);
        document.explanation =
            Some(render::Explanation { unknown: unknown(options, &input, &prepared), sources });
    }
    // The known values are printed even if a required one is not known.
    to_standard_output(&format.render(&document))?;
    input.require(&prepared, options)?;
    prepared.write_files(options).map(drop)
}

/// For each unknown variable of the table or the options: why it is not known.
fn unknown(options: &Options, input: &Input, prepared: &Prepared) -> BTreeMap<String, String> {
    let Prepared { gathered, variables, .. } = prepared;
    let selection = &options.selection();
    let of_table = Field::all().filter_map(|field| field.variable).map(str::to_owned);
    let names = of_table.chain(selection.set.iter().map(|(name, _)| name.clone()));
    let names = names.chain(selection.require.iter().cloned());
    let is_shown = |name: &str| variables.get(name).is_some_and(Variable::is_shown);
    names
        .filter(|name| !is_shown(name))
        .map(|name| {
            let why = explain(&name, variables, gathered, selection, input.environment());
            (name, why)
        })
        .collect()
}

/// The values of these variables, one on each line.
fn values(names: &[String], input: &Input, prepared: &Prepared) -> Result<String, CommandError> {
    let Prepared { gathered, variables, .. } = prepared;
    let mut text = String::new();
    for name in names {
        text += shown_value(name, variables, gathered, input.environment())?;
        text.push('\n');
    }
    Ok(text)
}

/// The sources that do not know something, and why.
fn silent_sources(input: &Input, gathered: &Gathered) -> Vec<(&'static str, String)> {
    let mut lines: Vec<_> =
        gathered.facts.notes().map(|(source, note)| (source.name(), note.text.clone())).collect();
    if gathered.facts.text(Field::POD_NAME).is_none()
        && let Some(surroundings) = input.surroundings()
        && let Some(hostname) = surroundings.hostname()
    {
        lines.push((
            "hostname",
            format!("the pod's name is probably {hostname:?}, but a hostname can differ, so it is not used"),
        ));
    }
    lines
}

/// Writes to standard output. If the reader has gone, the process ends as `cat(1)` does.
pub(super) fn to_standard_output(content: &[u8]) -> Result<(), CommandError> {
    crate::system::process::restore_signals();
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(content).and_then(|()| stdout.flush()).map_err(CommandError::Standard)
}
