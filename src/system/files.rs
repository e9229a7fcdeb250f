//! Writes files atomically.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use nix::unistd::geteuid;

use super::process::{remove_on_signal, without_signals};

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
        ErrorKind::FileTooLarge => "the file is larger than this process may write (ulimit -f)".to_owned(),
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

/// A file to write.
pub(crate) struct NewFile {
    pub(crate) path: PathBuf,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    /// Its directory is created if it does not exist.
    pub(crate) creates_directory: bool,
}

impl NewFile {
    /// Writes the file if its bytes, its mode or its owner differ. Returns whether they did.
    ///
    /// It creates a temporary file in the same directory, syncs it and renames it to the target. So a crash
    /// leaves the old file or the new one, and symbolic links are not followed. A rename cannot replace a
    /// target that is a mount point (`rename(2)`, EBUSY). Such a file is written in place, with a warning.
    ///
    /// # Errors
    /// Those of `open(2)`, `write(2)`, `fsync(2)` and `rename(2)`; the target is a directory.
    pub(crate) fn write(&self) -> Result<bool, OutputError> {
        if self.is_there() {
            return Ok(false);
        }
        if self.creates_directory {
            // If it fails, so does the file.
            let _ = fs::create_dir(parent(&self.path));
        }
        self.replace().map_err(|source| OutputError { path: self.path.clone(), source })?;
        Ok(true)
    }

    /// Whether there is a regular file of this user with exactly these bytes and this mode.
    ///
    /// It reads only a regular file of the right length, and follows no symbolic link: another user of the
    /// directory may have created a FIFO or a device.
    fn is_there(&self) -> bool {
        let Ok(file) = open(&self.path, OpenOptions::new().read(true)) else { return false };
        let length = self.content.len() as u64;
        let is_same = |it: fs::Metadata| {
            (it.len(), it.mode() & 0o7777, it.uid()) == (length, self.mode, geteuid().as_raw())
        };
        if !file.metadata().is_ok_and(is_same) {
            return false;
        }
        let mut there = Vec::with_capacity(self.content.len());
        // The file may grow during the read.
        file.take(length).read_to_end(&mut there).is_ok() && there == self.content
    }

    fn replace(&self) -> io::Result<()> {
        let path = &self.path;
        if path.file_name().is_none() || (path.is_dir() && !path.is_symlink()) {
            return Err(ErrorKind::IsADirectory.into());
        }
        let mut temporary = without_signals(|| Temporary::create(path))?;
        self.fill(&mut temporary.file)?;
        match without_signals(|| temporary.rename(path)) {
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {}
            renamed => return renamed,
        }
        log::warn!(
            "{}: this file is a mount point, so it is written in place, and a reader may see half of it; \
             mount its directory instead",
            path.display()
        );
        self.overwrite()
    }

    // chmod(2) sets the exact mode: the umask does not apply.
    fn fill(&self, file: &mut File) -> io::Result<()> {
        file.write_all(&self.content)?;
        file.set_permissions(Permissions::from_mode(self.mode))?;
        file.sync_all()
    }

    fn overwrite(&self) -> io::Result<()> {
        let mut file = open(&self.path, OpenOptions::new().write(true))?;
        // On a full file system the old content stays.
        let length = self.content.len();
        let reserved = fallocate(&file, FallocateFlags::empty(), 0, length.max(1) as i64);
        if let Err(errno @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) = reserved {
            return Err(errno.into());
        }
        file.set_len(length as u64)?;
        self.fill(&mut file)
    }
}

/// A file beside the target. It is removed unless it is renamed, also when a signal ends the process.
///
/// A killed process leaves it behind. So each target has one name for its temporary file, and the file is locked. A
/// file that is not locked belongs to an earlier run, and is replaced.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn create(target: &Path) -> io::Result<Self> {
        let directory = parent(target);
        // FNV-1a. If two targets get the same name, the second one uses a random name.
        let hash = target
            .file_name()
            .unwrap_or_default()
            .as_bytes()
            .iter()
            .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        let path = directory.join(format!("{TEMPORARY_PREFIX}{:06x}", hash >> 8));
        remove_leftover(&path);
        let temporary = match create_locked(&path) {
            Ok(file) => Temporary { path, file },
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let random = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(directory)?;
                let (file, path) = random.keep()?;
                Temporary { path, file }
            }
            Err(error) => return Err(error),
        };
        remove_on_signal(Some(&temporary.path));
        Ok(temporary)
    }

    fn rename(&mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        remove_on_signal(None);
        self.path.clear();
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.path != Path::new("") {
            let _ = fs::remove_file(&self.path);
            remove_on_signal(None);
        }
    }
}

/// Creates the file at `path`, which must not exist, and locks it.
///
/// # Errors
/// Those of `open(2)`; EEXIST also if another process removed the file as a leftover before it was locked.
fn create_locked(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    match file.try_lock() {
        // A file system without locks.
        Err(TryLockError::Error(_)) => Ok(file),
        Ok(()) if is_at(&file, path) => Ok(file),
        _ => Err(ErrorKind::AlreadyExists.into()),
    }
}

/// Removes the file at `path` if it is of this user and no process has locked it.
fn remove_leftover(path: &Path) {
    let Ok(file) = open(path, OpenOptions::new().read(true)) else { return };
    let is_own = file.metadata().is_ok_and(|metadata| metadata.uid() == geteuid().as_raw());
    if is_own && file.try_lock().is_ok() && is_at(&file, path) {
        let _ = fs::remove_file(path);
    }
}

/// Whether `path` still names `file`.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (file, path) = (file.metadata().map(identity), fs::symlink_metadata(path).map(identity));
    file.is_ok_and(|file| path.is_ok_and(|path| file == path))
}

/// Opens the regular file at `path`. Follows no symbolic link, and does not wait for a FIFO's other end.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = options.custom_flags(flags.bits()).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "this is not a regular file"))
}
