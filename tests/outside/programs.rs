//! The recipes of `docs/expressions.md` with the real programs.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::needs::{needs, succeeds};
use crate::recipes::limited;
use crate::world::{INTROSPOD, World};

/// The options of a recipe, as a shell takes them.
fn recipe(program: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/expressions.md");
    let text = std::fs::read_to_string(path).unwrap();
    let row =
        text.lines().find_map(|line| line.strip_prefix(&format!("| {program} | `"))?.strip_suffix("` |"));
    row.unwrap_or_else(|| panic!("no recipe for {program}")).to_owned()
}

fn shell(script: &str, world: &World) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, INTROSPOD]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("INTROSPOD_ROOT", world.path()).stdin(Stdio::null());
    command
}

/// What the program says in a container of 1 GiB and 2.5 CPUs.
#[track_caller]
fn said(options: &str, program: &str) -> String {
    let world = limited();
    let output = shell(&format!("exec \"$0\" exec {options} -- {program} 2>&1"), &world).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn is_there(program: &str) -> bool {
    needs(program, || succeeds(Command::new("sh").args(["-c", &format!("command -v {program}")])))
}

#[test]
fn java_has_the_heap() {
    if is_there("java") {
        let said = said(&recipe("JVM"), "java -XX:+PrintFlagsFinal -version");
        let line = said.lines().find(|line| line.contains(" MaxHeapSize ")).unwrap_or(&said);
        assert!(line.contains("805306368"), "{line}");
    }
}

#[test]
fn node_js_has_the_heap() {
    if is_there("node") {
        let said = said(&recipe("Node.js"), "node -p 'v8.getHeapStatistics().heap_size_limit'");
        let limit: u64 = said.trim().parse().expect(&said);
        // V8 adds its young generation.
        assert!((768 << 20..900 << 20).contains(&limit), "{limit}");
    }
}

/// Go's runtime ends a program whose GOMEMLIMIT it does not understand.
#[test]
fn go_understands_its_limit() {
    if is_there("runc") {
        assert!(!said("--set 'GOMEMLIMIT=$(limits.memory)x'", "runc --version").contains("runc version"));
        assert!(said(&recipe("Go"), "runc --version").contains("runc version"));
    }
}

#[test]
fn gunicorn_has_the_workers() {
    if is_there("gunicorn") {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("app.py"), "def app(environ, start_response):\n    return []\n")
            .unwrap();
        let program = format!("gunicorn --chdir {} --print-config app:app", directory.path().display());
        let said = said(&recipe("gunicorn"), &program);
        let line = said.lines().find(|line| line.starts_with("workers ")).unwrap_or(&said);
        assert!(line.split_whitespace().eq(["workers", "=", "6"]), "{line}");
    }
}

#[test]
fn nginx_has_the_workers() {
    if !is_there("nginx") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display();
    std::fs::write(directory.path().join("nginx.conf"), "events {}\n").unwrap();
    let directives =
        format!("worker_processes $(limits.cpu:-1); daemon off; pid {place}/pid; error_log stderr notice;");
    let world = limited();
    let script = format!("exec \"$0\" exec --expand -- nginx -c {place}/nginx.conf -g '{directives}'");
    let mut nginx = shell(&script, &world).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    let lines = BufReader::new(nginx.stderr.take().unwrap()).lines().map_while(Result::ok);
    let started = lines.filter(|line| line.contains("start worker process ")).take(3).count();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(nginx.id() as i32), nix::sys::signal::Signal::SIGQUIT)
        .unwrap();
    nginx.wait().unwrap();
    assert_eq!(started, 3);
}
