//! Helpers of the tests: Pod objects, tokens, and runs with raw bytes.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::needs::{needs, succeeds};
use crate::world::{Outcome, World, introspod, run, run_with_input};

/// A pod of one container, with `annotations`.
pub fn annotated<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let annotations: serde_json::Map<_, _> =
        annotations.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    pod(json!({"annotations": annotations}))
}

/// A pod of one container, with these members in its metadata.
pub fn pod(metadata: Value) -> Value {
    let mut pod = json!({
        "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "3f1c2a4e-9f0e-4a58-8a51-0d3c1b3b8a77"},
        "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
    });
    for (key, value) in metadata.as_object().unwrap() {
        pod["metadata"][key] = value.clone();
    }
    pod
}

/// A pod of one container with these `resources`.
pub fn with_resources(resources: Value) -> Value {
    let mut pod = pod(json!({}));
    pod["spec"]["containers"][0]["resources"] = resources;
    pod
}

/// Runs `introspod SUBCOMMAND --pod - ARGUMENTS` on `pod`.
pub fn run_with_pod<S: AsRef<OsStr>>(
    subcommand: &str,
    arguments: impl IntoIterator<Item = S>,
    pod: &Value,
) -> Outcome {
    let mut command = introspod([subcommand, "--pod", "-"]);
    command.args(arguments);
    run_with_input(command, pod.to_string().as_bytes())
}

/// The variables of `print --pod - OPTIONS` for `pod`. It must succeed.
#[track_caller]
pub fn variables<S: AsRef<OsStr>>(options: impl IntoIterator<Item = S>, pod: &Value) -> Value {
    let all = [OsStr::new("--format").to_owned(), OsStr::new("json").to_owned()];
    let all = all.into_iter().chain(options.into_iter().map(|option| option.as_ref().to_owned()));
    run_with_pod("print", all, pod).expect_code(0).json()["variables"].take()
}

/// A token with these claims; its signature is none.
pub fn token(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "RS256", "kid": "test"});
    format!("{}.{}.{}", part(&header), part(claims), URL_SAFE_NO_PAD.encode([0xa5; 256]))
}

/// What a command answered, byte for byte, with nothing on its standard input.
pub fn output(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// The lines of standard error.
pub fn lines(outcome: &Outcome) -> Vec<&str> {
    outcome.stderr.lines().collect()
}

/// The only line of standard error.
#[track_caller]
pub fn only_line(outcome: &Outcome) -> &str {
    let lines = lines(outcome);
    assert_eq!(lines.len(), 1, "{outcome:#?}");
    lines[0]
}

/// The document of `print` for `world`. Standard error must be empty.
#[track_caller]
pub fn document<S: AsRef<OsStr>>(world: &World, options: impl IntoIterator<Item = S>) -> Value {
    let mut command = world.command(["print", "--format", "json"]);
    command.args(options);
    let outcome = run(command).expect_code(0);
    assert_eq!(outcome.stderr, "", "{outcome:#?}");
    outcome.json()
}

/// Runs a shell script in a new mount namespace, if this machine allows it.
pub fn in_mount_namespace(script: &str, variables: &[(&str, &OsStr)]) -> Option<Outcome> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
        command.envs(variables.iter().copied());
        command
    };
    let may_mount = || succeeds(&mut unshare("mount -t tmpfs tmpfs /mnt"));
    needs("a mount namespace", may_mount).then(|| run(unshare(script)))
}
