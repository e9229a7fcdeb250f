//! Files for others: the initContainer.

use std::time::Instant;

use super::{CommandError, prepare, write_files};
use crate::cli::Options;
use crate::system::environment::Environment;

/// Gathers and writes.
pub(super) fn run(
    options: &Options,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let prepared = prepare(options, &options.whose_other(), environment, &Environment::default(), clock)?;
    write_files(options, &prepared)
}
