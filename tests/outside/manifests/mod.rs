//! The examples, tested without a cluster. The schemas of the API server accept every object. Every pod
//! meets the `restricted` Pod Security Standard and has only the permissions that it needs. introspod
//! accepts every command line.

mod documentation;
mod elsewhere;
mod entrypoint_scripts;
mod examples;
mod policy;
mod restricted;
mod scene;
pub mod schemas;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::needs::needs;
use crate::world::{INTROSPOD, introspod, pod_json, run};
use documentation::documentation;
use examples::{
    Workload, documents, examples, examples_directory, identity, image_command, introspod_lines, list, name,
    workloads,
};
use restricted::unrestricted;
use scene::Scene;
use schemas::Schemas;

#[test]
fn schemas_accept_every_object() {
    let schemas = Schemas::load();
    for example in examples() {
        for object in example.objects().into_iter().chain(example.cluster_role()) {
            let problems = schemas.problems(&object);
            assert!(problems.is_empty(), "{}: {problems:#?}", example.name);
        }
    }
}

#[test]
fn schemas_refuse_what_the_api_server_refuses() {
    let schemas = Schemas::load();
    let refused = [
        ("{apiVersion: v1, kind: Pot}", "no schema"),
        ("{apiVersion: v1, kind: Pod, spec: {container: []}}", "Pod.spec.container: unknown"),
        ("{apiVersion: v1, kind: Pod, spec: {}}", "Pod.spec.containers: missing"),
        (
            "{apiVersion: v1, kind: Pod, spec: {containers: [{name: 1}]}}",
            "Pod.spec.containers[0].name: not a string",
        ),
        (
            "{apiVersion: v1, kind: Pod, spec: {containers: [], restartPolicy: Ever}}",
            "Pod.spec.restartPolicy: not one of",
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {labels: {a: 1}}, spec: {containers: []}}",
            "Pod.metadata.labels.a: not a string",
        ),
        (
            "{apiVersion: v1, kind: Pod, spec: {containers: [{name: a, resources: {limits: {cpu: [1]}}}]}}",
            "Pod.spec.containers[0].resources.limits.cpu: of none of its types",
        ),
    ];
    for (yaml, problem) in refused {
        let problems = schemas.problems(&documents(yaml)[0]);
        assert!(problems.iter().any(|told| told.starts_with(problem)), "{yaml}: {problems:?}");
    }
}

/// Reading the files is enough for the other tests, wherever this one passes.
#[test]
fn kubectl_renders_what_the_files_say() {
    if !needs_kubectl() {
        return;
    }
    for example in examples() {
        let output = Command::new("kubectl").arg("kustomize").arg(&example.directory).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let rendered = documents(&String::from_utf8(output.stdout).unwrap());
        let by_name = |objects: Vec<Value>| -> BTreeMap<String, Value> {
            objects.into_iter().map(|object| (identity(&object), object)).collect()
        };
        assert_eq!(
            by_name(rendered),
            by_name(example.objects()),
            "{}; where {} exists, it is what kubectl kustomize prints",
            example.name,
            example.rendered().display(),
        );
    }
}

/// The example has a Deployment and a CronJob; the component is for the other kinds too. What a workload has stays.
#[test]
fn the_component_adds_its_initcontainer_to_every_kind() {
    if !needs_kubectl() {
        return;
    }
    let example = examples().into_iter().find(|example| example.name == "kustomize-component").unwrap();
    let spec = "{initContainers: [{name: own}], containers: [{name: app}], volumes: [{name: own}]}";
    let template = |group: &str, kind: &str| {
        format!(
            "{{apiVersion: {group}, kind: {kind}, metadata: {{name: x}}, spec: {{template: {{spec: {spec}}}}}}}"
        )
    };
    let kinds =
        ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"].map(|kind| template("apps/v1", kind));
    let others = [
        template("batch/v1", "Job"),
        template("argoproj.io/v1alpha1", "Rollout"),
        format!("{{apiVersion: v1, kind: Pod, metadata: {{name: x}}, spec: {spec}}}"),
        // Not Kubernetes' own: it has no pod's template there.
        "{apiVersion: batch.volcano.sh/v1alpha1, kind: Job, metadata: {name: x}, spec: {tasks: []}}"
            .to_owned(),
    ];
    let directory = tempfile::tempdir().unwrap();
    let component = directory.path().join("component");
    std::fs::create_dir(&component).unwrap();
    for entry in std::fs::read_dir(example.directory.join("component")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, component.join(path.file_name().unwrap())).unwrap();
    }
    let objects: Vec<_> = kinds.into_iter().chain(others).collect();
    std::fs::write(directory.path().join("objects.yaml"), objects.join("\n---\n")).unwrap();
    let kustomization = "resources: [objects.yaml]\ncomponents: [component]\n";
    std::fs::write(directory.path().join("kustomization.yaml"), kustomization).unwrap();
    let output = Command::new("kubectl").arg("kustomize").arg(directory.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let rendered = documents(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(rendered.len(), objects.len());
    for object in rendered {
        if object["spec"].get("tasks").is_some() {
            assert_eq!(object["spec"], serde_json::json!({"tasks": []}));
            continue;
        }
        let spec = &object["spec"];
        let pod = if object["kind"] == "Pod" { spec } else { &spec["template"]["spec"] };
        let names = |key: &str| list(&pod[key]).iter().map(|item| item["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names("initContainers"), ["own", "introspod"], "{}", object["kind"]);
        assert_eq!(names("volumes"), ["own", "introspod", "introspod-podinfo"], "{}", object["kind"]);
    }
}

#[test]
fn every_pod_keeps_to_the_restricted_standard() {
    for (example, workload) in workloads() {
        let problems = unrestricted(&workload.pod);
        assert!(problems.is_empty(), "{} {}: {problems:#?}", example.name, workload.name);
    }
}

#[test]
fn whoever_asks_the_api_may_get_pods_and_nobody_else_may_anything() {
    for example in examples() {
        let objects = example.objects();
        let mut askers = BTreeSet::new();
        for workload in example.workloads() {
            let account = workload.pod["serviceAccountName"].as_str();
            // The minimal example takes what every pod gets.
            let is_mounted = workload.pod["automountServiceAccountToken"] != false;
            assert_eq!(is_mounted, example.name == "minimal", "{}", example.name);
            if workload.asks_the_api() {
                askers.insert(account.unwrap_or("default").to_owned());
            } else {
                assert_eq!(account, None, "{}: {} needs none", example.name, workload.name);
            }
            for audience in workload.token_audiences() {
                assert_eq!(audience, "introspod", "{}", example.name);
            }
        }

        let mut accounts: BTreeSet<_> =
            objects.iter().filter(|object| object["kind"] == "ServiceAccount").map(name).collect();
        if askers.contains("default") {
            accounts.insert("default".to_owned());
        }
        assert_eq!(accounts, askers, "{}", example.name);

        let mut bound = BTreeSet::new();
        for binding in &objects {
            // Somebody else's namespace cannot be known beforehand.
            assert_ne!(binding["kind"], "ClusterRoleBinding", "{}", example.name);
            if binding["kind"] != "RoleBinding" {
                continue;
            }
            let role = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
            let role = objects
                .iter()
                .find(|object| (&object["kind"], &object["metadata"]["name"]) == role)
                .unwrap_or_else(|| panic!("{}: no such role: {role:?}", example.name));
            assert_allows_get(role, "pods", &example.stable_pod_names());
            bound.extend(list(&binding["subjects"]).iter().map(|subject| {
                assert_eq!(subject["kind"], "ServiceAccount");
                subject["name"].as_str().unwrap().to_owned()
            }));
        }
        assert_eq!(bound, askers, "{}", example.name);
        if let Some(role) = example.cluster_role() {
            assert_allows_get(&role, "nodes", &Value::Null);
        }
    }
}

/// `role` allows `get` of `resource`, by these names or any, and nothing else.
fn assert_allows_get(role: &Value, resource: &str, names: &Value) {
    let [rule] = list(&role["rules"]) else { panic!("{role}") };
    assert_eq!(list(&rule["apiGroups"]), [""], "{role}");
    assert_eq!(list(&rule["resources"]), [resource], "{role}");
    assert_eq!(list(&rule["verbs"]), ["get"], "{role}");
    assert_eq!(rule["resourceNames"], *names, "{role}");
}

/// A container whose image has its program where a volume is mounted cannot start ("not a directory").
#[test]
fn nothing_is_mounted_over_a_program_of_the_image() {
    let (entrypoint, _) = image_command("ghcr.io/introspod/introspod:0.1.0").unwrap();
    let program = Path::new(&entrypoint[0]);
    let hides = |mount: &str| program.starts_with(mount) || Path::new(mount).starts_with(program);
    assert!(hides("/introspod") && hides("/introspod/") && hides("/") && !hides("/run/introspod"));
    let mut seen = 0;
    for (example, workload) in workloads() {
        for container in workload.containers() {
            for mount in list(&container["volumeMounts"]) {
                let path = mount["mountPath"].as_str().unwrap();
                assert!(!hides(path), "{} {}: {path}", example.name, container["name"]);
                seen += 1;
            }
        }
    }
    assert!(seen > 10);
    for (file, text) in documentation() {
        for line in text.lines() {
            let Some((_, path)) = line.split_once("mountPath: ") else { continue };
            let path = path.split([',', '}', ' ']).next().unwrap();
            assert!(!hides(path), "{}: {line}", file.display());
        }
    }
}

#[test]
fn every_command_line_is_one_that_introspod_takes() {
    let mut seen = BTreeSet::new();
    for (example, workload) in workloads() {
        for container in workload.containers() {
            for line in introspod_lines(container) {
                assert_introspod_takes(&example.name, &workload, container, &line);
                seen.insert(line[0].clone());
            }
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["exec", "install", "print", "watch", "write"]);
}

fn assert_introspod_takes(example: &str, workload: &Workload, container: &Value, line: &[String]) {
    let told = format!("{example} {}: {line:?}", container["name"]);
    let scene = Scene::new(workload, container);
    let outcome = scene.play(line);
    assert_eq!(outcome.code, 0, "{told}: {outcome:#?}");
    let help = run(introspod([line[0].as_str(), "--help"])).stdout;
    for (variable, _) in &scene.options {
        // A variable that belongs to no option would be ignored.
        let name = variable.trim_start_matches("INTROSPOD_").to_lowercase().replace('_', "-");
        let option = format!("--{name}");
        assert!(help.split_whitespace().any(|word| word == option), "{told}: {variable}");
    }
    if line[0] == "install" {
        assert!(scene.file("introspod").is_file(), "{told}");
        return;
    }

    // Without the API nothing that is wanted lacks, but where the example is about asking.
    let is_silent = outcome.stderr.is_empty();
    assert_eq!(is_silent, !workload.asks_the_api(), "{told}: {}", outcome.stderr);
    let texts = match line[0].as_str() {
        "exec" | "print" => vec![outcome.stdout],
        _ => {
            let outs = scene.outs(line);
            outs.iter().map(|out| std::fs::read_to_string(scene.file(out)).unwrap()).collect()
        }
    };
    assert!(!texts.is_empty(), "{told}");
    for text in texts {
        assert!(text.contains(workload.recorded), "{told}: no pod's name in {text}");
        assert!(text.contains("kt-node-1"), "{told}: no node's name in {text}");
    }
}

#[test]
fn every_key_that_a_container_takes_from_a_file_is_written_there() {
    let mut keys = 0;
    for (example, workload) in workloads() {
        for container in workload.containers() {
            for variable in list(&container["env"]) {
                let reference = &variable["valueFrom"]["fileKeyRef"];
                let Some(key) = reference["key"].as_str() else { continue };
                keys += 1;
                let writer = &list(&workload.pod["initContainers"])[0];
                let scene = Scene::new(&workload, writer);
                let line = introspod_lines(writer).remove(0);
                let mut command = scene.command(&line);
                if workload.asks_the_api() {
                    command.env("INTROSPOD_POD", pod_json(workload.recording.0));
                }
                run(command).expect_code(0);
                let text = std::fs::read_to_string(scene.file(reference["path"].as_str().unwrap())).unwrap();
                assert!(
                    text.lines().any(|line| line.starts_with(&format!("{key}='"))),
                    "{}: no {key} in {text}",
                    example.name
                );
            }
        }
    }
    assert!(keys > 0);
}

#[test]
fn dry_run_does_what_its_readme_says() {
    let readme = std::fs::read_to_string(examples_directory().join("dry-run/README.md")).unwrap();
    let commands: Vec<_> = readme.lines().filter(|line| line.starts_with("introspod ")).collect();
    assert!(!commands.is_empty());
    for line in commands {
        let mut command = Command::new("sh");
        command
            .args(["-c", &line.replacen("introspod", INTROSPOD, 1)])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin");
        let outcome = run(command).expect_code(0);
        let pod = match line {
            _ if line.contains("--pod") => "db-0",
            _ if line.contains("/plain") => "web-c8d954974-zskd9",
            _ => "downward",
        };
        assert!(outcome.stdout.contains(pod), "{line}: {outcome:?}");
    }
}

#[test]
fn every_readme_fits_on_a_screen() {
    for entry in std::fs::read_dir(examples_directory()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let readme = path.join("README.md");
            let text = std::fs::read_to_string(&readme).unwrap();
            assert!(text.lines().count() <= 40, "{}", readme.display());
        }
    }
}

/// Whether there is a kubectl here that knows components: 1.21 or later.
fn needs_kubectl() -> bool {
    needs("kubectl 1.21 or later, as .ci/run gets it", || {
        let arguments = ["version", "--client", "--output", "json"];
        let Ok(output) = Command::new("kubectl").args(arguments).output() else { return false };
        let version: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
        minor.trim_end_matches('+').parse().is_ok_and(|minor: u32| minor >= 21)
    })
}
