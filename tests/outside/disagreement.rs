//! Sources that disagree: which one wins, which warnings are logged, and what the application gets.

use serde_json::{Value, json};

use crate::made::{document, only_line, token};
use crate::world::{Outcome, World};

fn json_of(world: &World, options: &[&str]) -> (Value, Outcome) {
    let mut command = world.command(["print", "--format", "json"]);
    command.args(options);
    let outcome = crate::world::run(command).expect_code(0);
    (outcome.json(), outcome)
}

#[test]
fn a_memory_limit_in_a_variable_is_not_the_kernel_s() {
    let world = World::recorded("downward", "main");
    world.environ(&[("CONTAINER_MEMORY_LIMIT_KIBIBYTES", "131072")]);
    let (told, outcome) = json_of(&world, &["--set", "BYTES=limits.memory"]);
    assert_eq!(told["container"]["resources"]["limits"]["memory"], "64Mi");
    assert_eq!(told["variables"]["BYTES"], "67108864", "an expression is of the fact");
    assert_eq!(
        told["variables"]["CONTAINER_MEMORY_LIMIT_KIBIBYTES"], "131072",
        "the author's variable stays"
    );
    assert_eq!(told["sources"]["CONTAINER_MEMORY_LIMIT_KIBIBYTES"], "env");
    let line = only_line(&outcome);
    for part in [
        "introspod: warn: ",
        "CONTAINER_MEMORY_LIMIT_KIBIBYTES",
        "65536",
        "cgroup",
        "--override CONTAINER_MEMORY_LIMIT_KIBIBYTES",
    ] {
        assert!(line.contains(part), "{part:?} in {line}");
    }
    assert!(!line.contains("131072"), "no value of the environment is shown: {line}");
}

#[test]
fn a_cpu_limit_in_a_variable_is_not_the_kernel_s() {
    let world = World::recorded("downward", "main");
    world.environ(&[("CONTAINER_CPU_LIMIT_MILLI_CORES", "250")]);
    let (told, outcome) = json_of(&world, &[]);
    assert_eq!(told["container"]["resources"]["limits"]["cpu"], "100m");
    assert_eq!(
        told["variables"]["CONTAINER_CPU_LIMIT_MILLICORES"], "100",
        "the author did not set this name"
    );
    let line = only_line(&outcome);
    assert!(line.contains("CONTAINER_CPU_LIMIT_MILLI_CORES is set") && !line.contains("250"), "{line}");
}

#[test]
fn a_name_in_a_variable_is_not_the_token_s() {
    let world = World::recorded("bare", "web");
    world.environ(&[("POD_NAME", "other")]);
    let (told, outcome) = json_of(&world, &["--set", "NAME=metadata.name"]);
    assert_eq!(told["pod"]["name"], "bare");
    assert_eq!(told["variables"]["NAME"], "bare");
    assert_eq!(told["variables"]["POD_NAME"], "other");
    let line = only_line(&outcome);
    for part in ["POD_NAME is set", "metadata.name", "\"bare\"", "token"] {
        assert!(line.contains(part), "{part:?} in {line}");
    }
}

#[test]
fn with_override_the_fact_replaces_the_variable() {
    let world = World::recorded("downward", "main");
    world.environ(&[("POD_NAME", "other"), ("CONTAINER_MEMORY_LIMIT_KIBIBYTES", "131072")]);
    let (told, outcome) = json_of(&world, &["--override=*"]);
    assert_eq!(told["variables"]["POD_NAME"], "downward");
    assert_eq!(told["sources"]["POD_NAME"], "token");
    assert_eq!(told["variables"]["CONTAINER_MEMORY_LIMIT_KIBIBYTES"], "65536");
    assert!(!outcome.stderr.contains("stays as it is"), "nothing stays: {}", outcome.stderr);
}

#[test]
fn a_uid_in_a_variable_is_neither_the_token_s_nor_that_of_the_mounts() {
    let known = "a842ea9c-d88b-4d9f-aa86-7f5aa3946662";
    for has_token in [true, false] {
        let world = World::recorded("bare", "web");
        if !has_token {
            world.remove("var/run/secrets");
        }
        world.environ(&[("POD_UID", "00000000-0000-0000-0000-000000000000")]);
        let (told, outcome) = json_of(&world, &[]);
        assert_eq!(told["pod"]["uid"], known);
        assert_eq!(told["variables"]["POD_UID"], "00000000-0000-0000-0000-000000000000");
        let line = only_line(&outcome);
        assert!(line.contains("POD_UID") && line.contains("kubelet"), "{line}");
        assert!(!line.contains("00000000"), "no value of the environment is shown: {line}");
    }
}

#[test]
fn each_contradiction_has_its_own_line() {
    let world = World::recorded("bare", "web");
    world.environ(&[("K8S_POD_NAME", "other"), ("MY_NODE_NAME", "elsewhere"), ("SERVICE_ACCOUNT", "admin")]);
    let (told, outcome) = json_of(&world, &[]);
    assert_eq!(told["variables"]["POD_NAME"], "bare");
    assert_eq!(told["variables"]["NODE_NAME"], "kt-node-1");
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{outcome:#?}");
    for (line, name) in lines.iter().zip(["K8S_POD_NAME", "MY_NODE_NAME", "SERVICE_ACCOUNT"]) {
        assert!(line.contains(name), "{line}");
        for value in ["other", "elsewhere", "admin"] {
            assert!(!line.contains(value), "no value of the environment is shown: {line}");
        }
    }
}

#[test]
fn who_agrees_is_not_warned_of() {
    let world = World::recorded("bare", "web");
    world.environ(&[("POD_NAME", "bare"), ("K8S_NAMESPACE", "default"), ("MY_NODE_NAME", "kt-node-1")]);
    document(&world, [] as [&str; 0]);
}

#[test]
fn the_token_names_the_namespace_and_the_mounts_the_uid() {
    let world = World::recorded("bare", "web");
    let own =
        json!({"namespace": "by-token", "pod": {"name": "n", "uid": "a842ea9c-d88b-4d9f-aa86-7f5aa3946662"}});
    world.remove("var/run/secrets");
    world.write("var/run/secrets/kubernetes.io/serviceaccount/token", token(&json!({"kubernetes.io": own})));
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["sources"]["POD_UID"], "kubelet");
    assert_eq!(told["sources"]["POD_NAMESPACE"], "token");
    assert_eq!(told["pod"]["namespace"], "by-token");
}

#[test]
fn a_token_of_another_pod_tells_nothing() {
    // The mounts know the UID, then only the control group.
    for mountinfo_is_hidden in [false, true] {
        let world = World::recorded("bare", "web");
        let own = json!({
            "namespace": "theirs", "serviceaccount": {"name": "theirs"}, "node": {"name": "theirs"},
            "pod": {"name": "theirs", "uid": "227a484f-d300-42c4-9f53-5751fdfb8571"},
        });
        world.remove("var/run/secrets");
        world.write(
            "var/run/secrets/kubernetes.io/serviceaccount/token",
            token(&json!({"kubernetes.io": own})),
        );
        if mountinfo_is_hidden {
            world.write("proc/self/mountinfo", "");
        }
        let (told, outcome) = json_of(&world, &[]);
        assert!(!told.to_string().contains("theirs"), "{told}");
        assert_eq!(told["pod"]["uid"], "a842ea9c-d88b-4d9f-aa86-7f5aa3946662");
        assert!(only_line(&outcome).contains("another pod"), "{outcome:?}");
    }
}

/// A secret under a name that a fact could have.
const SECRET: &str = "{\"private_key\":\"swordfish\"}";

#[test]
fn a_value_without_the_field_s_syntax_is_no_fact_and_is_shown_nowhere() {
    for (name, value) in [
        ("SERVICE_ACCOUNT", SECRET),
        ("POD_NAME", "$(POD_NAME)"),
        ("POD_NAMESPACE", "a.b"),
        ("POD_UID", "swordfish/1"),
        ("NODE_NAME", "Swordfish"),
        ("NODE_UID", "sword fish"),
        ("POD_IP", "$(POD_IP)"),
        ("HOST_IP", "0.0.0.0"),
        ("HOST_IPS", "10.0.0.1,swordfish"),
        ("CONTAINER_NAME", "sword.fish"),
        ("CONTAINER_MEMORY_LIMIT_KIBIBYTES", "swordfish"),
        ("MY_POD_NAME", "Swordfish!"),
        ("JOB_COMPLETION_INDEX", "+7"),
    ] {
        for world in [World::empty(), World::recorded("downward", "main")] {
            world.environ(&[(name, value)]);
            let directory = tempfile::tempdir().unwrap();
            for out in ["out.json", "out.env", "out.sh"] {
                let out = directory.path().join(out);
                for arguments in [&["print", "--explain"][..], &["write"], &["exec"]] {
                    let mut command = world.command(arguments);
                    command.env("INTROSPOD_LOG", "trace").arg("--out").arg(&out).arg("--container=main");
                    if arguments == ["exec"] {
                        command.arg("true");
                    }
                    let outcome = crate::world::run(command).expect_code(0);
                    let file = std::fs::read_to_string(&out).unwrap();
                    for text in [&outcome.stdout, &outcome.stderr, &file] {
                        assert!(!text.contains(value), "{name}: {text}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_application_keeps_a_variable_that_is_no_fact() {
    let mut command = crate::world::introspod(["exec", "sh", "-c", "printf %s \"$SERVICE_ACCOUNT\""]);
    command.env("SERVICE_ACCOUNT", SECRET);
    assert_eq!(crate::world::run(command).expect_code(0).stdout, SECRET);
}

#[test]
fn a_search_list_never_outranks_the_manifest() {
    // Legal with `dnsPolicy: None`.
    let search = "search backend.svc.cluster.local svc.cluster.local cluster.local\n";
    let with_environ = World::empty();
    with_environ.write("etc/resolv.conf", search).environ(&[("POD_NAMESPACE", "default")]);
    let with_volume = World::empty();
    with_volume.write("etc/resolv.conf", search).write("etc/podinfo/podNamespace", "default");
    for (world, source) in [(with_environ, "env"), (with_volume, "volume")] {
        let told = document(&world, [] as [&str; 0]);
        assert_eq!(told["pod"]["namespace"], "default");
        assert_eq!(told["sources"]["POD_NAMESPACE"], source);
    }
}

#[test]
fn spellings_in_use_are_understood() {
    for (spelling, variable) in [
        ("POD_NAME", "POD_NAME"),
        ("K8S_POD_NAME", "POD_NAME"),
        ("MY_POD_NAME", "POD_NAME"),
        ("OTEL_RESOURCE_ATTRIBUTES_POD_NAME", "POD_NAME"),
        ("K8S_POD_NAMESPACE", "POD_NAMESPACE"),
        ("MY_POD_NAMESPACE", "POD_NAMESPACE"),
        ("K8S_NAMESPACE", "POD_NAMESPACE"),
        ("K8S_POD_UID", "POD_UID"),
        ("MY_POD_UID", "POD_UID"),
        ("OTEL_RESOURCE_ATTRIBUTES_POD_UID", "POD_UID"),
        ("K8S_NODE_NAME", "NODE_NAME"),
        ("MY_NODE_NAME", "NODE_NAME"),
        ("OTEL_RESOURCE_ATTRIBUTES_NODE_NAME", "NODE_NAME"),
        ("MY_POD_SERVICE_ACCOUNT", ""),
        ("MY_SERVICE_ACCOUNT", "SERVICE_ACCOUNT"),
        ("K8S_POD_IP", "POD_IP"),
        ("MY_HOST_IP", "HOST_IP"),
        ("K8S_CONTAINER_NAME", "CONTAINER_NAME"),
        ("CONTAINER_CPU_LIMIT_MILLI_CORES", "CONTAINER_CPU_LIMIT_MILLICORES"),
        ("CONTAINER_MEMORY_LIMIT_KIBI_BYTES", "CONTAINER_MEMORY_LIMIT_KIBIBYTES"),
        ("K8S_CONTAINER_CPU_REQUEST_MILLI_CORES", "CONTAINER_CPU_REQUEST_MILLICORES"),
        ("MY_CONTAINER_MEMORY_REQUEST_KIBI_BYTES", "CONTAINER_MEMORY_REQUEST_KIBIBYTES"),
        ("NAMESPACE", ""),
        ("HOSTNAME", ""),
        ("NODENAME", ""),
    ] {
        let world = World::empty();
        let value = if variable.ends_with("_IP") { "10.1.2.3" } else { "1234" };
        world.environ(&[(spelling, value)]);
        let told = document(&world, [] as [&str; 0]);
        let expected = if variable.is_empty() { json!({}) } else { json!({variable: value}) };
        assert_eq!(told["variables"], expected, "{spelling}");
    }
}

#[test]
fn the_own_name_wins_over_spellings() {
    let world = World::empty();
    world.environ(&[("MY_POD_NAME", "c"), ("K8S_POD_NAME", "b"), ("POD_NAME", "a")]);
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["name"], "a");
    world.environ(&[("POD_NAME", "")]);
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["name"], "b");
}

#[test]
fn empty_tells_nothing_and_stays() {
    let world = World::recorded("bare", "web");
    world.environ(&[("POD_NAME", ""), ("POD_IP", ""), ("CONTAINER_MEMORY_LIMIT_KIBIBYTES", "")]);
    let told = document(&world, [] as [&str; 0]);
    assert_eq!((&told["pod"]["name"], &told["pod"]["ip"]), (&json!("bare"), &json!("10.244.0.5")));
    assert_eq!((&told["variables"]["POD_NAME"], &told["variables"]["POD_IP"]), (&Value::Null, &Value::Null));
    assert_eq!(told["variables"]["CONTAINER_MEMORY_LIMIT_KIBIBYTES"], Value::Null);
}

#[test]
fn a_request_of_0_is_what_the_kubelet_puts_for_none() {
    let world = World::empty();
    world.environ(&[("CONTAINER_CPU_REQUEST_MILLICORES", "0"), ("CONTAINER_MEMORY_LIMIT_KIBIBYTES", "0")]);
    assert_eq!(document(&world, [] as [&str; 0])["variables"], json!({}));
}

#[test]
fn a_resource_that_is_no_number_is_not_used() {
    let world = World::empty();
    for value in ["64Mi", "-1", "1.5", " 1", "99999999999999999999999"] {
        world.environ(&[("CONTAINER_MEMORY_LIMIT_KIBIBYTES", value)]);
        let (told, outcome) = json_of(&world, &[]);
        assert_eq!(told["container"], Value::Null, "{value}");
        assert_eq!(outcome.stderr, "", "the value is the application's own business");
        assert_eq!(told["variables"], json!({}));
        let explained = world.run(["print", "--explain", "--format=table"]).expect_code(0).stdout;
        let why = "the variable CONTAINER_MEMORY_LIMIT_KIBIBYTES is set, but its value is not a number";
        assert!(explained.contains(why), "{explained}");
    }
}

#[test]
fn the_variables_of_whoever_runs_the_dry_run_are_not_the_pod_s() {
    let world = World::recorded("bare", "web");
    let mut command = world.command(["print", "--format", "json"]);
    command.env("POD_NAME", "laptop").env("CONTAINER_CPU_LIMIT_MILLICORES", "5").env("NODE_NAME", "laptop");
    let outcome = crate::world::run(command).expect_code(0);
    assert_eq!(outcome.stderr, "");
    assert!(!outcome.stdout.contains("laptop"));
    assert_eq!(outcome.json()["container"]["resources"], Value::Null);
}

#[test]
fn the_ordinal_of_an_indexed_job_comes_from_its_variable() {
    let world = World::empty();
    world.environ(&[("JOB_COMPLETION_INDEX", "7")]);
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["pod"]["ordinal"], json!(7));
    assert_eq!(told["variables"], json!({"POD_ORDINAL": "7"}));
}

/// The kubelet rewrites the volume after a resize in place; a variable cannot change.
#[test]
fn of_requests_the_volume_outranks_variables_and_limits_are_the_kernel_s() {
    let world = World::recorded("downward", "main");
    // A link in the repository, a directory in the crate's tarball.
    let data = "etc/podinfo/..data";
    world
        .write(&format!("{data}/containerCpuRequestMilliCores"), "250")
        .write(&format!("{data}/containerMemoryLimitBytes"), "134217728")
        .environ(&[
            ("CONTAINER_CPU_REQUEST_MILLICORES", "15"),
            ("CONTAINER_CPU_LIMIT_MILLICORES", "500"),
            ("CONTAINER_MEMORY_LIMIT_KIBIBYTES", "131072"),
        ]);
    let (told, outcome) = json_of(&world, &["--override=*", "--set", "REQUEST=requests.cpu/1m"]);
    assert_eq!(told["container"]["resources"]["requests"]["cpu"], "250m");
    assert_eq!(told["container"]["resources"]["limits"], json!({"cpu": "100m", "memory": "64Mi"}));
    assert_eq!(told["variables"]["REQUEST"], "250");
    assert_eq!(told["sources"]["CONTAINER_CPU_REQUEST_MILLICORES"], "volume");
    assert_eq!(told["sources"]["CONTAINER_MEMORY_LIMIT_KIBIBYTES"], "cgroup");
    assert_eq!(outcome.stderr, "");
    let (told, outcome) = json_of(&world, &["--set", "REQUEST=requests.cpu/1m"]);
    assert_eq!(told["variables"]["CONTAINER_CPU_REQUEST_MILLICORES"], "15", "what is set stays set");
    assert_eq!(told["variables"]["REQUEST"], "250");
    assert!(outcome.stderr.contains("differs from requests.cpu"), "{outcome:?}");
}

/// Everything that takes the value of a variable, with a secret in each variable that it may look at.
#[test]
fn a_secret_of_the_environment_is_shown_by_nothing_that_prints_or_logs() {
    let template = ["--set=A=$(PASSWORD)", "--set=B=[$(A)]"];
    for (arguments, is_exec) in [
        (&["print", "--explain", "--format=table", "--otel", "--labels"][..], false),
        (&["print", "--explain", "--format=json", "--require=NOWHERE"], false),
        (&["print", "--explain", "--format=env", "--override=*", "--require=A"], false),
        (&["print", "PASSWORD"], false),
        (&["print", "A", "B", "KUBERNETES_SERVICE_HOST"], false),
        (&["write", "--container=main", "--require=NOWHERE"], false),
        (&["exec", "--expand", "--require=NOWHERE"], true),
        (&["exec", "--expand", "--labels", "--api=always", "--timeout=100ms"], true),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = crate::world::introspod(arguments);
        for name in ["out.json", "out.env", "out.sh"] {
            command.arg("--out").arg(directory.path().join(name));
        }
        command.args(template.iter().filter(|_| !arguments.contains(&"PASSWORD")));
        command.args(["true", "$(PASSWORD)", "$(B)"].iter().filter(|_| is_exec));
        for name in ["PASSWORD", "POD_NAME", "SERVICE_ACCOUNT", "CONTAINER_IMAGE", "POD_LABEL_APP"] {
            command.env(name, "swordfish!");
        }
        for name in ["OTEL_SERVICE_NAME", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "HTTPS_PROXY"]
        {
            command.env(name, "swordfish!");
        }
        command.env("INTROSPOD_LOG", "trace");
        let outcome = crate::world::run(command);
        let files = std::fs::read_dir(directory.path()).unwrap();
        let files = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        for text in [outcome.stdout.clone(), outcome.stderr.clone()].into_iter().chain(files) {
            assert!(!text.contains("swordfish"), "{arguments:?}: {text}");
        }
    }
}
