//! Every target: the program's own name says which property of `introspod::fuzzing` it tries.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| introspod::fuzzing::run(env!("CARGO_BIN_NAME"), data));
