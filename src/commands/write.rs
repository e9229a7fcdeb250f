//! `write`: an initContainer that writes files.

use std::time::Instant;

use super::CommandError;
use super::pipeline::Input;
use crate::cli::Options;
use crate::system::environment::Environment;

/// Gathers facts, and writes the files.
pub(super) fn run(
    options: &Options,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let input = Input::open(options, &[], environment, clock)?;
    let each = options.per_container();
    // Write nothing unless every required variable is known.
    let prepared = input.prepare_each(&each)?;
    prepared.iter().zip(&each).try_for_each(|(prepared, options)| prepared.write_files(options))
}
