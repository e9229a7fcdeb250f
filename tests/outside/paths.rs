//! Paths into objects, with `--pod`: what is there, what is missing, and what is private.

use serde_json::{Value, json};

use crate::made::{only_line, pod, run_with_pod, variables};

fn example() -> Value {
    let mut pod = pod(json!({"annotations": {"example.com/rack": "r7"}, "labels": {"env": "prod"}}));
    pod["spec"]["terminationGracePeriodSeconds"] = json!(30);
    pod["spec"]["hostNetwork"] = json!(false);
    pod["spec"]["nodeSelector"] = json!({"env": "prod"});
    pod["spec"]["tolerations"] = json!([{"key": "gpu", "operator": "Exists"}, {"key": "spot"}]);
    pod["spec"]["volumes"] = json!([{"name": "a", "configMap": {"name": "first"}},
                                    {"name": "a", "configMap": {"name": "second"}}]);
    pod["spec"]["containers"] = json!([
        {"name": "side", "image": "s:1"},
        {"name": "app", "image": "i:1", "args": ["--password=p4ss"],
         "ports": [{"name": "metrics", "containerPort": 9090}, {"name": "http", "containerPort": 8080}],
         "env": [{"name": "OTHER", "value": "x"}, {"name": "TOKEN", "value": "s3cret"}]},
    ]);
    pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = json!("app");
    pod
}

fn print(options: &[&str]) -> crate::world::Outcome {
    run_with_pod("print", [&["--format=json"], options].concat(), &example())
}

#[test]
fn scalars_of_every_type() {
    for (path, expected) in [
        ("pod.spec.terminationGracePeriodSeconds", "30"),
        ("pod.spec.hostNetwork", "false"),
        ("pod.spec.containers.[name=app].ports.[name=http].containerPort", "8080"),
        ("pod.spec.containers.[name=app].ports.[containerPort=9090].name", "metrics"),
        ("pod.spec.containers.1.ports.0.containerPort", "9090"),
        ("pod.metadata.annotations['example.com/rack']", "r7"),
        ("pod.metadata.labels['env']", "prod"),
        ("pod.spec.nodeSelector['env']", "prod"),
        ("pod.spec.tolerations.0.key", "gpu"),
        ("pod.spec.tolerations.[key='spot'].key", "spot"),
        // Of several elements that match the first.
        ("pod.spec.volumes.[name=a].configMap.name", "first"),
        ("pod.spec.terminationGracePeriodSeconds - 5", "25"),
        ("pod.spec.priorityClassName:-'none'", "none"),
        ("pod.spec.volumes.[name=b].configMap.name:-pod.spec.volumes.1.configMap.name", "second"),
    ] {
        let told = variables(["--set", &format!("V={path}")], &example());
        assert_eq!(told["V"], expected, "{path}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (path, why) in [
        ("pod.spec.priorityClassName", "no such member: priorityClassName"),
        ("pod.spec.containers.[name=ap].image", "no such element: [name=ap]"),
        ("pod.spec.tolerations.2.key", "no such element: 2"),
        ("pod.spec.hostNetwork.x", "no such member: x"),
        ("pod.spec.containers", "an object or a list"),
        ("pod.spec.volumes.0", "an object or a list"),
        ("node.spec.podCIDR", "not in a Pod object"),
        ("namespace.metadata.labels['env']", "not in a Pod object"),
    ] {
        let outcome = print(&["--set", &format!("V={path}")]).expect_code(0);
        assert_eq!(outcome.json()["variables"]["V"], Value::Null, "{path}");
        let line = only_line(&outcome);
        assert!(line.contains("V is not set: ") && line.contains(why), "{path}: {line}");
    }
}

#[test]
fn what_is_below_env_and_args_is_private() {
    for path in [
        "pod.spec.containers.[name=app].env.[name=TOKEN].value",
        "pod.spec.containers.1.args.0",
        "pod.spec.containers.1['env'].1.value",
    ] {
        let outcome = print(&["--explain", "--set", &format!("V={path}")]).expect_code(0);
        for secret in ["s3cret", "p4ss"] {
            assert!(
                !outcome.stdout.contains(secret) && !outcome.stderr.contains(secret),
                "{path}: {outcome:?}"
            );
        }
        let outcome = print(&["--require=V", "--set", &format!("V={path}")]);
        assert!(!outcome.stderr.contains("s3cret"), "{path}: {outcome:?}");
    }
}

#[test]
fn what_is_no_path_is_a_usage_error() {
    for text in
        ["spec.priorityClassName", "metadata.generateName", "pod.spec", "pod.spec..a", "pods.spec.a.b"]
    {
        let outcome = print(&["--set", &format!("V={text}")]).expect_code(2);
        assert_eq!(outcome.stdout, "", "{text}");
    }
}

#[test]
fn of_several_containers_the_default_one_is_described() {
    let outcome = print(&[]).expect_code(0);
    assert_eq!(outcome.json()["container"]["name"], "app");
    assert_eq!(outcome.stderr, "");
    let mut pod = example();
    pod["metadata"]["annotations"] = json!({});
    pod["spec"]["initContainers"] = json!([{"name": "init", "image": "i:1"}]);
    let outcome = run_with_pod("print", ["--format=json"], &pod).expect_code(0);
    assert_eq!(outcome.json()["container"], Value::Null);
    let line = only_line(&outcome);
    assert!(line.contains("left out") && line.contains("--container: side, app, init"), "{line}");
    pod["spec"]["containers"].as_array_mut().unwrap().remove(0);
    let outcome = run_with_pod("print", ["--format=json"], &pod).expect_code(0);
    assert_eq!(outcome.json()["container"]["name"], "app", "the only one beside initContainers");
}

#[test]
fn large_lists_cost_only_what_a_path_names() {
    let mut pod = example();
    let many: Vec<Value> =
        (0..60_000).map(|number| json!({"name": format!("V{number}"), "value": "x"})).collect();
    pod["spec"]["containers"][1]["env"] = json!(many);
    let path = "V=pod.spec.containers.[name=app].env.[name=V59999].name";
    let outcome = run_with_pod("exec", ["--set", path, "--", "/usr/bin/env"], &pod).expect_code(0);
    assert!(outcome.stdout.contains("V=V59999\n"), "{}", outcome.stderr);
}

#[test]
fn the_name_in_dns_needs_a_subdomain() {
    let mut pod = example();
    let set = ["--set=F=pod.fqdn", "--set=H=spec.hostname", "--set=S=spec.subdomain"];
    let told = variables(set, &pod);
    assert_eq!((&told["F"], &told["H"], &told["S"]), (&Value::Null, &Value::Null, &Value::Null));
    pod["spec"]["subdomain"] = json!("db");
    pod["spec"]["hostname"] = json!("web-0");
    let told = variables(set, &pod);
    assert_eq!((&told["H"], &told["S"]), (&json!("web-0"), &json!("db")));
    assert_eq!(told["F"], Value::Null, "the object does not have the cluster's domain");
}

#[test]
fn usable_cpus_and_memory_are_the_limits_of_a_pod_object() {
    let pod = crate::made::with_resources(json!({"limits": {"cpu": "1500m", "memory": "1Gi"}}));
    let told = variables(["--set=C=container.cpus*2 + 1", "--set=M=container.memory/1Mi"], &pod);
    assert_eq!((&told["C"], &told["M"]), (&json!("5"), &json!("1024")));
}
