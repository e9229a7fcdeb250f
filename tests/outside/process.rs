//! `--process PID`: the container of another process, in real namespaces.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;

use crate::needs::{has_strace, is_root, may_unshare, needs};
use crate::server::{Response, Server, always};
use crate::world::{INTROSPOD, Outcome, World, pod_json, run};

const UID: &str = "a842ea9c-d88b-4d9f-aa86-7f5aa3946662";

/// Makes of the directory $1 a container's root, with the kubelet's mounts and a control group of its
/// own, and becomes its application, a process of the user $3. Its cgroup is named $2.
const CONTAINER: &str = r#"
set -e
world=$1 group=$2 user=$3
chmod 0755 "$world"
mkdir -p "$world/usr" "$world/tmp" "$world/dev" "$world/proc" "$world/kubelet"
for name in bin lib lib64; do ln -s "usr/$name" "$world/$name"; done
mount --rbind /usr "$world/usr"
# The kubelet's directory is not seen inside, but for what is mounted of it.
pod=$world/kubelet/pods/UID
mkdir -p "$pod/containers/web"
cp "$world/etc/hosts" "$pod/etc-hosts"
touch "$pod/containers/web/0a1b2c3d" "$world/dev/termination-log"
mount --bind "$pod/etc-hosts" "$world/etc/hosts"
mount --bind "$pod/containers/web/0a1b2c3d" "$world/dev/termination-log"
rm -rf "$world/proc/self" "$world/proc/sys" "$world/sys"
mount -t proc proc "$world/proc"
hostname not-this-one
if [ -e /sys/fs/cgroup/memory ]; then
    mkdir "/sys/fs/cgroup/memory/$group"
    echo 67108864 >"/sys/fs/cgroup/memory/$group/memory.limit_in_bytes"
    echo $$ >"/sys/fs/cgroup/memory/$group/cgroup.procs"
    mkdir -p "$world/sys/fs/cgroup/memory"
    mount_cgroup="mount -t cgroup -o memory cgroup $world/sys/fs/cgroup/memory"
else
    mkdir "/sys/fs/cgroup/$group"
    echo 67108864 >"/sys/fs/cgroup/$group/memory.max"
    echo $$ >"/sys/fs/cgroup/$group/cgroup.procs"
    mkdir -p "$world/sys/fs/cgroup"
    mount_cgroup="mount -t cgroup2 cgroup $world/sys/fs/cgroup"
fi
export mount_cgroup world user
exec unshare --cgroup sh -ec '
    $mount_cgroup
    exec env -i POD_NAMESPACE=default NODE_NAME=by-environment HOST_IP=10.99.0.1 $VARIABLES \
        /usr/sbin/chroot "$world" /usr/bin/setpriv --reuid "$user" --regid "$user" --clear-groups /usr/bin/sleep 600'
"#;

/// A container that runs until it is dropped.
struct Container {
    unshare: Child,
    pid: i32,
    group: String,
    _world: World,
}

impl Container {
    /// A container of this world, whose application is of `user`; `network` is that of this machine or
    /// one of its own.
    fn start(world: World, user: u32, network: &[&str], variables: &str) -> Self {
        let group = format!("introspod-test-{}-{}", std::process::id(), world.path().display())
            .replace(['/', '.'], "-");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--uts", "--pid", "--fork", "--kill-child"]);
        command.args(network).args(["sh", "-c", &CONTAINER.replace("UID", UID), "sh"]);
        command.arg(world.path()).arg(&group).arg(user.to_string());
        let unshare = command.env("VARIABLES", variables).stdin(Stdio::null()).spawn().unwrap();
        let mut container = Container { unshare, pid: 0, group, _world: world };
        let children = format!("/proc/{0}/task/{0}/children", container.unshare.id());
        // The application is there when its program is.
        container.pid = loop {
            assert_eq!(container.unshare.try_wait().unwrap(), None, "the container did not start");
            let children = std::fs::read_to_string(&children).unwrap_or_default();
            let Some(pid) = children.split_whitespace().next() else { continue };
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if command.starts_with(b"/usr/bin/sleep\0") {
                break pid.parse().unwrap();
            }
        };
        container
    }

    /// What `introspod SUBCOMMAND --process PID ARGUMENTS` says, run by `runner`.
    fn describe(&self, runner: &[&str], arguments: &[&str]) -> Outcome {
        let mut words = runner.iter().copied().chain([INTROSPOD]).chain([arguments[0], "--process"]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg(self.pid.to_string()).args(&arguments[1..]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/bin").env("NODE_NAME", "not-the-target-s");
        run(command)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.pid > 0 {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
        let _ = self.unshare.wait();
        for hierarchy in ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"] {
            let _ = std::fs::remove_dir(Path::new(hierarchy).join(&self.group));
        }
    }
}

/// Whether this machine lets the tests make containers.
fn may_make_containers() -> bool {
    let options = ["--mount", "--uts", "--pid", "--fork", "--net", "--cgroup"];
    needs("root, and namespaces", || is_root() && may_unshare(&options))
}

fn bare() -> World {
    World::recorded("bare", "web")
}

#[track_caller]
fn assert_is_the_container(told: &Value) {
    assert_eq!(told["pod"]["name"], "bare");
    assert_eq!(told["pod"]["uid"], UID);
    assert_eq!(told["container"]["name"], "web");
    assert_eq!(told["container"]["resources"]["limits"], serde_json::json!({"memory": "64Mi"}));
    let sources = &told["sources"];
    let names = ["POD_NAME", "POD_UID", "POD_IP", "HOST_IP", "CONTAINER_MEMORY_LIMIT_KIBIBYTES"];
    assert_eq!(
        names.map(|name| sources[name].as_str().unwrap_or_default()),
        ["token", "kubelet", "kubelet", "env", "cgroup"]
    );
    // By /etc/hostname: the kernel shows the hostname of whoever asks.
    assert_eq!(told["pod"]["ip"], "10.244.0.5");
}

#[test]
fn another_process_s_container_is_described_in_every_way() {
    if !may_make_containers() {
        return;
    }
    let container = Container::start(bare(), 0, &["--net"], "");
    let told = container.describe(&[], &["print", "--format", "json"]).expect_code(0).json();
    assert_is_the_container(&told);
    // Seen from a sibling's cgroup namespace, the target's mounts have a root that begins with "/..".
    let group = format!("{}-reader", container.group);
    let script = r#"
        cd /sys/fs/cgroup
        [ ! -e memory ] || cd memory
        mkdir "$1" && echo $$ >"$1/cgroup.procs" && unshare --cgroup "$2" print --process "$3" --format json
        code=$?
        echo $$ >cgroup.procs
        rmdir "$1"
        exit $code
    "#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", &group, INTROSPOD, &container.pid.to_string()]);
    assert_is_the_container(&run(command).expect_code(0).json());
    // And files: `write` describes the process's container, not one beside it.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pod.json");
    container.describe(&[], &["write", "--out", file.to_str().unwrap()]).expect_code(0);
    assert_is_the_container(&serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap());
}

#[test]
fn who_may_not_read_the_process_is_told_what_to_do() {
    if !may_make_containers() {
        return;
    }
    let container = Container::start(bare(), 1000, &["--net"], "");
    let as_user = |user: &'static str| ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"];
    let told = container.describe(&as_user("1000"), &["print", "--format", "json"]).expect_code(0).json();
    assert_is_the_container(&told);
    let outcome = container.describe(&as_user("1001"), &["print"]).expect_code(1);
    assert_eq!(outcome.stdout, "");
    for word in
        ["--process", "Permission denied", "runAsUser", "runAsGroup", "--profile=general", "SYS_PTRACE"]
    {
        assert!(outcome.stderr.contains(word), "{word}: {outcome:#?}");
    }
}

#[test]
fn the_process_s_own_token_and_address_ask_the_api() {
    if !may_make_containers() {
        return;
    }
    let pod: Value = serde_json::from_slice(&std::fs::read(pod_json("bare")).unwrap()).unwrap();
    let server = Server::start(always(Response::json(&pod)));
    let address = server.url();
    let port = address.rsplit(':').next().unwrap();
    let variables = format!("KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT={port}");
    let container = Container::start(server.world("bare", "web"), 0, &[], &variables);
    let image = container.describe(&[], &["print", "--api", "always", "CONTAINER_IMAGE"]).expect_code(0);
    assert_eq!(image.stdout.trim(), pod["spec"]["containers"][0]["image"].as_str().unwrap(), "{image:#?}");
}

#[test]
fn a_process_that_is_not_there_is_said() {
    let mut command = Command::new(INTROSPOD);
    command.args(["print", "--process", "4194304"]);
    let outcome = run(command).expect_code(1);
    assert!(outcome.stderr.contains("--process 4194304: no process has this ID"), "{outcome:#?}");
}

/// To open one can have an effect, or never end.
#[test]
fn a_fifo_or_device_in_the_container_is_not_opened() {
    if !may_make_containers() || !needs("the Debian package strace", has_strace) {
        return;
    }
    let world = bare();
    let place = |name: &str| world.path().join("etc/podinfo").join(name);
    std::fs::create_dir_all(place("")).unwrap();
    mkfifo(&place("podName"), Mode::S_IRWXU).unwrap();
    let terminal = || mknod(&place("labels"), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(5, 0));
    if !needs("permission to make devices", || terminal().is_ok()) {
        return;
    }
    let log = world.path().join("strace.log");
    let container = Container::start(world, 0, &["--net"], "");
    let strace = ["strace", "--decode-fds=path", "--trace=open,openat,openat2", "--output"];
    let runner = [&strace[..], &[log.to_str().unwrap()]].concat();
    let outcome = container.describe(&runner, &["print"]).expect_code(0);
    assert_eq!(outcome.stderr.matches("not a regular file").count(), 2, "{outcome:#?}");
    let calls = std::fs::read_to_string(log).unwrap();
    for name in ["podName", "labels"] {
        let calls: Vec<&str> = calls.lines().filter(|call| call.contains(name)).collect();
        assert!(!calls.is_empty(), "{name}");
        assert!(calls.iter().all(|call| call.contains("O_PATH")), "{calls:#?}");
    }
}
