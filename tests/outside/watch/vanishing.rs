//! A volume that does not exist yet or has disappeared, and more changes than the kernel queues.

use serde_json::json;

use super::*;
use crate::made::in_mount_namespace;
use crate::needs::{needs, succeeds};

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
fn a_volume_that_is_gone_leaves_the_files_and_may_come_back() {
    outlives("emptied", |volume| {
        for entry in fs::read_dir(volume).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() { fs::remove_file(path).unwrap() } else { fs::remove_dir_all(path).unwrap() }
        }
    });
    outlives("removed", |volume| fs::remove_dir_all(volume).unwrap());
    outlives("without its link", |volume| fs::remove_file(volume.join("..data")).unwrap());
    outlives("moved", |volume| fs::rename(volume, volume.with_extension("old")).unwrap());
    outlives("replaced", |volume| {
        let other = volume.with_extension("new");
        fs::create_dir_all(other.join("..1")).unwrap();
        symlink("..1", other.join("..data")).unwrap();
        fs::rename(volume, volume.with_extension("old")).unwrap();
        fs::rename(other, volume).unwrap();
    });
}

/// What becomes of a volume is not rendered, because of another volume's change either.
#[track_caller]
fn outlives(what: &str, becomes: impl FnOnce(&Path)) {
    let (world, volume) = labelled();
    let mut other = Volume::new(&world, "/mnt/other", &[("podName", "web-0")]);
    let watching = Watching::start(&world, ["--volume", "/etc/podinfo", "--volume", "/mnt/other"]);
    watching.wait_for_label("red");
    watching.stop();
    other.publish(&[("podName", "web-1")]);
    becomes(&volume.directory);
    watching.resume();
    let line = watching.wait_for_lines(1, "the volume is gone");
    assert!(
        line.starts_with(&format!("introspod: warn: {}: ", volume.directory.display())),
        "{what}: {line}"
    );
    assert!(line.ends_with("; keeping the files as they are until it is back"), "{what}: {line}");
    let left = fs::read_to_string(world.path().join("out/pod.json")).unwrap();
    assert!(left.contains("red") && left.contains("web-0"), "{what}: {left}");
    let mut volume = Volume { directory: volume.directory, version: None, count: 7 };
    fs::create_dir_all(&volume.directory).unwrap();
    volume.label("blue");
    let document = watching.wait_for_label("blue");
    assert_eq!(document["pod"]["name"], "web-1", "{what}");
    assert_eq!(watching.end(Signal::SIGTERM), Some(0));
}

#[test]
fn a_plain_directory_that_is_emptied_leaves_the_files_and_may_come_back() {
    let world = World::empty();
    world.write("etc/podinfo/labels", "team=\"red\"");
    let watching = Watching::start(&world, [""; 0]);
    watching.wait_for_label("red");
    world.remove("etc/podinfo/labels");
    watching.wait_for_lines(1, "the volume is gone");
    watching.wait_for_label("red");
    world.write("etc/podinfo/labels", "team=\"blue\"");
    watching.wait_for_label("blue");
}

/// Not only the kubelet writes a volume: CSI drivers, sidecars and people do it in other ways.
#[test]
fn whatever_way_the_files_change_the_result_is_right() {
    type Change = fn(&Path);
    let ways: [(&str, Change); 6] = [
        ("a file below the link is replaced", |volume| {
            fs::write(volume.join("..data/next"), "team=\"blue\"").unwrap();
            fs::rename(volume.join("..data/next"), volume.join("..data/labels")).unwrap();
        }),
        ("a file below the link is written", |volume| {
            fs::write(volume.join("..data/labels"), "team=\"blue\"").unwrap();
        }),
        ("a new version by a link that is removed and made", |volume| {
            fs::create_dir(volume.join("..new")).unwrap();
            fs::write(volume.join("..new/labels"), "team=\"blue\"").unwrap();
            fs::remove_file(volume.join("..data")).unwrap();
            symlink("..new", volume.join("..data")).unwrap();
        }),
        ("a link before its files", |volume| {
            fs::remove_file(volume.join("..data")).unwrap();
            symlink("..new", volume.join("..data")).unwrap();
            fs::create_dir(volume.join("..new")).unwrap();
            fs::write(volume.join("..new/labels"), "team=\"blue\"").unwrap();
        }),
        ("a plain file in place of the link", |volume| {
            fs::remove_file(volume.join("labels")).unwrap();
            fs::write(volume.join("..data/labels"), "team=\"blue\"").unwrap();
            symlink("..data/labels", volume.join("labels")).unwrap();
        }),
        ("a file that may not be read at first", |volume| {
            fs::remove_file(volume.join("..data/labels")).unwrap();
            fs::create_dir(volume.join("..data/labels")).unwrap();
            fs::remove_dir(volume.join("..data/labels")).unwrap();
            fs::write(volume.join("..data/labels"), "team=\"blue\"").unwrap();
        }),
    ];
    for (what, change) in ways {
        for is_slow in [false, true] {
            println!("{what}");
            let (world, mut volume) = labelled();
            let watching = Watching::start(&world, [""; 0]);
            watching.wait_for_label("red");
            if !is_slow {
                watching.stop();
            }
            change(&volume.directory);
            watching.resume();
            watching.wait_for_label("blue");
            volume.label("green");
            watching.wait_for_label("green");
        }
    }
}

#[test]
fn links_are_made_in_an_empty_volume_in_any_order() {
    type Make = fn(&Path);
    let makes: [Make; 3] = [
        |volume| {
            fs::create_dir(volume.join("..1")).unwrap();
            fs::write(volume.join("..1/labels"), "team=\"red\"").unwrap();
            symlink("..1", volume.join("..data")).unwrap();
            symlink("..data/labels", volume.join("labels")).unwrap();
        },
        |volume| {
            symlink("..data/labels", volume.join("labels")).unwrap();
            symlink("..1", volume.join("..data")).unwrap();
            fs::create_dir(volume.join("..1")).unwrap();
            fs::write(volume.join("..1/labels"), "team=\"red\"").unwrap();
        },
        |volume| {
            fs::create_dir(volume.join("..1")).unwrap();
            symlink("..1", volume.join("..data")).unwrap();
            symlink("..data/labels", volume.join("labels")).unwrap();
            fs::write(volume.join("..1/labels"), "team=\"red\"").unwrap();
        },
    ];
    for make in makes {
        let world = World::empty();
        let volume = world.path().join("etc/podinfo");
        fs::create_dir_all(&volume).unwrap();
        let watching = Watching::start(&world, [""; 0]);
        wait_for("the first render", || watching.document());
        make(&volume);
        watching.wait_for_label("red");
        assert_eq!(watching.complaints(), [""; 0]);
    }
}

/// No descriptor is left for a while.
#[test]
fn a_read_that_fails_for_a_while_does_not_make_the_files_poorer() {
    let (world, mut volume) = labelled();
    world.write("etc/podinfo/podName", "web-0");
    let watching = Watching::start(&world, [""; 0]);
    watching.wait_for_label("red");
    let limit = |limit: &str| {
        let pid = watching.pid().to_string();
        let mut command = Command::new("prlimit");
        assert!(command.args(["--pid", &pid, &format!("--nofile={limit}:")]).status().unwrap().success());
    };
    limit("3");
    volume.publish(&[("labels", "team=\"blue\""), ("annotations", "a=\"1\"")]);
    watching.wait_for_lines(1, "keeping the files as they are");
    watching.wait_for_label("red");
    limit("1024");
    watching.wait_for_label("blue");
}

#[test]
fn a_volume_that_is_unmounted_may_be_mounted_again() {
    // The second time something lies beneath the mount.
    for beneath in [":", "mkdir podinfo/..1; ln -s ..1 podinfo/..data; : > podinfo/labels"] {
        let script = format!(
            r#"
            fill() {{ mount -t tmpfs tmpfs podinfo && mkdir podinfo/..1 && echo "team=\"$1\"" > podinfo/..1/labels &&
                ln -s ..1 podinfo/..data; }}
            has() {{ while ! grep -qs $1 $2; do kill -0 $watch || exit 9; done; }}
            cd "$top" && mkdir podinfo && {{ {beneath}; }} && fill red || exit 9
            "$introspod" watch --volume "$top/podinfo" --out pod.json 2>log & watch=$!
            has red pod.json; umount podinfo; has "the volume is gone" log; grep -q red pod.json || exit 9
            fill blue && has blue pod.json; kill $watch; wait $watch
        "#
        );
        let top = tempfile::tempdir().unwrap();
        let variables = [("top", top.path().as_os_str()), ("introspod", OsStr::new(INTROSPOD))];
        let Some(outcome) = in_mount_namespace(&script, &variables) else { return };
        outcome.expect_code(0);
    }
}

#[test]
fn without_proc_the_volume_is_looked_at() {
    let script = r#"
        has() { while ! grep -qs $1 $2; do kill -0 $watch || exit 9; done; }
        cd "$top" && mkdir podinfo && echo 'team="red"' >podinfo/labels && mount -t tmpfs tmpfs /proc || exit 9
        "$introspod" watch --volume "$top/podinfo" --out pod.json 2>log & watch=$!
        has red pod.json; echo 'team="blue"' >podinfo/labels; has blue pod.json; kill $watch; wait $watch; cat log
    "#;
    let top = tempfile::tempdir().unwrap();
    let variables = [("top", top.path().as_os_str()), ("introspod", OsStr::new(INTROSPOD))];
    let Some(outcome) = in_mount_namespace(script, &variables) else { return };
    let outcome = outcome.expect_code(0);
    assert!(outcome.stdout.contains("looking for them every 10 seconds"), "{outcome:#?}");
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
fn a_replacement_that_was_not_queued() {
    let Some(queue) = queue() else { return };
    let (world, volume) = labelled();
    let watching = Watching::start(&world, [""; 0]);
    watching.wait_for_label("red");
    watching.stop();
    overflow(&volume, queue);
    fs::remove_dir_all(&volume.directory).unwrap();
    Volume::new(&world, "/etc/podinfo", &[("labels", "team=\"another\"")]);
    watching.resume();
    watching.wait_for_label("another");
}

/// One user of a node has 128 instances, and all distroless images have the same user.
#[test]
fn without_inotify_the_first_render_is_there_and_changes_are_looked_for() {
    // Of each user namespace's own (`inotify(7)`, `namespaces(7)`: /proc/sys/user).
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
        command
    };
    let may_limit = || succeeds(&mut unshare("echo 0 >/proc/sys/user/max_inotify_watches"));
    if !needs("a user namespace with limits of its own", may_limit) {
        return;
    }
    for limit in ["watches", "instances"] {
        let (world, mut volume) = labelled();
        let script =
            format!("echo 0 > /proc/sys/user/max_inotify_{limit} || exit 9; exec {INTROSPOD} \"$@\"");
        let watching = Watching::spawn(&world, unshare(&script), [""; 0]);
        watching.wait_for_label("red");
        let line = watching.wait_for_lines(1, "introspod: warn: ");
        let hint = format!("raise fs.inotify.max_user_{limit} on the node");
        assert!(line.contains(&hint) && line.ends_with("looking for them every 10 seconds"), "{line}");
        volume.label("blue");
        watching.wait_for_label("blue");
        assert_eq!(watching.complaints().len(), 1);
    }
}
