//! `examples/entrypoint-scripts`: each manifest's introspod runs in a recorded container, and the files, variables and
//! arguments that the application gets are those in `tests/fixtures/entrypoint-scripts`. `programs` starts some of the
//! applications with them.

mod programs;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::examples::{documents, examples_directory, introspod_lines, list, name};
use super::restricted::unrestricted;
use super::schemas::Schemas;
use crate::server::{SERVICE_ACCOUNT, claims_of, token};
use crate::world::{INTROSPOD, World, fixtures, run};

/// What the examples replace, in the order of the documentation.
const SCRIPTS: [&str; 14] = [
    "nginx",
    "kafka",
    "zookeeper",
    "redpanda",
    "heap",
    "vault",
    "consul",
    "torchrun",
    "flink",
    "apm",
    "wait",
    "redis",
    "gunicorn",
    "node",
];

fn objects(script: &str) -> Vec<Value> {
    let file = examples_directory().join("entrypoint-scripts").join(format!("{script}.yaml"));
    documents(&std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

/// The pod that a manifest makes, played by a recorded one, in which introspod runs.
struct Stage {
    world: World,
    container: Value,
    /// The words after `introspod`, with the paths of files moved into the world.
    line: Vec<String>,
    /// The directories of the pod's empty volumes, into which introspod may write.
    written: Vec<PathBuf>,
}

impl Stage {
    fn new(script: &str) -> Self {
        let objects = objects(script);
        let kinds = ["Deployment", "StatefulSet", "Job"];
        let owner = objects.iter().find(|object| kinds.contains(&object["kind"].as_str().unwrap())).unwrap();
        let template = &owner["spec"]["template"];
        let pod = &template["spec"];
        let containers = ["initContainers", "containers"].iter().flat_map(|key| list(&pod[*key]));
        let runs = |container: &&Value| introspod_lines(container).iter().any(|line| line[0] != "install");
        let container = containers.clone().find(runs).unwrap().clone();
        let world = recorded(owner);
        let environment = environment(&container);
        world.environ(
            &environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(),
        );
        let mut written = Vec::new();
        for mount in list(&container["volumeMounts"]) {
            let path = mount["mountPath"].as_str().unwrap();
            let volume = list(&pod["volumes"]).iter().find(|volume| volume["name"] == mount["name"]).unwrap();
            if volume["emptyDir"].is_object() && path != "/run/introspod" {
                std::fs::create_dir_all(inside(&world, path)).unwrap();
                written.push(inside(&world, path));
            }
            for (file, content) in files(&objects, template, volume, &world) {
                world.write(&format!("{path}/{file}"), content);
            }
        }
        limit(&world, &container["resources"]["limits"]);
        let line = introspod_lines(&container).remove(0);
        let line = line.iter().map(|word| moved(&world, word)).collect();
        Stage { world, container, line, written }
    }

    /// `introspod`, with the application's command replaced by `application` (its words follow).
    fn command(&self, application: &[&str]) -> Command {
        let mut words = self.line.clone();
        if let Some(end) = words.iter().position(|word| word == "--") {
            let own = words.split_off(end + 1);
            words.extend(application.iter().map(|word| word.to_string()).chain(own));
        }
        self.with_words(&words)
    }

    fn with_words(&self, words: &[String]) -> Command {
        let mut command = Command::new(INTROSPOD);
        command.args(words).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("INTROSPOD_ROOT", self.world.path());
        command.envs(environment(&self.container));
        command
    }

    /// What the application has: files, variables and arguments, with the paths as in the manifest.
    fn result(&self) -> String {
        let show = "printf 'argument %s\\n' \"$@\"; env | sort";
        let outcome = run(self.command(&["sh", "-c", show])).expect_code(0);
        assert_eq!(outcome.stderr, "");
        let mut text = String::new();
        for directory in &self.written {
            let mut files: Vec<_> =
                std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            for file in files {
                write!(text, "== {}\n{}", file.display(), std::fs::read_to_string(&file).unwrap()).unwrap();
            }
        }
        if self.line[0] == "exec" {
            let of_the_shell = ["PATH=", "PWD=", "SHLVL=", "_=", "INTROSPOD_"];
            let is_own = |line: &&str| !of_the_shell.iter().any(|prefix| line.starts_with(prefix));
            let shown: Vec<&str> = outcome.stdout.lines().filter(is_own).collect();
            write!(text, "== the application\n{}\n", shown.join("\n")).unwrap();
        }
        text.replace(self.world.path().to_str().unwrap(), "")
    }
}

/// The container's environment, as the kubelet sets it.
fn environment(container: &Value) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for variable in list(&container["env"]) {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("status.hostIP") => "10.99.0.1",
            Some(other) => panic!("no value for {other}"),
            None => variable["value"].as_str().unwrap(),
        };
        environment.insert(variable["name"].as_str().unwrap().to_owned(), value.to_owned());
    }
    environment
}

fn inside(world: &World, path: &str) -> PathBuf {
    world.path().join(path.trim_start_matches('/'))
}

/// A word of the command line, with the paths of templates and files in the world.
fn moved(world: &World, word: &str) -> String {
    let at = |path: &str| inside(world, path).display().to_string();
    if let Some((from, to)) = word.strip_prefix("--template=").and_then(|paths| paths.split_once(':')) {
        return format!("--template={}:{}", at(from), at(to));
    }
    match word.strip_prefix("--file=").and_then(|file| file.split_once('=')) {
        Some((to, text)) => format!("--file={}={text}", at(to)),
        None => word.to_owned(),
    }
}

/// A recorded pod, as a pod of `owner`: the second one where pods are counted.
fn recorded(owner: &Value) -> World {
    let (owner_name, is_set) = (name(owner), owner["kind"] == "StatefulSet");
    let is_indexed = owner["spec"]["completionMode"] == "Indexed";
    let (recording, ip) =
        if is_set { ("statefulset-db-0", "10.244.0.9") } else { ("deployment-web", "10.244.0.8") };
    let world = World::recorded(recording, "main");
    let (pod, hostname) = if is_set {
        (format!("{owner_name}-1"), format!("{owner_name}-1"))
    } else if is_indexed {
        (format!("{owner_name}-1-x7kqz"), format!("{owner_name}-1"))
    } else {
        (format!("{owner_name}-c8d954974-zskd9"), format!("{owner_name}-c8d954974-zskd9"))
    };
    let line = if is_set || is_indexed {
        format!("{ip}\t{hostname}.{owner_name}.default.svc.cluster.local\t{hostname}")
    } else {
        format!("{ip}\t{hostname}")
    };
    let hosts = std::fs::read_to_string(inside(&world, "/etc/hosts")).unwrap();
    let kept: Vec<&str> = hosts.lines().filter(|line| !line.starts_with(ip)).collect();
    world.write("etc/hosts", format!("{}\n{line}\n", kept.join("\n")));
    world
        .write("etc/hostname", format!("{hostname}\n"))
        .write("proc/sys/kernel/hostname", format!("{hostname}\n"));
    let environ = if is_indexed { "JOB_COMPLETION_INDEX=1\0" } else { "" };
    world.write("proc/self/environ", environ);
    // The pods have no token for the API server, but in a volume one that names them.
    let own = claims_of(&token(recording), |claims| claims["kubernetes.io"]["pod"]["name"] = pod.into());
    world.remove(SERVICE_ACCOUNT);
    world.write("own-token", own);
    world
}

/// The files of a projected volume or a ConfigMap.
fn files(objects: &[Value], template: &Value, volume: &Value, world: &World) -> Vec<(String, String)> {
    let mut files = Vec::new();
    if let Some(config) = volume["configMap"]["name"].as_str() {
        let map =
            objects.iter().find(|object| object["kind"] == "ConfigMap" && name(object) == config).unwrap();
        for (file, content) in map["data"].as_object().unwrap() {
            files.push((file.clone(), content.as_str().unwrap().to_owned()));
        }
    }
    for source in list(&volume["projected"]["sources"]) {
        if let Some(path) = source["serviceAccountToken"]["path"].as_str() {
            assert_eq!(source["serviceAccountToken"]["audience"], "introspod");
            files.push((path.to_owned(), std::fs::read_to_string(inside(world, "/own-token")).unwrap()));
        }
        for item in list(&source["downwardAPI"]["items"]) {
            let mut map: BTreeMap<&str, &str> = BTreeMap::from([("topology.kubernetes.io/zone", "zone-a")]);
            if item["fieldRef"]["fieldPath"] == "metadata.labels" {
                let labels = template["metadata"]["labels"].as_object().unwrap();
                map.extend(labels.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap())));
            }
            let lines: Vec<_> = map.iter().map(|(key, value)| format!("{key}=\"{value}\"\n")).collect();
            files.push((item["path"].as_str().unwrap().to_owned(), lines.concat()));
        }
    }
    files
}

/// Sets the limits of the control group.
fn limit(world: &World, limits: &Value) {
    if let Some(memory) = limits["memory"].as_str() {
        let (number, unit) = memory.split_at(memory.len() - 2);
        let shift = if unit == "Gi" { 30 } else { 20 };
        let bytes = number.parse::<u64>().unwrap() << shift;
        world.write("sys/fs/cgroup/memory/memory.limit_in_bytes", bytes.to_string());
    }
    if let Some(cpus) = limits["cpu"].as_u64() {
        world.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", (cpus * 100_000).to_string());
    }
}

#[test]
fn every_script_is_replaced() {
    let expected = fixtures().join("entrypoint-scripts");
    for script in SCRIPTS {
        let file = expected.join(format!("{script}.txt"));
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(Stage::new(script).result(), text, "{script}");
    }
    // No file is left over.
    assert_eq!(std::fs::read_dir(expected).unwrap().count(), SCRIPTS.len());
    let manifests = std::fs::read_dir(examples_directory().join("entrypoint-scripts")).unwrap();
    let is_manifest = |path: &PathBuf| path.extension().is_some_and(|suffix| suffix == "yaml");
    assert_eq!(manifests.map(|entry| entry.unwrap().path()).filter(is_manifest).count(), SCRIPTS.len());
}

#[test]
fn the_documentation_shows_what_they_give() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/entrypoints.md");
    let text = std::fs::read_to_string(document).unwrap();
    for script in SCRIPTS {
        let link = format!("(../examples/entrypoint-scripts/{script}.yaml)");
        let (_, section) = text.split_once(&link).unwrap_or_else(|| panic!("{link} is missing"));
        let section = section.split("\n### ").next().unwrap();
        let result =
            std::fs::read_to_string(fixtures().join(format!("entrypoint-scripts/{script}.txt"))).unwrap();
        let (_, shown) = section.split_once("```text\n").unwrap_or_else(|| panic!("{script}: no result"));
        for line in shown.split("\n```").next().unwrap().lines() {
            assert!(result.lines().any(|found| found.trim() == line.trim()), "{script}: {line:?}");
        }
        let manifest = objects(script);
        let (_, options) = section.split_once("```yaml\n").unwrap_or_else(|| panic!("{script}: no options"));
        for option in options.split("\n```").next().unwrap().lines() {
            let words = documents(option).pop().unwrap();
            let word = list(&words)[0].as_str().unwrap().to_owned();
            let is_there = manifest.iter().any(|object| has_word(object, &word));
            assert!(is_there, "{script}: {word:?} is not in the manifest");
        }
    }
}

fn has_word(value: &Value, word: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| item == word || has_word(item, word)),
        Value::Object(map) => map.values().any(|value| has_word(value, word)),
        _ => false,
    }
}

#[test]
fn their_manifests_are_valid_and_restricted() {
    let schemas = Schemas::load();
    for script in SCRIPTS {
        for object in objects(script) {
            let problems = schemas.problems(&object);
            assert!(problems.is_empty(), "{script}: {problems:#?}");
            let pod = &object["spec"]["template"]["spec"];
            if pod.is_object() {
                assert_eq!(unrestricted(pod), Vec::<String>::new(), "{script}");
                assert_eq!(pod["automountServiceAccountToken"], false, "{script}");
            }
        }
    }
}

/// The label or annotation that an operator sets comes after the start.
#[test]
fn the_application_waits_for_what_an_operator_sets() {
    let stage = Stage::new("wait");
    let annotations = inside(&stage.world, "/etc/podinfo/annotations");
    let zone = std::fs::read(&annotations).unwrap();
    std::fs::write(&annotations, "").unwrap();
    let mut child = stage
        .command(&["sh", "-c", "echo $ZONE"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(child.try_wait().unwrap(), None, "it did not wait");
    std::fs::write(inside(&stage.world, "/etc/podinfo/new"), zone).unwrap();
    std::fs::rename(inside(&stage.world, "/etc/podinfo/new"), &annotations).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "zone-a\n", "{output:?}");
    assert!(output.status.success());
}
