//! Feature requests to Kubernetes that introspod answers: the table in the documentation. Other tests cover
//! the rows that are not here.

use serde_json::{Value, json};

use crate::made::{document, pod, run_with_pod};
use crate::server::{Answer, Request, Response, Server, always};
use crate::world::{World, fixtures, pod_json};

fn read_json(path: std::path::PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// An API server that knows the recorded Pod object of `pod`.
fn api_of(pod: &str) -> Server {
    Server::start(always(Response::json(&read_json(pod_json(pod)))))
}

/// The variables of `print OPTIONS` for `world`, with an API server.
#[track_caller]
fn variables(world: &World, server: &Server, options: &[&str]) -> Value {
    let url = server.url();
    document(world, [&["--api-url", &url], options].concat())["variables"].take()
}

/// kubernetes/kubernetes#40610, #26030, #61906, #94790. A cluster copies labels of the topology onto
/// its pods; a volume may tell them. The others take the node.
#[test]
fn zone_region_instance_type_and_rack() {
    let mut node = read_json(fixtures().join("node.json"));
    node["metadata"]["labels"] = json!({"node.kubernetes.io/instance-type": "m7.large", "rack": "r12",
        "topology.kubernetes.io/zone": "eu-1b", "topology.kubernetes.io/region": "eu"});
    let server = Server::start(move |request: &Request| -> Answer {
        assert!(request.target.starts_with("/api/v1/nodes/kt-node-1"), "{request:?}");
        Response::json(&node).into()
    });
    let world = server.world("bare", "web");
    let topology = "topology.kubernetes.io/region=\"eu\"\ntopology.kubernetes.io/zone=\"eu-1a\"\nrack=\"the pod's own\"\n";
    world.write("etc/podinfo/labels", topology);
    let of_pod = [
        "--set",
        "ZONE=node.labels['topology.kubernetes.io/zone']",
        "--set",
        "REGION=node.labels['topology.kubernetes.io/region']",
    ];
    let told = variables(&world, &server, &of_pod);
    assert_eq!((&told["ZONE"], &told["REGION"]), (&json!("eu-1a"), &json!("eu")));
    assert_eq!(server.connections(), 0);
    let of_node = [
        "--set",
        "TYPE=node.labels['node.kubernetes.io/instance-type']",
        "--set",
        "RACK=node.labels['rack']",
    ];
    let told = variables(&world, &server, &[of_pod, of_node].concat());
    assert_eq!((&told["TYPE"], &told["RACK"]), (&json!("m7.large"), &json!("r12")));
    assert_eq!(told["ZONE"], "eu-1b", "where the Node is asked, it wins");
    assert_eq!(server.requests().len(), 1);
}

/// kubernetes/kubernetes#116662: from the labels in a volume without a request, else with one.
#[test]
fn the_owner_and_the_deployment_s_name() {
    let server = api_of("deployment-web");
    let world = server.world("deployment-web", "main");
    let told = variables(&world, &server, &["--require", "WORKLOAD_NAME"]);
    assert_eq!((&told["WORKLOAD_KIND"], &told["WORKLOAD_NAME"]), (&json!("Deployment"), &json!("web")));
    assert_eq!(told["POD_OWNER_KIND"], "ReplicaSet");
    assert_eq!(server.requests().len(), 1);

    let labels = read_json(pod_json("deployment-web"))["metadata"]["labels"].take();
    let hash = labels["pod-template-hash"].as_str().unwrap();
    world.write("etc/podinfo/labels", format!("pod-template-hash=\"{hash}\""));
    let by_volume = variables(&world, &server, &[]);
    for name in ["WORKLOAD_KIND", "WORKLOAD_NAME", "POD_OWNER_KIND", "POD_OWNER_NAME"] {
        assert_eq!(by_volume[name], told[name], "{name}");
    }
    assert_eq!(server.requests().len(), 1, "none more");
}

/// kubernetes/kubernetes#84661. Of each kind of container the kubelet's own mounts tell it.
#[test]
fn the_container_s_own_name() {
    for name in ["web", "side", "init", "debugger"] {
        let told = document(&World::recorded("bare", name), [""; 0]);
        assert_eq!(told["variables"]["CONTAINER_NAME"], name);
        assert_eq!(told["sources"]["CONTAINER_NAME"], "kubelet");
    }
}

/// kubernetes/kubernetes#80346, #19475: as in the manifest, and as the runtime has it.
#[test]
fn the_image_and_its_digest() {
    let server = api_of("bare");
    let options = ["--require", "CONTAINER_IMAGE", "--set", "IMAGE_ID=container.imageID"];
    let told = variables(&server.world("bare", "web"), &server, &options);
    assert_eq!(told["CONTAINER_IMAGE"], "docker.io/library/busybox:local");
    assert_eq!(told["IMAGE_ID"], "sha256:b40dfd19798656db8ea706d1883b63cae7c75fe552c823344c28659bf74c2573");
    assert_eq!(server.requests().len(), 1);
}

/// kubernetes/kubernetes#560, #23630, knative/serving#4190.
#[test]
fn all_labels_and_annotations_at_once() {
    let server = api_of("downward");
    let world = server.world("downward", "main");
    world.remove("etc/podinfo");
    world.write("etc/podinfo/labels", "app.kubernetes.io/name=\"demo\"\nempty=\"\"\n");
    world.write("etc/podinfo/annotations", "example.com/Prefixed.Key_1=\"it's \\\"v\\\"\"\n");
    let told = variables(&world, &server, &["--labels", "--annotations"]);
    assert_eq!(told["POD_LABEL_APP_KUBERNETES_IO_NAME"], "demo");
    assert_eq!(told["POD_LABEL_EMPTY"], "");
    assert_eq!(told["POD_ANNOTATION_EXAMPLE_COM_PREFIXED_KEY_1"], "it's \"v\"");
    assert_eq!(server.connections(), 0, "a volume tells them");
}

/// kubernetes/kubernetes#130801: after a resize of the container in place.
#[test]
fn resources_that_change() {
    crate::watch::resources_of_a_volume_that_change();
}

/// kubernetes/kubernetes#30427, #40651: without a shell that takes the name apart.
#[test]
fn the_ordinal_in_the_arguments() {
    let server = api_of("statefulset-db-0");
    let world = server.world("statefulset-db-0", "main");
    let url = server.url();
    let options = ["exec", "--api-url", &url, "--require", "POD_ORDINAL", "--expand"];
    let outcome = world.run([&options as &[&str], &["--", "echo", "--node-id=$(POD_ORDINAL)"]].concat());
    assert_eq!(outcome.expect_code(0).stdout, "--node-id=0\n");
    assert_eq!(server.requests().len(), 0, "whoever requires an ordinal says that the name has one");

    world.write("etc/podinfo/labels", "apps.kubernetes.io/pod-index=\"0\"");
    let outcome = world.run(["exec", "--expand", "--", "echo", "--node-id=$(POD_ORDINAL)"]).expect_code(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("--node-id=0\n", ""));
}

/// kubernetes/kubernetes#7853: a container whose manifest says nothing of the downward API knows
/// itself, without a request.
#[test]
fn nothing_to_write_in_the_pod_spec() {
    let object = read_json(pod_json("bare"));
    let container = &object["spec"]["containers"][0];
    assert_eq!((&container["name"], &container["env"]), (&json!("web"), &Value::Null));
    let server = api_of("bare");
    let told = variables(&server.world("bare", "web"), &server, &[]);
    for (name, value) in [
        ("POD_NAME", &object["metadata"]["name"]),
        ("POD_NAMESPACE", &object["metadata"]["namespace"]),
        ("POD_UID", &object["metadata"]["uid"]),
        ("POD_IP", &object["status"]["podIP"]),
        ("NODE_NAME", &object["spec"]["nodeName"]),
        ("SERVICE_ACCOUNT", &object["spec"]["serviceAccountName"]),
        ("CONTAINER_NAME", &container["name"]),
    ] {
        assert_eq!(&told[name], value, "{name}");
        assert!(value.is_string(), "{name}");
    }
    assert_eq!(server.connections(), 0);
}

/// open-telemetry/opentelemetry-java-instrumentation#6694, DataDog/datadog-go#268: version 2 shows
/// `/` and no path with a UID and an ID.
#[test]
fn the_uid_and_the_container_s_id_on_version_2_of_control_groups() {
    let object = read_json(pod_json("bare"));
    let server = api_of("bare");
    let world = server.world("bare", "web");
    world.write("proc/self/cgroup", "0::/\n");
    let told = variables(&world, &server, &[]);
    assert_eq!(told["POD_UID"], object["metadata"]["uid"]);
    assert_eq!((server.connections(), &told["CONTAINER_ID"]), (0, &Value::Null));
    let told = variables(&world, &server, &["--require", "CONTAINER_ID"]);
    let statuses = object["status"]["containerStatuses"].as_array().unwrap();
    let own = statuses.iter().find(|status| status["name"] == "web").unwrap();
    let id = own["containerID"].as_str().unwrap().split_once("://").unwrap().1;
    assert_eq!(told["CONTAINER_ID"], id);
    assert_eq!(server.requests().len(), 1);
}

/// OpenShift's controllers are of the core group. A ReplicationController of another group can be anything.
#[test]
fn the_deployment_config_of_a_replication_controller() {
    for (version, workload) in [("v1", "DeploymentConfig"), ("example.com/v1", "ReplicationController")] {
        let owner = json!({"apiVersion": version, "kind": "ReplicationController", "name": "shop-3", "controller": true});
        let pod = pod(json!({"ownerReferences": [owner], "labels": {"deploymentconfig": "shop"}}));
        let told = run_with_pod("print", ["--format=json"], &pod).expect_code(0).json();
        assert_eq!(told["pod"]["owner"]["name"], "shop-3");
        assert_eq!(told["pod"]["workload"]["kind"], workload, "{version}");
    }
}
