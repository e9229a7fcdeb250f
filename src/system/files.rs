//! Files, whole or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {reason}")]
pub(crate) struct OutputError {
    path: String,
    reason: String,
}

impl OutputError {
    fn new(path: &Path, error: &io::Error) -> Self {
        OutputError { path: path.display().to_string(), reason: reason(path, error) }
    }
}

/// What went wrong, and what to do.
fn reason(path: &Path, error: &io::Error) -> String {
    let directory = parent(path).display().to_string();
    match error.kind() {
        ErrorKind::NotFound => {
            format!("the directory {directory} does not exist; mount a volume there or make it")
        }
        ErrorKind::ReadOnlyFilesystem => {
            format!("{directory} is read-only; write to a volume, such as an emptyDir")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("the file system of {directory} is full")
        }
        ErrorKind::PermissionDenied => {
            format!("no permission in {directory}; does fsGroup or runAsUser fit the volume?")
        }
        ErrorKind::NotADirectory => format!("{directory} is not a directory"),
        ErrorKind::IsADirectory => "it is a directory; name a file".to_owned(),
        _ => error.to_string(),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Replaces the file at `path` by one with this content and mode.
///
/// A temporary file in the same directory is created exclusively, synced and renamed over the
/// target, so that a crash at any instant leaves the old file or the new one, and no link planted
/// at either name is followed. Where the target is itself a mount point, which no rename can
/// replace (`rename(2)`, EBUSY), it is written in place, with a warning.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), OutputError> {
    let failed = |error: io::Error| OutputError::new(path, &error);
    let temporary = temporary(path, content, mode).map_err(failed)?;
    let Err(error) = temporary.persist(path) else { return Ok(()) };
    if Errno::from_raw(error.error.raw_os_error().unwrap_or_default()) != Errno::EBUSY {
        return Err(failed(error.error));
    }
    log::warn!(
        "{}: it is a mount point, so it is written in place, and a reader may see half of it; \
         mount its directory instead",
        path.display()
    );
    drop(error);
    overwrite(path, content, mode).map_err(failed)
}

fn temporary(path: &Path, content: &[u8], mode: u32) -> io::Result<tempfile::NamedTempFile> {
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?;
    if path.is_dir() && !path.is_symlink() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    let mut temporary = tempfile::Builder::new().prefix(&prefix).tempfile_in(parent(path))?;
    temporary.write_all(content)?;
    set_mode_and_sync(temporary.as_file(), mode)?;
    Ok(temporary)
}

// The mode is what was said, whatever the umask.
fn set_mode_and_sync(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn overwrite(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut file = OpenOptions::new().write(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    set_mode_and_sync(&file, mode)
}
