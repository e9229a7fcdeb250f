//! 403: one warning, and one line with two commands that grant the permission.
//!
//! A real shell runs the line with a `kubectl` that only records its arguments. Another test checks the
//! objects that the real kubectl creates against the schemas of the API server.

use crate::needs::{has_kubectl, needs};
use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::manifests::schemas::Schemas;
use crate::server::{Answer, Response, SERVICE_ACCOUNT, always, claims_of, in_order, token};

/// A command line of kubectl: its words after `kubectl`.
type Arguments = Vec<String>;

/// What a shell runs when `line` is pasted into it.
#[track_caller]
fn pasted(line: &str) -> Vec<Arguments> {
    let directory = World::empty();
    let recorder = "#!/bin/sh\nprintf '%s\\n' \"$@\" ''\n";
    crate::world::write_executable(&directory.path().join("kubectl"), recorder, 0o755);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", line]).env_clear().env("PATH", directory.path()).current_dir(directory.path());
    let outcome = run(shell).expect_code(0);
    assert_eq!(outcome.stderr, "", "{line}");
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 1, "the line made a file: {line}");
    let commands = outcome.stdout.trim_end().split("\n\n");
    commands.map(|command| command.lines().map(str::to_owned).collect()).collect()
}

/// The values of `option` in a command line.
fn values<'a>(arguments: &'a [String], option: &str) -> Vec<&'a str> {
    let prefix = format!("{option}=");
    arguments.iter().filter_map(|word| word.strip_prefix(&prefix)).collect()
}

/// The value of `option` as JSON; null where it is not given.
fn value(arguments: &[String], option: &str) -> Value {
    let values = values(arguments, option);
    assert!(values.len() < 2, "{option}: {values:?}");
    values.first().map_or(Value::Null, |value| json!(value))
}

/// The object that `kubectl create` makes (`k8s.io/kubectl/pkg/cmd/create/create_role.go` and beside it).
#[track_caller]
fn object(arguments: &[String]) -> Value {
    let [create, kind, name, options @ ..] = arguments else { panic!("{arguments:?}") };
    assert_eq!(create, "create");
    assert!(options.iter().all(|option| option.starts_with("--")), "{arguments:?}");
    let is_cluster = kind.starts_with("cluster");
    let prefix = if is_cluster { "Cluster" } else { "" };
    let mut metadata = json!({"name": name});
    if !is_cluster {
        metadata["namespace"] = value(options, "--namespace");
    }
    let api_version = "rbac.authorization.k8s.io/v1";
    if kind.ends_with("binding") {
        let role = if is_cluster { "--clusterrole" } else { "--role" };
        let account = values(options, "--serviceaccount").concat();
        let (namespace, account) = account.split_once(':').unwrap();
        return json!({
            "apiVersion": api_version, "kind": format!("{prefix}RoleBinding"), "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": format!("{prefix}Role"),
                        "name": value(options, role)},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        });
    }
    let mut rule = json!({"verbs": values(options, "--verb")});
    if let [resource] = values(options, "--resource")[..] {
        let (path, subresource) =
            resource.split_once('/').map_or((resource, ""), |(path, rest)| (path, rest));
        let (resource, group) = path.split_once('.').unwrap_or((path, ""));
        let separator = if subresource.is_empty() { "" } else { "/" };
        rule["apiGroups"] = json!([group]);
        rule["resources"] = json!([format!("{resource}{separator}{subresource}")]);
    }
    for (key, option) in [("resourceNames", "--resource-name"), ("nonResourceURLs", "--non-resource-url")] {
        if let [value] = values(options, option)[..] {
            rule[key] = json!([value]);
        }
    }
    json!({"apiVersion": api_version, "kind": format!("{prefix}Role"), "metadata": metadata, "rules": [rule]})
}

/// What an outcome advises to run: the line, the role and its binding.
#[derive(Debug)]
struct Grant {
    line: String,
    role: Value,
    binding: Value,
}

impl Grant {
    /// The grant that is advised in `outcome`: the line that follows the only warning of a 403.
    #[track_caller]
    fn of(outcome: &Outcome) -> Self {
        let [warning, line] = said(outcome);
        assert!(warning.starts_with("introspod: ") && warning.contains("403"), "{warning}");
        // A line of the log begins with the program's name and the level.
        let line = line.splitn(3, ": ").last().unwrap();
        let commands = pasted(line);
        let [role, binding] = &commands[..] else { panic!("not two commands: {commands:?}") };
        let (role, binding) = (object(role), object(binding));
        let schemas = Schemas::load();
        for object in [&role, &binding] {
            let problems = schemas.problems(object);
            assert!(problems.is_empty(), "{object}: {problems:#?}");
        }
        let grant = Grant { line: line.to_owned(), role, binding };
        grant.check();
        grant
    }

    /// The binding binds the role; both have a path segment name (`k8s.io/apimachinery/pkg/api/validation/path`).
    #[track_caller]
    fn check(&self) {
        let (role, binding) = (&self.role, &self.binding);
        assert_eq!(binding["roleRef"]["kind"], role["kind"]);
        assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
        assert_eq!(binding["metadata"]["namespace"], role["metadata"]["namespace"]);
        for object in [role, binding] {
            let name = object["metadata"]["name"].as_str().unwrap();
            assert!(!name.is_empty() && !name.contains(['/', '%']) && name != "." && name != "..", "{name}");
        }
    }

    fn rule(&self) -> &Value {
        &self.role["rules"][0]
    }

    /// The identity of the object in a cluster.
    fn identity(&self) -> String {
        let metadata = &self.role["metadata"];
        format!("{} {} {}", self.role["kind"], metadata["namespace"], metadata["name"])
    }
}

/// The two lines about a 403, without the lines about missing variables.
#[track_caller]
fn said(outcome: &Outcome) -> [&str; 2] {
    let is_of_variable = |line: &&str| line.contains(" is set: ") || line.contains(" is not set: ");
    let lines = outcome.stderr.lines().filter(|line| !is_of_variable(line));
    let lines: Vec<&str> = lines.collect();
    lines.try_into().unwrap_or_else(|lines| panic!("not two lines: {lines:#?}"))
}

/// A 403 as the API server words it (`k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go`).
fn forbidden(user: &str) -> Response {
    Response::failure(403, "Forbidden", &format!("it is forbidden: User \"{user}\" cannot get it"))
}

fn service_account(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// What `get path` advises to `user`.
#[track_caller]
fn grant_for(path: &str, user: &str) -> Grant {
    Grant::of(&refused(path, forbidden(user)))
}

/// `get path`, which is answered by `response`.
#[track_caller]
fn refused(path: &str, response: Response) -> Outcome {
    let server = Server::start(always(response));
    without_token(run(command(&server.world("bare", "web"), &server.url(), "get", &[path]))).expect_code(1)
}

#[test]
fn a_forbidden_pod_is_one_warning_and_one_line_to_paste() {
    let server = Server::start(always(Response::recorded("403-noperm-own-pod")));
    let world = server.world("noperm", "main");
    let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
    assert!(started(&outcome));
    assert_says(&outcome, &["403", "noperm", "every pod"]);
    assert_eq!(server.requests().len(), 1, "asked again for what will not change");
    let grant = Grant::of(&outcome);
    assert_eq!(grant.role["kind"], "Role");
    assert_eq!(grant.role["metadata"]["namespace"], "default");
    // A Deployment's next pod has another name.
    assert_eq!(*grant.rule(), json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}));
    let subject = json!({"kind": "ServiceAccount", "name": "noperm", "namespace": "default"});
    assert_eq!(grant.binding["subjects"], json!([subject]));
}

/// The labels that a StatefulSet sets on its first pod.
const SET_LABELS: &str =
    "controller-revision-hash=\"db-698c9565f8\"\nstatefulset.kubernetes.io/pod-name=\"db-0\"\n";

#[test]
fn a_pod_with_a_stable_name_gets_a_role_for_that_name() {
    let server = Server::start(always(Response::failure(403, "Forbidden", "pods \"db-0\" is forbidden")));
    let world = server.world("statefulset-db-0", "main");
    // What says that a StatefulSet owns the pod; without it any name may be a Deployment's.
    world.write("etc/podinfo/labels", SET_LABELS);
    let outcome = exec(&world, &server.url(), &["--annotations"]).expect_code(0);
    assert_eq!(Grant::of(&outcome).rule()["resourceNames"], json!(["db-0"]));
    assert!(!outcome.stderr.contains("every pod"), "{outcome:#?}");
}

#[test]
fn a_forbidden_node_gets_a_cluster_role() {
    let bare: Answer = Response::json(&pod("bare")).into();
    let server = Server::start(in_order([bare, Response::recorded("403-reader-node").into()]));
    let options = ["--labels", "--set", "RACK=node.labels['rack']"];
    let outcome = exec(&server.world("bare", "web"), &server.url(), &options).expect_code(0);
    assert!(started(&outcome));
    assert_eq!(variable(&outcome, "RACK"), None);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "the pod was told all the same");
    let grant = Grant::of(&outcome);
    assert_eq!(grant.role["kind"], "ClusterRole");
    // The next pod of the workload may run on another node.
    assert_eq!(*grant.rule(), json!({"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}));
    let subject = json!({"kind": "ServiceAccount", "name": "reader", "namespace": "default"});
    assert_eq!(grant.binding["subjects"], json!([subject]));
}

/// The objects that introspod asks for by itself, as the API server reads their paths.
#[test]
fn the_rule_is_what_the_request_takes() {
    let user = service_account("default", "reader");
    let rule = |resource: &str| json!({"apiGroups": [""], "resources": [resource], "verbs": ["get"]});
    // The request for a Namespace object has that namespace: a Role in it is enough.
    let mut namespaces = rule("namespaces");
    namespaces["resourceNames"] = json!(["kube-system"]);
    for (path, namespace, rule) in [
        ("/api/v1/namespaces/shop/pods/web-0?resourceVersion=0", Some("shop"), rule("pods")),
        ("/api/v1/nodes/kt-node-1.example", None, rule("nodes")),
        ("/api/v1/namespaces/kube-system", Some("kube-system"), namespaces),
    ] {
        let grant = grant_for(path, &user);
        assert_eq!(*grant.rule(), rule, "{path}");
        assert_eq!(grant.role["metadata"]["namespace"].as_str(), namespace, "{path}");
        assert_eq!(grant.role["kind"], if namespace.is_some() { "Role" } else { "ClusterRole" }, "{path}");
    }
}

/// Who asks for another path with `get` knows what it is.
#[test]
fn other_paths_get_no_role() {
    for path in [
        "/api/v1/pods",
        "/apis/batch/v1/namespaces/shop/jobs/x",
        "/api/v1/namespaces/shop/pods/web-0/log?tailLines=1",
        "/api/v1/namespaces/shop/status",
        "/api/v1/namespaces",
        "/metrics",
    ] {
        let outcome = refused(path, forbidden(&service_account("default", "reader")));
        no_command(&outcome);
        assert_says(&outcome, &[&format!("let the service account get {}", path.split('?').next().unwrap())]);
    }
}

/// One advice after the other can be followed: none has the name of another that grants something else.
#[test]
fn a_second_grant_takes_nothing_from_the_first() {
    let mut seen = BTreeSet::new();
    let mut add = |grant: Grant| assert!(seen.insert(grant.identity()), "{}", grant.line);
    for (namespace, name) in [("default", "web"), ("default", "web-a"), ("shop", "web"), ("default-web", "a")]
    {
        let user = service_account(namespace, name);
        for path in [
            "/api/v1/namespaces/default/pods/web-0",
            "/api/v1/namespaces/shop/pods/web-0",
            "/api/v1/namespaces/default",
            "/api/v1/namespaces/kube-system",
            "/api/v1/nodes/kt-node-1",
        ] {
            add(grant_for(path, &user));
        }
    }
    // And the same advice twice is the same role.
    let again = || grant_for("/api/v1/nodes/kt-node-1", &service_account("shop", "web")).identity();
    assert_eq!(again(), again());
}

#[test]
fn each_pod_of_a_stateful_set_has_a_role_of_its_own() {
    let grant = |pod: &str| {
        let denied = Response::failure(403, "Forbidden", "forbidden");
        let server = Server::start(always(denied));
        let world = server.world("statefulset-db-0", "main");
        let claims = claims_of(&token("statefulset-db-0"), |claims| {
            claims["kubernetes.io"]["pod"]["name"] = json!(pod)
        });
        world.write(&format!("{SERVICE_ACCOUNT}/token"), &claims);
        world.write("etc/podinfo/labels", SET_LABELS.replace("db-0", pod));
        server.accept_token(&claims);
        Grant::of(&exec(&world, &server.url(), &["--annotations"]).expect_code(0))
    };
    let (first, second) = (grant("db-0"), grant("db-1"));
    assert_eq!(first.rule()["resourceNames"], json!(["db-0"]));
    assert_eq!(second.rule()["resourceNames"], json!(["db-1"]));
    assert_ne!(first.identity(), second.identity());
}

/// What a server or a path says must not become a command of whoever pastes the line.
#[test]
fn nothing_hostile_is_pasted() {
    let hostile = [
        "a;touch b",
        "a$(touch b)",
        "a`touch b`",
        "a b",
        "-a",
        "a'b",
        "a\\b",
        "a>b",
        "A",
        "",
        "a\n#b",
        "..",
        "é",
    ];
    let path = "/api/v1/namespaces/default/pods/web-0";
    for word in hostile {
        for user in [service_account(word, "web"), service_account("default", word)] {
            no_command(&refused(path, forbidden(&user)));
        }
    }
    let user = service_account("default", "web");
    for path in [
        "/api/v1/namespaces/a;touch b/pods/x",
        "/api/v1/namespaces/default/pods;touch/x/y",
        "/api/v1/namespaces/default/pods/$(touch b)",
        "/api/v1/namespaces/$(x)",
        "/api/v1/nodes/a'b",
        "/api/v1/nodes/-a",
        "/metrics;touch b",
        "/metrics'",
        "/metrics$(touch b)",
        "/a%2fb",
    ] {
        no_command(&refused(path, forbidden(&user)));
    }
}

/// The message names the account or the path, but has no line to paste.
#[track_caller]
fn no_command(outcome: &Outcome) {
    assert!(!outcome.stderr.contains("kubectl create"), "{outcome:#?}");
    said(outcome);
}

#[test]
fn who_is_no_service_account_gets_no_role() {
    for user in ["system:anonymous", "system:node:kt-node-1", "jane"] {
        let outcome = refused("/api/v1/namespaces/default/pods/web-0", forbidden(user));
        no_command(&outcome);
        assert_says(&outcome, &[&format!("{user} is not a service account")]);
    }
}

#[test]
fn without_a_message_the_token_says_who_was_refused() {
    let denied = Response::new(403, "text/plain", "no");
    let grant = Grant::of(&refused("/api/v1/namespaces/shop/pods/x", denied));
    assert_eq!(grant.binding["subjects"][0]["name"], "reader");
    assert_eq!(grant.binding["subjects"][0]["namespace"], "default");
}

/// `get path` through a proxy that answers `response`, in a pod with a token.
fn through_proxy(response: Response) -> Outcome {
    let server = Server::plain(always(response));
    let world = server.world("bare", "web");
    run(command(&world, &server.url(), "get", &["/api/v1/namespaces/default/pods/bare"])).expect_code(1)
}

#[test]
fn the_account_of_a_proxy_is_the_proxys() {
    let outcome = through_proxy(forbidden(&service_account("tools", "ambassador")));
    assert_says(&outcome, &["kubectl proxy", "its own account"]);
    let subject = json!({"kind": "ServiceAccount", "name": "ambassador", "namespace": "tools"});
    assert_eq!(Grant::of(&outcome).binding["subjects"], json!([subject]));
}

#[test]
fn a_proxy_that_refuses_by_itself_gets_no_role() {
    // `--accept-hosts` and `--reject-paths` of kubectl proxy refuse without asking the API server.
    let outcome = through_proxy(Response::recorded("kubectl-proxy-badhost"));
    no_command(&outcome);
    assert_says(&outcome, &["kubectl proxy", "account"]);
    assert!(!outcome.stderr.contains("reader"), "blames the pod's own account: {outcome:#?}");
}

/// The real kubectl makes the same objects of the same arguments.
#[test]
fn the_real_kubectl_makes_the_same_of_it() {
    if !needs("kubectl 1.21 or later, as .ci/run gets it", has_kubectl) {
        return;
    }
    let user = service_account("default", "web");
    for path in
        ["/api/v1/namespaces/default/pods/web-0", "/api/v1/namespaces/kube-system", "/api/v1/nodes/kt-node-1"]
    {
        let grant = grant_for(path, &user);
        let made: Vec<Value> = pasted(&grant.line).iter().map(|arguments| by_kubectl(arguments)).collect();
        for (made, expected) in made.iter().zip([&grant.role, &grant.binding]) {
            for key in ["apiVersion", "kind", "rules", "roleRef", "subjects"] {
                assert_eq!(made[key], expected[key], "{path}: {key}");
            }
            assert_eq!(made["metadata"]["name"], expected["metadata"]["name"]);
            assert_eq!(made["metadata"]["namespace"], expected["metadata"]["namespace"]);
        }
    }
}

/// The object that the real kubectl makes; it asks an API server which resources there are.
#[track_caller]
fn by_kubectl(arguments: &[String]) -> Value {
    let server = Server::plain(discovery);
    let home = World::empty();
    let mut kubectl = Command::new("kubectl");
    kubectl.args(arguments).args(["--dry-run=client", "--output=json", "--server", &server.url()]);
    kubectl.env("HOME", home.path()).env_remove("KUBECONFIG").current_dir(home.path());
    serde_json::from_str(&run(kubectl).expect_code(0).stdout).unwrap()
}

/// An API server of pods, namespaces, nodes and jobs.
fn discovery(request: &crate::server::Request) -> Answer {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]});
    let list = |version: &str, resources: Value| json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources});
    let batch = json!({"groupVersion": "batch/v1", "version": "v1"});
    let document = match request.target.split('?').next().unwrap() {
        "/api" => json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        "/apis" => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
            {"name": "batch", "versions": [batch.clone()], "preferredVersion": batch}]}),
        "/api/v1" => list(
            "v1",
            json!([
                resource("pods", "Pod", true),
                resource("nodes", "Node", false),
                resource("namespaces", "Namespace", false)
            ]),
        ),
        "/apis/batch/v1" => list("batch/v1", json!([resource("jobs", "Job", true)])),
        _ => return Response::failure(404, "NotFound", "not found").into(),
    };
    Response::json(&document).into()
}

#[test]
fn what_the_server_said_is_said_once() {
    let server = Server::start(always(Response::recorded("403-noperm-own-pod.http")));
    let world = server.world("noperm", "main");
    let options = ["--set=IMAGE=container.image", "--set=TEAM=metadata.labels['team']", "--annotations"];
    let outcome = exec(&world, &server.url(), &options).expect_code(0);
    assert!(started(&outcome));
    assert_eq!(outcome.stderr.matches("403").count(), 1, "{}", outcome.stderr);
    for name in ["IMAGE", "TEAM", "POD_ANNOTATION_…"] {
        let line = outcome.stderr.lines().find(|line| line.contains(&format!("{name} is"))).unwrap();
        assert!(line.ends_with(" is not known: see the message of the source api"), "{line}");
    }
    let outcome =
        print(&world, &server.url(), &["--explain", "--format=table", "--require=IMAGE", options[0]]);
    assert_eq!(outcome.expect_code(1).stdout.matches("403").count(), 1, "in the line of the source");
    // Where no warning has said it, the error does.
    let mut command = exec_command(&world, &server.url(), &["--require=CONTAINER_IMAGE"]);
    command.env("INTROSPOD_LOG", "error");
    let outcome = run(command).expect_code(125);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    assert_says(&outcome, &["CONTAINER_IMAGE is not known", "the source api"]);
}
