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
    let input = Input::open(options, environment, clock)?;
    let application = Environment::default();
    let prepare = |options: Options| Ok((input.prepare(&options, options.beside(), &application)?, options));
    // Write nothing unless every required variable is known.
    let prepared =
        options.per_container().into_iter().map(prepare).collect::<Result<Vec<_>, CommandError>>()?;
    prepared.iter().try_for_each(|(prepared, options)| prepared.write_files(options))
}
