//! Removes the sections for unwinding from the release binary.

use std::path::PathBuf;

/// Discards the unwind tables. The release profile aborts on a panic, so nothing reads them, and they are
/// a tenth of the binary.
const SCRIPT: &str = "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.eh_frame_hdr) *(.gcc_except_table*) *(.comment) } } INSERT AFTER .text;\n";

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    // cargo fuzz sets this.
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|it| it == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        let directory = std::env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
        let script = directory.join("discard.ld");
        std::fs::write(&script, SCRIPT)?;
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
    Ok(())
}
