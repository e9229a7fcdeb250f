//! The program. Its entry point is `system::process::main` in the library.
//!
//! The program starts without Rust's runtime. The runtime ignores SIGPIPE and opens closed standard
//! descriptors before `main` runs, but the application must inherit both unchanged.

#![no_main]

use introspod as _;
