//! The cost of waiting. `benches/watch` measures more.

use super::*;
use crate::needs::{has_strace, needs};
use crate::server::{Server, always};

/// The release build is what the budget is for.
const RESIDENT_KIB: u64 = if cfg!(debug_assertions) { 32 << 10 } else { 4 << 10 };

/// Context switches of all threads (`proc_pid_status(5)`).
fn switches(pid: Pid) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let threads =
        tasks.map(|task| Pid::from_raw(task.unwrap().file_name().to_str().unwrap().parse().unwrap()));
    threads
        .map(|thread| {
            status(thread, "voluntary_ctxt_switches") + status(thread, "nonvoluntary_ctxt_switches")
        })
        .sum()
}

/// Waits until nothing has run for a while.
fn wait_for_rest(pid: Pid) -> u64 {
    wait_for("rest", || {
        let before = switches(pid);
        thread::sleep(Duration::from_millis(200));
        (switches(pid) == before).then_some(before)
    })
}

#[test]
fn at_rest_it_is_small_and_nothing_wakes_it() {
    let server = Server::plain(always(crate::server::Response::new(204, "text/plain", "")));
    let url = server.url();
    for (options, threads) in [(&[][..], 1), (&["--notify", url.as_str()], 2)] {
        let (world, mut volume) = labelled();
        let watching = Watching::start(&world, options);
        watching.wait_for_label("red");
        volume.label("blue");
        watching.wait_for_label("blue");
        if threads > 1 {
            watching.wait_for_lines(1, ": notified");
        }
        let pid = watching.pid();
        wait_for("no more threads", || (status(pid, "Threads") == threads).then_some(()));
        let before = wait_for_rest(pid);
        thread::sleep(Duration::from_secs(2));
        assert_eq!(switches(pid), before, "nothing woke it in two seconds");
        let resident = status(pid, "VmRSS");
        println!("{options:?}: {resident} KiB resident");
        assert!(resident <= RESIDENT_KIB, "{resident} KiB");
    }
}

/// As the arguments of `poll(2)` and `ppoll(2)`, which only some machines have.
const TEN_SECONDS: [&str; 2] = ["10000", "{tv_sec=10, "];

/// The files of such a share change outside of the sandbox, and its kernel hears nothing of it.
#[test]
fn a_share_of_a_sandbox_is_looked_at_every_ten_seconds() {
    if !needs("the Debian package strace", has_strace) {
        return;
    }
    for (file_system, limits) in [("9p", TEN_SECONDS), ("virtiofs", TEN_SECONDS), ("tmpfs", ["-1", "NULL"])] {
        let (world, _volume) = labelled();
        let mounts = format!(
            "2 1 0:24 / / rw - overlay none rw\n3 2 0:25 / /etc/podinfo rw - {file_system} none rw\n"
        );
        world.write("proc/self/mountinfo", mounts);
        let log = world.path().join("strace.log");
        // The traced process is the child, and strace its grandchild.
        let mut command = Command::new("strace");
        command
            .args(["--daemonize", "--quiet=all", "--trace=/^p?poll$", "--output"])
            .arg(&log)
            .arg(INTROSPOD);
        let watching = Watching::spawn(&world, command, [""; 0]);
        watching.wait_for_label("red");
        let poll =
            wait_for("poll(2)", || fs::read_to_string(&log).ok().filter(|calls| calls.contains("}], 1, ")));
        let is_for = |limit: &str| poll.contains(&format!("}}], 1, {limit}"));
        assert!(limits.iter().any(|limit| is_for(limit)), "{file_system}: {poll}");
        assert_eq!(watching.complaints(), [""; 0]);
    }
}
