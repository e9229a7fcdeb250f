//! downwardAPI volumes: file names, `..data`, broken lines, and an update during the read.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::made::{document, only_line};
use crate::server::{Response, Server, always};
use crate::world::{World, fixtures, pod_json};

/// An API server that knows the recorded Pod object of `pod`.
fn api_of(pod: &str) -> Server {
    let object = std::fs::read_to_string(pod_json(pod)).unwrap();
    Server::start(always(Response::json(&serde_json::from_str(&object).unwrap())))
}

/// A world with nothing but these files in `/etc/podinfo`.
fn podinfo(files: &[(&str, &str)]) -> World {
    let world = World::empty();
    for (name, content) in files {
        world.write(&format!("etc/podinfo/{name}"), content);
    }
    world
}

/// Makes `..data` of the volume name the directory of another version, as the kubelet does it.
fn publish(volume: &Path, version: &str) {
    symlink(format!("..{version}"), volume.join("..data_tmp")).unwrap();
    std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

#[test]
fn every_file_name_of_the_design() {
    for (name, content, pointer, expected) in [
        ("podName", "web-0", "/pod/name", "web-0"),
        ("podNamespace", "shop", "/pod/namespace", "shop"),
        ("podUid", "u-1", "/pod/uid", "u-1"),
        ("uid", "u-1", "/pod/uid", "u-1"),
        ("labels", "a=\"b\"", "/pod/labels/a", "b"),
        ("annotations", "a=\"b\"", "/pod/annotations/a", "b"),
        ("containerCpuLimitCores", "2", "/container/resources/limits/cpu", "2"),
        ("containerCpuLimitMilliCores", "1500", "/container/resources/limits/cpu", "1500m"),
        ("containerCpuRequestCores", "1", "/container/resources/requests/cpu", "1"),
        ("containerCpuRequestMilliCores", "15", "/container/resources/requests/cpu", "15m"),
        ("containerMemoryLimitBytes", "4096", "/container/resources/limits/memory", "4Ki"),
        ("containerMemoryLimitKibiBytes", "65536", "/container/resources/limits/memory", "64Mi"),
        ("containerMemoryLimitMebiBytes", "64", "/container/resources/limits/memory", "64Mi"),
        ("containerMemoryRequestBytes", "102400", "/container/resources/requests/memory", "100Ki"),
        ("containerMemoryRequestKibiBytes", "100", "/container/resources/requests/memory", "100Ki"),
        ("containerMemoryRequestMebiBytes", "1", "/container/resources/requests/memory", "1Mi"),
        ("container_cpu_limit_milli_cores", "1500", "/container/resources/limits/cpu", "1500m"),
        ("container_cpu_request_cores", "1", "/container/resources/requests/cpu", "1"),
        ("container_memory_limit_bytes", "4096", "/container/resources/limits/memory", "4Ki"),
        ("container_memory_request_mebi_bytes", "1", "/container/resources/requests/memory", "1Mi"),
    ] {
        let told = document(&podinfo(&[(name, content)]), [] as [&str; 0]);
        assert_eq!(told.pointer(pointer), Some(&json!(expected)), "{name}");
    }
}

#[test]
fn other_files_tell_nothing() {
    let names =
        ["Name", "PodName", "podname", "pod-name", "labelsFoo", "containerCpuLimit", "token", "POD_NAME"];
    let files: Vec<_> = names.iter().map(|name| (*name, "12")).collect();
    assert_eq!(document(&podinfo(&files), [] as [&str; 0])["variables"], json!({}));
}

#[test]
fn the_finer_of_two_units_counts() {
    // 15m rounded up to whole cores is 1.
    let world = podinfo(&[("containerCpuRequestCores", "1"), ("containerCpuRequestMilliCores", "15")]);
    assert_eq!(document(&world, [] as [&str; 0])["container"]["resources"]["requests"]["cpu"], "15m");
}

#[test]
fn the_book_s_place_and_that_of_an_option() {
    let world = World::empty();
    world.write("etc/downward/podName", "by-the-book");
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["name"], "by-the-book");
    world.write("etc/podinfo/podName", "by-the-docs");
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["name"], "by-the-docs");
    world.write("mnt/mine/podName", "mine").write("mnt/too/labels", "a=\"b\"");
    let told = document(&world, ["--volume", "/mnt/mine", "--volume=/mnt/too"]);
    assert_eq!(told["pod"], json!({"name": "mine", "labels": {"a": "b"}}));
}

#[test]
fn other_mounts_are_never_scanned() {
    let world = World::empty();
    world.write("etc/secret/podName", "x").write("etc/labels", "a=\"b\"").write("podinfo/podName", "x");
    assert_eq!(document(&world, [] as [&str; 0])["pod"], Value::Null);
}

#[test]
fn plain_files_of_a_sub_path_work_too() {
    let world = podinfo(&[("labels", "tier=\"web\"\nzone=\"a\"")]);
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["labels"], json!({"tier": "web", "zone": "a"}));
}

#[test]
fn files_behind_the_data_link_win_over_what_lies_beside() {
    let world = podinfo(&[("podName", "beside")]);
    world.write("etc/podinfo/..2026_11_20/podName", "behind");
    publish(&world.path().join("etc/podinfo"), "2026_11_20");
    assert_eq!(document(&world, [] as [&str; 0])["pod"]["name"], "behind");
}

#[test]
fn a_volume_that_is_a_file_is_said_in_one_line() {
    let world = World::recorded("bare", "web");
    world.write("etc/podinfo", "a file");
    let outcome = world.run(["print", "--format", "json"]).expect_code(0);
    let line = only_line(&outcome);
    assert!(line.contains("etc/podinfo") && line.contains("not a directory"), "{line}");
    assert_eq!(outcome.json()["pod"]["name"], "bare", "nothing else is lost");
}

#[test]
fn a_volume_that_was_named_and_is_not_there_is_said() {
    let world = World::recorded("bare", "web");
    let outcome = world.run(["print", "--volume", "/etc/other"]).expect_code(0);
    let line = only_line(&outcome);
    assert!(
        line.contains("etc/other") && line.contains("is the downwardAPI volume mounted there?"),
        "{line}"
    );
}

#[test]
fn of_a_file_with_a_broken_line_the_good_lines_count() {
    for broken in ["c", "c=d", "c=\"d", "c=\"\\q\"", "=\"d\"", "c=\"d\" e"] {
        let world = podinfo(&[("labels", &format!("a=\"1\"\nb=\"2\"\n{broken}\nz=\"26\""))]);
        let outcome = world.run(["print", "--format", "json"]).expect_code(0);
        assert_eq!(outcome.json()["pod"]["labels"], json!({"a": "1", "b": "2", "z": "26"}), "{broken}");
        let line = only_line(&outcome);
        assert!(line.contains("/etc/podinfo/labels: line 3: "), "{line}");
        assert!(line.contains("the other lines are used"), "{line}");
    }
}

#[test]
fn a_file_that_is_not_utf_8_loses_itself_alone() {
    let world = podinfo(&[("podName", "web-0")]);
    world.write("etc/podinfo/labels", b"a=\"\xff\"");
    let outcome = world.run(["print", "--format", "json"]).expect_code(0);
    assert_eq!(outcome.json()["pod"], json!({"name": "web-0"}));
    assert!(only_line(&outcome).contains("labels: not valid UTF-8"));
}

#[test]
fn a_fifo_and_a_directory_among_the_files_do_not_hang() {
    let world = podinfo(&[("podNamespace", "shop")]);
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::unistd::mkfifo(&world.path().join("etc/podinfo/podName"), mode).unwrap();
    std::fs::create_dir(world.path().join("etc/podinfo/labels")).unwrap();
    let outcome = world.run(["print", "--format", "json"]).expect_code(0);
    assert_eq!(outcome.json()["pod"], json!({"namespace": "shop"}));
    assert_eq!(outcome.stderr.matches("not a regular file").count(), 2, "{outcome:#?}");
}

#[test]
fn the_kubelet_s_own_annotations_are_dropped() {
    let world = podinfo(&[(
        "annotations",
        "kubernetes.io/config.seen=\"2026-11-20T23:57:19Z\"\nkubernetes.io/config.source=\"api\"\n\
         kubernetes.io/configured=\"stays\"\nmine=\"stays\"",
    )]);
    let told = document(&world, [] as [&str; 0]);
    let kept = json!({"kubernetes.io/configured": "stays", "mine": "stays"});
    assert_eq!(told["pod"]["annotations"], kept);
}

#[test]
fn a_number_without_a_unit_is_explained_and_not_used() {
    for name in ["cpu_limit", "cpuLimit", "mem_request", "memory_limit", "memLimit"] {
        let world = podinfo(&[(name, "1")]);
        assert_eq!(document(&world, [] as [&str; 0])["container"], Value::Null);
        let explained = world.run(["print", "--explain"]).expect_code(0).stdout;
        let line = explained.lines().find(|line| line.contains(name)).expect(name);
        assert!(line.contains("without a unit") && line.contains("containerMemoryLimitBytes"), "{line}");
    }
}

#[test]
fn a_resource_file_that_is_no_number_is_said() {
    let outcome = podinfo(&[("containerMemoryLimitBytes", "64Mi")]).run(["print"]).expect_code(0);
    assert!(only_line(&outcome).contains("containerMemoryLimitBytes: \"64Mi\" is not a number"));
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_link_that_leads_out_of_the_volume_is_refused_and_said() {
    let world = podinfo(&[("podNamespace", "shop")]);
    world.write("etc/secret/podName", "secret").write("etc/secret/labels", "a=\"secret\"");
    let volume = world.path().join("etc/podinfo");
    symlink("../secret/podName", volume.join("podName")).unwrap();
    symlink("/etc/secret/labels", volume.join("labels")).unwrap();
    let outcome = world.run(["print", "--format", "json"]).expect_code(0);
    assert_eq!(outcome.json()["pod"], json!({"namespace": "shop"}));
    assert_eq!(outcome.stderr.matches("the link leads out of the volume").count(), 2, "{outcome:#?}");
    // The link to the whole version, too.
    symlink("../secret", volume.join("..data")).unwrap();
    let outcome = world.run(["print", "--format", "json"]).expect_code(0);
    assert_eq!(outcome.json()["pod"], Value::Null);
    assert!(only_line(&outcome).contains("..data: the link leads out of the volume"), "{outcome:#?}");
}

/// The peak of resident memory, in KiB, of a run with this file in the volume.
fn peak(name: &str, text: &str) -> u64 {
    let world = podinfo(&[(name, text)]);
    let output = tempfile::tempdir().unwrap();
    let (code, peak) = crate::memory::peak(world.command(["print", "--format=env"]), output.path());
    assert_eq!(code, 0);
    peak
}

#[test]
fn memory_is_bounded_whatever_a_file_holds() {
    const SIZE: usize = 8 << 20;
    let counted = |value: &str, count| -> String {
        (0..count).map(|number| format!("{number}=\"{value}\"\n")).collect()
    };
    let texts = [
        "a=\"\"\n".repeat(SIZE / 5),
        "x\n".repeat(SIZE / 2),
        format!("a=\"{}\"", "x".repeat(SIZE - 4)),
        counted("", SIZE / 12),
        counted("\\x00", 90_000),
    ];
    for name in ["labels", "annotations", "podName", "containerMemoryLimitBytes"] {
        // What a build without optimisation needs by itself is not the file's.
        let nothing = peak(name, "");
        for text in &texts {
            let more = peak(name, text).saturating_sub(nothing);
            // Of the 16 MiB at most, a start without files takes one.
            assert!(more <= 15 << 10, "{more} KiB more for {name}: {:?}...", &text[..20]);
        }
    }
}

#[test]
fn ninety_thousand_labels_are_read() {
    let text: String = (0..90_000).map(|number| format!("label-{number}=\"value\"\n")).collect();
    let world = podinfo(&[("labels", &text)]);
    let outcome = world.run(["print", "--set", "LAST=metadata.labels['label-89999']", "LAST"]).expect_code(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("value\n", ""));
}

#[test]
fn what_kubernetes_wrote_into_map_files_is_read_back() {
    let text = std::fs::read_to_string(fixtures().join("vectors/format-map.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() > 200);
    for case in cases {
        let world = podinfo(&[("labels", case["text"].as_str().unwrap())]);
        assert_eq!(document(&world, [] as [&str; 0])["pod"]["labels"], case["map"], "{case}");
    }
}

/// One of the ways in which Go's `strconv.Quote` or a person may write `letter` in quotes.
fn quoted(letter: char, way: u8) -> String {
    let code = u32::from(letter);
    match (letter, way % 3) {
        ('"' | '\\', 0 | 1) => format!("\\{letter}"),
        ('\n', 0 | 1) => "\\n".to_owned(),
        (_, 0) if code >= 0x20 && code != 0x7f => letter.to_string(),
        (_, 1) if code <= 0xffff => format!("\\u{code:04x}"),
        (_, 2) if code < 0x80 => format!("\\x{code:02x}"),
        _ => format!("\\U{code:08x}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_value_go_quotes_is_read_back(letters in proptest::collection::vec((any::<char>(), any::<u8>()), 0..60)) {
        let value: String = letters.iter().map(|(letter, _)| letter).collect();
        let text: String = letters.iter().map(|(letter, way)| quoted(*letter, *way)).collect();
        let world = podinfo(&[("annotations", &format!("before=\"1\"\nkey=\"{text}\"\nlast=\"2\""))]);
        let expected = json!({"before": "1", "key": value, "last": "2"});
        prop_assert_eq!(&document(&world, [] as [&str; 0])["pod"]["annotations"], &expected);
    }
}

#[test]
fn a_swap_in_the_middle_of_reading_cannot_mix_two_versions() {
    const RUNS: usize = 200;
    let world = World::empty();
    let volume = world.path().join("etc/podinfo");
    // Long enough that a swap falls between the first file and the last.
    let padding = format!("padding=\"{}\"", "x".repeat(300_000));
    let make = |version: usize| {
        let (labels, annotations) = (format!("v=\"{version}\""), format!("{padding}\nv=\"{version}\""));
        world.write(&format!("etc/podinfo/..{version}/labels"), labels);
        world.write(&format!("etc/podinfo/..{version}/annotations"), annotations);
    };
    make(0);
    publish(&volume, "0");
    let mut read_new = 0;
    for version in 1..=RUNS {
        make(version);
        let mut command = world.command(["print", "--format", "json", "--set", "L=metadata.labels['v']"]);
        command.args(["--set", "A=metadata.annotations['v']"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Another moment in each run, over all the time that a run takes.
        let moment = Instant::now() + Duration::from_micros(version as u64 * 37 % 7_000);
        while Instant::now() < moment {}
        publish(&volume, &version.to_string());
        std::fs::remove_dir_all(volume.join(format!("..{}", version - 1))).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let told = crate::schema::checked(std::str::from_utf8(&output.stdout).unwrap());
        let (label, annotation) = (&told["variables"]["L"], &told["variables"]["A"]);
        assert_eq!(label, annotation, "one version, whichever it is");
        let (old, new) = ((version - 1).to_string(), version.to_string());
        assert!(*label == old || *label == new, "{label} is neither {old} nor {new}");
        read_new += usize::from(*label == new);
    }
    println!("{read_new} of {RUNS} runs read the version that came while they ran");
}

/// A manifest may mount one label under the name `labels`. That is no proof that there are no others.
#[test]
fn a_file_that_does_not_parse_is_no_proof_of_absence() {
    for content in ["web", "app=\"demo\"\nweb", "app=\"demo\"\ntier=\"unclosed"] {
        let server = api_of("bare");
        let world = server.world("bare", "web");
        world.write("etc/podinfo/labels", content);
        let url = server.url();
        let options = ["print", "--format=json", "--api-url", &url, "--set=APP=metadata.labels['app']"];
        let outcome =
            world.run([&options[..], &["--set=NONE=metadata.labels['none']"]].concat()).expect_code(0);
        let told = &outcome.json()["variables"];
        assert_eq!((&told["APP"], &told["NONE"]), (&json!("demo"), &Value::Null), "{content:?}");
        assert_eq!(server.requests().len(), 1, "{content:?}");
    }
    // What the file has is true all the same.
    let world = podinfo(&[("labels", "app=\"demo\"\nweb")]);
    let options = ["--set=APP=metadata.labels['app']", "--set=TIER=metadata.labels['tier']", "--labels"];
    let told =
        world.run([&["print", "--format=json", "--api=never"], &options[..]].concat()).expect_code(0).json();
    assert_eq!(told["variables"]["APP"], "demo");
    assert_eq!(told["variables"]["POD_LABEL_APP"], "demo");
    assert_eq!(told["variables"]["TIER"], Value::Null);
    assert_eq!(told["pod"]["labels"], json!({"app": "demo"}));
}

#[test]
fn of_a_whole_file_what_is_absent_is_not_asked_for() {
    let server = api_of("bare");
    let world = server.world("bare", "web");
    world.write("etc/podinfo/labels", "app=\"demo\"");
    let url = server.url();
    let options = ["print", "--format=json", "--api-url", &url, "--set=T=metadata.labels['tier']:-'none'"];
    assert_eq!(world.run(options).expect_code(0).json()["variables"]["T"], "none");
    assert_eq!(server.requests().len(), 0);
}

/// Such a file never changes.
#[test]
fn labels_by_sub_path_are_the_api_s_where_it_is_always_asked() {
    let server = api_of("bare");
    let world = server.world("bare", "web");
    world.write("etc/podinfo/labels", "app=\"old\"");
    let mounts = std::fs::read_to_string(world.path().join("proc/self/mountinfo")).unwrap();
    let root =
        "/var/lib/kubelet/pods/a842ea9c-d88b-4d9f-aa86-7f5aa3946662/volumes/kubernetes.io~downward-api/x";
    let line = format!("990 1 7:0 {root}/..2026_01_01/labels /etc/podinfo/labels rw - ext4 /dev/x rw\n");
    let url = server.url();
    let app = |api: &str| {
        let options = ["print", "--format=json", "--api-url", &url, api, "--set=A=metadata.labels['app']"];
        world.run(options).expect_code(0).json()["variables"]["A"].take()
    };
    assert_eq!((app("--api=auto"), app("--api=always")), (json!("old"), json!("old")));
    world.remove("proc/self/mountinfo").write("proc/self/mountinfo", mounts + &line);
    assert_eq!((app("--api=auto"), app("--api=always")), (json!("old"), json!("demo")));
}
