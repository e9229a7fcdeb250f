//! Arguments in, exit code out.
//!
//! Without the start of Rust's runtime: it reads `/proc/self/maps` for a guard page, asks for an
//! alternate signal stack, and brings a hundred kilobytes, in a process that has but a millisecond.
//! What it does for a program's safety, [`introspod::main`] does.

#![no_main]

use std::ffi::{c_char, c_int};

/// Called by the C library, which says what a program is (`main` in ISO C).
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    introspod::main(count, words)
}
