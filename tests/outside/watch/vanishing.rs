//! A volume that does not exist yet or has disappeared, and more changes than the kernel queues.

use serde_json::json;

use super::*;
use crate::made::in_mount_namespace;
use crate::needs::{needs, succeeds};
use crate::world::run;

#[test]
fn a_directory_that_appears_later() {
    for place in ["/etc/podinfo", "/etc/downward", "/mnt/deep/down/podinfo"] {
        let world = World::empty();
        world.write("etc/hostname", "web-0");
        let default = place.starts_with("/etc");
        let watching = Watching::start(&world, if default { vec![] } else { vec!["--volume", place] });
        watching.wait_for_lines(1 + usize::from(default), "no such directory yet; waiting for it");
        assert_eq!(wait_for("a file", || watching.document())["variables"], json!({}));
        let mut volume = Volume::new(&world, place, &[("labels", "team=\"red\"")]);
        watching.wait_for_label("red");
        volume.label("blue");
        watching.wait_for_label("blue");
    }
}

#[test]
fn directories_that_appear_in_steps_or_at_once() {
    for run in 0..20 {
        let world = World::empty();
        let watching = Watching::start(&world, ["--volume", "/a/b/c/podinfo"]);
        watching.wait_for_lines(1, "waiting for it");
        for step in ["a", "a/b", "a/b/c"].into_iter().filter(|_| run % 2 == 0) {
            fs::create_dir(world.path().join(step)).unwrap();
        }
        Volume::new(&world, "/a/b/c/podinfo", &[("labels", "team=\"red\"")]);
        watching.wait_for_label("red");
    }
}

#[test]
fn a_directory_that_is_renamed_to_its_place() {
    let world = World::empty();
    let mut volume = Volume::new(&world, "/mnt/made", &[("labels", "team=\"red\"")]);
    let watching = Watching::start(&world, ["--volume", "/mnt/podinfo"]);
    watching.wait_for_lines(1, "waiting for it");
    fs::rename(world.path().join("mnt/made"), world.path().join("mnt/podinfo")).unwrap();
    watching.wait_for_label("red");
    volume.directory = world.path().join("mnt/podinfo");
    volume.version = None;
    volume.label("blue");
    watching.wait_for_label("blue");
}

/// A place within another: one directory is watched for two reasons.
#[test]
fn a_directory_that_appears_in_a_volume() {
    let world = World::empty();
    let mut outer = Volume::new(&world, "/mnt/outer", &[("labels", "team=\"red\"")]);
    let watching = Watching::start(&world, ["--volume", "/mnt/outer", "--volume", "/mnt/outer/inner"]);
    watching.wait_for_label("red");
    outer.label("blue");
    watching.wait_for_label("blue");
    Volume::new(&world, "/mnt/outer/inner", &[("podName", "web-0")]);
    watching.wait_for_value("/pod/name", "web-0");
    outer.label("green");
    watching.wait_for_label("green");
}

#[test]
fn a_volume_that_was_named_and_is_none() {
    let world = World::empty();
    world.write("etc/podinfo", "a file");
    let out = world.path().join("pod.json");
    let arguments = ["watch", "--volume", "/etc/podinfo", "--out", out.to_str().unwrap()];
    let outcome = world.run(arguments).expect_code(1);
    assert!(
        outcome.stderr.contains("cannot watch ") && outcome.stderr.contains("etc/podinfo: Not a directory"),
        "{outcome:#?}"
    );
}

#[test]
fn a_volume_that_is_gone_is_the_end_and_the_files_stay() {
    ends_it("emptied", |volume| {
        for entry in fs::read_dir(volume).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() { fs::remove_file(path).unwrap() } else { fs::remove_dir_all(path).unwrap() }
        }
    });
    ends_it("removed", |volume| fs::remove_dir_all(volume).unwrap());
    ends_it("without its link", |volume| fs::remove_file(volume.join("..data")).unwrap());
    ends_it("moved", |volume| fs::rename(volume, volume.with_extension("old")).unwrap());
    ends_it("replaced", |volume| {
        let other = volume.with_extension("new");
        fs::create_dir_all(other.join("..1")).unwrap();
        symlink("..1", other.join("..data")).unwrap();
        fs::rename(volume, volume.with_extension("old")).unwrap();
        fs::rename(other, volume).unwrap();
    });
}

/// What becomes of a volume ends it, and is not rendered because of another volume's change either.
#[track_caller]
fn ends_it(what: &str, becomes: impl FnOnce(&Path)) {
    let (world, volume) = labelled();
    let mut other = Volume::new(&world, "/mnt/other", &[("podName", "web-0")]);
    let watching = Watching::start(&world, ["--volume", "/etc/podinfo", "--volume", "/mnt/other"]);
    watching.wait_for_label("red");
    watching.stop();
    other.publish(&[("podName", "web-1")]);
    becomes(&volume.directory);
    watching.resume();
    let (code, line) = watching.ends();
    assert_eq!(code, Some(1), "{what}: {line}");
    let place = volume.directory.display();
    assert!(line.starts_with(&format!("introspod: error: {place}: the volume is gone")), "{what}: {line}");
    let left = fs::read_to_string(world.path().join("out/pod.json")).unwrap();
    assert!(left.contains("red") && left.contains("web-0"), "{what}: {left}");
}

#[test]
fn a_plain_directory_that_is_emptied_is_the_end() {
    let world = World::empty();
    world.write("etc/podinfo/labels", "team=\"red\"");
    let watching = Watching::start(&world, [""; 0]);
    watching.wait_for_label("red");
    world.remove("etc/podinfo/labels");
    let (code, line) = watching.ends();
    assert_eq!(code, Some(1), "{line}");
    assert!(fs::read_to_string(world.path().join("out/pod.json")).unwrap().contains("red"));
}

#[test]
fn a_volume_that_is_unmounted_is_the_end() {
    // The second time something lies beneath the mount.
    for beneath in [":", "mkdir podinfo/..1; ln -s ..1 podinfo/..data; : > podinfo/labels"] {
        let script = format!(
            r#"
            cd "$top" && mkdir podinfo && {{ {beneath}; }} && mount -t tmpfs tmpfs podinfo && mkdir podinfo/..1
            echo 'team="red"' > podinfo/..1/labels && ln -s ..1 podinfo/..data
            "$introspod" watch --volume "$top/podinfo" --out pod.json & watch=$!
            while ! grep -qs red pod.json; do kill -0 $watch || exit 9; done
            umount podinfo && wait $watch; code=$?
            cat pod.json; exit $code
        "#
        );
        let top = tempfile::tempdir().unwrap();
        let variables = [("top", top.path().as_os_str()), ("introspod", OsStr::new(INTROSPOD))];
        let Some(outcome) = in_mount_namespace(&script, &variables) else { return };
        let outcome = outcome.expect_code(1);
        assert!(outcome.stderr.contains("podinfo: the volume is gone"), "{outcome:#?}");
        assert_eq!(outcome.json()["pod"]["labels"]["team"], "red", "the file stays");
    }
}

/// How many events the kernel queues (`inotify(7)`), if a test can make as many.
fn queue() -> Option<usize> {
    let text = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let size = text.trim().parse().unwrap();
    needs("a queue of at most 100,000 events for inotify(7)", || size <= 100_000).then_some(size)
}

/// Makes more events than are queued, on none of which anything depends.
fn overflow(volume: &Volume, queue: usize) {
    let file = volume.directory.join("unrelated");
    // Each time two, of which some may merge: a descriptor that another test's fork took along is closed late.
    for _ in 0..queue {
        fs::write(&file, "").unwrap();
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn more_changes_than_are_queued() {
    let Some(queue) = queue() else { return };
    let (world, mut volume) = labelled();
    let watching = Watching::start(&world, [""; 0]);
    watching.wait_for_label("red");
    watching.stop();
    overflow(&volume, queue);
    volume.label("blue");
    watching.resume();
    watching.wait_for_label("blue");
    watching.wait_for_lines(1, "inotify(7) dropped events because its queue was full");
    volume.label("green");
    watching.wait_for_label("green");
}

#[test]
fn an_end_that_was_not_queued() {
    let Some(queue) = queue() else { return };
    let (world, volume) = labelled();
    let watching = Watching::start(&world, [""; 0]);
    watching.wait_for_label("red");
    watching.stop();
    overflow(&volume, queue);
    fs::remove_dir_all(&volume.directory).unwrap();
    Volume::new(&world, "/etc/podinfo", &[("labels", "team=\"another\"")]);
    watching.resume();
    let (code, line) = watching.ends();
    assert_eq!(code, Some(1), "{line}");
    assert!(line.contains("the volume is gone"), "{line}");
}

#[test]
fn the_kernel_s_limits_are_said_by_name() {
    // Of each user namespace's own (`inotify(7)`, `namespaces(7)`: /proc/sys/user).
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", script]);
        command
    };
    let may_limit = || succeeds(&mut unshare("echo 0 >/proc/sys/user/max_inotify_watches"));
    if !needs("a user namespace with limits of its own", may_limit) {
        return;
    }
    let (world, _volume) = labelled();
    for (limit, setting) in [("watches", "max_user_watches"), ("instances", "max_user_instances")] {
        let script =
            r#"echo 0 > "/proc/sys/user/max_inotify_$limit" || exit 9; exec "$introspod" watch --out "$out""#;
        let mut command = unshare(script);
        command.env("limit", limit).env("introspod", INTROSPOD).env("out", world.path().join("pod.json"));
        command.env("INTROSPOD_ROOT", world.path());
        let outcome = run(command).expect_code(1);
        let hint = format!("raise fs.inotify.{setting} on the node");
        assert!(outcome.stderr.contains(&hint), "{outcome:#?}");
    }
}
