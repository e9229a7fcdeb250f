//! Files for others: the initContainer.

use std::time::Instant;

use super::CommandError;
use super::pipeline::Input;
use crate::cli::Options;
use crate::system::environment::Environment;

/// Gathers and writes.
pub(super) fn run(
    options: &Options,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let input = Input::open(options, environment, clock)?;
    let each = options.per_container();
    // Nothing is written before everything that is required is known.
    let prepared = input.prepare_each(&each)?;
    prepared.iter().zip(&each).try_for_each(|(prepared, options)| prepared.write_files(options))
}
