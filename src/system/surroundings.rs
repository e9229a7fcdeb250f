//! Where introspod is: all that the sources look at, given to them as arguments.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::system::environment::Environment;
use crate::system::mountinfo::Mountinfo;
use crate::system::root::Root;

/// Where the kubelet mounts the credentials of the service account
/// (`plugin/pkg/admission/serviceaccount`, `DefaultAPITokenMountPath`).
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The surroundings of this process, or of a recorded container.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) root: Root,
    /// The environment of the pod's container: the process's own, or the recorded one.
    pub(crate) environment: Cow<'a, Environment>,
    /// `--volume`: where the downwardAPI volumes are, if they were named.
    pub(crate) volumes: Vec<PathBuf>,
    /// `--token-file`: a token to be read for its claims, and never sent.
    pub(crate) token_file: Option<PathBuf>,
    /// `/proc/self/mountinfo`, or why it could not be read.
    pub(crate) mountinfo: Result<Mountinfo, String>,
    /// The size of a memory page, in bytes.
    pub(crate) page_size: u64,
    pub(crate) clock: fn() -> Instant,
}

impl<'a> Surroundings<'a> {
    /// The surroundings of what runs below `root`; `environment` is that of this process.
    pub(crate) fn new(
        root: Root,
        environment: &'a Environment,
        volumes: Vec<PathBuf>,
        token_file: Option<PathBuf>,
        clock: fn() -> Instant,
    ) -> Self {
        let environment = environment_below(&root, environment);
        let mountinfo = read_lossy(&root, Path::new("/proc/self/mountinfo")).map(Mountinfo::new);
        let page_size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
        let page_size = page_size.ok().flatten().and_then(|size| u64::try_from(size).ok()).unwrap_or(4096);
        Surroundings { root, environment, volumes, token_file, mountinfo, page_size, clock }
    }

    /// A file of the service account's credentials.
    pub(crate) fn service_account_file(name: &str) -> PathBuf {
        Path::new(SERVICE_ACCOUNT).join(name)
    }

    /// The text of a file whose bytes need not be UTF-8, or why it could not be read, naming it.
    pub(crate) fn read_lossy(&self, path: &Path) -> Result<String, String> {
        read_lossy(&self.root, path)
    }

    /// The text of a file below the root, or why it could not be read, naming it.
    pub(crate) fn read_text(&self, path: &Path) -> Result<String, String> {
        read_text(&self.root, path)
    }
}

fn environment_below<'a>(root: &Root, own: &'a Environment) -> Cow<'a, Environment> {
    if root.is_system() {
        return Cow::Borrowed(own);
    }
    // The variables of whoever runs the dry run are not the pod's.
    let recorded = root.read(Path::new("/proc/self/environ"));
    Cow::Owned(recorded.map(|content| Environment::from_proc(&content)).unwrap_or_default())
}

fn read(root: &Root, path: &Path) -> Result<Vec<u8>, String> {
    root.read(path).map_err(|error| format!("{}: {error}", root.display(path)))
}

fn read_text(root: &Root, path: &Path) -> Result<String, String> {
    let content = read(root, path)?;
    String::from_utf8(content).map_err(|_| format!("{}: it is not UTF-8", root.display(path)))
}

// Names of directories and of control groups may be any bytes; those that matter are ASCII.
fn read_lossy(root: &Root, path: &Path) -> Result<String, String> {
    let content = read(root, path)?;
    Ok(String::from_utf8(content)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
