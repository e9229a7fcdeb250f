//! Arguments in, exit code out.
//!
//! Rust's runtime ignores SIGPIPE and fills closed standard descriptors before `main` runs. The
//! application must get both as this process inherited them, so this program starts without it.

#![no_main]

use std::ffi::{c_char, c_int};

/// Called by the C library (`main` in ISO C).
#[unsafe(no_mangle)]
unsafe extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    // SAFETY: the C library gives `main` an array of `count` strings.
    unsafe { introspod::main(count, words) }
}
