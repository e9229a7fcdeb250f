//! `--wait`: until what is required is known.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::made::lines;
use crate::world::{Outcome, World, run};

/// A container with a volume of the kubelet, whose labels are these.
fn world(labels: &str) -> World {
    let world = World::recorded("downward", "main");
    fs::remove_dir_all(world.path().join("etc/podinfo")).unwrap();
    fs::create_dir_all(world.path().join("etc/podinfo")).unwrap();
    publish(&world, "..1", labels);
    symlink("..data/labels", world.path().join("etc/podinfo/labels")).unwrap();
    world
}

/// Swaps the version of the volume, as the kubelet does.
fn publish(world: &World, version: &str, labels: &str) {
    let volume = world.path().join("etc/podinfo");
    fs::create_dir(volume.join(version)).unwrap();
    fs::write(volume.join(version).join("labels"), labels).unwrap();
    symlink(version, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn end(child: Child) -> Outcome {
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits until a process sleeps in poll(2), so that it has its watches and has made an attempt.
fn until_asleep(child: &Child) {
    let wchan = format!("/proc/{}/syscall", child.id());
    while !fs::read_to_string(&wchan)
        .is_ok_and(|syscall| syscall.starts_with(&format!("{} ", nix::libc::SYS_poll)))
    {
        std::thread::yield_now();
    }
}

fn commands(world: &World, out: &Path) -> [Command; 2] {
    let template = out.with_extension("in");
    fs::write(&template, "team=$(metadata.labels['team'])").unwrap();
    let pair = format!("{}:{}", template.display(), out.display());
    let exec =
        ["exec", "--wait=1h", "--api=never", "--require=POD_LABEL_TEAM", "--", "printenv", "POD_LABEL_TEAM"];
    [world.command(exec), world.command(["write", "--wait=1h", "--api=never", "--template", &pair])]
}

#[test]
fn a_label_that_comes_later_ends_the_wait() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    for number in 0..2 {
        let world = world("foo=\"bar\"\n");
        let [exec, write] = commands(&world, &out);
        let child = start(if number == 0 { exec } else { write });
        until_asleep(&child);
        // What does not help does not end it.
        publish(&world, "..2", "foo=\"other\"\n");
        publish(&world, "..3", "team=\"blue\"\n");
        let outcome = end(child).expect_code(0);
        assert_eq!(outcome.stderr, "", "only what the last attempt logs");
        match number {
            0 => assert_eq!(outcome.stdout, "blue\n"),
            _ => assert_eq!(fs::read_to_string(&out).unwrap(), "team=blue"),
        }
    }
}

#[test]
fn what_is_known_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let world = world("team=\"blue\"\n");
    for command in commands(&world, &directory.path().join("out")) {
        assert_eq!(run(command).expect_code(0).stderr, "");
    }
}

#[test]
fn after_the_time_it_ends_as_without_a_wait() {
    let world = world("foo=\"bar\"\n");
    let outcome = |options: &[&str]| {
        let exec = [&["exec", "--api=never", "--require=POD_LABEL_TEAM"], options, &["--", "true"]].concat();
        world.run(exec).expect_code(125)
    };
    let without = outcome(&[]);
    assert_eq!(outcome(&["--wait=200ms"]).stderr, without.stderr);
    assert!(lines(&without).iter().any(|line| line.contains("POD_LABEL_TEAM")), "{without:?}");
}

#[test]
fn a_signal_ends_the_wait_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    for command in commands(&world("foo=\"bar\"\n"), &out) {
        let child = start(command);
        until_asleep(&child);
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
        let outcome = end(child);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""), "{outcome:?}");
        assert_eq!(outcome.code, 143);
        assert!(!out.exists());
    }
}

#[test]
fn it_sleeps_while_it_waits() {
    let world = world("foo=\"bar\"\n");
    let directory = tempfile::tempdir().unwrap();
    let [exec, _] = commands(&world, &directory.path().join("out"));
    let mut child = start(exec);
    until_asleep(&child);
    let ticks = |child: &Child| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks(&child);
    for number in 0..50 {
        publish(&world, &format!("..x{number}"), "foo=\"other\"\n");
    }
    until_asleep(&child);
    assert!(ticks(&child) - before < 200, "two seconds");
    child.kill().unwrap();
    child.wait().unwrap();
}
