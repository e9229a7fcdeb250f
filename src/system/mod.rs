//! The operating system: paths below a root, the environment, mounts, files, processes and the log.

pub(crate) mod backoff;
pub(crate) mod environment;
pub(crate) mod execve;
pub(crate) mod exit;
pub(crate) mod files;
pub(crate) mod logging;
pub(crate) mod mountinfo;
pub(crate) mod process;
pub(crate) mod root;
pub(crate) mod suggest;
pub(crate) mod surroundings;
pub(crate) mod target;
