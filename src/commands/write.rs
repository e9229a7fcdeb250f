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
    input.prepare(options, options.beside(), &Environment::default())?.write_files(options)
}
