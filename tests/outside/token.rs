//! The service account token: its claims, invalid tokens, and that it never leaks.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::made::{document, lines, only_line, token};
use crate::needs::{is_root, needs};
use crate::recorded::CONTAINERS;
use crate::world::{INTROSPOD, Outcome, World, recorded, run};

const TOKEN: &str = "var/run/secrets/kubernetes.io/serviceaccount/token";

/// The recorded `bare/web`, with another token.
fn with_token(token: impl AsRef<[u8]>) -> World {
    let world = World::recorded("bare", "web");
    world.remove("var/run/secrets").write(TOKEN, token);
    world.write("var/run/secrets/kubernetes.io/serviceaccount/namespace", "default");
    world
}

fn claims() -> Value {
    json!({
        "aud": ["https://kubernetes.default.svc"],
        "kubernetes.io": {
            "namespace": "shop",
            "node": {"name": "node-7", "uid": "n-7"},
            "pod": {"name": "web-0", "uid": "p-0"},
            "serviceaccount": {"name": "seller", "uid": "s-1"},
        },
        "sub": "system:serviceaccount:shop:seller",
    })
}

#[test]
fn a_token_names_pod_node_and_service_account() {
    let world = World::empty();
    world.write(TOKEN, token(&claims()));
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["node"], json!({"name": "node-7", "uid": "n-7"}));
    let pod = json!({"name": "web-0", "namespace": "shop", "serviceAccountName": "seller", "uid": "p-0"});
    assert_eq!(told["pod"], pod);
}

#[test]
fn blanks_around_a_token_do_not_matter() {
    let world = World::empty();
    world.write(TOKEN, format!("\n {}\r\n\n", token(&claims())));
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["name"], "web-0");
}

#[test]
fn a_token_of_before_kubernetes_1_30_lacks_the_node_and_that_is_no_error() {
    let mut claims = claims();
    claims["kubernetes.io"].as_object_mut().unwrap().remove("node");
    let world = World::empty();
    world.write(TOKEN, token(&claims));
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["node"], Value::Null);
    assert_eq!(told["pod"]["name"], "web-0");
}

#[test]
fn a_legacy_token_lacks_claims_and_that_is_no_error() {
    let world = with_token(token(&json!({
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": "default",
        "kubernetes.io/serviceaccount/service-account.name": "reader",
        "sub": "system:serviceaccount:default:reader",
    })));
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["pod"]["name"], Value::Null);
    assert_eq!(told["pod"]["namespace"], "default");
    assert_eq!(told["pod"]["serviceAccountName"], Value::Null, "it may be any account's");
    let explained = world.run(["print", "--explain"]).expect_code(0).stdout;
    assert!(explained.contains("legacy token"), "{explained}");
}

#[test]
fn a_token_that_is_none_is_said_in_one_line_and_nothing_else_is_lost() {
    let whole = token(&claims());
    let parts: Vec<&str> = whole.split('.').collect();
    for (garbled, why) in [
        (String::new(), "it is empty"),
        (" \n".to_owned(), "it is empty"),
        ("a-secret-opaque-token".to_owned(), "three parts"),
        (format!("{}.{}", parts[0], parts[1]), "three parts"),
        (format!("{whole}.more"), "three parts"),
        (format!("{}.not*base64url*at*all.{}", parts[0], parts[2]), "base64"),
        (format!("{}.{}.{}", parts[0], "bm90IEpTT04gYXQgYWxs", parts[2]), "not JSON"),
        (format!("{}.{}.{}", parts[0], "WyJhbiIsImFycmF5Il0", parts[2]), "not a JSON object"),
    ] {
        let outcome = with_token(&garbled).run(["print", "--format", "json"]).expect_code(0);
        let line = only_line(&outcome);
        assert!(line.contains(TOKEN) && line.contains(why), "{garbled:?}: {line}");
        let told = outcome.json();
        assert_eq!(told["pod"]["name"], Value::Null);
        assert_eq!(told["pod"]["namespace"], "default", "by the file beside it");
        assert_eq!(told["pod"]["ip"], "10.244.0.5");
        assert_eq!(told["container"]["name"], "web");
        assert_absent(&garbled, &outcome);
    }
}

#[test]
fn claims_of_other_types_are_none() {
    for own in [json!(null), json!("text"), json!([1]), json!({"pod": "web-0", "namespace": 1, "node": []})] {
        let world = World::empty();
        world.write(TOKEN, token(&json!({"kubernetes.io": own})));
        assert_eq!(document(&world, [] as [&str; 0])["variables"], json!({}), "{own}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_a_garbled_token() {
    let outcome = with_token(b"\xff\xfe.\xff.\xff").run(["print"]).expect_code(0);
    assert!(only_line(&outcome).contains("is not a service account token"));
}

/// `print` in `world` as another user, who may not read the files at `paths`.
fn print_as_another_user(world: &World, paths: &[&str]) -> Option<Outcome> {
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.path(), open).unwrap();
    for path in paths {
        let file = std::fs::canonicalize(world.path().join(path)).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    // The binary may be where others must not look; a copy is not.
    let binary = world.path().join("introspod");
    std::fs::hard_link(INTROSPOD, &binary).or_else(|_| std::fs::copy(INTROSPOD, &binary).map(drop)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
    command.args(["print", "--format", "json", "--root"]).arg(world.path());
    let outcome = run(command);
    needs("root", is_root).then(|| outcome.expect_code(0))
}

#[test]
fn a_token_that_may_not_be_read_is_said_in_one_line() {
    let world = World::recorded("bare", "web");
    let Some(outcome) = print_as_another_user(&world, &[TOKEN]) else { return };
    let line = only_line(&outcome);
    assert!(line.contains("token: permission denied") && line.contains("fsGroup"), "{line}");
    let told = outcome.json();
    assert_eq!(told["pod"]["name"], Value::Null);
    assert_eq!(told["pod"]["namespace"], "default");
    assert_eq!(told["container"]["name"], "web");
}

#[test]
fn all_files_that_may_not_be_read_are_one_line_for_each_source() {
    let world = World::recorded("downward", "main");
    let names = ["labels", "annotations", "podName", "containerMemoryLimitBytes"];
    // Files of this test's own: a tarball of the crate has no links, so the recorded volume is another one there.
    world.remove("etc/podinfo");
    names.iter().for_each(|name| _ = world.write(&format!("etc/podinfo/{name}"), "1"));
    let mut paths: Vec<String> = names.iter().map(|name| format!("etc/podinfo/{name}")).collect();
    paths.extend(["token", "namespace"].map(|name| TOKEN.replace("token", name)));
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let Some(outcome) = print_as_another_user(&world, &paths) else { return };
    let [token, volume] = lines(&outcome)[..] else { panic!("{outcome:#?}") };
    for (line, source) in [(token, "token: "), (volume, "volume: ")] {
        assert!(line.contains(source) && line.contains("fsGroup") && line.contains("defaultMode"), "{line}");
    }
    assert!(names.iter().all(|name| volume.contains(name)), "{volume}");
}

/// The claims of a token of the pod `uid`.
fn claims_of(uid: &str) -> Value {
    let mut claims = claims();
    claims["kubernetes.io"]["pod"]["uid"] = json!(uid);
    claims
}

#[test]
fn a_projected_token_is_found_beside_the_downward_api_files() {
    let world = World::recorded("notoken", "main");
    let claims = claims_of("77e4d29e-fc9b-47fc-a5b6-2226787191a4");
    world.write("etc/podinfo/token", token(&claims));
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["pod"]["name"], "web-0");
    assert_eq!(told["sources"]["NODE_NAME"], "token");
    // The service account's own comes first, unless it names no pod.
    let own = "var/run/secrets/kubernetes.io/serviceaccount/token";
    let mut other = claims.clone();
    other["kubernetes.io"]["pod"]["name"] = json!("by-the-first");
    world.write(own, token(&other));
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["name"], "by-the-first");
    world.write(own, token(&json!({"kubernetes.io/serviceaccount/namespace": "legacy"})));
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["pod"]["name"], "web-0");
    // A token that names no pod may be of another namespace.
    assert_eq!(told["pod"]["namespace"], claims["kubernetes.io"]["namespace"]);
}

#[test]
fn another_token_is_read_for_its_claims() {
    let world = World::recorded("notoken", "main");
    world.write("var/run/secrets/mine/identity", token(&claims_of("77e4d29e-fc9b-47fc-a5b6-2226787191a4")));
    for option in [
        &["--token-file", "/var/run/secrets/mine/identity"][..],
        &["--token-file=var/run/secrets/mine/identity"],
    ] {
        let told = document(&world, option);
        assert_eq!(told["pod"]["name"], "web-0");
        assert_eq!(told["node"]["name"], "node-7");
        assert_eq!(told["sources"]["POD_NAME"], "token");
    }
}

#[test]
fn another_token_stands_instead_of_the_mounted_one() {
    let world = World::recorded("bare", "web");
    world.write("mine", token(&claims_of("a842ea9c-d88b-4d9f-aa86-7f5aa3946662")));
    assert_eq!(document(&world, ["--token-file", "/mine"])["pod"]["name"], "web-0");
}

#[test]
fn another_token_that_is_not_there_is_said() {
    let world = World::recorded("bare", "web");
    let outcome = world.run(["print", "--token-file", "/nowhere"]).expect_code(0);
    let line = only_line(&outcome);
    assert!(line.contains("/nowhere") && line.contains("No such file"), "{line}");
}

/// No part of `token` that is long enough to be one is in what a run left behind.
#[track_caller]
fn assert_absent(token: &str, outcome: &Outcome) {
    for part in token.trim().split('.').filter(|part| part.len() > 12) {
        for text in [&outcome.stdout, &outcome.stderr] {
            assert!(!text.contains(&part[..12]) && !text.contains(&part[part.len() - 12..]), "{text}");
        }
    }
}

#[test]
fn a_token_is_in_no_output_no_log_no_file_and_no_environment() {
    for (pod, container) in CONTAINERS {
        let Ok(token) = std::fs::read_to_string(recorded(pod, container).join(TOKEN)) else { continue };
        assert!(token.len() > 500);
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("all.json");
        let world = World::recorded(pod, container);
        for subcommand in ["print", "write", "exec"] {
            let mut command = world.command([subcommand, "--labels", "--annotations", "--api=never"]);
            command.env("INTROSPOD_LOG", "trace").env("RUST_LOG", "trace").arg("--out").arg(&out);
            match subcommand {
                "print" => _ = command.args(["--explain", "--format", "json"]),
                "exec" => _ = command.args(["sh", "-c", "cat /proc/self/environ /proc/self/cmdline"]),
                _ => {}
            }
            let mut outcome = run(command).expect_code(0);
            outcome.stdout += &std::fs::read_to_string(&out).unwrap();
            assert!(outcome.stderr.contains("info: token: cluster.issuer, metadata"), "{outcome:#?}");
            assert_absent(&token, &outcome);
        }
    }
}

#[test]
fn the_recorded_token_is_at_the_path_that_is_changed() {
    assert!(Path::new(&recorded("bare", "web")).join(TOKEN).is_file());
}

/// In a virtual cluster (vcluster, k3k) the mounts have the UID that the host cluster gave. The kubelet cuts the
/// hostname at 63 bytes, and takes away what no hostname may end in.
#[test]
fn in_a_virtual_cluster_the_token_s_pod_is_known_by_its_hostname() {
    let long = format!("{}-{}", "a".repeat(62), "b".repeat(20));
    for (pod, hostname) in [("web-0", "web-0"), (&long, &"a".repeat(62))] {
        let world = World::recorded("notoken", "main");
        let mut claims = claims_of("11111111-2222-3333-4444-555555555555");
        claims["kubernetes.io"]["pod"]["name"] = json!(pod);
        world.write("etc/podinfo/token", token(&claims));
        world
            .write("etc/hostname", format!("{hostname}\n"))
            .write("proc/sys/kernel/hostname", format!("{hostname}\n"));
        // Without the API server in the hosts file the token is another pod's.
        let outcome = world.run(["print", "--format=json"]).expect_code(0);
        assert!(only_line(&outcome).contains("the token belongs to another pod"));
        let hosts = std::fs::read_to_string(world.path().join("etc/hosts")).unwrap();
        world.write("etc/hosts", format!("{hosts}\n10.43.0.1\tkubernetes.default.svc\n"));
        let told = document(&world, [] as [&str; 0]);
        assert_eq!(told["pod"]["name"], pod);
        assert_eq!(told["pod"]["uid"], "11111111-2222-3333-4444-555555555555");
    }
}
