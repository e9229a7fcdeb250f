//! Rendering: at the start and after each change. Only changed files are replaced, and files are complete.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::made::in_mount_namespace;
use crate::needs::{is_root, needs};
use crate::world::{introspod, run};

#[test]
fn the_first_render_waits_for_nothing() {
    let (world, _volume) = labelled();
    // Nobody listens at the discard service's port.
    let watching = Watching::start(&world, ["--notify", "http://127.0.0.1:9/", "--mode", "0640"]);
    watching.wait_for_label("red");
    assert_eq!(fs::metadata(watching.json_file()).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(watching.lines_with("changed").len(), 0, "the first render is no change");
}

#[test]
fn each_change_is_in_the_files_and_in_the_log() {
    let (world, mut volume) = labelled();
    let shell = world.path().join("pod.sh");
    let watching = Watching::start(&world, ["--labels", "--out", shell.to_str().unwrap()]);
    watching.wait_for_label("red");
    volume.publish(&[("labels", "team=\"blue\"\ntier=\"web\""), ("annotations", "a=\"1\"")]);
    watching.wait_for_label("blue");
    let line = watching.wait_for_lines(1, "changed");
    let names = "metadata.annotations['a'], metadata.labels['team'], metadata.labels['tier']";
    assert_eq!(line, format!("introspod: info: changed: {names}"));
    let content = fs::read_to_string(&shell).unwrap();
    assert_eq!(content, "export POD_LABEL_TEAM='blue'\nexport POD_LABEL_TIER='web'\n");

    volume.publish(&[("labels", "team=\"blue\"")]);
    let line = watching.wait_for_lines(2, "changed");
    assert_eq!(line, "introspod: info: changed: metadata.annotations['a'], metadata.labels['tier']");
    assert_eq!(watching.document().unwrap()["pod"]["labels"], json!({"team": "blue"}));
    assert_eq!(watching.complaints(), [""; 0]);
}

#[test]
fn a_file_is_replaced_only_when_its_bytes_differ() {
    let world = World::empty();
    let files = |label: &str, stamp: &str| {
        let own =
            format!("kubernetes.io/config.seen=\"{stamp}\"\nkubernetes.io/config.source=\"api\"\nmine=\"1\"");
        (format!("team=\"{label}\""), own)
    };
    let publish = |volume: &mut Volume, label: &str, stamp: &str| {
        let (labels, annotations) = files(label, stamp);
        volume.publish(&[("labels", &labels), ("annotations", &annotations)]);
    };
    let mut volume = Volume::new(&world, "/etc/podinfo", &[("labels", "team=\"red\"")]);
    publish(&mut volume, "red", "2026-11-20T23:57:19Z");
    let env = world.path().join("pod.env");
    let watching = Watching::start(&world, ["--annotations", "--out", env.to_str().unwrap()]);
    wait_for("the files", || env.exists().then_some(()));
    let inodes = || [watching.json_file(), env.clone()].map(|path| fs::metadata(path).unwrap().ino());
    let [json, plain] = inodes();

    watching.after(|| publish(&mut volume, "red", "2026-11-21T08:00:00Z"));
    // Another one, so that the first has surely come to its end.
    watching.after(|| publish(&mut volume, "red", "2026-11-21T09:00:00Z"));
    assert_eq!(inodes(), [json, plain], "a restarted kubelet makes no difference");
    assert_eq!(watching.lines_with("changed").len(), 0);

    watching.after(|| publish(&mut volume, "blue", "2026-11-21T09:00:00Z"));
    watching.wait_for_label("blue");
    watching.wait_for_lines(1, "changed: metadata.labels['team']");
    assert_ne!(inodes()[0], json);
    assert_eq!(inodes()[1], plain, "labels are not in it");
}

#[test]
fn a_file_that_is_right_already_is_not_touched() {
    let (world, _volume) = labelled();
    let out = world.path().join("out/pod.json");
    fs::create_dir(out.parent().unwrap()).unwrap();
    world.run(["write", "--out", out.to_str().unwrap()]).expect_code(0);
    let inode = fs::metadata(&out).unwrap().ino();
    let watching = Watching::start(&world, [""; 0]);
    watching.wait_for_lines(1, "info: volume: ");
    wait_for("its sleep", || (watching.state() == 'S').then_some(()));
    assert_eq!(watching.end(Signal::SIGTERM), Some(0));
    assert_eq!(fs::metadata(&out).unwrap().ino(), inode);
}

/// Others of a shared directory may have made it theirs, or let everybody write it.
#[test]
fn a_file_with_the_right_bytes_and_another_mode_or_owner_is_replaced() {
    type Plant = fn(&Path);
    let plants: [(&str, Plant); 3] = [
        ("mode", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap()),
        ("owner", |path| std::os::unix::fs::chown(path, Some(65_000), None).unwrap()),
        ("link", |path| {
            fs::rename(path, path.with_extension("other")).unwrap();
            symlink("pod.other", path).unwrap();
        }),
    ];
    if !needs("root", is_root) {
        return;
    }
    for (what, plant) in plants {
        let (world, mut volume) = labelled();
        let out = world.path().join("out/pod.json");
        fs::create_dir(out.parent().unwrap()).unwrap();
        world.run(["write", "--mode=0600", "--out", out.to_str().unwrap()]).expect_code(0);
        let is_right = || {
            let metadata = out.symlink_metadata().unwrap();
            (metadata.is_file() && (metadata.mode() & 0o7777, metadata.uid()) == (0o600, 0)).then_some(())
        };
        plant(&out);
        let watching = Watching::start(&world, ["--mode", "0600"]);
        wait_for(what, is_right);
        plant(&out);
        volume.label("red");
        wait_for(what, is_right);
        assert_eq!(watching.complaints(), [""; 0]);
    }
}

#[test]
fn whatever_is_at_the_target_is_replaced_and_neither_waited_for_nor_read_without_end() {
    type Plant = fn(&Path);
    let plants: [(&str, Plant); 5] = [
        ("a FIFO", |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap()),
        ("a link to a device", |path| symlink("/dev/zero", path).unwrap()),
        ("a link to a file", |path| symlink("other.json", path).unwrap()),
        ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
        ("a huge file", |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap()),
    ];
    for (what, plant) in plants {
        let (world, mut volume) = labelled();
        fs::create_dir(world.path().join("out")).unwrap();
        let file = world.path().join("out/pod.json");
        plant(&file);
        let watching = Watching::start(&world, [""; 0]);
        let is_whole = || {
            let metadata = file.symlink_metadata().ok()?;
            (metadata.is_file() && metadata.len() < 1 << 20).then_some(())
        };
        wait_for(&format!("a file in the place of {what}"), is_whole);
        watching.wait_for_label("red");
        // Again, while it runs.
        fs::remove_file(&file).unwrap();
        plant(&file);
        watching.after(|| volume.label("blue"));
        wait_for(&format!("a file in the place of {what}"), is_whole);
        watching.wait_for_label("blue");
        let resident = status(watching.pid(), "VmHWM");
        assert!(resident < 64 << 10, "{what}: {resident} KiB");
        assert_eq!(watching.complaints(), [""; 0], "{what}");
    }
}

#[test]
fn what_somebody_else_did_to_a_file_is_undone_by_the_next_change() {
    let (world, mut volume) = labelled();
    let watching = Watching::start(&world, [""; 0]);
    watching.wait_for_label("red");
    fs::write(watching.json_file(), "{}").unwrap();
    volume.label("red");
    watching.wait_for_label("red");
    let line = watching.wait_for_lines(1, "changed");
    assert!(line.contains("another process had changed a file"), "{line}");
}

#[test]
fn a_thousand_swaps_and_every_file_that_is_seen_is_whole_and_of_one_version() {
    const SWAPS: usize = 1_000;
    let world = World::empty();
    // So long that a swap falls between the reading of the first file and of the last.
    let padding = "x".repeat(10_000);
    let publish = |volume: &mut Volume, version: usize| {
        let labels = format!("padding=\"{padding}\"\nv=\"{version}\"");
        let annotations = format!("padding=\"{padding}\"\nv=\"{version}\"");
        volume.publish(&[("labels", &labels), ("annotations", &annotations)]);
    };
    let mut volume = Volume::new(&world, "/etc/podinfo", &[]);
    publish(&mut volume, 0);
    let options = ["--set", "L=metadata.labels['v']", "--set", "A=metadata.annotations['v']"];
    let watching = Watching::start(&world, options);
    watching.wait_for_value("/variables/L", "0");
    let done = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| read_until(&done, &watching)));
        for version in 1..=SWAPS {
            publish(&mut volume, version);
            // At times it keeps up, at others it does not.
            if version % 16 < 8 {
                watching.wait_for_value("/variables/L", version.to_string());
            }
        }
        watching.wait_for_value("/variables/L", SWAPS.to_string());
        done.store(true, Ordering::Relaxed);
        readers.map(|reader| reader.join().unwrap())
    });
    println!("of {SWAPS} versions the readers saw {seen:?}");
    let left: Vec<_> = fs::read_dir(&watching.out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["pod.json"], "no temporary file stays");
    assert_eq!(watching.complaints(), [""; 0]);
}

/// Reads the file until `done`; answers with how many versions it saw, each of which was whole.
fn read_until(done: &AtomicBool, watching: &Watching) -> usize {
    let (mut last, mut seen) = (None, 0);
    while !done.load(Ordering::Relaxed) {
        let document = watching.document().expect("the file is there at any time");
        let version = |pointer: &str| {
            let value = document.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or_else(|| panic!("no {pointer}")).parse::<usize>().unwrap()
        };
        let now = version("/pod/labels/v");
        for pointer in ["/pod/annotations/v", "/variables/L", "/variables/A"] {
            assert_eq!(version(pointer), now, "of one version: {pointer}");
        }
        assert!(last <= Some(now), "never back from {last:?} to {now}");
        seen += usize::from(last != Some(now));
        last = Some(now);
    }
    seen
}

/// The volumes are swapped all the time, and each run reads them once.
#[test]
fn a_command_that_starts_during_swaps_reads_one_whole_version() {
    let world = World::empty();
    let mut volume =
        Volume::new(&world, "/etc/podinfo", &[("labels", "v=\"0\""), ("annotations", "v=\"0\"")]);
    let mut config = Volume::new(&world, "/config", &[("a", "0"), ("b", "0")]);
    let path = |name: &str| world.path().join(name).display().to_string();
    let templates = ["config:out", "config/a:a"].map(|pair| {
        let (input, output) = pair.split_once(':').unwrap();
        format!("--template={}:{}", path(input), path(output))
    });
    let out = path("pod.json");
    let arguments = ["write", "--out", &out, &templates[0], &templates[1]];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for version in (1..).map(|version: usize| version.to_string()) {
                let line = format!("v=\"{version}\"");
                volume.publish(&[("labels", &line), ("annotations", &line)]);
                config.publish(&[("a", &version), ("b", &version)]);
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let runs = (0..200).map(|_| {
            let outcome = world.run(arguments);
            let read = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
            let document: Value = serde_json::from_str(&read("pod.json")).unwrap_or_default();
            let pod = ["labels", "annotations"].map(|map| document["pod"][map]["v"].clone());
            let is_whole = pod[0].is_string() && pod[0] == pod[1] && read("out/a") == read("out/b");
            (outcome.code != 0 || !outcome.stderr.is_empty() || !is_whole).then_some((outcome, pod))
        });
        let broken: Vec<_> = runs.flatten().collect();
        done.store(true, Ordering::Relaxed);
        assert!(broken.is_empty(), "{} of 200: {:#?}", broken.len(), broken.first());
    });
}

#[test]
fn a_change_in_any_of_several_volumes_is_followed() {
    let world = World::empty();
    let mut labels = Volume::new(&world, "/mnt/one", &[("labels", "team=\"red\"")]);
    let mut annotations = Volume::new(&world, "/mnt/two", &[("annotations", "a=\"1\"")]);
    let watching = Watching::start(&world, ["--volume", "/mnt/one", "--volume=/mnt/two"]);
    watching.wait_for_label("red");
    annotations.publish(&[("annotations", "a=\"2\"")]);
    watching.wait_for_value("/pod/annotations/a", "2");
    labels.label("blue");
    watching.wait_for_label("blue");
    annotations.publish(&[("annotations", "a=\"3\"")]);
    let document = watching.wait_for_value("/pod/annotations/a", "3");
    assert_eq!(document["pod"]["labels"]["team"], "blue");
}

#[test]
fn plain_files_are_watched_too() {
    let world = World::empty();
    world.write("etc/podinfo/labels", "team=\"red\"");
    let watching = Watching::start(&world, [""; 0]);
    watching.wait_for_label("red");
    // As an editor does it, as `cp` does it, and removed.
    world.write("etc/podinfo/next", "team=\"blue\"");
    fs::rename(world.path().join("etc/podinfo/next"), world.path().join("etc/podinfo/labels")).unwrap();
    watching.wait_for_label("blue");
    fs::write(world.path().join("etc/podinfo/labels"), "team=\"green\"").unwrap();
    watching.wait_for_label("green");
    world.write("etc/podinfo/podName", "web-0").remove("etc/podinfo/labels");
    let document = watching.wait_for_value("/pod", json!({"name": "web-0"}));
    assert_eq!(document["variables"], json!({"POD_NAME": "web-0"}));
}

/// After a resize in place the kubelet swaps the files of `resourceFieldRef`.
pub fn resources_of_a_volume_that_change() {
    let files = |limit: &'static str, request: &'static str| {
        [
            ("labels", "team=\"red\""),
            ("containerCpuLimitMilliCores", limit),
            ("containerMemoryLimitKibiBytes", "65536"),
            ("containerCpuRequestMilliCores", request),
        ]
    };
    let world = World::empty();
    let mut volume = Volume::new(&world, "/etc/podinfo", &files("100", "15"));
    // Without a termination log's mount the container's name is the author's word.
    world.write("proc/self/mountinfo", mounts_of("main"));
    let watching = Watching::start(&world, ["--container", "main", "--set", "CPUS=limits.cpu"]);
    watching.wait_for_value("/container/resources/limits/cpu", "100m");
    volume.publish(&files("1200", "250"));
    let document = watching.wait_for_value("/container/resources/limits/cpu", "1200m");
    assert_eq!(document["container"]["resources"]["requests"]["cpu"], "250m");
    assert_eq!(document["variables"]["CONTAINER_CPU_LIMIT_MILLICORES"], "1200");
    assert_eq!(document["variables"]["CPUS"], "2");
    let line = watching.wait_for_lines(1, "changed: ");
    assert!(line.ends_with("changed: limits.cpu, requests.cpu"), "{line}");
}

/// A mounted ConfigMap: the kubelet swaps its files.
#[test]
fn a_template_that_changes_is_rendered_again() {
    let (world, mut volume) = labelled();
    let mut config = Volume::new(&world, "/config", &[("app.conf", "team=$(metadata.labels['team'])\n")]);
    let out = world.path().join("app.conf");
    for input in ["config/app.conf", "config"] {
        let target = if input == "config" { world.path().join("all") } else { out.clone() };
        let option = format!("{}:{}", world.path().join(input).display(), target.display());
        let watching = Watching::start(&world, ["--template", &option]);
        let file = if input == "config" { target.join("app.conf") } else { target };
        let wait = |text: &str| wait_for(text, || (fs::read_to_string(&file).ok()? == text).then_some(()));
        wait("team=red\n");
        volume.label("blue");
        wait("team=blue\n");
        config.publish(&[("app.conf", "its team is $(metadata.labels['team'])\n")]);
        wait("its team is blue\n");
        // What is not known keeps the old file.
        config.publish(&[("app.conf", "$(metadata.labels['none'])\n")]);
        let line = watching.wait_for_lines(1, "introspod: error: ");
        assert!(
            line.contains("metadata.labels['none']") && line.ends_with("keeping the files as they are"),
            "{line}"
        );
        wait("its team is blue\n");
        config.publish(&[("app.conf", "team=$(metadata.labels['team'])\n")]);
        wait("team=blue\n");
        volume.label("red");
        wait("team=red\n");
        assert_eq!(watching.end(Signal::SIGTERM), Some(0));
    }
}

/// The kubelet rewrites the volume before it changes the control group, which sends no event.
#[test]
fn a_limit_that_the_kernel_enforces_later_is_found() {
    const GROUP: &str = "kubepods/burstable/pod3f1c2a4e-9f0e-4a58-8a51-0d3c1b3b8a77";
    let world = World::empty();
    let group = format!("{GROUP}/{}", "0a".repeat(32));
    let enforce = |bytes: &str| {
        world.write(&format!("sys/fs/cgroup/{group}/memory.max"), bytes);
    };
    let mounts = "8 1 0:6 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    world.write("proc/self/mountinfo", mounts_of("main") + mounts);
    world.write("proc/self/cgroup", format!("0::/{group}\n"));
    enforce("67108864\n");
    let mut volume = Volume::new(&world, "/etc/podinfo", &[("containerMemoryLimitBytes", "67108864")]);
    let watching = Watching::start(&world, ["--container", "main"]);
    let limit = "/container/resources/limits/memory";
    watching.wait_for_value(limit, "64Mi");
    watching.after(|| volume.publish(&[("containerMemoryLimitBytes", "134217728")]));
    watching.wait_for_value(limit, "64Mi");
    enforce("134217728\n");
    watching.wait_for_value(limit, "128Mi");
    assert_eq!(watching.complaints(), [""; 0]);
}

/// The kubelet's mount that says in which container a process runs.
fn mounts_of(container: &str) -> String {
    format!(
        "7 1 0:5 /var/lib/kubelet/pods/3f1c2a4e-9f0e-4a58-8a51-0d3c1b3b8a77/containers/{container}/0123abcd /dev/termination-log rw - ext4 /dev/sda rw\n"
    )
}

#[test]
fn resources_in_a_plain_directory_that_change() {
    let world = World::empty();
    world
        .write("etc/podinfo/containerMemoryRequestMebiBytes", "64")
        .write("proc/self/mountinfo", mounts_of("main"));
    let watching = Watching::start(&world, ["--container", "main"]);
    watching.wait_for_value("/container/resources/requests/memory", "64Mi");
    for number in ["128", "256"] {
        fs::write(world.path().join("etc/podinfo/containerMemoryRequestMebiBytes"), number).unwrap();
        watching.wait_for_value("/container/resources/requests/memory", format!("{number}Mi"));
    }
    assert_eq!(watching.complaints(), [""; 0]);
}

#[test]
fn of_a_container_it_speaks_as_write_does() {
    for options in [&[][..], &["--container", "main"], &["--container", "other", "--labels"], &["--otel"]] {
        let world = World::recorded("downward", "main");
        let written = world.path().join("written.json");
        let write = ["write", "--out", written.to_str().unwrap()];
        world.run(write.iter().chain(options)).expect_code(0);
        let watching = Watching::start(&world, options);
        let document = wait_for("the file", || watching.document());
        let expected: Value = serde_json::from_slice(&fs::read(&written).unwrap()).unwrap();
        assert_eq!(document, expected, "{options:?}");
    }
}

#[test]
fn what_is_required_and_not_known_any_more_leaves_the_files() {
    let (world, mut volume) = labelled();
    let watching = Watching::start(&world, ["--require", "POD_LABEL_TEAM"]);
    watching.wait_for_label("red");
    volume.publish(&[("labels", "tier=\"web\"")]);
    let line = watching.wait_for_lines(1, "introspod: error: ");
    assert!(line.contains("POD_LABEL_TEAM") && line.ends_with("; keeping the files as they are"), "{line}");
    assert_eq!(watching.document().unwrap()["pod"]["labels"], json!({"team": "red"}));
    volume.label("blue");
    watching.wait_for_label("blue");
    let line = watching.wait_for_lines(1, "changed");
    assert!(line.ends_with("changed: metadata.labels['team']"), "{line}");
}

#[test]
fn a_sub_path_mount_is_warned_of_at_start() {
    let mount = |root: &str, point: &str| format!("7 1 0:5 {root} {point} ro,relatime - tmpfs tmpfs rw\n");
    let version = "/..2026_11_20_23_57_19.3736912971";
    let warnings = |mountinfo: &str, volume: &str| {
        let world = World::empty();
        world.write("proc/self/mountinfo", mountinfo).write(&format!("{volume}/labels"), "team=\"red\"");
        let watching = Watching::start(&world, ["--volume", volume]);
        watching.wait_for_label("red");
        watching.complaints()
    };
    let line = |point: &str| {
        format!("introspod: warn: {point}: mounted by subPath, so it never changes; mount the volume whole")
    };
    // One file of it, also after the version was removed; and a directory.
    for (root, point, told) in [
        (format!("{version}/labels"), "/etc/podinfo/labels", "/etc/podinfo/labels"),
        (format!("{version}/labels//deleted"), "/etc/podinfo/labels", "/etc/podinfo/labels"),
        (format!("{version}/sub"), "/etc/podinfo", "/etc/podinfo"),
    ] {
        assert_eq!(warnings(&mount(&root, point), "/etc/podinfo"), [line(told)], "{root}");
    }
    let odd = mount(&format!("{version}/labels"), r"/by\040sub\011path/labels");
    assert_eq!(warnings(&odd, "/by sub\tpath"), [line(r"/by sub\tpath/labels")]);
    // Somebody else's, the volume as a whole, and a file of an emptyDir.
    for (root, point) in [
        (format!("{version}/labels"), "/etc/other/labels"),
        ("/".to_owned(), "/etc/podinfo"),
        ("/pods/u/volumes/kubernetes.io~empty-dir/m/labels".to_owned(), "/etc/podinfo/labels"),
    ] {
        assert_eq!(warnings(&mount(&root, point), "/etc/podinfo"), [""; 0], "{root} {point}");
    }
}

#[test]
fn a_sub_path_mount_of_an_empty_dir_does_change() {
    for volume in ["/by-expr", "/by sub\tpath"] {
        let world = World::recorded("subpath", "main");
        world.write(&format!("{volume}/labels"), "team=\"red\"");
        let watching = Watching::start(&world, ["--volume", volume]);
        watching.wait_for_label("red");
        // In place: for an instant without the file it would be empty.
        fs::write(world.path().join(&volume[1..]).join("labels"), "team=\"blue\"").unwrap();
        watching.wait_for_label("blue");
        assert_eq!(watching.complaints(), [""; 0]);
    }
}

/// What a real kernel says of a bind mount of one file in a real volume.
#[test]
fn a_real_sub_path_mount_is_warned_of() {
    let script = r#"
        mount -t tmpfs tmpfs /mnt && mkdir -p /mnt/..2026.1 "$top/podinfo" && cd "$top"
        echo 'team="red"' > /mnt/..2026.1/labels && ln -s ..2026.1 /mnt/..data && : > podinfo/labels
        mount --bind /mnt/..data/labels podinfo/labels
        "$introspod" watch --volume "$top/podinfo" --out pod.json & watch=$!
        while ! [ -e pod.json ]; do kill -0 $watch || exit 9; done
        kill $watch; wait $watch
    "#;
    let top = tempfile::tempdir().unwrap();
    let variables = [("top", top.path().as_os_str()), ("introspod", OsStr::new(INTROSPOD))];
    let Some(outcome) = in_mount_namespace(script, &variables) else { return };
    let outcome = outcome.expect_code(0);
    let point = top.path().join("podinfo/labels");
    let expected = format!("introspod: warn: {}: mounted by subPath, so it never", point.display());
    assert!(outcome.stderr.starts_with(&expected), "{outcome:#?}");
}

#[test]
fn what_it_does_not_understand_is_a_usage_error() {
    let out = "--out=/tmp/introspod-never-written.json";
    for (arguments, why) in [
        (&[][..], "watch needs a file to write: --out FILE"),
        (&["--out", "pod.txt"], "must name files that end in"),
        (&[out, "--explian"], "unknown option --explian"),
        (&[out, "--explain"], "unknown option --explain"),
        (&[out, "--notfy=http://127.0.0.1/"], "did you mean --notify?"),
        (&[out, "--notify"], "option --notify needs a value"),
        (&[out, "--notify", "http://10.0.0.1:9090/"], "loopback"),
        (&[out, "--notify", "http://localhost.example/"], "loopback"),
        (&[out, "--notify", "http://127.0.0.1.example/"], "loopback"),
        (&[out, "--notify", "http://0.0.0.0/"], "loopback"),
        (&[out, "--notify", "https://127.0.0.1/"], "loopback"),
        (&[out, "--notify", "127.0.0.1:80"], ""),
        (&[out, "--notify", "http://user:secret@127.0.0.1/"], "credentials"),
        (&[out, "--pod", "pod.json"], "--pod"),
        (&[out, "web-0"], "word number 1"),
    ] {
        let outcome = run(introspod(["watch"].iter().chain(arguments))).expect_code(2);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
        assert!(outcome.stderr.contains(why), "{outcome:#?}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_the_end() {
    let (world, mut volume) = labelled();
    let outcome = world.run(["watch", "--out", "/nowhere/pod.json"]).expect_code(1);
    assert!(outcome.stderr.contains("the directory /nowhere does not exist"), "{outcome:#?}");
    let watching = Watching::start(&world, [""; 0]);
    watching.wait_for_label("red");
    world.remove("out");
    volume.label("blue");
    let (code, line) = watching.ends();
    assert_eq!(code, Some(1));
    assert!(line.contains("introspod: error: cannot write ") && line.contains("does not exist"), "{line}");
}
