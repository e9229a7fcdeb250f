//! `write`: an initContainer that writes files.

use std::time::Instant;

use super::wait::until_known;
use super::{CommandError, pipeline};
use crate::cli::Options;
use crate::system::environment::Environment;

/// Gathers facts, and writes the files.
pub(super) fn run(
    options: &Options,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let (templates, origin) = pipeline::open(options, &[], environment, clock)?;
    let each = options.per_container();
    // Write nothing unless every required variable is known.
    let runs = until_known(options, &origin, clock, |settings| {
        pipeline::run_each(&origin, &each, &templates, settings)
    })?;
    runs.iter().zip(&each).try_for_each(|(run, options)| pipeline::write_files(run, options).map(drop))
}
