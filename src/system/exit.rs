//! The exit codes.
//!
//! The codes of `exec` are those of `env(1)` and `chroot(1)`, so that users can tell a failure of introspod
//! from one of the application.

/// Success.
pub const SUCCESS: i32 = 0;
/// `write`, `print`, `watch`, `get`, `install` failed.
pub const FAILURE: i32 = 1;
/// The usage of `write`, `print`, `watch`, `get` or `install` was wrong.
pub const USAGE: i32 = 2;
/// `exec`: introspod itself failed.
pub const EXEC_FAILURE: i32 = 125;
/// `exec`: the command was found but could not be executed.
pub const CANNOT_EXECUTE: i32 = 126;
/// `exec`: the command was not found.
pub const NOT_FOUND: i32 = 127;
