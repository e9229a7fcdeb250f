//! The manifests in the documentation, tested without a cluster.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::examples::{Workload, documents, list};
use super::scene::Scene;
use super::schemas::Schemas;
use crate::world::{introspod, run};

/// Whole objects in the documentation are what the API server takes, and `INTROSPOD_` variables are options.
#[test]
fn the_documentations_manifests_are_valid() {
    let schemas = Schemas::load();
    let help = run(introspod(["exec", "--help"])).stdout;
    let (mut objects, mut options) = (0, 0);
    for (file, text) in documentation() {
        for block in text.split("\n```yaml\n").skip(1) {
            let block = block.split("\n```").next().unwrap();
            for document in documents(block) {
                if document.get("kind").is_some() {
                    let problems = schemas.problems(&document);
                    assert!(problems.is_empty(), "{}: {problems:#?}", file.display());
                    objects += 1;
                }
                for (name, _) in document["data"].as_object().into_iter().flatten() {
                    let option = name.strip_prefix("INTROSPOD_").unwrap().to_lowercase().replace('_', "-");
                    assert!(help.contains(&format!("\n  --{option} ")), "{}: {name}", file.display());
                    options += 1;
                }
            }
        }
    }
    assert!(objects > 0 && options > 3);
}

/// The ConfigMap with options, and the container and the volume beside it, as they stand: nothing lacks.
#[test]
fn the_documented_config_map_brings_no_warning() {
    let (_, text) = documentation().into_iter().find(|(file, _)| file.ends_with("kubernetes.md")).unwrap();
    let blocks = text.split("\n```yaml\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    let mut blocks = blocks.skip_while(|block| !block.contains("kind: ConfigMap"));
    let (map, pod) = (blocks.next().unwrap(), blocks.next().unwrap());
    let map = documents(map).remove(0);
    let pod = documents(pod).remove(0);
    let mut container = pod["containers"][0].clone();
    assert_eq!(container["envFrom"][0]["configMapRef"]["name"], map["metadata"]["name"]);
    let options = map["data"].as_object().unwrap().iter();
    container["env"] = options.map(|(name, value)| json!({"name": name, "value": value})).collect();
    container["resources"] = json!({"limits": {"memory": "64Mi"}});
    let workload = Workload {
        name: "documented".to_owned(),
        pod,
        labels: Value::Null,
        annotations: Value::Null,
        recording: ("deployment-web", "main"),
        recorded: "web-c8d954974-zskd9",
    };
    let scene = Scene::new(&workload, &container);
    let outcome = scene.play(&["exec", "--", "app"].map(str::to_owned)).expect_code(0);
    assert_eq!(outcome.stderr, "");
    for name in ["GOMEMLIMIT=60397977", "OTEL_SERVICE_NAME=web", "POD_LABEL_"] {
        assert!(outcome.stdout.contains(name), "{name}: {}", outcome.stdout);
    }
}

/// Command lines in the documentation have no option that introspod lacks.
#[test]
fn the_documentations_command_lines_have_options_that_exist() {
    let mut seen = 0;
    for (file, text) in documentation() {
        for block in text.split("\n```yaml\n").skip(1) {
            for document in documents(block.split("\n```").next().unwrap()) {
                let mut lines = Vec::new();
                command_lines(&document, &mut lines);
                for line in lines {
                    let help = run(introspod([line[0].as_str(), "--help"])).expect_code(0).stdout;
                    let options =
                        line.iter().take_while(|word| *word != "--").filter(|word| word.starts_with("--"));
                    for option in options {
                        let name = option.split('=').next().unwrap();
                        assert!(
                            help.contains(&format!("\n  {name} ")),
                            "{}: {line:?}: {name}",
                            file.display()
                        );
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 3);
}

/// The `args` of introspod's image and the `command` that starts introspod, without the program.
fn command_lines(value: &Value, lines: &mut Vec<Vec<String>>) {
    let subcommands = ["exec", "write", "print", "watch", "get", "install"];
    for (key, value) in value.as_object().into_iter().flatten() {
        let words: Vec<String> =
            list(value).iter().filter_map(|word| Some(word.as_str()?.to_owned())).collect();
        let skipped = match key.as_str() {
            "args" => 0,
            "command" => 1,
            _ => usize::MAX,
        };
        if words.get(skipped).is_some_and(|word| subcommands.contains(&word.as_str())) {
            lines.push(words[skipped..].to_vec());
        }
        command_lines(value, lines);
    }
    for item in list(value) {
        command_lines(item, lines);
    }
}

/// The README and the files in `docs/`.
pub fn documentation() -> Vec<(PathBuf, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(top.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|suffix| suffix == "md"));
    std::iter::once(top.join("README.md"))
        .chain(pages)
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}
