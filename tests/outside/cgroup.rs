//! Control groups, by the kernel's documentation (`cgroups(7)`, `Documentation/admin-guide/cgroup-v2.rst`):
//! version 2, both drivers, hybrids and special cases.

use serde_json::{Value, json};

use crate::made::{document, variables, with_resources};
use crate::world::{INTROSPOD, World};

const ID: &str = "552b683940dc8894696bccffa3d7126b28341a6d57e3ecc1129040cc97d961af";
const UID: &str = "e9547980-83bf-438d-9893-b0834b7358b8";

/// `kubepods.slice/…/cri-containerd-<id>.scope`, as the systemd driver names it.
fn systemd_path(class: &str) -> String {
    let uid = UID.replace('-', "_");
    let parent = if class.is_empty() { "kubepods".to_owned() } else { format!("kubepods-{class}") };
    let middle = if class.is_empty() { String::new() } else { format!("{parent}.slice/") };
    format!("/kubepods.slice/{middle}{parent}-pod{uid}.slice/cri-containerd-{ID}.scope")
}

/// A container with version 2: its `/proc/self/cgroup`, and the root of the mount.
fn version_2(own: &str, root: &str) -> World {
    let world = World::empty();
    world.write("proc/self/cgroup", format!("0::{own}\n"));
    world.write(
        "proc/self/mountinfo",
        format!("31 30 0:27 {root} /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n"),
    );
    world
}

/// A container in a private namespace of version 2, with these limits.
fn private(memory: &str, cpu: &str) -> World {
    let world = version_2("/", "/");
    world.write("sys/fs/cgroup/memory.max", format!("{memory}\n"));
    world.write("sys/fs/cgroup/cpu.max", format!("{cpu}\n"));
    world
}

#[track_caller]
fn limits(world: &World) -> Value {
    document(world, [] as [&str; 0])["container"]["resources"]["limits"].take()
}

#[test]
fn a_private_namespace_tells_limits_but_not_whose() {
    let world = private("67108864", "10000 100000");
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["container"], json!({"resources": {"limits": {"cpu": "100m", "memory": "64Mi"}}}));
    assert_eq!(told["pod"], Value::Null, "\"/\" is unknown, not Guaranteed");
    assert_eq!(told["variables"]["CONTAINER_CPU_LIMIT_MILLICORES"], "100");
    assert_eq!(told["variables"]["CONTAINER_MEMORY_LIMIT_KIBIBYTES"], "65536");
}

#[test]
fn max_is_no_limit_whatever_the_environment_says_of_memory() {
    let world = private("max", "max 100000");
    world.environ(&[
        ("CONTAINER_MEMORY_LIMIT_KIBIBYTES", "25224081408"),
        ("CONTAINER_CPU_LIMIT_MILLICORES", "2000"),
    ]);
    assert_eq!(limits(&world), Value::Null);
}

#[test]
fn a_quota_of_at_least_one_millisecond_is_what_3m_becomes() {
    let world = private("max", "1000 100000");
    assert_eq!(limits(&world), json!({"cpu": "10m"}));
    world.environ(&[("CONTAINER_CPU_LIMIT_MILLICORES", "3")]);
    assert_eq!(limits(&world), json!({"cpu": "3m"}), "the manifest's digits, which the kernel rounded so");
    // A kubelet with cpuCFSQuotaPeriod: 10ms.
    let world = private("max", "1000 10000");
    world.environ(&[("CONTAINER_CPU_LIMIT_MILLICORES", "3")]);
    assert_eq!(limits(&world), json!({"cpu": "3m"}));
}

#[test]
fn the_digits_that_systemd_rounds_to_10m() {
    let world = private("max", "2000 100000");
    assert_eq!(limits(&world), json!({"cpu": "20m"}));
    world.environ(&[("CONTAINER_CPU_LIMIT_MILLICORES", "15")]);
    assert_eq!(limits(&world), json!({"cpu": "15m"}));
    world.environ(&[("CONTAINER_CPU_LIMIT_MILLICORES", "25")]);
    let told = world.run(["print", "--format", "json"]).expect_code(0).json();
    assert_eq!(told["container"]["resources"]["limits"]["cpu"], "20m", "25m would have become 30m");
}

#[test]
fn periods_other_than_the_usual() {
    assert_eq!(limits(&private("max", "50000 200000")), json!({"cpu": "250m"}));
    assert_eq!(limits(&private("max", "400000 100000")), json!({"cpu": "4"}));
    assert_eq!(
        limits(&private("max", "1 3")),
        json!({"cpu": "334m"}),
        "rounded up, as the kubelet rounded down"
    );
}

#[test]
fn a_zero_period_is_no_limit_and_no_crash() {
    for cpu in ["10000 0", "0 100000", "10000", "", "x y", "-5 100000", "99999999999999999999999 1"] {
        let told = document(&private("1048576", cpu), [] as [&str; 0]);
        let limits = &told["container"]["resources"]["limits"];
        let expected = if cpu == "10000" { json!("100m") } else { Value::Null };
        assert_eq!(limits["cpu"], expected, "{cpu:?}");
        assert_eq!(limits["memory"], "1Mi", "{cpu:?}");
    }
}

#[test]
fn a_memory_limit_is_rounded_down_to_a_page_and_refined_by_what_agrees() {
    // 100M are 24414.06 pages of 4 KiB.
    let enforced = || private("99999744", "max 100000");
    let bytes =
        |world: &World| document(world, ["--set", "BYTES=limits.memory"])["variables"]["BYTES"].clone();
    assert_eq!(bytes(&enforced()), "99999744");
    let by_variable = enforced();
    by_variable.environ(&[("CONTAINER_MEMORY_LIMIT_KIBIBYTES", "97657")]);
    assert_eq!(bytes(&by_variable), "99999744", "the kubelet rounded the variable up to KiB");
    let by_volume = enforced();
    by_volume.write("etc/podinfo/containerMemoryLimitBytes", "100000000");
    assert_eq!(bytes(&by_volume), "100000000");
    by_volume.environ(&[("CONTAINER_MEMORY_LIMIT_KIBIBYTES", "97657")]);
    assert_eq!(bytes(&by_volume), "100000000");
    by_volume.write("etc/podinfo/containerMemoryLimitBytes", "100003840");
    by_volume.write("proc/self/environ", "");
    assert_eq!(bytes(&by_volume), "99999744", "another page, so another limit");
}

#[test]
fn the_greatest_numbers_of_version_1_are_no_limit() {
    let world = World::recorded("downward", "main");
    world.write("proc/self/environ", "").remove("etc/podinfo");
    for bytes in
        ["9223372036854771712", "9223372036854775807", "9223372036854710272", "-1", "18446744073709551615"]
    {
        world.write("sys/fs/cgroup/memory/memory.limit_in_bytes", format!("{bytes}\n"));
        assert_eq!(limits(&world), json!({"cpu": "100m"}), "{bytes}");
    }
    world.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "4096\n");
    assert_eq!(limits(&world), json!({"cpu": "100m", "memory": "4Ki"}));
}

/// A 32-bit kernel counts up to 2^31 - 1 pages. On a 64-bit machine that is a limit.
#[test]
fn the_greatest_number_of_a_32_bit_machine_is_no_limit_there() {
    let world = World::recorded("downward", "main");
    world.write("proc/self/environ", "").remove("etc/podinfo");
    world.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "8796093018112\n");
    let is_64_bit = std::fs::read(INTROSPOD).unwrap()[4] == 2;
    let expected =
        if is_64_bit { json!({"cpu": "100m", "memory": "8589934588Ki"}) } else { json!({"cpu": "100m"}) };
    assert_eq!(limits(&world), expected);
}

#[test]
fn paths_of_the_systemd_driver() {
    for (class, name) in [("burstable", "Burstable"), ("besteffort", "BestEffort"), ("", "Guaranteed")] {
        let path = systemd_path(class);
        let world = version_2(&path, &path);
        world.write("sys/fs/cgroup/memory.max", "67108864\n").write("sys/fs/cgroup/cpu.max", "max 100000\n");
        let told = document(&world, [] as [&str; 0]);
        assert_eq!(told["pod"], json!({"uid": UID, "qosClass": name}));
        assert_eq!(told["container"], json!({"id": ID, "resources": {"limits": {"memory": "64Mi"}}}));
    }
}

#[test]
fn a_privileged_container_sees_the_host_s_tree_and_finds_its_own_group() {
    let path = systemd_path("burstable");
    let world = version_2(&path, "/");
    world.write("sys/fs/cgroup/kubepods.slice/memory.max", "25224081408\n");
    world.write(&format!("sys/fs/cgroup{path}/memory.max"), "67108864\n");
    world.write(&format!("sys/fs/cgroup{path}/cpu.max"), "20000 100000\n");
    assert_eq!(limits(&world), json!({"cpu": "200m", "memory": "64Mi"}));
}

#[test]
fn a_group_beneath_the_container_s_as_crun_makes_it_is_held_by_both() {
    let path = systemd_path("burstable").replace("cri-containerd-", "crio-");
    let world = version_2(&format!("{path}/container"), "/");
    world.write(&format!("sys/fs/cgroup{path}/memory.max"), "67108864\n");
    world.write(&format!("sys/fs/cgroup{path}/cpu.max"), "max 100000\n");
    world.write(&format!("sys/fs/cgroup{path}/container/memory.max"), "max\n");
    world.write(&format!("sys/fs/cgroup{path}/container/cpu.max"), "5000 100000\n");
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["container"]["resources"]["limits"], json!({"cpu": "50m", "memory": "64Mi"}));
    assert_eq!(told["container"]["id"], ID);
}

#[test]
fn a_nested_cluster_s_prefix_is_passed_over() {
    let outer = "0".repeat(64);
    let own = format!("/kubelet.slice/docker-{outer}.scope/kubelet/kubepods/besteffort/pod{UID}/{ID}");
    let told = document(&version_2(&own, "/"), [] as [&str; 0]);
    assert_eq!(told["pod"], json!({"uid": UID, "qosClass": "BestEffort"}));
    assert_eq!(told["container"], json!({"id": ID}));
}

#[test]
fn a_static_pod_s_uid_is_any_string() {
    let uid = UID.replace('-', "");
    let told = document(&version_2(&format!("/kubepods/burstable/pod{uid}/{ID}"), "/"), [] as [&str; 0]);
    assert_eq!(told["pod"], json!({"uid": uid, "qosClass": "Burstable"}));
}

#[test]
fn colons_in_names_belong_to_them() {
    let own = format!("/kubepods/besteffort/pod{UID}/{ID}/app:1:x");
    let world = version_2(&own, "/");
    world.write(&format!("sys/fs/cgroup{own}/memory.max"), "1048576\n");
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["container"], json!({"id": ID, "resources": {"limits": {"memory": "1Mi"}}}));
    assert_eq!(told["pod"]["uid"], UID);
}

#[test]
fn a_runtime_s_other_scopes_are_no_containers() {
    for name in
        [format!("crio-conmon-{ID}.scope"), ID[1..].to_owned(), ID.replace('5', "g"), format!("{ID}0")]
    {
        let told =
            document(&version_2(&format!("/kubepods/besteffort/pod{UID}/{name}"), "/"), [] as [&str; 0]);
        assert_eq!(told["container"], Value::Null, "{name}");
        assert_eq!(told["pod"]["uid"], UID, "{name}");
    }
}

#[test]
fn another_namespace_s_view_is_relative_to_its_own() {
    // A process that was moved out of its namespace's root sees paths that climb. A mounted group above the
    // namespace counts only if it is the process's own.
    let path = format!("/../../{ID}");
    for (root, file) in
        [("/../..", format!("sys/fs/cgroup/{ID}/memory.max")), (&path, "sys/fs/cgroup/memory.max".to_owned())]
    {
        let world = version_2(&path, root);
        world.write(&file, "1048576\n");
        let told = document(&world, [] as [&str; 0]);
        assert_eq!(told["pod"], Value::Null);
        assert_eq!(told["container"]["id"], ID);
        let known = if root == path { json!("1Mi") } else { Value::Null };
        assert_eq!(told["container"]["resources"]["limits"]["memory"], known, "{root}");
    }
}

/// The limits that `print` shows, and the messages of `--explain` about them.
fn limits_and_reasons(world: &World) -> (Value, String) {
    let explained = world.run(["print", "--explain", "--format", "table"]).expect_code(0).stdout;
    (limits(world), explained)
}

#[test]
fn a_group_that_is_not_the_process_s_own_tells_no_limit() {
    for (own, root) in [
        ("/../elsewhere", "/here"),
        // The node's tree, or its kubepods, by hostPath in a private namespace.
        ("/", "/../../../.."),
        ("/", "/../../.."),
        ("/", "/kubepods"),
        ("/../other", "/"),
        ("/../../other", "/.."),
    ] {
        let world = version_2(own, root);
        world.write("sys/fs/cgroup/memory.max", "25224081408\n");
        world.write("sys/fs/cgroup/cpu.max", "200000 100000\n");
        world.write("sys/fs/cgroup/other/memory.max", "25224081408\n");
        let (limits, reasons) = limits_and_reasons(&world);
        assert_eq!(limits, Value::Null, "{own} {root}");
        assert!(reasons.contains("not the one of this process"), "{own} {root}: {reasons}");
    }
}

#[test]
fn of_several_hierarchies_the_process_s_own_counts() {
    let root = "1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /proc rw - proc proc rw\n";
    let host =
        "3 1 0:22 / /sys rw - sysfs sysfs rw\n4 3 0:27 /../../../.. /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
    let elsewhere = "6 1 0:27 /../../../.. /host/cgroup rw - cgroup2 cgroup rw\n";
    let own = |id, parent| format!("{id} {parent} 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    let world = version_2("/", "/");
    world.write("sys/fs/cgroup/memory.max", "134217728\n").write("sys/fs/cgroup/cpu.max", "max 100000\n");
    world.write("host/cgroup/memory.max", "25224081408\n");
    // cAdvisor's hostPath of /sys: the container's own group is mounted on top of the node's.
    world.write("proc/self/mountinfo", format!("{root}{host}{}", own(5, 4)));
    assert_eq!(limits(&world), json!({"memory": "128Mi"}));
    // The node's elsewhere, first in the list.
    let sys = "3 1 0:22 / /sys ro - sysfs sysfs ro\n";
    world.write("proc/self/mountinfo", format!("{root}{elsewhere}{sys}{}", own(5, 3)));
    assert_eq!(limits(&world), json!({"memory": "128Mi"}));
    // The node's on top of the container's own: what can be read is the node's.
    let covered = format!("{root}{sys}{}{}", own(5, 3), host.replace("3 1", "7 1").replace("4 3", "8 7"));
    world.write("proc/self/mountinfo", covered);
    let (limits, reasons) = limits_and_reasons(&world);
    assert_eq!(limits, Value::Null);
    assert!(reasons.contains("not the one of this process"), "{reasons}");
}

#[test]
fn the_node_s_kubepods_at_the_controllers_places_is_not_the_container_s() {
    let own = format!("/kubepods/burstable/pod{UID}/{ID}");
    let world = World::empty();
    world.write("proc/self/cgroup", format!("8:memory:{own}\n3:cpu:{own}\n"));
    let mounted = |root: &str, id: u32, parent: u32, name: &str| {
        format!("{id} {parent} 0:3{name} {root} /sys/fs/cgroup/{name} ro - cgroup cgroup rw,{name}\n")
    };
    let base = "1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n";
    let text = [
        base,
        &mounted(&own, 3, 2, "memory"),
        &mounted(&own, 4, 2, "cpu"),
        // On top, by hostPath.
        &mounted("/kubepods", 5, 3, "memory"),
        &mounted("/kubepods", 6, 4, "cpu"),
    ]
    .concat();
    world.write("proc/self/mountinfo", text);
    world.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "25276502016\n");
    world.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    world.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    let below = own.strip_prefix("/kubepods").unwrap();
    world.write(&format!("sys/fs/cgroup/memory{below}/memory.limit_in_bytes"), "31457280\n");
    world.write(&format!("sys/fs/cgroup/cpu{below}/cpu.cfs_quota_us"), "3000\n");
    world.write(&format!("sys/fs/cgroup/cpu{below}/cpu.cfs_period_us"), "100000\n");
    assert_eq!(limits(&world), json!({"cpu": "30m", "memory": "30Mi"}), "its own, below the node's");
}

#[test]
fn in_a_hybrid_each_controller_is_read_where_it_is() {
    let path = format!("/kubepods/burstable/pod{UID}/{ID}");
    let world = World::empty();
    world.write("proc/self/cgroup", format!("3:memory:{path}\n1:name=systemd:{path}\n0::{path}\n"));
    world.write(
        "proc/self/mountinfo",
        format!(
            "40 39 0:30 {path} /sys/fs/cgroup/memory ro,nosuid master:11 - cgroup cgroup rw,memory\n\
             41 39 0:31 {path} /sys/fs/cgroup/systemd ro,nosuid master:12 - cgroup cgroup rw,xattr,name=systemd\n\
             42 39 0:27 {path} /sys/fs/cgroup/unified ro,nosuid master:10 - cgroup2 cgroup2 rw\n"
        ),
    );
    world.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n");
    world.write("sys/fs/cgroup/unified/memory.max", "1\n");
    world.write("sys/fs/cgroup/unified/cpu.max", "5000 100000\n");
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["container"]["resources"]["limits"], json!({"cpu": "50m", "memory": "64Mi"}));
    assert_eq!(told["pod"], json!({"uid": UID, "qosClass": "Burstable"}));
}

#[test]
fn controllers_mounted_together_and_elsewhere() {
    let path = format!("/kubepods/burstable/pod{UID}/{ID}");
    let world = World::empty();
    world.write("proc/self/cgroup", format!("4:cpu,cpuacct:{path}\n"));
    world.write(
        "proc/self/mountinfo",
        format!("40 39 0:30 {path} /my\\040groups/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"),
    );
    world.write("my groups/cpu,cpuacct/cpu.cfs_quota_us", "150000\n");
    world.write("my groups/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    assert_eq!(limits(&world), json!({"cpu": "1500m"}));
}

#[test]
fn without_any_cgroup_file_system_other_sources_speak_and_nobody_complains() {
    let world = World::recorded("downward", "main");
    world.remove("sys");
    let mountinfo = std::fs::read_to_string(world.path().join("proc/self/mountinfo")).unwrap();
    let kept: Vec<&str> = mountinfo.lines().filter(|line| !line.contains(" - cgroup ")).collect();
    assert!(kept.len() < mountinfo.lines().count());
    world.write("proc/self/mountinfo", kept.join("\n") + "\n");
    world.remove("proc/self/cgroup");
    let told = document(&world, [] as [&str; 0]);
    assert_eq!(told["sources"]["CONTAINER_MEMORY_LIMIT_KIBIBYTES"], "volume");
    assert_eq!(told["container"]["resources"]["limits"], json!({"memory": "64Mi"}));
    assert_eq!(told["pod"]["qosClass"], Value::Null);
}

/// The values of `container.cpus` and `container.memory`.
#[track_caller]
fn sizes(world: &World) -> [Value; 2] {
    let variables = document(
        world,
        ["--set", "CPUS=container.cpus:-'?'", "--set", "BYTES=container.memory:-'?'"],
    )["variables"]
        .take();
    ["CPUS", "BYTES"].map(|name| variables[name].clone())
}

#[test]
fn what_a_container_may_use_is_known_without_a_limit_too() {
    let world = private("max", "max 100000");
    assert_eq!(sizes(&world), ["?", "?"], "nothing says it");
    world.write("proc/meminfo", "MemTotal:       16384000 kB\nMemFree:  1 kB\n");
    world.write("sys/devices/system/cpu/online", "0-7\n");
    assert_eq!(sizes(&world), [json!("8"), json!("16777216000")]);
    world.write("sys/fs/cgroup/cpuset.cpus.effective", "0-3,6\n");
    assert_eq!(sizes(&world)[0], "5");
    world.write("proc/self/status", "Name:\tsh\nCpus_allowed_list:\t2-3\nMems_allowed:\t1\n");
    assert_eq!(sizes(&world)[0], "2", "the affinity");
    world.write("sys/fs/cgroup/cpu.max", "150000 100000\n").write("sys/fs/cgroup/memory.max", "67108864\n");
    assert_eq!(sizes(&world), [json!("2"), json!("67108864")], "a quota of 1500m is two CPUs");
    world.write("sys/fs/cgroup/cpu.max", "800000 100000\n");
    assert_eq!(sizes(&world)[0], "2", "a quota of eight CPUs on two");
    assert_eq!(limits(&world), json!({"cpu": "8", "memory": "64Mi"}), "which is no limit of the manifest");
}

#[test]
fn of_an_object_the_limit_is_what_a_container_may_use() {
    let limits = json!({"limits": {"cpu": "1500m", "memory": "64Mi"}});
    let options = ["--set", "CPUS=container.cpus", "--set", "BYTES=container.memory"];
    let told = variables(options, &with_resources(limits));
    assert_eq!([&told["CPUS"], &told["BYTES"]], ["2", "67108864"]);
    assert_eq!(variables(["--set", "CPUS=container.cpus:-'1'"], &with_resources(json!({})))["CPUS"], "1");
}

#[test]
fn this_process_s_own_affinity_counts() {
    let mut command = std::process::Command::new("taskset");
    command.args(["-c", "0", crate::world::INTROSPOD, "print", "--set", "CPUS=container.cpus", "CPUS"]);
    assert_eq!(crate::world::run(command).expect_code(0).stdout, "1\n");
}
