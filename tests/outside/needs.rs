//! The tools that a test needs on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// The tests that were not run, by what they need.
static NOT_TESTED: Mutex<BTreeMap<String, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

/// Whether the machine has `what`, as `is_there` finds out; a test that needs it returns otherwise. `what` names
/// the Debian package of a tool.
///
/// Under CI a test that did nothing would be taken for one that passed: there it fails.
#[track_caller]
pub fn needs(what: &str, is_there: impl FnOnce() -> bool) -> bool {
    let is_there = is_there();
    if !is_there {
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!is_ci, "this test needs {what}; .ci/run installs what the tests need");
        let mut not_tested = NOT_TESTED.lock().unwrap();
        if not_tested.is_empty() {
            // SAFETY: the function is there until the process ends.
            unsafe { nix::libc::atexit(report) };
        }
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        not_tested.entry(what.to_owned()).or_default().insert(test);
    }
    is_there
}

/// Says after the last test what was not tested, past the test runner, which shows only the output of tests that
/// fail. It writes to descriptor 2 itself: a file that is opened again has an offset of its own, so that its lines and
/// the runner's overwrite each other.
extern "C" fn report() {
    let mut text = String::new();
    for (what, tests) in NOT_TESTED.lock().unwrap().iter() {
        let tests: Vec<&str> = tests.iter().map(String::as_str).collect();
        text += &format!("NOT TESTED, for want of {what}: {}\n", tests.join(", "));
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
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
