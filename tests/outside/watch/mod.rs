//! `watch` keeps files up to date while a volume changes in the way of the kubelet.

mod containers;
mod cost;
mod ending;
mod keeping;
mod telling;
mod vanishing;

pub use keeping::resources_of_a_volume_that_change;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::world::{INTROSPOD, World};

/// How long a test waits for what must come; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` gives something.
#[track_caller]
fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A downwardAPI volume, published as the kubelet does it (`pkg/volume/util/atomic_writer.go`).
struct Volume {
    directory: PathBuf,
    version: Option<PathBuf>,
    count: usize,
}

impl Volume {
    /// A volume at `place` below the world's root, with these files.
    fn new(world: &World, place: &str, files: &[(&str, &str)]) -> Self {
        let directory = world.path().join(place.trim_start_matches('/'));
        fs::create_dir_all(&directory).unwrap();
        let mut volume = Volume { directory, version: None, count: 0 };
        volume.publish(files);
        volume
    }

    /// Swaps the files: a new directory, the link to it renamed over the old link, the old directory removed.
    fn publish(&mut self, files: &[(&str, &str)]) {
        self.count += 1;
        let name = format!("..2026_11_20_23_57_19.{:010}", self.count);
        let version = self.directory.join(&name);
        fs::create_dir(&version).unwrap();
        for (file, content) in files {
            fs::write(version.join(file), content).unwrap();
        }
        symlink(&name, self.directory.join("..data_tmp")).unwrap();
        fs::rename(self.directory.join("..data_tmp"), self.directory.join("..data")).unwrap();
        for (file, _) in files {
            // It is there already, but for the first time.
            let _ = symlink(Path::new("..data").join(file), self.directory.join(file));
        }
        if let Some(old) = self.version.replace(version) {
            fs::remove_dir_all(old).unwrap();
        }
    }

    /// Swaps the labels, of which there is one.
    fn label(&mut self, value: &str) {
        self.publish(&[("labels", &format!("team=\"{value}\""))]);
    }
}

/// A world with a volume whose label `team` is `red`.
fn labelled() -> (World, Volume) {
    let world = World::empty();
    let volume = Volume::new(&world, "/etc/podinfo", &[("labels", "team=\"red\"")]);
    (world, volume)
}

/// A running `watch`; it is killed when dropped.
struct Watching {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reading: Option<thread::JoinHandle<()>>,
    out: PathBuf,
}

impl Watching {
    /// `introspod watch --out OUT/pod.json` with `options`, below the world's root.
    ///
    /// What it writes is in the world's own directory, `out`.
    fn start<S: AsRef<OsStr>>(world: &World, options: impl IntoIterator<Item = S>) -> Self {
        Watching::spawn(world, Command::new(INTROSPOD), options)
    }

    /// The same with another name for the file.
    fn start_with_files<S: AsRef<OsStr>>(
        world: &World,
        file: &str,
        options: impl IntoIterator<Item = S>,
    ) -> Self {
        Watching::spawn_with_files(world, Command::new(INTROSPOD), file, options)
    }

    /// The same by a program that executes it, such as `unshare`.
    fn spawn<S: AsRef<OsStr>>(world: &World, command: Command, options: impl IntoIterator<Item = S>) -> Self {
        Watching::spawn_with_files(world, command, "pod.json", options)
    }

    fn spawn_with_files<S: AsRef<OsStr>>(
        world: &World,
        mut command: Command,
        file: &str,
        options: impl IntoIterator<Item = S>,
    ) -> Self {
        let out = world.path().join("out");
        fs::create_dir_all(&out).unwrap();
        command.arg("watch").arg("--out").arg(out.join(file)).args(options);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("INTROSPOD_ROOT", world.path()).env("INTROSPOD_LOG", "info");
        // Notifications must not go to the egress proxy of a cluster.
        command.env("HTTP_PROXY", "http://127.0.0.1:9").env("http_proxy", "http://127.0.0.1:9");
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        let reading = thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| heard.lock().unwrap().push(line))
        });
        Watching { child, lines, reading: Some(reading), out }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// The lines of standard error so far that hold `part`.
    fn lines_with(&self, part: &str) -> Vec<String> {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(part)).cloned().collect()
    }

    /// Ends it; answers with all its warnings and errors.
    fn complaints(mut self) -> Vec<String> {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        self.reading.take().unwrap().join().unwrap();
        [self.lines_with("introspod: warn: "), self.lines_with("introspod: error: ")].concat()
    }

    /// Waits until so many lines hold `part`; answers with the last of them.
    #[track_caller]
    fn wait_for_lines(&self, count: usize, part: &str) -> String {
        wait_for(&format!("{count} lines with {part:?}"), || self.lines_with(part).get(count - 1).cloned())
    }

    /// How often it has read the volumes so far.
    fn renders(&self) -> usize {
        self.lines_with("introspod: info: volume: ").len()
    }

    /// Does something to the volume, and waits until it was read again.
    #[track_caller]
    fn after(&self, change: impl FnOnce()) {
        let before = self.renders();
        change();
        self.wait_for_lines(before + 1, "introspod: info: volume: ");
    }

    fn json_file(&self) -> PathBuf {
        self.out.join("pod.json")
    }

    /// The document that is in the file now, if there is one.
    fn document(&self) -> Option<Value> {
        let content = fs::read(self.json_file()).ok()?;
        Some(serde_json::from_slice(&content).unwrap_or_else(|error| panic!("{error}: {content:?}")))
    }

    /// Waits until the file has `value` at `pointer`; answers with its document.
    #[track_caller]
    fn wait_for_value(&self, pointer: &str, value: impl Into<Value>) -> Value {
        let value = value.into();
        wait_for(&format!("{value} at {pointer}"), || {
            self.document().filter(|document| document.pointer(pointer) == Some(&value))
        })
    }

    /// Waits until the file has this label `team`.
    #[track_caller]
    fn wait_for_label(&self, value: &str) -> Value {
        self.wait_for_value("/pod/labels/team", value)
    }

    /// Stops it; what happens until it is sent SIGCONT waits for it.
    #[track_caller]
    fn stop(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
        wait_for("its stop", || (self.state() == 'T').then_some(()));
    }

    fn resume(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    /// What it does, by `proc_pid_stat(5)`: `S` sleeping, `T` stopped.
    fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    }

    /// Waits until it ends by itself; answers with its exit code and its last line.
    #[track_caller]
    fn ends(mut self) -> (Option<i32>, String) {
        let code = wait_for("its end", || self.child.try_wait().unwrap()).code();
        self.reading.take().unwrap().join().unwrap();
        (code, self.lines.lock().unwrap().last().cloned().unwrap_or_default())
    }

    /// Sends a signal, and waits for the end.
    #[track_caller]
    fn end(self, signal: Signal) -> Option<i32> {
        kill(self.pid(), signal).unwrap();
        self.ends().0
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait();
        if thread::panicking() {
            println!("{status:?}: {:#?}", self.lines.lock().map(|lines| lines.clone()));
        }
    }
}

/// A number from `/proc/PID/status` (`proc_pid_status(5)`), such as that of `VmRSS`.
fn status(pid: Pid, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
