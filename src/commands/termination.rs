//! The termination message: why a container ended, as `kubectl describe pod` shows it.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;

use crate::sources::kubelet::termination_log;
use crate::system::logging::one_line;
use crate::system::mountinfo;

/// Writes the line of the log about `error` to the file of the termination message, if the kubelet has mounted one
/// (`terminationMessagePath` of a container) and this user may write it.
pub(crate) fn write(error: &dyn Display) {
    let Ok(mounts) = std::fs::read("/proc/self/mountinfo") else { return };
    let mounts = String::from_utf8_lossy(&mounts);
    let mut mounts = mountinfo::parse_with(&mounts, &["/containers/"]);
    let Some(mount) = mounts.find(|mount| termination_log(&mount.root()).is_some()) else { return };
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().write(true).custom_flags(flags.bits()).open(&*mount.mount_point());
    if let Ok(mut file) = file
        && file.metadata().is_ok_and(|metadata| metadata.is_file())
        && file.set_len(0).is_ok()
    {
        let _ = writeln!(file, "introspod: error: {}", one_line(&error.to_string()));
    }
}
