//! The program of every target: its own name says which function of `introspod::fuzzing` it runs.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| introspod::fuzzing::run(env!("CARGO_BIN_NAME"), data));
