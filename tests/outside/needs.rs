//! The tools that a test needs on the machine.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether the machine has `what`, as `is_there` finds out; a test that needs it returns otherwise.
///
/// Under CI a test that did nothing would be taken for one that passed: there it fails.
#[track_caller]
pub fn needs(what: &str, is_there: impl FnOnce() -> bool) -> bool {
    let is_there = is_there();
    if !is_there {
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!is_ci, "this test needs {what}; .ci/run installs what the tests need");
        // Past the test runner, which shows only the output of tests that fail.
        if let Ok(mut stderr) = std::fs::OpenOptions::new().append(true).open("/proc/self/fd/2") {
            let test = std::thread::current();
            let _ = writeln!(stderr, "NOT TESTED: {} needs {what}", test.name().unwrap_or("a test"));
        }
    }
    is_there
}

/// Whether `command` can be run, and ends well.
pub fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether strace is installed, and may trace.
pub fn has_strace() -> bool {
    succeeds(Command::new("strace").args(["--quiet=all", "--output=/dev/null", "true"]))
}

/// Whether kubectl is installed.
pub fn has_kubectl() -> bool {
    succeeds(Command::new("kubectl").arg("help"))
}

/// Whether `unshare` may make these namespaces.
pub fn may_unshare(options: &[&str]) -> bool {
    succeeds(Command::new("unshare").args(options).arg("true"))
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    Path::new("/proc/self").metadata().unwrap().uid() == 0
}
