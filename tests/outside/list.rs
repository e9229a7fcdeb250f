//! The format `list`: its real readers read it back.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::made::{annotated, lines, output, run_with_pod};
use crate::needs::{has_kubectl, needs, succeeds};
use crate::world::World;

/// Values that mean something to one reader or another.
const VALUES: [&str; 12] = [
    "",
    "a b",
    " a ",
    "'a'",
    "\"a\"",
    "a # b",
    "#",
    "$HOME ${X} $(Y) `z`",
    "a\\nb\\",
    "a=b=c",
    "Grüße 😀 \u{2028}\u{feff}",
    "\ta\t\u{b}\u{85}",
];

/// The file of a pod with [`VALUES`] as annotations, and the variables that it must have.
fn written(directory: &Path) -> (std::path::PathBuf, BTreeMap<String, String>) {
    let keys: Vec<String> = (0..VALUES.len()).map(|number| format!("k{number}")).collect();
    let pod = annotated(keys.iter().map(String::as_str).zip(VALUES));
    let file = directory.join("pod.list");
    let arguments =
        ["--annotations", "--container=app", "--set=a.b-c_D=metadata.name", "--out", file.to_str().unwrap()];
    let outcome = run_with_pod("write", arguments, &pod).expect_code(0);
    assert_eq!(outcome.stderr, "");
    let text = std::fs::read_to_string(&file).unwrap();
    let variables = text.lines().map(|line| line.split_once('=').unwrap());
    let variables: BTreeMap<_, _> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for (key, value) in keys.iter().zip(VALUES) {
        assert_eq!(variables[&format!("POD_ANNOTATION_{}", key.to_uppercase())], value);
    }
    assert!(variables.contains_key("a.b-c_D"));
    (file, variables)
}

#[test]
fn kubectl_reads_it_as_a_config_map() {
    if !needs("kubectl", has_kubectl) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (file, variables) = written(directory.path());
    let mut kubectl = Command::new("kubectl");
    kubectl
        .args(["create", "configmap", "x", "--dry-run=client", "--output=json", "--from-env-file"])
        .arg(file);
    let output = output(kubectl);
    assert!(output.status.success(), "{output:?}");
    let map: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(serde_json::from_value::<BTreeMap<String, String>>(map["data"].clone()).unwrap(), variables);
}

#[test]
fn podman_reads_it_as_env_file() {
    let podman = |directory: &Path, arguments: &[&str]| {
        let mut podman = Command::new("podman");
        podman.arg("--root").arg(directory.join("storage")).arg("--runroot").arg(directory.join("run"));
        podman.args(["--storage-driver=vfs"]).args(arguments);
        podman
    };
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.tar");
    std::fs::write(&empty, [0; 1024]).unwrap();
    let import = ["import", empty.to_str().unwrap(), "scratch:x"];
    if !needs("the Debian package podman", || succeeds(&mut podman(directory.path(), &import))) {
        return;
    }
    let (file, mut variables) = written(directory.path());
    let create = output(podman(
        directory.path(),
        &["create", "--name=x", "--env-file", file.to_str().unwrap(), "scratch:x", "/x"],
    ));
    assert!(create.status.success(), "{create:?}");
    let inspect = output(podman(directory.path(), &["inspect", "x", "--format={{json .Config.Env}}"]));
    let entries: Vec<String> = serde_json::from_slice(&inspect.stdout).unwrap();
    for entry in entries {
        let (name, value) = entry.split_once('=').unwrap();
        if let Some(expected) = variables.remove(name) {
            assert_eq!(value, expected, "{name}");
        }
    }
    assert!(variables.is_empty(), "{variables:?}");
}

#[test]
fn what_it_cannot_hold_is_left_out_and_named() {
    let long = "x".repeat(65_536 - "POD_ANNOTATION_LONG=".len());
    let values = [("lf", "a\nb"), ("cr", "a\rb"), ("end", "a\n"), ("long", &long), ("good", &long[1..])];
    let set = ["1", "A B", "a/b", "..", "..a", "ü"].map(|name| format!("--set={name}=metadata.name"));
    let mut arguments = vec!["--annotations", "--format=list"];
    arguments.extend(set[..5].iter().map(String::as_str));
    let outcome = run_with_pod("print", arguments, &annotated(values)).expect_code(0);
    for (name, value) in values {
        let name = format!("POD_ANNOTATION_{}", name.to_uppercase());
        assert_eq!(outcome.stdout.contains(&format!("{name}={value}\n")), value == &long[1..], "{name}");
        let warned = lines(&outcome)
            .iter()
            .any(|line| line.contains(&format!("{name} is left out of the list format")));
        assert_eq!(warned, value != &long[1..], "{name}");
    }
    assert_eq!(lines(&outcome).len(), 9, "{outcome:?}");
}

#[test]
fn a_suffix_may_be_the_whole_name() {
    let world = World::recorded("downward", "main");
    let directory = tempfile::tempdir().unwrap();
    for (name, starts) in
        [(".env", "CLUSTER_DOMAIN='"), (".sh", "export "), (".list", "CLUSTER_DOMAIN=c"), (".json", "{")]
    {
        let file = directory.path().join(name);
        world.run(["write", "--out", file.to_str().unwrap()]).expect_code(0);
        assert!(std::fs::read_to_string(file).unwrap().starts_with(starts), "{name}");
    }
    for name in ["env", "x.env.txt", ".env.", "x."] {
        world.run(["write", "--out", name]).expect_code(2);
    }
}
