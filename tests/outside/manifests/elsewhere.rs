//! What does the admission policy's work on clusters that have none: Kyverno, and a Helm chart.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::examples::{documents, examples_directory, list};
use super::needs_kubectl;
use super::restricted::unrestricted;
use super::schemas::Schemas;
use crate::needs::{needs, succeeds};

fn rendered(command: &mut Command) -> Vec<Value> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    documents(&String::from_utf8(output.stdout).unwrap())
}

fn kustomized(name: &str) -> Vec<Value> {
    rendered(Command::new("kubectl").arg("kustomize").arg(examples_directory().join(name)))
}

/// A MutatingPolicy of Kyverno is the admission policy, and selects what that one's binding selects.
#[test]
fn kyverno_s_policies_are_the_admission_policies() {
    if !needs_kubectl() {
        return;
    }
    let (bindings, policies): (Vec<_>, Vec<_>) = kustomized("admission-policy")
        .into_iter()
        .partition(|object| object["kind"] == "MutatingAdmissionPolicyBinding");
    let expected: Vec<_> = policies
        .into_iter()
        .map(|mut policy| {
            let name = &policy["metadata"]["name"];
            let binding = bindings.iter().find(|binding| binding["spec"]["policyName"] == *name).unwrap();
            for (key, value) in binding["spec"]["matchResources"].as_object().unwrap() {
                policy["spec"]["matchConstraints"][key] = value.clone();
            }
            policy["apiVersion"] = json!("policies.kyverno.io/v1beta1");
            policy["kind"] = json!("MutatingPolicy");
            policy["spec"]["autogen"] = json!({"podControllers": {"controllers": []}});
            policy["spec"]["evaluation"] = json!({"background": {"enabled": false}});
            policy
        })
        .collect();
    assert_eq!(kustomized("kyverno"), expected);
    assert_eq!(expected.len(), 2);
}

/// Kyverno computes a policy's variables once, before the first mutation: an environment from one of them is without
/// what that mutation has added.
#[test]
fn a_later_mutation_takes_the_environment_from_the_object() {
    if !needs_kubectl() {
        return;
    }
    for policy in kustomized("kyverno") {
        for mutation in list(&policy["spec"]["mutations"]).iter().skip(1) {
            let expression = mutation["jsonPatch"]["expression"].as_str().unwrap();
            assert!(expression.contains("object.spec[c.list][c.index].?env"), "{expression}");
            assert!(!expression.contains("c.env"), "{expression}");
        }
    }
}

/// The objects of the chart with these values.
fn chart(settings: &[&str]) -> Vec<Value> {
    let mut command = Command::new("helm");
    command.args(["template", "web"]).arg(examples_directory().join("helm"));
    rendered(command.args(settings.iter().flat_map(|setting| ["--set-json", setting])))
}

/// The variables of the chart's container.
fn variables(settings: &[&str]) -> BTreeMap<String, Value> {
    let [object] = &chart(settings)[..] else { panic!("one object") };
    assert!(Schemas::load().problems(object).is_empty());
    let pod = &object["spec"]["template"]["spec"];
    assert!(unrestricted(pod).is_empty());
    let variables = list(&list(&pod["containers"])[0]["env"]).iter();
    variables.map(|variable| (variable["name"].as_str().unwrap().to_owned(), variable.clone())).collect()
}

#[test]
fn the_chart_sets_what_the_policy_sets() {
    if !needs("helm", || succeeds(Command::new("helm").arg("version"))) {
        return;
    }
    let told =
        variables(&["resources={\"limits\":{\"cpu\":1,\"memory\":\"64Mi\"},\"requests\":{\"cpu\":\"5m\"}}"]);
    let policy = Path::new("admission-policy/variables.yaml");
    let policy = std::fs::read_to_string(examples_directory().join(policy)).unwrap();
    for (name, variable) in &told {
        if name == "GREETING" {
            continue;
        }
        assert!(policy.contains(&format!("'{name}'")), "{name}");
        if let Some(path) = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            assert!(policy.contains(&format!("['{name}', '{path}']")), "{name}: {path}");
        }
        let resource = &variable["valueFrom"]["resourceFieldRef"];
        if let Some((list, resource)) = resource["resource"].as_str().and_then(|path| path.split_once('.')) {
            let divisor = variable["valueFrom"]["resourceFieldRef"]["divisor"].as_str().unwrap();
            let row = format!("['{name}', '{list}', '{resource}', '{divisor}']");
            assert!(policy.contains(&row), "{row}");
        }
    }
    assert_eq!(told["WORKLOAD_NAME"]["value"], "web");
    assert_eq!(told.keys().filter(|name| name.starts_with("CONTAINER_")).count(), 4);
    assert!(told["OTEL_RESOURCE_ATTRIBUTES"]["value"].as_str().unwrap().contains("k8s.deployment.name=web,"));
}

#[test]
fn the_chart_takes_no_limit_for_the_node_s_size() {
    if !needs("helm", || succeeds(Command::new("helm").arg("version"))) {
        return;
    }
    for resources in ["{\"limits\":{\"memory\":\"0\",\"cpu\":0}}", "{\"limits\":null}", "null"] {
        let told = variables(&[&format!("resources={resources}"), "otel=false"]);
        let added: Vec<_> =
            told.keys().filter(|name| name.contains("LIMIT") || name.starts_with("OTEL")).collect();
        assert!(added.is_empty(), "{resources}: {added:?}");
    }
}
