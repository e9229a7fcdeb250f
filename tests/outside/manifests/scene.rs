//! Runs a container of a manifest with the files of a recorded container.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::examples::{API_ACCESS, Workload, list};
use crate::world::{Outcome, World, introspod, pod_json, recorded, run};

/// The container, its options that are variables, and where its files go.
pub struct Scene {
    world: World,
    pub options: Vec<(String, String)>,
    written: tempfile::TempDir,
}

impl Scene {
    pub fn new(workload: &Workload, container: &Value) -> Self {
        let (pod, main) = workload.recording;
        let world = World::recorded(pod, main);
        world.write("proc/self/environ", "");
        if workload.pod["automountServiceAccountToken"] == false {
            world.remove(API_ACCESS);
        }
        for mount in list(&container["volumeMounts"]) {
            let directory = mount["mountPath"].as_str().unwrap();
            for (file, content) in projected(workload, workload.volume(&mount["name"])) {
                world.write(&format!("{directory}/{file}"), content);
            }
        }
        let limits = &container["resources"]["limits"];
        let number =
            |quantity: &str, unit: &str| -> u64 { quantity.strip_suffix(unit).unwrap().parse().unwrap() };
        if let Some(memory) = limits["memory"].as_str() {
            let bytes = number(memory, "Mi") << 20;
            world.write("sys/fs/cgroup/memory/memory.limit_in_bytes", bytes.to_string());
        }
        if let Some(cpu) = limits["cpu"].as_str() {
            let quota = number(cpu, "m") * 100;
            world.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota.to_string());
        }
        let options = list(&container["env"])
            .iter()
            .filter_map(|variable| {
                let name = variable["name"].as_str().unwrap();
                name.starts_with("INTROSPOD_")
                    .then(|| (name.to_owned(), variable["value"].as_str().unwrap().to_owned()))
            })
            .collect();
        Scene { world, options, written: tempfile::tempdir().unwrap() }
    }

    /// Where a file went that the manifest puts somewhere else.
    pub fn file(&self, path: &str) -> PathBuf {
        self.written.path().join(Path::new(path).file_name().unwrap())
    }

    /// The files that a command writes, by its own words and by the container's variables.
    pub fn outs(&self, line: &[String]) -> Vec<String> {
        let words = line.iter().filter_map(|word| word.strip_prefix("--out="));
        let variables = self.options.iter().filter(|(name, _)| name == "INTROSPOD_OUT");
        words.chain(variables.flat_map(|(_, value)| value.lines())).map(str::to_owned).collect()
    }

    /// The command of the manifest, with other paths of files, another application and another API server.
    pub fn command(&self, line: &[String]) -> Command {
        let mut words = Vec::new();
        for word in line {
            match word.strip_prefix("--out=") {
                Some(path) => words.push(format!("--out={}", self.file(path).display())),
                None => words.push(word.clone()),
            }
        }
        match words[0].as_str() {
            "exec" => {
                let end = words.iter().position(|word| word == "--").unwrap();
                words.truncate(end + 1);
                words.push("env".to_owned());
            }
            "install" => words[1] = self.written.path().to_str().unwrap().to_owned(),
            _ => {}
        }
        let mut command = introspod(&words);
        for (name, value) in &self.options {
            match name.as_str() {
                "INTROSPOD_OUT" => command.env(name, self.file(value)),
                _ => command.env(name, value),
            };
        }
        command.env("INTROSPOD_API", "never");
        if words[0] != "install" {
            command.env("INTROSPOD_ROOT", self.world.path());
        }
        command
    }

    /// Runs the manifest's command; what would stay is ended once it has written its files.
    pub fn play(&self, line: &[String]) -> Outcome {
        let mut command = self.command(line);
        if line[0] != "watch" {
            return run(command);
        }
        let log = self.world.path().join("stderr");
        command.stderr(std::fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        if wait_for(&mut child, || self.outs(line).iter().all(|out| self.file(out).exists())) {
            kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        }
        let status = child.wait().unwrap();
        let stderr = std::fs::read_to_string(log).unwrap();
        Outcome { code: status.code().unwrap_or(-1), stdout: String::new(), stderr }
    }
}

/// Waits until `condition` is true or ten seconds are over; false if the child ended meanwhile.
fn wait_for(child: &mut Child, condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if condition() || start.elapsed() > Duration::from_secs(10) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// The files that the kubelet would put into a projected volume.
fn projected(workload: &Workload, volume: &Value) -> Vec<(String, String)> {
    let (pod, main) = workload.recording;
    let access = recorded(pod, main).join(API_ACCESS.trim_start_matches('/')).join("..data");
    let recorded = |file: &str| std::fs::read_to_string(access.join(file)).unwrap();
    let path = |item: &Value| item["path"].as_str().unwrap().to_owned();
    let mut files = Vec::new();
    for source in list(&volume["projected"]["sources"]) {
        if let Some(token) = source.get("serviceAccountToken") {
            files.push((path(token), recorded("token")));
        }
        for item in list(&source["configMap"]["items"]) {
            files.push((path(item), recorded(item["key"].as_str().unwrap())));
        }
    }
    let sources = list(&volume["projected"]["sources"]).iter().map(|source| &source["downwardAPI"]);
    for item in sources.chain([&volume["downwardAPI"]]).flat_map(|source| list(&source["items"])) {
        let content = match item["fieldRef"]["fieldPath"].as_str().unwrap() {
            "metadata.namespace" => recorded("namespace"),
            "metadata.annotations" => lines(&workload.annotations),
            "metadata.labels" => {
                let pod: Value = serde_json::from_slice(&std::fs::read(pod_json(pod)).unwrap()).unwrap();
                let mut labels = pod["metadata"]["labels"].as_object().unwrap().clone();
                labels.extend(
                    workload.labels.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())),
                );
                lines(&Value::Object(labels))
            }
            other => panic!("no content for {other}"),
        };
        files.push((path(item), content));
    }
    files
}

/// A map as a downward volume has it.
fn lines(map: &Value) -> String {
    let map: BTreeMap<_, _> = map.as_object().into_iter().flatten().collect();
    map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("\n")
}
