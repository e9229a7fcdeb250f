//! Exit codes by name.
//!
//! `exec` uses those of `env(1)` and `chroot(1)`, so that what introspod says
//! of itself cannot be taken for what the application said.

/// All is well.
pub const SUCCESS: i32 = 0;
/// `write`, `print`, `watch`, `get`, `install` failed.
pub const FAILURE: i32 = 1;
/// `write`, `print`, `watch`, `get`, `install` were called in a way that they do not know.
pub const USAGE: i32 = 2;
/// `exec`: introspod itself failed.
pub const EXEC_FAILURE: i32 = 125;
/// `exec`: the command was found but could not be executed.
pub const CANNOT_EXECUTE: i32 = 126;
/// `exec`: the command was not found.
pub const NOT_FOUND: i32 = 127;
