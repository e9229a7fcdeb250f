//! Writes files atomically.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// The prefix of temporary files. Their names do not contain the name of the file, which may have the
/// maximum length (`NAME_MAX`, 255 bytes).
const TEMPORARY_PREFIX: &str = ".introspod.";

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {}", path.display(), advice(path, source))]
pub(crate) struct OutputError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The message about an error, with advice.
fn advice(path: &Path, error: &io::Error) -> String {
    let directory = parent(path).display();
    match error.kind() {
        ErrorKind::NotFound => {
            format!("the directory {directory} does not exist; mount a volume there or create it")
        }
        ErrorKind::ReadOnlyFilesystem => {
            format!("{directory} is read-only; write to a volume, such as an emptyDir")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("the file system of {directory} is full")
        }
        ErrorKind::PermissionDenied => {
            format!("no permission in {directory}; check fsGroup and runAsUser against the volume")
        }
        ErrorKind::NotADirectory => format!("{directory} is not a directory"),
        ErrorKind::IsADirectory => "this is a directory; name a file".to_owned(),
        ErrorKind::InvalidFilename => "the file name is longer than 255 bytes".to_owned(),
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
/// It creates a temporary file in the same directory, syncs it and renames it to the target. So a crash
/// leaves the old file or the new one, and symbolic links are not followed. A rename cannot replace a
/// target that is a mount point (`rename(2)`, EBUSY). Such a file is written in place, with a warning.
///
/// # Errors
/// Those of `open(2)`, `write(2)`, `fsync(2)` and `rename(2)`; the target is a directory.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), OutputError> {
    let failed = |source: io::Error| OutputError { path: path.to_owned(), source };
    let temporary = temporary(path, content, mode).map_err(failed)?;
    let Err(error) = temporary.persist(path) else { return Ok(()) };
    if error.error.raw_os_error() != Some(Errno::EBUSY as i32) {
        return Err(failed(error.error));
    }
    log::warn!(
        "{}: this file is a mount point, so it is written in place, and a reader may see half of it; \
         mount its directory instead",
        path.display()
    );
    drop(error);
    overwrite(path, content, mode).map_err(failed)
}

/// Whether the file at `path` is a regular file with exactly these bytes.
///
/// It reads only a regular file of the right length, and follows no symbolic link: another user of the
/// directory may have created a FIFO or a device.
pub(crate) fn holds(path: &Path, content: &[u8]) -> bool {
    let Ok(file) = open(path, OpenOptions::new().read(true)) else { return false };
    let length = content.len() as u64;
    if !file.metadata().is_ok_and(|metadata| metadata.len() == length) {
        return false;
    }
    let mut there = Vec::with_capacity(content.len());
    // The file may grow during the read.
    file.take(length).read_to_end(&mut there).is_ok() && there == content
}

fn temporary(path: &Path, content: &[u8], mode: u32) -> io::Result<tempfile::NamedTempFile> {
    if path.file_name().is_none() || (path.is_dir() && !path.is_symlink()) {
        return Err(ErrorKind::IsADirectory.into());
    }
    let mut temporary = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(parent(path))?;
    temporary.write_all(content)?;
    set_mode_and_sync(temporary.as_file(), mode)?;
    Ok(temporary)
}

// chmod(2) sets the exact mode: the umask does not apply.
fn set_mode_and_sync(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn overwrite(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = open(path, OpenOptions::new().write(true))?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    set_mode_and_sync(&file, mode)
}

/// Opens the regular file at `path`. Follows no symbolic link, and does not wait for a FIFO's other end.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = options.custom_flags(flags.bits()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "this is not a regular file")),
    }
}
