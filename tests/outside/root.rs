//! `--root`: the directories that it accepts and rejects.

use crate::made::only_line;
use crate::needs::{has_strace, needs};
use crate::world::{INTROSPOD, World, introspod, recorded, run};

#[test]
fn another_directory_with_a_live_proc_is_refused_with_what_to_do() {
    let script = r#"
        set -e
        mount -t tmpfs tmpfs /mnt
        mkdir /mnt/proc /mnt/etc
        mount --rbind /proc /mnt/proc
        "$INTROSPOD" print --root /mnt
    "#;
    let Some(outcome) = in_namespace(script) else { return };
    let outcome = outcome.expect_code(1);
    assert_eq!(outcome.stdout, "");
    let line = only_line(&outcome);
    assert!(line.contains("--root /mnt") && line.contains("--process PID"), "{line}");
}

#[test]
fn the_link_to_another_process_s_root_is_not_taken_for_the_own_root() {
    // Its link reads "/", and another mount namespace shows the same directory under the same number.
    let script = r#"
        set -e
        unshare --mount --propagation private sh -c 'mount -t tmpfs tmpfs /mnt; echo ready; exec sleep 60' >/tmp/ready.$$ &
        other=$!
        trap 'kill $other; rm /tmp/ready.$$' EXIT
        until [ -s /tmp/ready.$$ ]; do :; done
        "$INTROSPOD" print --root "/proc/$other/root"
    "#;
    let Some(outcome) = in_namespace(script) else { return };
    let line = only_line(&outcome);
    assert!(line.contains("/root: ") && line.contains("--process PID"), "{outcome:#?}");
    assert_eq!(outcome.code, 1);
}

#[test]
fn the_own_root_under_another_name_is_the_own_root() {
    for root in ["/", "/.", "//", "/proc/self/root", "/proc/../"] {
        let mut command = introspod(["print", "--root", root]);
        command.env("POD_NAME", "by-environment");
        let outcome = run(command).expect_code(0);
        assert!(outcome.stdout.contains("by-environment"), "{root}: {outcome:#?}");
    }
}

#[test]
fn a_recorded_container_is_taken_with_its_recorded_proc() {
    let outcome = World::recorded("bare", "web").run(["print", "POD_NAME"]).expect_code(0);
    assert_eq!(outcome.stdout, "bare\n");
}

/// Runs a script in a new mount namespace, if this machine allows it.
fn in_namespace(script: &str) -> Option<crate::world::Outcome> {
    let variables = [("INTROSPOD", std::ffi::OsStr::new(crate::world::INTROSPOD))];
    crate::made::in_mount_namespace(script, &variables)
}

/// Kernels before 5.6 have no openat2(2), a sandbox may forbid it, and it fails in a race.
#[test]
fn without_openat2_the_same_is_read() {
    let root = recorded("downward", "main");
    let print = |options: &[&str]| {
        let mut command = std::process::Command::new("strace");
        command.args(["--quiet=all", "--output=/dev/null"]).args(options).arg(INTROSPOD);
        command.args(["print", "--format=json", "--labels", "--root"]).arg(&root).env_clear();
        run(command).expect_code(0)
    };
    if !needs("the Debian package strace", has_strace) {
        return;
    }
    let expected = print(&[]);
    for error in ["EAGAIN", "ENOSYS", "EPERM"] {
        let outcome = print(&[&format!("--inject=openat2:error={error}")]);
        assert_eq!(
            (outcome.stdout, outcome.stderr),
            (expected.stdout.clone(), expected.stderr.clone()),
            "{error}"
        );
    }
}
