//! The examples in their files.

use std::path::{Path, PathBuf};

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use crate::world::fixtures;

/// Where a token for the API server is looked for.
pub const API_ACCESS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A folder that `kubectl apply -k` takes.
#[derive(Clone)]
pub struct Example {
    pub name: String,
    pub directory: PathBuf,
}

/// What has a pod: a Pod itself, or what makes pods of a template.
pub struct Workload {
    pub name: String,
    /// The pod's spec.
    pub pod: Value,
    pub labels: Value,
    pub annotations: Value,
    /// The recorded container that plays this workload's, and its pod's name.
    pub recording: (&'static str, &'static str),
    pub recorded: &'static str,
}

pub fn examples_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

pub fn examples() -> Vec<Example> {
    let mut examples: Vec<_> = std::fs::read_dir(examples_directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("kustomization.yaml").exists())
        // It has the policies of admission-policy: `elsewhere` compares them.
        .filter(|path| !path.ends_with("kyverno"))
        .map(|directory| Example {
            name: directory.file_name().unwrap().to_str().unwrap().to_owned(),
            directory,
        })
        .collect();
    examples.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(examples.len(), 12);
    examples
}

pub fn workloads() -> impl Iterator<Item = (Example, Workload)> {
    examples().into_iter().flat_map(|example| {
        let workloads = example.workloads();
        workloads.into_iter().map(move |workload| (example.clone(), workload))
    })
}

impl Example {
    /// What kustomize made of an example that does more than to list files.
    pub fn rendered(&self) -> PathBuf {
        fixtures().join("rendered").join(format!("{}.yaml", self.name))
    }

    /// The objects that are applied.
    pub fn objects(&self) -> Vec<Value> {
        let read = |path: PathBuf| documents(&std::fs::read_to_string(path).unwrap());
        if self.rendered().exists() {
            return read(self.rendered());
        }
        let kustomization = &read(self.directory.join("kustomization.yaml"))[0];
        list(&kustomization["resources"])
            .iter()
            .flat_map(|file| read(self.directory.join(file.as_str().unwrap())))
            .collect()
    }

    /// What an administrator applies, for it is not of the namespace.
    pub fn cluster_role(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.directory.join("cluster-role.yaml")).ok()?;
        documents(&text).pop()
    }

    pub fn workloads(&self) -> Vec<Workload> {
        let mut workloads = Vec::new();
        for object in self.objects() {
            let (recording, recorded, pod) = match object["kind"].as_str().unwrap() {
                "Pod" => (("deployment-web", "main"), "web-c8d954974-zskd9", &object),
                "Deployment" => {
                    (("deployment-web", "main"), "web-c8d954974-zskd9", &object["spec"]["template"])
                }
                "CronJob" => (
                    ("deployment-web", "main"),
                    "web-c8d954974-zskd9",
                    &object["spec"]["jobTemplate"]["spec"]["template"],
                ),
                "StatefulSet" => (("statefulset-db-0", "main"), "db-0", &object["spec"]["template"]),
                _ => continue,
            };
            workloads.push(Workload {
                name: name(&object),
                pod: pod["spec"].clone(),
                labels: pod["metadata"]["labels"].clone(),
                annotations: pod["metadata"]["annotations"].clone(),
                recording,
                recorded,
            });
        }
        workloads
    }

    /// The names of a StatefulSet's pods; null where pods' names are not stable.
    pub fn stable_pod_names(&self) -> Value {
        self.objects().iter().find(|object| object["kind"] == "StatefulSet").map_or(Value::Null, |set| {
            let replicas = set["spec"]["replicas"].as_u64().unwrap();
            (0..replicas).map(|ordinal| format!("{}-{ordinal}", name(set))).collect()
        })
    }
}

impl Workload {
    pub fn containers(&self) -> impl Iterator<Item = &Value> {
        ["initContainers", "containers"].into_iter().flat_map(|key| list(&self.pod[key]))
    }

    pub fn volume(&self, name: &Value) -> &Value {
        list(&self.pod["volumes"]).iter().find(|volume| volume["name"] == *name).unwrap()
    }

    pub fn asks_the_api(&self) -> bool {
        self.containers().any(|container| {
            list(&container["volumeMounts"]).iter().any(|mount| mount["mountPath"] == API_ACCESS)
        })
    }

    /// The audiences of the tokens that are mounted beside those for the API.
    pub fn token_audiences(&self) -> Vec<&Value> {
        let volumes = list(&self.pod["volumes"]).iter();
        let sources = volumes.flat_map(|volume| list(&volume["projected"]["sources"]));
        let tokens: Vec<_> = sources.filter_map(|source| source.get("serviceAccountToken")).collect();
        let (others, api): (Vec<_>, Vec<_>) =
            tokens.iter().map(|token| &token["audience"]).partition(|audience| audience.is_string());
        assert_eq!(!api.is_empty(), self.asks_the_api(), "{}", self.name);
        others
    }
}

/// The command lines of introspod that a container starts, as its own process and as a hook, without the program.
pub fn introspod_lines(container: &Value) -> Vec<Vec<String>> {
    let image = container["image"].as_str().unwrap();
    let strings = |value: &Value| -> Vec<String> {
        list(value).iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let (mut command, mut arguments) = (strings(&container["command"]), strings(&container["args"]));
    if command.is_empty() {
        let Some((entrypoint, cmd)) = image_command(image) else { return Vec::new() };
        command = entrypoint;
        if arguments.is_empty() {
            arguments = cmd;
        }
    }
    command.append(&mut arguments);
    let hook = strings(&container["lifecycle"]["postStart"]["exec"]["command"]);
    [command, hook]
        .into_iter()
        .filter(|words| words.first().is_some_and(|program| program.ends_with("/introspod")))
        .map(|mut words| words.split_off(1))
        .collect()
}

/// `ENTRYPOINT` and `CMD` of those images that are built here.
pub fn image_command(image: &str) -> Option<(Vec<String>, Vec<String>)> {
    let name = image.strip_prefix("ghcr.io/introspod/")?.split(':').next().unwrap();
    let dockerfile = match name.strip_prefix("example-") {
        Some(example) => examples_directory().join(example).join("Dockerfile"),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile"),
    };
    let text = std::fs::read_to_string(dockerfile).unwrap();
    let words = |instruction: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(instruction))
            .map_or(Vec::new(), |words| serde_json::from_str(words).unwrap())
    };
    Some((words("ENTRYPOINT "), words("CMD ")))
}

/// The documents of a YAML file that are not empty.
pub fn documents(text: &str) -> Vec<Value> {
    YamlLoader::load_from_str(text).unwrap().iter().map(json).filter(|value| !value.is_null()).collect()
}

fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::String(text) => Value::from(text.as_str()),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Real(_) => Value::from(yaml.as_f64()),
        Yaml::Boolean(truth) => Value::from(*truth),
        Yaml::Array(items) => items.iter().map(json).collect(),
        Yaml::Hash(hash) => Value::Object(
            hash.iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), json(value))).collect(),
        ),
        Yaml::Null => Value::Null,
        Yaml::Alias(_) | Yaml::BadValue => panic!("{yaml:?}"),
    }
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

pub fn identity(object: &Value) -> String {
    format!("{} {}", object["kind"], name(object))
}
