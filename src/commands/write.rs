//! `write`: an initContainer that writes files.

use std::time::Instant;

use super::CommandError;
use super::pipeline::{Input, Templates};
use super::wait::until_known;
use crate::cli::Options;
use crate::system::environment::Environment;

/// Gathers facts, and writes the files.
pub(super) fn run(
    options: &Options,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let templates = Templates::load(options, &[])?;
    let input = Input::open(options, &templates, environment, clock)?;
    let each = options.per_container();
    // Write nothing unless every required variable is known.
    let prepared = until_known(options, &input, clock, |options| {
        input.prepare_each(&options.per_container(), &templates)
    })?;
    prepared.iter().zip(&each).try_for_each(|(prepared, options)| prepared.write_files(options).map(drop))
}
