//! OpenTelemetry's attributes, by the Kubernetes part of the semantic conventions
//! (`docs/non-normative/k8s-attributes.md` in open-telemetry/semantic-conventions).
//!
//! `tests/otel.sh` has a real SDK read the same variable.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::made::{document, only_line, output, pod, run_with_pod};
use crate::server::{Response, Server, always};
use crate::world::{Outcome, World, introspod, pod_json, run};

const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

type Attributes = BTreeMap<String, String>;

/// What the strictest SDK reads: JavaScript's, which drops everything for one pair that it does not
/// like (`_parseResourceAttributes` in opentelemetry-js, `opentelemetry-resources`: up to 2.5 it
/// took baggage octets only and counted them encoded, since 2.6 every pair must have one `=`).
#[track_caller]
fn read_as_javascript(variable: &str) -> Attributes {
    let pairs = variable.split(',').map(|pair| {
        let [name, value] = pair.split('=').collect::<Vec<_>>().try_into().expect(pair);
        let is_baggage = |byte| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
        assert!(!name.is_empty() && name.bytes().chain(value.bytes()).all(is_baggage), "{pair}");
        assert!(name.len() <= 255 && value.len() <= 255, "{pair}");
        (decoded(name), decoded(value))
    });
    pairs.collect()
}

/// What those SDKs read that decode values as a form's: Ruby's (`URI.decode_www_form_component` in
/// `resource.rb`), .NET's (`WebUtility.UrlDecode` in `OtelEnvResourceDetector.cs`) and Java's before
/// open-telemetry/opentelemetry-java#8059 (`URLDecoder.decode` in `ResourceConfiguration.java`).
fn read_as_a_form(variable: &str) -> Attributes {
    let pairs = variable.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name.trim()), decoded(&value.replace('+', " ")))).collect()
}

fn decoded(text: &str) -> String {
    let (first, rest) = text.split_once('%').map_or((text, None), |(first, rest)| (first, Some(rest)));
    let mut bytes = first.as_bytes().to_vec();
    for part in rest.into_iter().flat_map(|rest| rest.split('%')) {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).unwrap()
}

/// The attributes that all SDKs read in `variables`.
#[track_caller]
fn attributes_in(variables: &Value) -> Attributes {
    let variable = variables[ATTRIBUTES].as_str().expect("no attributes");
    let attributes = read_as_javascript(variable);
    assert_eq!(read_as_a_form(variable), attributes);
    attributes
}

/// The variables of `print --otel` for `pod`. It must succeed.
#[track_caller]
fn variables_of(pod: &Value) -> Value {
    crate::made::variables(["--otel"], pod)
}

/// The attributes of `pod`. Its service has the same name in the other variable.
#[track_caller]
fn attributes_of(pod: &Value) -> Attributes {
    let variables = variables_of(pod);
    let attributes = attributes_in(&variables);
    assert_eq!(attributes.get("service.name").map(String::as_str), variables[SERVICE_NAME].as_str());
    attributes
}

fn map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Attributes {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A pod that is owned by a controller of `kind`.
fn owned_by(kind: &str, name: &str) -> Value {
    pod(json!({"ownerReferences": [{"kind": kind, "name": name, "controller": true}]}))
}

/// A pod whose container is of `image`.
fn of_image(image: &str) -> Value {
    let mut pod = pod(json!({}));
    pod["spec"]["containers"][0]["image"] = image.into();
    pod
}

fn with_annotation(key: &str, value: &str) -> Value {
    crate::made::annotated([(format!("resource.opentelemetry.io/{key}").as_str(), value)])
}

// ------------------------------------------------------------------------------------------------
// Which attributes, and where each comes from

#[test]
fn every_attribute_of_a_deployment_s_pod() {
    let mut pod = owned_by("ReplicaSet", "web-6d4b75cb6d");
    pod["metadata"]["labels"] = json!({"pod-template-hash": "6d4b75cb6d"});
    pod["spec"]["nodeName"] = "node-1".into();
    let id = "9655ce9a77bdddb44e17d8212b0d39a21edffb095ca7e5d00ba26a8906cc3dec";
    pod["status"]["containerStatuses"] =
        json!([{"name": "app", "containerID": format!("containerd://{id}")}]);
    let expected = map([
        ("container.id", id),
        ("k8s.container.name", "app"),
        ("k8s.deployment.name", "web"),
        ("k8s.namespace.name", "shop"),
        ("k8s.node.name", "node-1"),
        ("k8s.pod.name", "web-0"),
        ("k8s.pod.uid", "3f1c2a4e-9f0e-4a58-8a51-0d3c1b3b8a77"),
        ("service.instance.id", "shop.web-0.app"),
        ("service.name", "web"),
        ("service.namespace", "shop"),
        ("service.version", "1"),
    ]);
    assert_eq!(attributes_of(&pod), expected);
}

#[test]
fn each_kind_of_workload_has_its_attribute() {
    for (kind, attribute) in [
        ("ReplicaSet", "k8s.replicaset.name"),
        ("StatefulSet", "k8s.statefulset.name"),
        ("DaemonSet", "k8s.daemonset.name"),
        ("Job", "k8s.job.name"),
    ] {
        let attributes = attributes_of(&owned_by(kind, "billing"));
        assert_eq!(attributes[attribute], "billing", "{kind}");
        assert_eq!(attributes["service.name"], "billing", "{kind}");
    }
}

#[test]
fn a_workload_of_another_kind_has_none() {
    let outcome = run_with_pod("print", ["--otel", "--format=json"], &owned_by("Rollout", "billing"));
    let outcome = outcome.expect_code(0);
    let variables = outcome.json()["variables"].take();
    let attributes = attributes_in(&variables);
    assert!(attributes.values().all(|value| value != "billing"), "{attributes:?}");
    assert_eq!((attributes.get("service.name"), &variables[SERVICE_NAME]), (None, &Value::Null));
    let line = only_line(&outcome);
    assert!(line.contains("its workload is a Rollout; set OTEL_SERVICE_NAME, or the label"), "{line}");
}

#[test]
fn the_name_of_a_service_is_the_first_that_is_known() {
    let mut pod = owned_by("StatefulSet", "set");
    pod["metadata"]["annotations"] = json!({"resource.opentelemetry.io/service.name": "annotated"});
    pod["metadata"]["labels"] =
        json!({"app.kubernetes.io/instance": "instance", "app.kubernetes.io/name": "name"});
    for (expected, then_without) in [
        ("annotated", ["annotations", "resource.opentelemetry.io/service.name"]),
        ("instance", ["labels", "app.kubernetes.io/instance"]),
        ("name", ["labels", "app.kubernetes.io/name"]),
    ] {
        assert_eq!(attributes_of(&pod)["service.name"], expected);
        pod["metadata"][then_without[0]].as_object_mut().unwrap().remove(then_without[1]).unwrap();
    }
    assert_eq!(attributes_of(&pod)["service.name"], "set");
    pod["metadata"]["ownerReferences"] = json!([]);
    assert_eq!(attributes_of(&pod)["service.name"], "web-0");
}

/// The variables of `world` with `--otel`, where the service's name is not known.
#[track_caller]
fn without_service_name(mut command: std::process::Command) -> (Value, Outcome) {
    command.args(["--format=json", "--otel"]);
    let outcome = run(command).expect_code(0);
    let variables = outcome.json()["variables"].take();
    assert_eq!(attributes_in(&variables).get("service.name"), None);
    assert_eq!(variables[SERVICE_NAME], Value::Null);
    let warnings: Vec<&str> =
        outcome.stderr.lines().filter(|line| line.contains("service.name and OTEL_SERVICE_NAME")).collect();
    assert_eq!(warnings.len(), 1, "{outcome:#?}");
    for part in
        ["are left out", "set OTEL_SERVICE_NAME", "app.kubernetes.io/name", "downwardAPI", "API server"]
    {
        assert!(warnings[0].contains(part), "{part}: {}", warnings[0]);
    }
    (variables, outcome)
}

/// Otherwise a service would have as many names as pods or containers.
#[test]
fn of_a_pod_whose_owner_is_not_known_the_service_has_no_name() {
    let world = World::empty();
    world.environ(&[("POD_NAME", "web-c8d954974-zskd9"), ("POD_NAMESPACE", "shop")]);
    without_service_name(world.command(["print", "--container=app"]));
    without_service_name(World::empty().command(["print", "--container=c"]));
    without_service_name(World::recorded("bare", "web").command(["print", "--api=never"]));
}

#[test]
fn of_a_pod_whose_api_server_refuses_or_is_overloaded_the_service_has_no_name() {
    for (status, text) in [(403, "Forbidden"), (429, "TooManyRequests"), (500, "InternalError")] {
        let server = Server::start(always(Response::failure(status, text, "no")));
        let world = server.world("bare", "web");
        without_service_name(world.command(["print", "--timeout=300ms", "--api-url", &server.url()]));
    }
}

#[test]
fn a_pod_that_nothing_owns_names_its_service() {
    let mut object: Value = serde_json::from_slice(&std::fs::read(pod_json("bare")).unwrap()).unwrap();
    object["metadata"]["labels"] = json!({});
    object["metadata"]["ownerReferences"] = json!([]);
    let server = Server::start(always(Response::json(&object)));
    let url = server.url();
    let variables = document(&server.world("bare", "web"), ["--otel", "--api-url", &url])["variables"].take();
    assert_eq!(variables[SERVICE_NAME], "bare");
    assert_eq!(attributes_in(&variables)["service.name"], "bare");
}

#[test]
fn a_service_that_has_a_name_is_not_warned_of() {
    for set in [(SERVICE_NAME, "mine"), (ATTRIBUTES, "service.name=mine")] {
        let world = World::empty();
        world.environ(&[("POD_NAME", "web-0"), set]);
        document(&world, ["--otel"]);
    }
    let world = World::empty();
    world.environ(&[("POD_NAME", "web-0")]);
    let variables = document(&world, ["--otel", "--set", "OTEL_SERVICE_NAME=$(POD_NAME)"]);
    assert_eq!(variables["variables"][SERVICE_NAME], "web-0");
}

#[test]
fn the_version_of_a_service_is_the_first_that_is_known() {
    let mut pod = of_image("registry.example:5000/shop/web:1.2");
    pod["metadata"]["annotations"] = json!({"resource.opentelemetry.io/service.version": "annotated"});
    pod["metadata"]["labels"] = json!({"app.kubernetes.io/version": "labelled"});
    assert_eq!(attributes_of(&pod)["service.version"], "annotated");
    pod["metadata"]["annotations"] = json!({});
    assert_eq!(attributes_of(&pod)["service.version"], "labelled");
    pod["metadata"]["labels"] = json!({});
    assert_eq!(attributes_of(&pod)["service.version"], "1.2");
}

#[test]
fn the_version_in_an_image_s_name() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    for (image, version) in [
        ("web:1.2".to_owned(), Some("1.2".to_owned())),
        ("registry.example:5000/shop/web:1.2".to_owned(), Some("1.2".to_owned())),
        (format!("web@{digest}"), Some(digest.clone())),
        (format!("registry.example:5000/shop/web:1.2@{digest}"), Some(format!("1.2@{digest}"))),
        ("web".to_owned(), None),
        ("registry.example:5000/shop/web".to_owned(), None),
    ] {
        assert_eq!(attributes_of(&of_image(&image)).get("service.version"), version.as_ref(), "{image}");
    }
}

/// The runtime's own ID of the image is a digest of something else.
#[test]
fn the_image_id_is_no_version() {
    let mut pod = of_image("web");
    let id = format!("registry.example/web@sha256:{}", "0a".repeat(32));
    pod["status"]["containerStatuses"] = json!([{"name": "app", "image": "web:1", "imageID": id}]);
    assert_eq!(attributes_of(&pod).get("service.version"), None);
}

#[test]
fn what_is_empty_is_passed_over() {
    let mut pod = with_annotation("service.name", "");
    pod["metadata"]["labels"] = json!({"app.kubernetes.io/instance": "", "app.kubernetes.io/version": ""});
    let attributes = attributes_of(&pod);
    assert_eq!(attributes["service.name"], "web-0");
    assert_eq!(attributes["service.version"], "1");
}

#[test]
fn every_annotation_of_the_prefix_is_an_attribute() {
    let attributes = attributes_of(&with_annotation("deployment.environment.name", "production"));
    assert_eq!(attributes["deployment.environment.name"], "production");
    for key in ["example.com/service.name", "opentelemetry.io/x", "resource.opentelemetry.io", "x"] {
        let pod = crate::made::annotated([(key, "told")]);
        assert!(attributes_of(&pod).values().all(|value| value != "told"), "{key}");
    }
}

#[test]
fn an_annotation_goes_before_what_is_gathered() {
    for name in ["service.namespace", "service.instance.id", "k8s.pod.name", "k8s.cluster.name"] {
        assert_eq!(attributes_of(&with_annotation(name, "annotated"))[name], "annotated");
    }
}

#[test]
fn an_instance_id_needs_all_its_parts() {
    let mut pod = pod(json!({}));
    let side = json!({"name": "side", "image": "side:1"});
    pod["spec"]["containers"].as_array_mut().unwrap().push(side);
    let attributes = attributes_of(&pod);
    assert_eq!(attributes.get("service.instance.id"), None, "one of two containers");
    assert_eq!(attributes.get("k8s.container.name"), None);
    assert_eq!(attributes.get("service.version"), None);
    let variables = crate::made::variables(["--otel", "--container", "side"], &pod);
    assert_eq!(attributes_in(&variables)["service.instance.id"], "shop.web-0.side");
}

/// The conventions ask for an opt-in to well-known labels.
#[test]
fn well_known_labels_are_not_read_unless_asked() {
    let mut pod = with_annotation("service.version", "2");
    pod["metadata"]["labels"] = json!({"app.kubernetes.io/name": "shop"});
    let variables = crate::made::variables(["--labels"], &pod);
    let names = variables.as_object().unwrap().keys();
    assert_eq!(names.filter(|name| name.starts_with("OTEL_")).count(), 0);
}

#[test]
fn each_variable_says_its_sources() {
    let sources = document(&World::recorded("downward", "main"), ["--otel"])["sources"].take();
    assert_eq!(sources[ATTRIBUTES], "cgroup,kubelet,token,volume");
    assert_eq!(sources[SERVICE_NAME], "volume");
}

// ------------------------------------------------------------------------------------------------
// What is set already

/// The variables of a container in a pod of a Job. The pod's author has set `set`.
#[track_caller]
fn variables_with(set: &[(&str, &str)]) -> Value {
    let world = World::empty();
    world.write("etc/podinfo/labels", "batch.kubernetes.io/job-name=\"backup\"");
    world.environ(&[&[("POD_NAME", "web-0"), ("POD_NAMESPACE", "shop")], set].concat());
    document(&world, ["--otel"])["variables"].take()
}

#[test]
fn pairs_that_are_set_stay_and_win() {
    let variables = variables_with(&[(ATTRIBUTES, "team=core,k8s.pod.name=mine, service.namespace = ours")]);
    let expected = "team=core,k8s.pod.name=mine, service.namespace = ours,k8s.job.name=backup,k8s.namespace.name=shop,service.name=backup";
    assert_eq!(variables[ATTRIBUTES], expected);
    assert_eq!(variables[SERVICE_NAME], "backup");
}

#[test]
fn what_is_set_to_nothing_is_not_set() {
    for nothing in ["", ",", " , "] {
        let variables = variables_with(&[(ATTRIBUTES, nothing), (SERVICE_NAME, "")]);
        assert_eq!(attributes_in(&variables)["k8s.pod.name"], "web-0", "{nothing:?}");
        assert_eq!(variables[SERVICE_NAME], "backup", "{nothing:?}");
    }
}

#[test]
fn a_comma_at_the_end_of_what_is_set_makes_no_empty_pair() {
    let variables = variables_with(&[(ATTRIBUTES, "team=core, ")]);
    assert_eq!(attributes_in(&variables)["team"], "core");
}

#[test]
fn a_service_name_that_is_set_is_the_only_one() {
    let variables = variables_with(&[(SERVICE_NAME, "mine")]);
    assert_eq!(attributes_in(&variables).get("service.name"), None);
    assert_eq!(variables[SERVICE_NAME], Value::Null, "it is as it was");
}

#[test]
fn a_service_name_among_the_pairs_is_the_only_one() {
    let variables = variables_with(&[(ATTRIBUTES, "service.name=mine")]);
    assert_eq!(attributes_in(&variables)["service.name"], "mine");
    assert_eq!(variables[SERVICE_NAME], Value::Null);
}

#[test]
fn a_service_name_of_an_option_is_the_only_one() {
    let options = ["--otel", "--set", "OTEL_SERVICE_NAME=metadata.namespace"];
    assert_eq!(crate::made::variables(options, &pod(json!({})))[SERVICE_NAME], "shop");
}

#[test]
fn where_everything_is_set_nothing_is() {
    let set = "k8s.pod.name=a,k8s.namespace.name=b,service.namespace=c,service.name=d,k8s.job.name=e";
    let variables = variables_with(&[(ATTRIBUTES, set)]);
    assert_eq!(variables[ATTRIBUTES], Value::Null);
    assert_eq!(variables[SERVICE_NAME], Value::Null);
}

#[test]
fn the_application_gets_one_variable_with_both() {
    let script = "printf '%s\n' \"$OTEL_RESOURCE_ATTRIBUTES\"; env | grep -c ^OTEL_RESOURCE_ATTRIBUTES=";
    let mut command = introspod(["exec", "--otel", "--container", "app", "--api=never", "sh", "-c", script]);
    command.env(ATTRIBUTES, "team=core");
    let stdout = run(command).expect_code(0).stdout;
    let (attributes, count) = stdout.trim_end().split_once('\n').unwrap();
    assert!(attributes.starts_with("team=core,"), "{stdout}");
    assert_eq!(read_as_javascript(attributes)["k8s.container.name"], "app");
    assert_eq!(count, "1");
}

#[test]
fn what_is_set_and_not_utf_8_stays() {
    let own = OsString::from_vec(b"team=\xff".to_vec());
    let script = "printf %s \"$OTEL_RESOURCE_ATTRIBUTES$OTEL_SERVICE_NAME\"";
    let mut command = introspod(["exec", "--otel", "--container", "app", "--api=never", "sh", "-c", script]);
    command.env(ATTRIBUTES, &own);
    let output = output(command);
    assert_eq!(output.stdout, b"team=\xff");
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains("OTEL_RESOURCE_ATTRIBUTES stays as it is set: it is not UTF-8"), "{warning}");
}

// ------------------------------------------------------------------------------------------------
// What the SDKs read back

#[test]
fn what_was_meant_is_read_back() {
    let values = [
        ",",
        "=",
        "%",
        "%41",
        "+",
        "1.0.0+build.5",
        " a b ",
        ";",
        "\\",
        "\"quoted\"",
        "a=b,c=d;e",
        "Grüße, 世界 😀",
        "\u{1}\t\n\r\u{7f}\u{0}",
        "~!@#$^&*()_-{}[]|:'<>?/.`",
    ];
    for value in values {
        assert_eq!(attributes_of(&with_annotation("nasty", value))["nasty"], value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// In one run of the binary many values.
    #[test]
    fn whatever_was_meant_is_read_back(values in proptest::collection::vec("\\PC{1,20}|[,=%+ ;\"\\\\\\x00-\\x7f]{1,60}", 1..20)) {
        let key = |number: usize| format!("resource.opentelemetry.io/{number}");
        let keys: Vec<String> = (0..values.len()).map(key).collect();
        let annotations = keys.iter().map(String::as_str).zip(values.iter().map(String::as_str));
        let attributes = attributes_of(&crate::made::annotated(annotations));
        for (number, value) in values.iter().enumerate() {
            prop_assert_eq!(&attributes[&number.to_string()], value);
        }
    }
}

/// No SDK decodes it.
#[test]
fn the_service_s_own_variable_is_not_encoded() {
    let name = "Grüße, = 100% \\ \"x\"";
    assert_eq!(variables_of(&with_annotation("service.name", name))[SERVICE_NAME], name);
}

#[test]
fn a_service_name_with_nul_is_left_out_of_its_own_variable() {
    let outcome = run_with_pod("print", ["--otel"], &with_annotation("service.name", "a\0b")).expect_code(0);
    assert!(outcome.stdout.contains("service.name=a%00b"), "{outcome:?}");
    assert!(!outcome.stdout.contains(SERVICE_NAME), "{outcome:?}");
    assert!(only_line(&outcome).contains("OTEL_SERVICE_NAME is left out: its value contains NUL"));
}

/// A Pod object in a file may hold what the API server would not take.
#[test]
fn a_name_that_no_annotation_can_have_does_no_harm() {
    let attributes = attributes_of(&with_annotation("a=b,c", "v"));
    assert_eq!(attributes_of(&with_annotation("", "v")).len(), attributes.len() - 1, "{attributes:?}");
}

#[test]
fn a_value_over_255_characters_is_warned_of() {
    let long = "a".repeat(256);
    let outcome = run_with_pod("print", ["--otel"], &with_annotation("story", &long)).expect_code(0);
    assert!(outcome.stdout.contains(&long));
    assert!(only_line(&outcome).contains("story is longer than 255 characters"), "{outcome:?}");
    let just = run_with_pod("print", ["--otel"], &with_annotation("story", &long[1..])).expect_code(0);
    assert_eq!(just.stderr, "");
}

/// JavaScript's SDK counted the characters before it decoded them.
#[test]
fn the_characters_are_counted_as_they_are_encoded() {
    let outcome =
        run_with_pod("print", ["--otel"], &with_annotation("story", &"é".repeat(43))).expect_code(0);
    assert!(only_line(&outcome).contains("story is longer than 255 characters"), "{outcome:?}");
}

// ------------------------------------------------------------------------------------------------
// What is asked for

/// The container `downward`, with these labels in its volume, and an API server that knows the pod
/// as a Deployment's, of the image `web:7`.
fn cluster(labels: &str) -> (Server, World) {
    let mut object: Value = serde_json::from_slice(&std::fs::read(pod_json("downward")).unwrap()).unwrap();
    object["spec"]["containers"][0]["image"] = "web:7".into();
    object["metadata"]["ownerReferences"] =
        json!([{"kind": "DaemonSet", "name": "agent", "controller": true}]);
    let server = Server::start(always(Response::json(&object)));
    let world = server.world("downward", "main");
    world.remove("etc/podinfo").write("etc/podinfo/labels", labels).write("etc/podinfo/annotations", "");
    (server, world)
}

/// The attributes in a container of a cluster, and how many requests they took.
#[track_caller]
fn asked(labels: &str) -> (Attributes, usize) {
    let (server, world) = cluster(labels);
    let url = server.url();
    let variables = document(&world, ["--otel", "--api-url", &url])["variables"].take();
    (attributes_in(&variables), server.requests().len())
}

#[test]
fn a_volume_that_tells_name_and_version_costs_no_request() {
    let labels = "app.kubernetes.io/name=\"shop\"\napp.kubernetes.io/version=\"1.2.3\"\n";
    let (attributes, requests) = asked(labels);
    assert_eq!(attributes["service.name"], "shop");
    assert_eq!(attributes["service.version"], "1.2.3");
    assert_eq!(requests, 0);
}

#[test]
fn the_image_is_asked_for_where_nothing_else_tells_the_version() {
    for labels in
        ["app.kubernetes.io/name=\"shop\"", "app.kubernetes.io/name=\"shop\"\napp.kubernetes.io/version=\"\""]
    {
        let (attributes, requests) = asked(labels);
        assert_eq!(attributes["service.name"], "shop");
        assert_eq!(attributes["service.version"], "7");
        assert_eq!(requests, 1);
    }
}

#[test]
fn the_workload_is_asked_for_where_nothing_else_tells_the_name() {
    let (attributes, requests) = asked("app.kubernetes.io/version=\"1.2.3\"");
    assert_eq!(attributes["service.name"], "agent");
    assert_eq!(attributes["k8s.daemonset.name"], "agent");
    assert_eq!(requests, 1);
    let (attributes, requests) =
        asked(concat!("app.kubernetes.io/version=\"1.2.3\"\n", "batch.kubernetes.io/job-name=\"backup\"\n",));
    assert_eq!(attributes["service.name"], "backup");
    assert_eq!(requests, 0, "the labels tell it");
}

#[test]
fn an_init_container_asks_for_nothing_of_a_container() {
    let (server, world) = cluster("app.kubernetes.io/name=\"shop\"");
    let out = world.path().join("out.json");
    let mut command = world.command(["write", "--otel", "--api-url", &server.url(), "--out"]);
    command.arg(&out);
    run(command).expect_code(0);
    let written: Value = crate::schema::checked(&std::fs::read_to_string(out).unwrap());
    let attributes = attributes_in(&written["variables"]);
    assert_eq!(attributes["service.name"], "shop");
    for name in ["k8s.container.name", "container.id", "service.version", "service.instance.id"] {
        assert_eq!(attributes.get(name), None, "{name}");
    }
    assert_eq!(server.requests().len(), 0);
}

/// A pod must start, and one variable may have 128 KiB.
#[test]
fn long_attributes_are_left_out_with_a_warning() {
    let key = |name: &str| format!("resource.opentelemetry.io/{name}");
    let annotate = |entries: Vec<(String, String)>| {
        let entries = entries.into_iter().map(|(name, value)| (name, Value::String(value)));
        let pod = pod(json!({"annotations": Value::Object(entries.collect())}));
        run_with_pod("print", ["--otel", "--format=json"], &pod).expect_code(0)
    };
    let outcome = annotate(vec![(key("long"), "x".repeat(140_000)), (key("short"), "x".to_owned())]);
    let told = outcome.json()["variables"][ATTRIBUTES].as_str().unwrap().to_owned();
    assert!(told.contains("short=x") && !told.contains("long="), "{told}");
    assert!(only_line(&outcome).contains("long is left out: it is longer than 1 KiB"), "{outcome:#?}");
    // Encoded, it is longer.
    let outcome = annotate(vec![(key("encoded"), " ".repeat(400))]);
    assert!(only_line(&outcome).contains("encoded is left out"), "{outcome:#?}");

    let outcome = annotate((0..60).map(|number| (key(&format!("a{number}")), "x".repeat(1_000))).collect());
    let told = outcome.json()["variables"][ATTRIBUTES].as_str().unwrap().to_owned();
    assert!((32_000..=32 << 10).contains(&told.len()), "{}", told.len());
    assert!(
        told.contains("k8s.pod.name=") && told.contains("service.instance.id="),
        "the pod's own come first"
    );
    let left_out = outcome.stderr.matches("longer than 32 KiB").count();
    assert_eq!(told.matches("=x").count() + left_out, 60, "{outcome:#?}");
}

#[test]
fn a_name_that_siblings_do_not_share_is_no_service_s() {
    for (metadata, why) in [
        (json!({"generateName": "run-"}), "the pod's name was generated"),
        (
            json!({"ownerReferences": [{"apiVersion": "a/v1", "kind": "A", "name": "a"}]}),
            "does not control it",
        ),
    ] {
        let outcome = run_with_pod("print", ["--otel", "--format=json"], &pod(metadata)).expect_code(0);
        assert_eq!(outcome.json()["variables"][SERVICE_NAME], Value::Null);
        assert!(only_line(&outcome).contains(why), "{outcome:#?}");
    }
}
