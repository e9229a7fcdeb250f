//! The program: the library with its entry point, `system::process::main`.
//!
//! Rust's runtime ignores SIGPIPE and fills closed standard descriptors before `main` runs. The
//! application must get both as this process inherited them, so this program starts without it.

#![no_main]

use introspod as _;
