//! The kubelet's mounts, and subPaths of a pod's author that look like them.

use serde_json::{Value, json};

use crate::made::document;
use crate::world::World;

const OWN: &str = "/var/lib/kubelet/pods/e9547980-83bf-438d-9893-b0834b7358b8";
const EVIL: &str = "/pods/11111111-2222-3333-4444-555555555555";

/// What is known of pod and container where these roots are mounted at these places.
#[track_caller]
fn told(mounts: &[(&str, &str)]) -> (Value, Value) {
    let world = World::empty();
    let line = |(root, point): &(&str, &str)| format!("9 1 7:0 {root} {point} rw - ext4 /dev/loop0 rw\n");
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
