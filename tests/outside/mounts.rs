//! The kubelet's mounts, and subPaths of a pod's author that look like them.

use std::process::Command;

use serde_json::{Value, json};

use crate::made::document;
use crate::world::{INTROSPOD, World, run};

const OWN: &str = "/var/lib/kubelet/pods/e9547980-83bf-438d-9893-b0834b7358b8";
const EVIL: &str = "/pods/11111111-2222-3333-4444-555555555555";

/// What is known of pod and container where these roots are mounted at these places.
#[track_caller]
fn told(mounts: &[(&str, &str)]) -> (Value, Value) {
    let on_one_device: Vec<_> = mounts.iter().map(|(root, point)| ("7:0", *root, *point)).collect();
    told_on(&on_one_device)
}

/// The same, each mount from a device.
#[track_caller]
fn told_on(mounts: &[(&str, &str, &str)]) -> (Value, Value) {
    let world = World::empty();
    let line = |(device, root, point): &(&str, &str, &str)| {
        format!("9 1 {device} {root} {point} rw - ext4 /dev/loop0 rw\n")
    };
    world.write("proc/self/mountinfo", mounts.iter().map(line).collect::<String>());
    let mut told = document(&world, [] as [&str; 0]);
    (told["pod"]["uid"].take(), told["container"]["name"].take())
}

#[test]
fn the_kubelet_s_own_mounts_name_pod_and_container() {
    let log = format!("{OWN}/containers/main/0a1b2c3d");
    let hosts = format!("{OWN}/etc-hosts");
    let expected = (json!("e9547980-83bf-438d-9893-b0834b7358b8"), json!("main"));
    assert_eq!(told(&[(&hosts, "/etc/hosts"), (&log, "/dev/termination-log")]), expected);
    assert_eq!(told(&[(&log, "/elsewhere")]), expected, "terminationMessagePath");
    assert_eq!(told(&[(&hosts, "/etc/hosts")]), (expected.0, Value::Null));
}

#[test]
fn a_second_candidate_makes_pod_and_container_unknown() {
    let unknown = (Value::Null, Value::Null);
    let log = format!("{OWN}/containers/main/0a1b2c3d");
    let hosts = format!("{OWN}/etc-hosts");
    let own_uid = OWN.rsplit('/').next().unwrap();
    let below_volume = format!("{OWN}/volumes/kubernetes.io~empty-dir/x");
    for fake in [
        format!("{EVIL}/containers/evil/0a1b2c3d"),
        format!("{EVIL}/containers/main/0a1b2c3d"),
        format!("{below_volume}{EVIL}/containers/main/0a1b2c3d"),
        // subPathExpr: $(POD_UID) is known to the author.
        format!("/data/pods/{own_uid}/containers/evil/0a1b2c3d"),
        format!("{below_volume}/pods/{own_uid}/containers/evil/0a1b2c3d"),
    ] {
        let both = [(hosts.as_str(), "/etc/hosts"), (&log, "/dev/termination-log"), (&fake, "/v1")];
        assert_eq!(told(&both), unknown, "{fake}");
        // Only the faked one, in the place of the termination log.
        assert_eq!(told(&[both[0], (&fake, "/dev/termination-log")]), unknown, "{fake}");
        assert_eq!(told(&[both[1], (&fake, "/v1")]), unknown, "{fake}");
    }
    let fake = format!("{EVIL}/etc-hosts");
    assert_eq!(told(&[(&fake, "/etc/hosts"), (&log, "/dev/termination-log")]), unknown);
}

/// Where the kubelet's directory is a file system of its own, a volume can hold the same path as it.
#[test]
fn the_kubelet_s_mounts_come_from_one_device() {
    let directory = "/pods/e9547980-83bf-438d-9893-b0834b7358b8";
    let (hosts, log) = (format!("{directory}/etc-hosts"), format!("{directory}/containers/main/0a1b2c3d"));
    let own = [("8:1", hosts.as_str(), "/etc/hosts"), ("8:1", &log, "/dev/termination-log")];
    let known = (json!("e9547980-83bf-438d-9893-b0834b7358b8"), json!("main"));
    assert_eq!(told_on(&own), known);
    let unknown = (Value::Null, Value::Null);
    for fake in [&log, &format!("{directory}/containers/evil/0a1b2c3d")] {
        assert_eq!(told_on(&[own[0], own[1], ("8:2", fake, "/v")]), unknown, "{fake}");
        assert_eq!(told_on(&[own[0], ("8:2", fake, "/dev/termination-log")]), unknown, "{fake}");
    }
}

#[test]
fn several_containers_of_the_own_pod_leave_the_pod_known() {
    let (main, side) = (format!("{OWN}/containers/main/0a1b2c3d"), format!("{OWN}/containers/side/0a1b2c3d"));
    let own_uid = OWN.rsplit('/').next().unwrap();
    assert_eq!(told(&[(&main, "/dev/termination-log"), (&side, "/v1")]), (json!(own_uid), Value::Null));
}

#[test]
fn a_hosts_file_that_is_mounted_elsewhere_is_not_the_kubelet_s() {
    let log = format!("{OWN}/containers/main/0a1b2c3d");
    let fake = format!("{EVIL}/etc-hosts");
    let (uid, name) = told(&[(&log, "/dev/termination-log"), (&fake, "/v2")]);
    assert_eq!((uid, name), (json!(OWN.rsplit('/').next().unwrap()), json!("main")));
    assert_eq!(told(&[(&fake, "/v2")]), (Value::Null, Value::Null));
}

/// A recorded list may be long, and made to be looked up slowly.
#[test]
fn ten_thousand_mounts_cost_no_time() {
    let line = |id: usize, parent: usize, root: &str, at: &str| {
        format!("{id} {parent} 0:{id} {root} {at} rw - cgroup2 c rw\n")
    };
    let stacked: String = (1..=10_000).map(|id| line(id, id - 1, "/", "/sys/fs/cgroup")).collect();
    let apart: String = (1..=10_000).map(|id| line(id, 0, "/x", &format!("/sys/fs/cgroup/{id}"))).collect();
    let below: String = (1..=5_000).map(|id| line(id, id - 1, "/", "/sys")).collect();
    let below = (5_001..=10_000).fold(below, |all, id| all + &line(id, 5_000, "/", &format!("/sys/fs/{id}")));
    let pods =
        (1..=10_000).map(|id| line(id, 0, &format!("/pods/{id}/containers/a/0a1b2c3d"), "/m")).collect();
    for (mounts, is_known) in [(stacked, true), (apart, false), (below, false), (pods, false)] {
        let world = World::empty();
        world.write("proc/self/cgroup", "0::/\n").write("proc/self/mountinfo", mounts);
        world.write("sys/fs/cgroup/memory.max", "1048576\n");
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -t 10; exec \"$introspod\" print --format=json", "sh"]);
        command.env_clear().env("introspod", INTROSPOD).env("INTROSPOD_ROOT", world.path());
        let limit = run(command).expect_code(0).json()["container"]["resources"]["limits"]["memory"].take();
        assert_eq!(limit == "1Mi", is_known, "{limit}");
    }
}

/// Kata shares the files of a container under names with the container's ID; the names of these two could have the
/// sandbox's.
#[test]
fn the_files_that_kata_shares_name_the_container_but_for_those_of_the_sandbox() {
    let (own, other) = ("0a".repeat(32), "0b".repeat(32));
    let id = |shares: &[(&str, &str, &str)]| {
        let world = World::empty();
        let line = |(id, name, point): &(&str, &str, &str)| {
            format!("9 1 0:30 /{id}-0123456789abcdef-{name} {point} rw - virtiofs kataShared rw\n")
        };
        world.write("proc/self/mountinfo", shares.iter().map(line).collect::<String>());
        document(&world, [] as [&str; 0])["container"]["id"].take()
    };
    assert_eq!(id(&[(&own, "hosts", "/etc/hosts")]), own.as_str());
    for (name, point) in [("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf")] {
        assert_eq!(id(&[(&other, name, point)]), Value::Null, "{name}");
        assert_eq!(id(&[(&own, "hosts", "/etc/hosts"), (&other, name, point)]), own.as_str(), "{name}");
    }
    // Two containers cannot be told apart.
    assert_eq!(id(&[(&own, "hosts", "/etc/hosts"), (&other, "termination-log", "/dev/log")]), Value::Null);
}

#[test]
fn names_name_servers_and_the_issuer_are_where_the_kubelet_left_them() {
    let world = World::recorded("statefulset-db-0", "main");
    let fields = [
        ("pod.fqdn", json!("db-0.db.default.svc.cluster.local")),
        ("spec.hostname", json!("db-0")),
        ("spec.subdomain", json!("db")),
        ("dns.nameservers", json!("10.96.0.10")),
        ("cluster.issuer", json!("https://kubernetes.default.svc.cluster.local")),
    ];
    let all = |world: &World| {
        let set = fields
            .iter()
            .enumerate()
            .flat_map(|(number, (path, _))| ["--set".to_owned(), format!("F{number}={path}:-'?'")]);
        let variables = document(world, set)["variables"].take();
        (0..fields.len()).map(|number| variables[format!("F{number}")].clone()).collect::<Vec<_>>()
    };
    assert_eq!(all(&world), fields.each_ref().map(|(_, value)| value.clone()));
    // Without a subdomain the kubelet writes one name, and nobody can tell whose it is.
    let hosts = std::fs::read_to_string(world.path().join("etc/hosts")).unwrap();
    world.write("etc/hosts", hosts.replace("db-0.db.default.svc.cluster.local\t", ""));
    world.write(
        "etc/resolv.conf",
        "nameserver 10.0.0.1\nnameserver\tfd00::1\nnameserver x\nnameserverx 10.0.0.2\n",
    );
    assert_eq!(all(&world)[..3], ["?", "?", "?"]);
    assert_eq!(all(&world)[3], "10.0.0.1,fd00::1");
}
