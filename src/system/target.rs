//! Finds the process to notify.

use std::fs;
use std::path::Path;

use nix::unistd::Pid;

/// The longest name of a process, in bytes (`comm` in `proc_pid_comm(5)`). The kernel cuts longer ones.
const NAME_LIMIT: usize = 15;

/// The oldest process of this name (`proc_pid_comm(5)`), except this one. A program's first process is the one that
/// reads its configuration again.
pub(crate) fn oldest(name: &str) -> Option<Pid> {
    let name = &name.as_bytes()[..name.len().min(NAME_LIMIT)];
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw);
    let named = pids.filter(|pid| {
        let comm = fs::read(format!("/proc/{pid}/comm"));
        *pid != Pid::this() && comm.is_ok_and(|comm| comm.trim_ascii_end() == name)
    });
    named.filter_map(|pid| Some((started(pid)?, pid))).min().map(|(_, pid)| pid)
}

/// When a process was started, in clock ticks since boot (`proc_pid_stat(5)`); `None` if it has ended.
fn started(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    fields.next().filter(|state| *state != "Z")?;
    fields.nth(18)?.parse().ok()
}
