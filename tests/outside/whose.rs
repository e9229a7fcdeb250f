//! The container that the files describe: an initContainer writes files for another container.

use serde_json::{Value, json};

use crate::world::{Outcome, World};

/// The file and the messages of `write OPTIONS` in `world`.
fn written(world: &World, options: &[&str]) -> (Value, Outcome) {
    let out = world.path().join("out.json");
    let mut command = world.command(["write", "--out"]);
    command.arg(&out).args(options);
    let outcome = crate::world::run(command).expect_code(0);
    (crate::schema::checked(&std::fs::read_to_string(out).unwrap()), outcome)
}

/// The recorded container `downward`. Its variables, volume and control group all describe it.
fn downward() -> World {
    World::recorded("downward", "main")
}

#[test]
fn without_a_name_an_init_container_publishes_nothing_of_itself() {
    for world in [World::recorded("bare", "init"), downward()] {
        let (told, outcome) = written(&world, &[]);
        assert_eq!(told["container"], Value::Null);
        assert!(told["pod"]["name"].is_string());
        for name in told["variables"].as_object().unwrap().keys() {
            assert!(!name.starts_with("CONTAINER_"), "{name}");
        }
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn a_limit_that_is_asked_for_is_not_the_init_container_s() {
    let (told, outcome) = written(&downward(), &["--set", "BYTES=limits.memory", "--api=never"]);
    assert_eq!(told["variables"]["BYTES"], Value::Null);
    assert!(outcome.stderr.contains("BYTES is not set: limits.memory is not known"), "{outcome:?}");
}

#[test]
fn with_another_s_name_only_the_name_is_known() {
    let world = downward();
    world.environ(&[("CONTAINER_NAME", "main"), ("CONTAINER_CPU_LIMIT_MILLICORES", "100")]);
    let (told, _) = written(&world, &["--container", "app"]);
    assert_eq!(told["container"], json!({"name": "app"}));
    assert_eq!(told["sources"]["CONTAINER_NAME"], "--container");
    for name in told["variables"].as_object().unwrap().keys() {
        assert!(!name.starts_with("CONTAINER_") || name == "CONTAINER_NAME", "{name}");
    }
    assert_eq!(told["pod"]["uid"], "e9547980-83bf-438d-9893-b0834b7358b8", "the pod is the same");
}

#[test]
fn with_its_own_name_it_speaks_of_itself() {
    let (told, _) = written(&downward(), &["--container", "main"]);
    assert_eq!(told["container"]["resources"]["limits"], json!({"cpu": "100m", "memory": "64Mi"}));
    assert_eq!(told["container"]["resources"]["requests"], json!({"cpu": "15m"}));
    assert!(told["container"]["id"].is_string());
}

#[test]
fn a_name_that_the_mounts_do_not_confirm_is_another_s() {
    let world = downward();
    world.write("proc/self/mountinfo", "");
    let (told, _) = written(&world, &["--container", "main"]);
    assert_eq!(told["container"], json!({"name": "main"}));
}

#[test]
fn print_and_exec_speak_of_the_container_they_run_in() {
    let world = downward();
    let told = world.run(["print", "--format", "json"]).expect_code(0).json();
    assert_eq!(told["container"]["name"], "main");
    assert_eq!(told["container"]["resources"]["limits"]["memory"], "64Mi");
    let outcome = world.run(["exec", "sh", "-c", "echo $CONTAINER_NAME $CONTAINER_MEMORY_LIMIT_KIBIBYTES"]);
    assert_eq!(outcome.expect_code(0).stdout, "main 65536\n");
}

#[test]
fn print_of_another_container_leaves_out_what_is_this_one_s() {
    let told = downward().run(["print", "--format", "json", "--container", "app"]).expect_code(0).json();
    assert_eq!(told["container"], json!({"name": "app"}));
}

#[test]
fn a_pod_object_tells_of_the_container_that_is_named() {
    let pod = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {
        "containers": [
            {"name": "app", "image": "a:1", "resources": {"limits": {"memory": "1Gi"}}},
            {"name": "side", "image": "s:1"},
        ],
        "initContainers": [{"name": "init", "image": "i:1"}],
    }});
    let told = |options: &[&str]| {
        let mut arguments = vec!["--format", "json"];
        arguments.extend(options);
        crate::made::run_with_pod("print", arguments, &pod).expect_code(0)
    };
    assert_eq!(told(&[]).json()["container"], Value::Null, "one of several");
    assert_eq!(
        told(&["--container=app"]).json()["container"]["resources"],
        json!({"limits": {"memory": "1Gi"}})
    );
    assert_eq!(told(&["--container=init"]).json()["container"], json!({"name": "init", "image": "i:1"}));
    let unknown = told(&["--container=ap"]);
    assert!(unknown.stderr.contains("no container \"ap\"; containers: app, side, init"), "{unknown:?}");
    assert_eq!(unknown.json()["container"], Value::Null, "a wrong name is no fact");
    assert_eq!(unknown.json()["variables"]["CONTAINER_NAME"], Value::Null);
}

#[test]
fn write_from_a_pod_object_leaves_out_containers_too() {
    let world = World::empty();
    world.write("pod.json", crate::made::with_resources(json!({"limits": {"memory": "1Gi"}})).to_string());
    let pod = world.path().join("pod.json");
    let (told, _) = written(&world, &["--pod", pod.to_str().unwrap()]);
    assert_eq!(told["container"], Value::Null);
    let (told, _) = written(&world, &["--pod", pod.to_str().unwrap(), "--container", "app"]);
    assert_eq!(told["container"]["resources"]["limits"]["memory"], "1Gi");
}
