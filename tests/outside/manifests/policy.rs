//! The admission policy sets the same OpenTelemetry attributes as `--otel`.
//!
//! These tests evaluate the text of the policy. tests/cluster has an API server evaluate it. A unit test
//! beside the table of fields compares its variables with the table.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::examples::{documents, examples_directory, list};
use crate::world::{introspod, pod_json, run_with_input};

/// An expression of the policy, by the name of the variable.
fn expression(name: &str) -> String {
    let file = examples_directory().join("admission-policy/variables.yaml");
    let policy = documents(&std::fs::read_to_string(file).unwrap()).remove(1);
    let variables = list(&policy["spec"]["variables"]);
    let variable = variables.iter().find(|variable| variable["name"] == name).unwrap();
    variable["expression"].as_str().unwrap().to_owned()
}

/// The texts between single quotes, with `\\` for a backslash.
fn texts(expression: &str) -> Vec<String> {
    expression.split('\'').skip(1).step_by(2).map(|text| text.replace("\\\\", "\\")).collect()
}

/// A pod with what matters to OpenTelemetry.
fn pod(owner: Option<&str>, annotations: &Value) -> Value {
    let mut pod: Value = serde_json::from_slice(&std::fs::read(pod_json("deployment-web")).unwrap()).unwrap();
    pod["metadata"]["labels"] = json!({"app.kubernetes.io/version": "1.0"});
    pod["metadata"]["annotations"] = annotations.clone();
    pod["metadata"]["ownerReferences"] = match owner {
        Some(kind) => {
            let api = match kind {
                "Job" | "CronJob" => "batch/v1",
                "ReplicationController" => "v1",
                "Rollout" => "argoproj.io/v1alpha1",
                _ => "apps/v1",
            };
            json!([{"apiVersion": api, "kind": kind, "name": "owner", "uid": "u", "controller": true}])
        }
        None => json!([]),
    };
    pod
}

/// What `--otel` makes of a pod: the variables.
fn told(pod: &Value) -> Value {
    let command = introspod(["print", "--pod=-", "--otel", "--format=json", "--container=main"]);
    run_with_input(command, pod.to_string().as_bytes()).expect_code(0).json()["variables"].clone()
}

fn attributes(variables: &Value) -> BTreeSet<String> {
    let text = variables["OTEL_RESOURCE_ATTRIBUTES"].as_str().unwrap();
    text.split(',').map(|pair| pair.split_once('=').unwrap().0.to_owned()).collect()
}

#[test]
fn the_policy_describes_the_kinds_that_the_program_describes() {
    let described = texts(&expression("described"));
    assert!(described.len() > 3);
    let others = ["ReplicationController", "Rollout"].map(str::to_owned);
    for kind in described.iter().chain(&others) {
        let told = attributes(&told(&pod(Some(kind), &json!({}))));
        let attribute = format!("k8s.{}.name", kind.to_lowercase());
        assert_eq!(told.contains(&attribute), described.contains(kind), "{kind}: {told:?}");
    }
}

#[test]
fn the_policy_has_the_programs_attributes() {
    let own = ["container.id", "k8s.deployment.name"];
    let told = attributes(&told(&pod(Some("Deployment"), &json!({}))));
    let policy = format!("{}\n{}", expression("found"), expression("pairs"));
    let is_attribute = |text: &String| {
        (text.starts_with("k8s.") || text.starts_with("service."))
            && text.matches('.').count() > 0
            && !text.ends_with('.')
    };
    let named: BTreeSet<_> = texts(&policy).into_iter().filter(is_attribute).collect();
    let expected: BTreeSet<_> = told.into_iter().filter(|name| !own.contains(&name.as_str())).collect();
    assert_eq!(named, expected);
}

/// The policy's replacements, one after the other, make of all of ASCII what the program makes of it. Only `$`
/// differs: in a manifest it could begin a reference, so the policy encodes it too, which every SDK decodes.
#[test]
fn the_policy_encodes_as_the_program_does() {
    let ascii: String = (' '..='~').collect();
    let annotated = expression("annotated");
    let replacements = annotated.split_once(".replace(").unwrap().1;
    let texts = texts(&format!("({replacements}"));
    let mut encoded = ascii.clone();
    for pair in texts.chunks(2) {
        encoded = encoded.replace(&pair[0], &pair[1]);
    }
    let told = told(&pod(None, &json!({"resource.opentelemetry.io/ascii": ascii})));
    let told = told["OTEL_RESOURCE_ATTRIBUTES"].as_str().unwrap();
    let told = told.split(',').find_map(|pair| pair.strip_prefix("ascii=")).unwrap();
    assert_eq!(encoded.replace("%24", "$"), told);
}
