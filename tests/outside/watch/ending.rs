//! SIGTERM and SIGINT end `watch` at once with 0.

use super::*;
use crate::needs::{needs, succeeds};

const BOTH: [Signal; 2] = [Signal::SIGTERM, Signal::SIGINT];

#[test]
fn a_signal_ends_it_with_success_and_the_files_stay() {
    for signal in BOTH {
        for options in [&[][..], &["--notify", "http://127.0.0.1:9/"]] {
            let (world, _volume) = labelled();
            let watching = Watching::start(&world, options);
            let document = watching.wait_for_label("red");
            let file = watching.json_file();
            assert_eq!(watching.end(signal), Some(0), "{signal}");
            assert_eq!(fs::read_to_string(file).unwrap().parse::<Value>().unwrap(), document);
        }
    }
}

#[test]
fn a_signal_ends_it_while_it_waits_for_a_volume_and_while_it_tells() {
    for signal in BOTH {
        let world = World::empty();
        let watching = Watching::start(&world, [""; 0]);
        watching.wait_for_lines(1, "waiting for it");
        wait_for("the first render", || watching.document());
        assert_eq!(watching.end(signal), Some(0), "{signal}");

        let (world, mut volume) = labelled();
        let watching = Watching::start(&world, ["--notify", "http://127.0.0.1:9/"]);
        watching.wait_for_label("red");
        volume.label("blue");
        watching.wait_for_lines(1, "trying again");
        assert_eq!(watching.end(signal), Some(0), "{signal}");
    }
}

#[test]
fn a_signal_ends_it_as_pid_1_too() {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
        command
    };
    if !needs("a PID namespace", || succeeds(unshare().arg("true"))) {
        return;
    }
    for signal in BOTH {
        let (world, _volume) = labelled();
        let mut command = unshare();
        command.arg(INTROSPOD);
        let watching = Watching::spawn(&world, command, [""; 0]);
        watching.wait_for_label("red");
        let children = format!("/proc/{0}/task/{0}/children", watching.pid());
        let child = fs::read_to_string(children).unwrap().trim().parse().unwrap();
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap();
        assert!(status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")), "{status}");
        kill(Pid::from_raw(child), signal).unwrap();
        assert_eq!(watching.ends().0, Some(0), "{signal}");
    }
}

#[test]
fn another_signal_ends_it_with_its_number() {
    for signal in [Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGWINCH] {
        let (world, _volume) = labelled();
        let mut command = Command::new("env");
        command.args(["--default-signal", INTROSPOD]);
        let watching = Watching::spawn(&world, command, [""; 0]);
        watching.wait_for_label("red");
        assert_eq!(watching.end(signal), Some(128 + signal as i32), "{signal}");
    }
}

/// Whether `pid` has a handler for SIGTERM (`SigCgt` in `proc_pid_status(5)`).
fn hears(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
    u64::from_str_radix(caught, 16).unwrap() & (1 << (Signal::SIGTERM as u64 - 1)) != 0
}

#[test]
fn a_signal_at_any_instant_leaves_the_old_file_or_the_new_one() {
    const RUNS: u64 = 100;
    let (world, mut volume) = labelled();
    let padding = "x".repeat(50_000);
    let (mut interrupted, mut earlier) = (0, "red".to_owned());
    for run in 0..RUNS {
        let watching = Watching::start(&world, [""; 0]);
        wait_for("a handler", || hears(watching.pid()).then_some(()));
        let file = watching.json_file();
        let before = fs::read(&file).unwrap_or_default();
        let team = run.to_string();
        volume.publish(&[("labels", &format!("padding=\"{padding}\"\nteam=\"{team}\""))]);
        // Another moment in each run, over all the time that a render takes.
        let moment = Instant::now() + Duration::from_micros(run * 7_919 % 12_000);
        while Instant::now() < moment {}
        assert_eq!(watching.end(if run % 2 == 0 { Signal::SIGTERM } else { Signal::SIGINT }), Some(0));
        let after = fs::read(&file).unwrap_or_default();
        interrupted += u32::from(after == before);
        if after != before {
            let document: Value = serde_json::from_slice(&after).expect("whole");
            let labels = &document["pod"]["labels"];
            assert!(labels["team"] == team || labels["team"] == earlier, "{}", labels["team"]);
        }
        earlier = team;
    }
    println!("{interrupted} of {RUNS} were ended before the file was replaced");
}
