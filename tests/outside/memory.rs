//! The memory that a hostile object needs, from a file and from an API server.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::made::pod;
use crate::server::{Response, SERVICE_ACCOUNT, Server, always};
use crate::world::{World, introspod, pod_json, run};

/// The most memory that may ever be resident, in KiB. The budget is for the release build: of the
/// debug build 6 MiB more are resident, which is its code.
const LIMIT: u64 = if cfg!(debug_assertions) { 22 << 10 } else { 16 << 10 };
/// The most bytes that are read of an object.
const BYTES: usize = 8 << 20;

/// Runs a command to its end, with its output in `directory`; answers with its exit code and with
/// the most memory that was ever resident, in KiB (`VmHWM`, `proc_pid_status(5)`).
pub fn peak(mut command: Command, directory: &Path) -> (i32, u64) {
    let output = File::create(directory.join("output")).unwrap();
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    // SAFETY: between fork and exec only ptrace(2) is called.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(Into::into)) };
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    // It stops when it has executed the program, and again before it is gone.
    assert!(matches!(waitpid(pid, None), Ok(WaitStatus::Stopped(..))));
    ptrace::setoptions(pid, Options::PTRACE_O_TRACEEXIT | Options::PTRACE_O_EXITKILL).unwrap();
    ptrace::cont(pid, None).unwrap();
    loop {
        match waitpid(pid, None).unwrap() {
            WaitStatus::PtraceEvent(..) => break,
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal).unwrap(),
            status => panic!("{status:?}"),
        }
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = line.split_whitespace().next().unwrap().parse().unwrap();
    ptrace::cont(pid, None).unwrap();
    (child.wait().unwrap().code().unwrap(), peak)
}

/// A Pod object of almost 8 MiB with `part` again and again in the place of `@` in `metadata`.
fn filled(metadata: &str, part: impl Fn(usize) -> String) -> String {
    let frame = pod(json!({})).to_string();
    let (before, after) = metadata.split_once('@').unwrap();
    let mut text = String::with_capacity(BYTES);
    text.push_str(&frame.replacen(r#""metadata":{"#, &format!(r#""metadata":{{{before}"#), 1));
    let at = text.find(before).unwrap() + before.len();
    let rest = text.split_off(at);
    for number in 0.. {
        let part = part(number);
        if text.len() + part.len() + rest.len() + after.len() > BYTES {
            break;
        }
        if number > 0 {
            text.push(',');
        }
        text.push_str(&part);
    }
    text.push_str(after);
    text.push(',');
    text.push_str(&rest);
    assert!(text.len() > BYTES - 8192, "{}", text.len());
    text
}

/// Objects that are small in bytes and large in memory.
fn shapes() -> Vec<(&'static str, String)> {
    let string = |length: usize, unit: &str| unit.repeat(length / unit.len());
    let one = |key: &str, value: &str| {
        let mut object = pod(json!({}));
        object["metadata"]["annotations"] = json!({"k": "@"});
        object.to_string().replace("\"k\"", &format!("\"{key}\"")).replace("\"@\"", value)
    };
    vec![
        ("open arrays", "[".repeat(BYTES)),
        ("open objects", string(BYTES, "{\"a\":")),
        ("a deep value that nothing reads", filled(r#""managedFields":[@]"#, |_| "[".repeat(4096))),
        ("empty arrays", filled(r#""finalizers":[@]"#, |_| "[]".to_owned())),
        ("empty arrays that nothing reads", filled(r#""managedFields":[@]"#, |_| "[]".to_owned())),
        ("objects of one entry", filled(r#""finalizers":[@]"#, |_| r#"{"":0}"#.to_owned())),
        ("numbers", filled(r#""finalizers":[@]"#, |_| "0".to_owned())),
        ("labels", filled(r#""labels":{@}"#, |number| format!(r#""{number}":"""#))),
        ("long labels", filled(r#""labels":{@}"#, |number| format!(r#""{number:063}":"{number:063}""#))),
        ("annotations", filled(r#""annotations":{@}"#, |number| format!(r#""{number}":"{number:0999}""#))),
        ("one label again and again", filled(r#""labels":{@}"#, |_| r#""a":"b""#.to_owned())),
        ("owners", filled(r#""ownerReferences":[@]"#, |_| r#"{"controller":true}"#.to_owned())),
        ("a long string", one("k", &format!("\"{}\"", "x".repeat(BYTES - 4096)))),
        ("a long string of escapes", one("k", &format!("\"{}\"", "\\n".repeat(BYTES / 2 - 4096)))),
        ("strings just short enough", one("k", &format!("\"{}\"", "\\n".repeat((1 << 20) - 4096)))),
        (
            "a string of escapes and blanks",
            one("k", &format!("\"{}\"{}", "\\n".repeat(700_000), " ".repeat(6 << 20))),
        ),
        ("a long key", one(&"x".repeat(BYTES - 4096), "\"v\"")),
        ("a long number", one("k", &"9".repeat(BYTES - 4096))),
        ("blanks", format!("{}{}", " ".repeat(BYTES - 4096), pod(json!({})))),
        ("an object larger than 8 MiB", " ".repeat(BYTES * 4)),
    ]
}

#[test]
fn a_hostile_file_takes_at_most_16_mib() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pod.json");
    for (what, text) in shapes() {
        std::fs::write(&file, text).unwrap();
        let mut command = introspod(["print", "--labels", "--annotations", "--format", "json", "--pod"]);
        command.arg(&file);
        let (code, peak) = peak(command, directory.path());
        println!("{what}: exit code {code}, {peak} KiB");
        assert!(peak <= LIMIT, "{what}: {peak} KiB");
        assert!([0, 1].contains(&code), "{what}: {code}");
    }
}

#[test]
fn a_hostile_answer_takes_at_most_16_mib() {
    let directory = tempfile::tempdir().unwrap();
    let told = ["a deep value that nothing reads", "objects of one entry", "annotations", "blanks"];
    for (what, text) in shapes().into_iter().filter(|(what, _)| told.contains(what)) {
        for code in [200, 403] {
            let server = Server::plain(always(Response::new(code, "application/json", text.as_str())));
            let world = server.world("bare", "web");
            let command = world.command(["print", "--labels", "--api-url", &server.url()]);
            let (_, peak) = peak(command, directory.path());
            println!("{what}: status {code}, {peak} KiB");
            assert!(peak <= LIMIT, "{what}: {peak} KiB");
        }
    }
}

/// Base64 and JSON of it are in memory at the same time.
#[test]
fn a_hostile_token_takes_at_most_16_mib() {
    let directory = tempfile::tempdir().unwrap();
    for (length, part) in [(5 << 20, "[],"), (700_000, "[],"), (5 << 20, "[")] {
        let claims = format!("{{\"kubernetes.io\":[{}0]}}", part.repeat(length / part.len()));
        let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        let world = World::recorded("bare", "web");
        world.remove(SERVICE_ACCOUNT).write(&format!("{SERVICE_ACCOUNT}/token"), token);
        let (code, peak) = peak(world.command(["print"]), directory.path());
        println!("{length} bytes of claims: {peak} KiB");
        assert_eq!(code, 0);
        assert!(peak <= LIMIT, "{length} bytes of claims: {peak} KiB");
        let output = std::fs::read_to_string(directory.path().join("output")).unwrap();
        assert!(output.contains("is not a service account token: "), "{output}");
    }
}

#[test]
fn a_file_that_never_ends_is_refused() {
    let outcome = run(introspod(["print", "--pod", "/dev/zero"])).expect_code(1);
    assert!(outcome.stderr.contains("more bytes than a Kubernetes object can have"), "{outcome:#?}");
}

/// The result would have 128 MiB.
#[test]
fn a_text_that_would_grow_too_much_is_not_made() {
    let world = World::recorded("bare", "web");
    world.write("etc/short", "a".repeat(2 << 10)).write("etc/long", "b".repeat(64 << 10));
    let set = "A=replace(file('/etc/short'), 'a', file('/etc/long'))";
    let directory = tempfile::tempdir().unwrap();
    let (code, peak) = peak(world.command(["print", "--api=never", "--set", set]), directory.path());
    let output = std::fs::read_to_string(directory.path().join("output")).unwrap();
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("A is not set: its value would be longer than 1 MiB"), "{output}");
    assert!(peak <= LIMIT, "{peak} KiB");
}

/// What etcd takes is at most 1.5 MiB (`--max-request-bytes`).
#[test]
fn a_pod_as_large_as_a_cluster_holds_is_read() {
    const COUNT: usize = 20_000;
    let mut object: Value = serde_json::from_slice(&std::fs::read(pod_json("bare")).unwrap()).unwrap();
    let fields: serde_json::Map<_, _> =
        (0..COUNT).map(|number| (format!("f:app-{number}"), json!({}))).collect();
    object["metadata"]["managedFields"] = json!([{"fieldsV1": {"f:metadata": {"f:labels": fields}}}]);
    let labels: serde_json::Map<_, _> =
        (0..COUNT).map(|number| (format!("app-{number}"), format!("value-{number}").into())).collect();
    object["metadata"]["labels"] = labels.into();
    let text = object.to_string();
    object["metadata"]["annotations"] = json!({"padding": "x".repeat((3 << 19) - text.len())});
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pod.json");
    std::fs::write(&file, object.to_string()).unwrap();
    let mut command = introspod(["print", "--labels", "--container", "web", "--pod"]);
    command.arg(&file);
    let (code, peak) = peak(command, directory.path());
    println!("{COUNT} labels: {peak} KiB");
    assert_eq!(code, 0);
    let output = std::fs::read_to_string(directory.path().join("output")).unwrap();
    let is_label = |line: &&str| line.starts_with("POD_LABEL_APP_");
    assert_eq!(output.lines().filter(is_label).count(), COUNT);
}

/// The most memory whatever a file of a container holds, in KiB. The budget is for the binary that ships. glibc's
/// smallest allocation is twice musl's, and the code of the debug build is 6 MiB.
const OF_FILES: u64 = if cfg!(debug_assertions) { 60 << 10 } else { 40 << 10 };

/// Files that are small in bytes and large in memory.
fn files() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let lines = |count: usize, line: &dyn Fn(usize) -> String| -> Vec<u8> {
        let text: String = (0..count).map(line).collect();
        text.into_bytes()
    };
    let labels = lines(90_000, &|number| format!("l{number:05}=\"value-{number}\"\n"));
    vec![
        ("an environment of NULs", "proc/self/environ", vec![0; 6 << 20]),
        ("an environment without values", "proc/self/environ", b"A=\0".repeat(BYTES / 3)),
        (
            "an environment of one name",
            "proc/self/environ",
            [b"A=".as_slice(), &vec![b'x'; BYTES - 3]].concat(),
        ),
        ("90,000 labels", "etc/podinfo/labels", labels),
        ("labels without a line end", "etc/podinfo/labels", vec![b'x'; BYTES]),
        ("a hosts file of one line", "etc/hosts", vec![b'x'; BYTES]),
    ]
}

#[test]
fn whatever_a_file_of_the_container_holds_memory_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("pod.json");
    for (what, path, content) in files() {
        let world = World::recorded("bare", "web");
        world.write(path, content);
        for (arguments, expected) in [
            (&["exec", "--labels", "--", "/no/such/command"][..], 127),
            (&["write", "--labels", "--out", out.to_str().unwrap()], 0),
        ] {
            let (code, peak) = peak(world.command(arguments), directory.path());
            println!("{what}: {}: {peak} KiB", arguments[0]);
            assert_eq!(code, expected, "{what}: {arguments:?}");
            assert!(peak <= OF_FILES, "{what}: {arguments:?}: {peak} KiB");
        }
    }
}
