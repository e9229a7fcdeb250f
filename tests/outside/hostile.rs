//! Attackers: in a shared directory, in a Pod object, and in place of the API server.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::needs::{has_strace, needs};
use crate::server::{Response, Server, always};
use crate::world::{INTROSPOD, Outcome, introspod, pod_json, run, run_with_input};

/// A shared directory, and files outside it that must not change.
struct Shared {
    directory: tempfile::TempDir,
}

const PRECIOUS: &str = "precious\n";

impl Shared {
    fn new() -> Self {
        let shared = Shared { directory: tempfile::tempdir().unwrap() };
        std::fs::create_dir(shared.directory.path().join("shared")).unwrap();
        std::fs::write(shared.precious(), PRECIOUS).unwrap();
        shared
    }

    fn precious(&self) -> PathBuf {
        self.directory.path().join("precious")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("shared").join(name)
    }

    /// Writes `pod.json`; whatever comes of it, the precious file is as it was.
    #[track_caller]
    fn write(&self, options: &[&str]) -> Outcome {
        let before = self.precious().metadata().unwrap();
        // Much more time than it needs: it must not hang.
        let mut command = Command::new("timeout");
        command.args(["20", INTROSPOD, "write", "--pod"]).arg(pod_json("bare"));
        command.arg("--out").arg(self.path("pod.json")).args(options);
        let outcome = run(command);
        let after = self.precious().metadata().unwrap();
        assert_eq!(std::fs::read_to_string(self.precious()).unwrap(), PRECIOUS, "{outcome:#?}");
        let facts = |it: &std::fs::Metadata| (it.mode(), it.uid(), it.gid(), it.mtime_nsec(), it.ino());
        assert_eq!(facts(&before), facts(&after), "{outcome:#?}");
        outcome
    }

    /// Checks that the file is new and complete, with this mode and the owner of this process.
    #[track_caller]
    fn assert_written(&self, mode: u32) {
        let file = self.path("pod.json");
        let (metadata, own) = (file.symlink_metadata().unwrap(), self.directory.path().metadata().unwrap());
        assert!(metadata.is_file());
        assert_eq!(metadata.mode() & 0o7777, mode);
        assert_eq!((metadata.uid(), metadata.gid(), metadata.nlink()), (own.uid(), own.gid(), 1));
        serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap();
    }
}

#[test]
fn links_at_the_target_are_replaced_and_not_written_through() {
    for is_hard in [false, true] {
        let shared = Shared::new();
        if is_hard {
            std::fs::hard_link(shared.precious(), shared.path("pod.json")).unwrap()
        } else {
            symlink(shared.precious(), shared.path("pod.json")).unwrap()
        }
        shared.write(&[]).expect_code(0);
        shared.assert_written(0o644);
        shared.write(&["--mode", "600"]).expect_code(0);
        shared.assert_written(0o600);
    }
}

#[test]
fn links_at_temporary_names_are_not_followed() {
    let shared = Shared::new();
    for name in [
        ".introspod",
        ".introspod.",
        ".introspod.000000",
        ".pod.json.tmp",
        "pod.json.tmp",
        ".tmp",
        "pod.json~",
    ] {
        symlink(shared.precious(), shared.path(name)).unwrap();
    }
    // Every name of one letter, should the random part ever be that short.
    for letter in (b'a'..=b'z').chain(b'A'..=b'Z').chain(b'0'..=b'9') {
        symlink(shared.precious(), shared.path(&format!(".introspod.{}", char::from(letter)))).unwrap();
    }
    shared.write(&[]).expect_code(0);
    shared.assert_written(0o644);
}

#[test]
fn a_temporary_file_is_made_exclusively_and_follows_no_link() {
    let shared = Shared::new();
    let log = shared.directory.path().join("log");
    let mut command = Command::new("strace");
    command.args(["--quiet=all", "--trace=openat,open,openat2,creat", "--output"]).arg(&log);
    let inner = introspod(["write", "--pod"]);
    command.arg(inner.get_program()).args(inner.get_args()).arg(pod_json("bare"));
    command.arg("--out").arg(shared.path("pod.json")).stderr(Stdio::null());
    if !needs("the Debian package strace", has_strace) {
        return;
    }
    assert!(command.status().unwrap().success());
    let log = std::fs::read_to_string(log).unwrap();
    let writing: Vec<&str> =
        log.lines().filter(|line| line.contains("O_WRONLY") || line.contains("O_RDWR")).collect();
    assert!(!writing.is_empty(), "{log}");
    // With O_EXCL a link at the name is an error, wherever it leads (open(2)).
    assert!(
        writing.iter().all(|line| line.contains("O_CREAT|O_EXCL") || line.contains("/dev/null")),
        "{writing:#?}"
    );
}

#[test]
fn a_fifo_or_a_directory_at_the_target_neither_hangs_nor_leads_elsewhere() {
    let shared = Shared::new();
    nix::unistd::mkfifo(&shared.path("pod.json"), Mode::S_IRWXU).unwrap();
    shared.write(&[]).expect_code(0);
    shared.assert_written(0o644);
    std::fs::remove_file(shared.path("pod.json")).unwrap();
    std::fs::create_dir(shared.path("pod.json")).unwrap();
    let outcome = shared.write(&[]).expect_code(1);
    assert!(outcome.stderr.contains("directory"), "{outcome:#?}");
    assert_eq!(std::fs::read_dir(shared.path("pod.json")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(shared.path("")).unwrap().count(), 1, "something is left");
}

/// Whether introspod may set a variable of this name without an option.
fn is_ours(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let prefixes = ["POD_", "NODE_", "HOST_", "CONTAINER_", "OWNER_", "WORKLOAD_"];
    let names = ["SERVICE_ACCOUNT", "CLUSTER_DOMAIN", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"];
    let is_known = names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix));
    is_known && name.bytes().all(is_plain)
}

/// Names of variables that would change what a shell or a program does.
const DANGEROUS: [&str; 6] =
    ["PATH", "LD_PRELOAD", "IFS", "BASH_ENV", "INTROSPOD_DISABLED", "KUBERNETES_SERVICE_HOST"];

/// Values that would be commands, lines or ends of quotes.
fn values() -> Vec<String> {
    let short = [
        "'; touch pwned; '",
        "$(touch pwned)",
        "`touch pwned`",
        "\\'; touch pwned #",
        "it's",
        "''",
        "'\\''",
        "a\nexport PATH=/evil",
        "a'\nLD_PRELOAD='/evil.so",
        "\r\nPATH='/evil'\r\n",
        "\nPATH='/evil'",
        "#",
        "\\",
        "\\\n",
        "\u{1b}[2Jx",
        "\u{feff}",
        "\u{2028}",
        "é\u{301}",
        "",
    ];
    let mut values: Vec<String> = short.iter().map(|value| (*value).to_owned()).collect();
    // Annotations may have 256 KiB together (`TotalAnnotationSizeLimitB`, Kubernetes' `validation.go`).
    values.push("x".repeat(256 << 10));
    values.push("'\n".repeat(100_000));
    values
}

/// A Pod object with hostile text in every field.
fn hostile_pod() -> Value {
    let mut pod: Value =
        serde_json::from_slice(&std::fs::read(pod_json("statefulset-db-0")).unwrap()).unwrap();
    let mut map = serde_json::Map::new();
    for (position, value) in values().into_iter().enumerate() {
        map.insert(format!("value/{position}"), value.into());
    }
    for name in DANGEROUS {
        for key in
            [name.to_owned(), format!("\n{name}"), format!("x\nexport {name}=/evil\n"), format!("'={name}")]
        {
            map.insert(key, "/evil'\n".into());
        }
    }
    for kind in ["labels", "annotations"] {
        pod["metadata"][kind] = map.clone().into();
    }
    for path in [
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/uid",
        "/spec/nodeName",
        "/spec/serviceAccountName",
    ] {
        *pod.pointer_mut(path).unwrap() = "a'\nPATH='/evil\nexport PATH=/evil\n".into();
    }
    for path in ["/spec/containers/0/image", "/status/podIP", "/status/hostIP"] {
        *pod.pointer_mut(path).unwrap() = "$(touch pwned)'\nIFS='x".into();
    }
    pod
}

/// The variables that a shell has that sourced `file`, started with none.
fn sourced(file: &Path) -> BTreeMap<String, String> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", ". \"$1\"; exec /usr/bin/env -0", "sh"]).arg(file);
    shell.env_clear().env("PATH", "/usr/bin:/bin").current_dir(file.parent().unwrap());
    let outcome = run(shell).expect_code(0);
    assert_eq!(outcome.stderr, "");
    let entries = outcome.stdout.split('\0').filter(|entry| !entry.is_empty());
    entries
        .map(|entry| entry.split_once('=').unwrap())
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[test]
fn a_hostile_pod_sets_no_variable_but_ours_in_a_shell_and_runs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.sh");
    std::fs::write(&empty, "").unwrap();
    let mut pod = hostile_pod();
    // What execve takes is less than what a file does: 128 KiB for a variable.
    for kind in ["labels", "annotations"] {
        pod["metadata"][kind]
            .as_object_mut()
            .unwrap()
            .retain(|_, value| value.as_str().unwrap().len() < 100_000);
    }
    let file = directory.path().join("pod.sh");
    let mut command =
        introspod(["write", "--container", "main", "--labels", "--annotations", "--otel", "--pod", "-"]);
    command.arg("--out").arg(&file).arg("--out").arg(directory.path().join("pod.json"));
    run_with_input(command, pod.to_string().as_bytes()).expect_code(0);
    let (before, after) = (sourced(&empty), sourced(&file));
    for (name, value) in &before {
        assert_eq!(after.get(name), Some(value), "{name}");
    }
    let document = std::fs::read(directory.path().join("pod.json")).unwrap();
    let document = crate::schema::checked(std::str::from_utf8(&document).unwrap());
    let variables = document["variables"].as_object().unwrap();
    let set: BTreeMap<_, _> = after.into_iter().filter(|(name, _)| !before.contains_key(name)).collect();
    assert_eq!(set.keys().collect::<Vec<_>>(), variables.keys().collect::<Vec<_>>());
    for (name, value) in &set {
        assert!(is_ours(name), "{name}");
        assert_eq!(variables[name], **value, "{name}");
    }
    for value in values().iter().filter(|value| value.len() < 100_000) {
        assert!(set.values().any(|set| set == value), "{value:?}");
    }
    assert!(!directory.path().join("pwned").exists());
}

#[test]
fn a_hostile_pod_sets_no_variable_but_ours_by_the_kubelet_s_grammar() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pod.env");
    let pod = hostile_pod().to_string();
    let mut command =
        introspod(["write", "--container", "main", "--labels", "--annotations", "--otel", "--pod", "-"]);
    command.arg("--out").arg(&file).arg("--out").arg(directory.path().join("pod.json"));
    let outcome = run_with_input(command, pod.as_bytes()).expect_code(0);
    let document = std::fs::read(directory.path().join("pod.json")).unwrap();
    let document = crate::schema::checked(std::str::from_utf8(&document).unwrap());
    let variables = document["variables"].as_object().unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    // Every line starts a variable or continues a value. Nothing must remain after all values.
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once("='").unwrap();
        let (value, after) = quoted.split_once('\'').unwrap();
        assert!(is_ours(name), "{name:?}");
        assert_eq!(variables[name], *value, "{name}");
        rest = after.strip_prefix('\n').unwrap();
    }
    for name in DANGEROUS {
        let read = crate::kubelet_env::value_of(text.as_bytes(), name.as_bytes());
        assert_eq!(read, Ok(None), "{name}");
    }
    assert_lines_are_ours(&outcome);
}

/// Text from outside adds no line to standard error, and sends no control characters to the terminal.
#[track_caller]
fn assert_lines_are_ours(outcome: &Outcome) {
    for line in outcome.stderr.lines() {
        assert!(line.starts_with("introspod: "), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn a_hostile_pod_sets_no_variable_but_ours_in_the_application() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pod.json");
    std::fs::write(&file, hostile_pod().to_string()).unwrap();
    let mut command = introspod(["exec", "--labels", "--annotations", "--override=*", "--pod"]);
    command.arg(file).args(["--", "/usr/bin/env", "-0"]).env("PATH", "/usr/bin:/bin");
    let outcome = run(command).expect_code(0);
    let entries: BTreeMap<&str, &str> =
        outcome.stdout.split('\0').filter_map(|entry| entry.split_once('=')).collect();
    assert_eq!(entries["PATH"], "/usr/bin:/bin");
    assert!(entries.keys().all(|name| *name == "PATH" || is_ours(name)), "{:?}", entries.keys());
    assert!(entries.contains_key("POD_LABEL_LD_PRELOAD"));
    assert_lines_are_ours(&outcome);
}

#[test]
fn json_that_is_deep_huge_or_odd_is_an_error_or_harmless() {
    let deep = |length| format!("{}{}", "[".repeat(length), "]".repeat(length));
    let pod = |rest: &str| format!(r#"{{"kind":"Pod","metadata":{{"name":"a"}}{rest}}}"#);
    for (text, codes) in [
        (deep(1_000_000), &[1][..]),
        (format!(r#"{{"kind":{}}}"#, deep(100_000)), &[1]),
        (pod(&format!(r#","spec":{}"#, deep(100_000))), &[1]),
        (pod(r#","spec":{"priority":1e999999999}"#), &[0, 1]),
        (pod(&format!(r#","spec":{{"priority":{}}}"#, "9".repeat(1_000_000))), &[0, 1]),
        (
            pod(
                r#","spec":{"containers":[{"name":"a","resources":{"limits":{"memory":"1e2147483647","cpu":"-9E"}}}]}"#,
            ),
            &[0],
        ),
        (pod(r#","spec":{"containers":[{"name":"a","resources":{"limits":{"memory":1e400}}}]}"#), &[0, 1]),
        (pod(r#","spec":[],"status":"x","metadata":{"name":"b","labels":[1],"annotations":{"a":{}}}"#), &[0]),
        (pod(r#","status":{"podIPs":[{"ip":5},7,null]},"spec":{"containers":{"name":1}}"#), &[0]),
        ("\u{feff}{}".to_owned(), &[1]),
    ] {
        let shown: String = text.chars().take(80).collect();
        let outcome = run_with_input(introspod(["print", "--labels", "--pod", "-"]), text.as_bytes());
        assert!(codes.contains(&outcome.code), "{shown}: {outcome:#?}");
        assert!(outcome.code == 0 || outcome.stderr.contains("introspod: error: "), "{shown}: {outcome:#?}");
        assert_lines_are_ours(&outcome);
    }
}

#[test]
fn a_hostile_server_s_words_make_no_line_and_no_escape_of_their_own() {
    let message = "no\n\u{1b}[2J\u{1b}]0;pwned\u{7}\rintrospod: error: all is lost\u{9b}31m\u{202e}";
    for code in [400, 403, 404, 410, 422] {
        let failure = Response::failure(code, message, message);
        let server = Server::start(always(failure));
        let world = server.world("bare", "web");
        let mut command = world.command(["exec", "--api-url", &server.url(), "--labels", "--", "/bin/true"]);
        command.env("INTROSPOD_LOG", "info");
        let outcome = run(command).expect_code(0);
        assert!(outcome.stderr.contains("all is lost"), "{outcome:#?}");
        let is_line_feed = |letter: char| letter == '\n';
        assert!(
            !outcome.stderr.contains(|letter: char| letter.is_control() && !is_line_feed(letter)),
            "{outcome:#?}"
        );
        assert!(
            !outcome.stderr.lines().any(|line| line.starts_with("introspod: error: all")),
            "{outcome:#?}"
        );
    }
}

#[test]
fn a_hostile_server_s_pod_is_a_hostile_pod() {
    let server = Server::start(always(Response::json(&json!({
        "kind": "Pod\n\u{1b}[2Jx", "metadata": {"name": "bare", "uid": "x\ny"},
    }))));
    let world = server.world("bare", "web");
    let outcome =
        world.run(["exec", "--api-url", &server.url(), "--labels", "--timeout", "1s", "--", "/bin/true"]);
    assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:#?}");
    assert!(outcome.stderr.lines().any(|line| line.contains("Pod\\n")), "{outcome:#?}");
    assert_eq!(outcome.code, 0);
}
