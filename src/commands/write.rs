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
    let application = Environment::default();
    let prepare = |options: Options| Ok((input.prepare(&options, options.beside(), &application)?, options));
    // Nothing is written before everything that is required is known.
    let prepared =
        options.per_container().into_iter().map(prepare).collect::<Result<Vec<_>, CommandError>>()?;
    prepared.iter().try_for_each(|(prepared, options)| prepared.write_files(options))
}
