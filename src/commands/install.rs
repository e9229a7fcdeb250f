//! Copies this binary where another container finds it: a scratch image has no `cp`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::CommandError;
use crate::cli::Install;
use crate::system::files;

/// The running program, whatever became of its name (`proc_pid_exe(5)`).
const OWN: &str = "/proc/self/exe";
const NAME: &str = "introspod";
const MODE: u32 = 0o755;

/// Copies; does nothing if the very same is there already.
pub(super) fn run(install: &Install) -> Result<(), CommandError> {
    let own = fs::read(OWN).map_err(|error| CommandError::Other(format!("{OWN}: {error}")))?;
    let target = install.dir.join(NAME);
    let is_there = fs::symlink_metadata(&target).is_ok_and(|metadata| {
        metadata.is_file()
            && metadata.len() == own.len() as u64
            && metadata.permissions().mode() & 0o7777 == MODE
    });
    if is_there && fs::read(&target).is_ok_and(|there| there == own) {
        return Ok(());
    }
    Ok(files::replace(&target, &own, MODE)?)
}
