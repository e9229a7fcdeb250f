//! The control group of this process: `cgroups(7)`, versions 1 and 2.

use std::path::{Path, PathBuf};

use crate::facts::field::Field;
use crate::facts::limits::{Machine, Quota};
use crate::facts::{Report, Value};
use crate::kubernetes::control_group::{Pod, container_id, pod_of};
use crate::kubernetes::quantity::Quantity;
use crate::system::mountinfo::{Mount, visible};
use crate::system::process;
use crate::system::surroundings::Surroundings;

/// A limit of version 1 from this value on means no limit. It is the most pages that the kernel counts
/// (`PAGE_COUNTER_MAX` in `include/linux/page_counter.h`), for pages of up to 64 KiB; on a 32-bit machine of 4 KiB.
const UNLIMITED: u64 =
    if cfg!(target_pointer_width = "32") { (i32::MAX as u64) << 12 } else { i64::MAX as u64 & !0xffff };

/// The CPUs of the machine that are in use.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// Reads the QoS class, the pod's UID and the container's ID from the path, and the enforced limits.
pub(crate) fn read(surroundings: &Surroundings) -> Report {
    let mut report = Report::default();
    match surroundings.read_process("cgroup") {
        Ok(text) => {
            let groups = groups(&text);
            report_path(&groups, &mut report);
            report_limits(surroundings, &groups, &mut report);
        }
        Err(error) => report.absent(error.to_string()),
    }
    report
}

/// Measures the machine as far as the choice between the limits of the control group and of the pod's author needs it.
/// `cgroup` is what [`read`] reported, and the author writes the sources `authors`.
pub(crate) fn measure(
    surroundings: &Surroundings,
    cgroup: &Report,
    authors: [&Report; 2],
    machine: &mut Machine,
) {
    let of = |report: &Report, field| report.values.iter().any(|(it, _)| *it == field);
    let is_open = |field| !of(cgroup, field) && authors.iter().any(|report| of(report, field));
    if is_open(Field::MEMORY_LIMIT) {
        machine.memory = memory_of_machine(surroundings);
    }
    let has_no_quota = cgroup.values.contains(&(Field::CPU_LIMIT, Value::Nothing));
    let is_reported = authors.iter().any(|report| of(report, Field::CPU_LIMIT));
    if is_open(Field::CPU_LIMIT) || (has_no_quota && is_reported) {
        machine.cpus = read_cpus(surroundings, Path::new(ONLINE));
    }
    if has_no_quota && is_reported {
        machine.cpuset = cpuset(surroundings).filter(|cpus| machine.cpus.is_some_and(|all| *cpus < all));
    }
}

/// How many CPUs this container may use without regard to its quota: the least of its cpuset and its affinity, else
/// all that are online.
pub(crate) fn cpus(surroundings: &Surroundings) -> Option<u64> {
    let affinity = || {
        if surroundings.root.is_system() {
            return process::affinity();
        }
        let status = surroundings.read_process("status").ok()?;
        count_cpus(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?)
    };
    let online = || read_cpus(surroundings, Path::new(ONLINE));
    [cpuset(surroundings), affinity()].into_iter().flatten().min().or_else(online)
}

/// All memory of the machine, in bytes (`proc_meminfo(5)`).
pub(crate) fn memory_of_machine(surroundings: &Surroundings) -> Option<u64> {
    let text = surroundings.read_text(Path::new("/proc/meminfo")).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The number of CPUs that the cpuset of this process has.
fn cpuset(surroundings: &Surroundings) -> Option<u64> {
    let text = surroundings.read_process("cgroup").ok()?;
    let (is_unified, directories) =
        Hierarchies::new(surroundings, &groups(&text)).ok()?.find("cpuset").ok()?;
    let files: &[&str] =
        if is_unified { &["cpuset.cpus.effective"] } else { &["cpuset.effective_cpus", "cpuset.cpus"] };
    let paths = directories.iter().flat_map(|directory| files.iter().map(|file| directory.join(file)));
    paths.filter_map(|path| read_cpus(surroundings, &path)).next()
}

/// The number of CPUs in a file with a list such as `0-3,8` (`cpuset(7)`).
fn read_cpus(surroundings: &Surroundings, path: &Path) -> Option<u64> {
    count_cpus(&surroundings.read_text(path).ok()?)
}

fn count_cpus(list: &str) -> Option<u64> {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.trim().split(',').map(count).sum()
}

/// A control group of this process: a line `hierarchy-ID:controller-list:cgroup-path` of `/proc/self/cgroup`, or several with
/// the same path.
struct Group<'a> {
    /// The lists of controllers. That of version 2 is empty.
    controllers: Vec<&'a str>,
    path: &'a str,
    pod: Option<Pod<'a>>,
}

impl Group<'_> {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|list| list.split(',').any(|it| it == controller))
    }
}

/// The groups in `text` that name the pod, if any does; else all. A controller may have stayed outside: with the node, or in
/// its root.
fn groups(text: &str) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    // The path comes last, because it may contain colons.
    let lines = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    for (controllers, path) in lines {
        match groups.last_mut() {
            Some(last) if last.path == path => last.controllers.push(controllers),
            _ => groups.push(Group { controllers: vec![controllers], path, pod: pod_of(path) }),
        }
    }
    if groups.iter().any(|group| group.pod.is_some()) {
        groups.retain(|group| group.pod.is_some());
    }
    groups
}

fn report_path(groups: &[Group], report: &mut Report) {
    let pods: Vec<&Pod> = groups.iter().filter_map(|group| group.pod.as_ref()).collect();
    match pods.first() {
        None => report.absent(
            "the path of the control group names no pod: a private cgroup namespace (cgroup v2) shows \"/\"",
        ),
        Some(first) if pods.iter().any(|pod| pod.uid != first.uid) => {
            return report.absent("the paths of the control groups name several pods");
        }
        Some(pod) => {
            report.text(Field::POD_UID, pod.uid.as_str());
            let qos_class = pods.iter().find_map(|pod| pod.qos_class);
            report.text(Field::QOS_CLASS, qos_class.unwrap_or_default());
        }
    }
    let mut ids = groups.iter().filter_map(|group| container_id(group.path));
    if let Some(id) = ids.next().filter(|id| ids.all(|other| other == *id)) {
        report.text(Field::CONTAINER_ID, id);
    }
}

fn report_limits(surroundings: &Surroundings, groups: &[Group], report: &mut Report) {
    let hierarchies = match Hierarchies::new(surroundings, groups) {
        Ok(hierarchies) => hierarchies,
        Err(why) => return report.absent(format!("limits are not known: {why}")),
    };
    let memory = hierarchies.memory_limit();
    let memory = memory.map(|limit| limit.map(|bytes| Value::Quantity(Quantity::from_bytes(bytes))));
    let cpu = hierarchies.cpu_quota().map(|limit| limit.map(Value::Quota));
    for (field, name, limit) in [(Field::MEMORY_LIMIT, "memory", memory), (Field::CPU_LIMIT, "CPU", cpu)] {
        match limit {
            Ok(limit) => report.value(field, limit.unwrap_or(Value::Nothing)),
            Err(why) => report.absent(format!("the {name} limit is not known: {why}")),
        }
    }
}

/// The visible mounts of control groups, and the groups of this process. The text of an error says why a limit is not known.
struct Hierarchies<'a> {
    surroundings: &'a Surroundings<'a>,
    groups: &'a [Group<'a>],
    mounts: Vec<Mount<'a>>,
}

/// The controllers whose files are read.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "cpuset"];

/// The most mounts of control groups that are looked at: the last ones, which may be on top of others.
const MOST: usize = 20;

const OF_SANDBOX: &str = "the sandbox made the control groups, and they do not show what the kernel enforces";

impl<'a> Hierarchies<'a> {
    fn new(surroundings: &'a Surroundings, groups: &'a [Group]) -> Result<Self, String> {
        let is_read = |mount: &Mount| match mount.file_system {
            "cgroup2" => true,
            "cgroup" => CONTROLLERS.iter().any(|controller| mount.has_super_option(controller)),
            _ => false,
        };
        let of_groups = surroundings.mounts_with(&[" - cgroup"]).map_err(|error| error.to_string())?;
        let mut mounts: Vec<Mount> = of_groups.filter(is_read).collect();
        mounts.drain(..mounts.len().saturating_sub(MOST));
        if !mounts.is_empty() && surroundings.is_gvisor() {
            return Err(OF_SANDBOX.to_owned());
        }
        let all = surroundings.mounts().map_err(|error| error.to_string())?;
        Ok(Hierarchies { surroundings, groups, mounts: visible(mounts, all) })
    }

    /// Whether `controller` is of version 2, and the directories of the group of the process and of its parents up to that
    /// of the container. If several hierarchies are mounted, for example by a hostPath, the one counts that contains the
    /// group.
    fn find(&self, controller: &str) -> Result<(bool, Vec<PathBuf>), String> {
        let of_version_1 = self.groups.iter().find(|group| group.has(controller));
        let is_unified = of_version_1.is_none();
        let group = of_version_1.or_else(|| self.groups.iter().find(|group| group.has("")));
        let group = group.ok_or_else(|| {
            format!("/proc/self/cgroup has no control group of this pod with the controller {controller}")
        })?;
        let is_its = |mount: &&Mount| match mount.file_system {
            "cgroup2" => is_unified,
            "cgroup" => !is_unified && mount.has_super_option(controller),
            _ => false,
        };
        let mut why = format!("no cgroup file system with the controller {controller} is mounted");
        for mount in self.mounts.iter().filter(is_its) {
            let (root, mount_point) = (mount.root(), mount.mount_point());
            match directories(group, &root, &mount_point) {
                _ if mount.source == "none" => why = OF_SANDBOX.to_owned(),
                Some(directories) => return Ok((is_unified, directories)),
                None => {
                    why = format!(
                        "the mounted control group is not the one of this process: the process is in {}, and \
                         {root} is mounted at {mount_point}; a hostPath?",
                        group.path
                    );
                }
            }
        }
        Err(why)
    }

    fn memory_limit(&self) -> Result<Option<u64>, String> {
        let (is_unified, directories) = self.find("memory")?;
        let file = if is_unified { "memory.max" } else { "memory.limit_in_bytes" };
        let limit = |directory: &PathBuf| {
            let text = self.read(directory, file)?;
            let limit = if text == "max" { Some(u64::MAX) } else { text.parse().ok() };
            let limit = limit.ok_or_else(|| format!("{file}: {text:?} is not a number"))?;
            Ok(Some(limit).filter(|bytes| *bytes < UNLIMITED))
        };
        least(directories.iter().map(limit), |bytes| *bytes)
    }

    fn cpu_quota(&self) -> Result<Option<Quota>, String> {
        let (is_unified, directories) = self.find("cpu")?;
        let quota = |directory: &PathBuf| {
            let text = if is_unified {
                self.read(directory, "cpu.max")?
            } else {
                let [quota, period] = ["cpu.cfs_quota_us", "cpu.cfs_period_us"];
                format!("{} {}", self.read(directory, quota)?, self.read(directory, period)?)
            };
            let (quota, period) = text.split_once(' ').unwrap_or((&text, "100000"));
            if matches!(quota, "max" | "-1") {
                return Ok(None);
            }
            match (quota.parse(), period.parse()) {
                (Ok(quota @ 1..), Ok(period @ 1..)) => Ok(Some(Quota { quota, period })),
                _ => Err(format!("a CPU quota of {quota:?} in a period of {period:?} is not valid")),
            }
        };
        least(directories.iter().map(quota), Quota::share)
    }

    fn read(&self, directory: &Path, file: &str) -> Result<String, String> {
        let text = self.surroundings.read_text(&directory.join(file)).map_err(|error| error.to_string())?;
        Ok(text.trim_end().to_owned())
    }
}

/// The lowest of the limits that can be read, if there is one. If the process has a group below that of the container, both
/// limits apply.
fn least<T, K: Ord>(
    limits: impl Iterator<Item = Result<Option<T>, String>>,
    key: fn(&T) -> K,
) -> Result<Option<T>, String> {
    let (known, errors): (Vec<_>, Vec<_>) = limits.partition(Result::is_ok);
    match errors.into_iter().next() {
        Some(error) if known.is_empty() => error,
        _ => Ok(known.into_iter().flatten().flatten().min_by_key(key)),
    }
}

/// The directories of the group and of its parents: up to the group of the container if the path names a pod, and
/// else to the mounted group `root`; none if the mounted group does not contain the group.
///
/// The groups above that of the container do not limit this container alone.
fn directories(group: &Group, root: &str, mount_point: &str) -> Option<Vec<PathBuf>> {
    let root = root.trim_end_matches('/');
    let path = group.path.trim_end_matches('/');
    let top = group.pod.as_ref().map_or(root, |pod| pod.container);
    let mut below = path.strip_prefix(root).filter(|below| is_below(below, root))?;
    let least = top.len().saturating_sub(root.len());
    let mut directories = Vec::new();
    loop {
        directories.push(Path::new(mount_point).join(below.trim_start_matches('/')));
        match below.rfind('/') {
            Some(end) if end >= least && below.len() > least => below = &below[..end],
            _ => return Some(directories),
        }
    }
}

/// Whether `below`, which follows the path `root`, is a path below it.
///
/// For groups outside the reader's cgroup namespace, the kernel shows paths that start with `..`
/// (`cgroup_namespaces(7)`). Below such a root only the group itself is certain.
fn is_below(below: &str, root: &str) -> bool {
    let is_path = below.starts_with('/') && below.split('/').all(|name| name != "..");
    below.is_empty() || (is_path && !root.starts_with("/.."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "552b683940dc8894696bccffa3d7126b28341a6d57e3ecc1129040cc97d961af";

    #[test]
    fn a_path_may_hold_colons() {
        let group = &groups("4:cpu,cpuacct:/a:b/c\n")[0];
        assert_eq!(group.path, "/a:b/c");
        assert!(group.has("cpu") && !group.has("cp") && !group.has(""));
    }

    #[test]
    fn directories_up_to_the_container_s() {
        let paths = |path: &str, root: &str| -> Vec<String> {
            let line = format!("0::{path}");
            let found = directories(&groups(&line)[0], root, "/sys/fs/cgroup");
            found.into_iter().flatten().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(paths("/", "/"), ["/sys/fs/cgroup/"]);
        let container = format!("/kubepods/podx/{ID}");
        assert_eq!(paths(&container, &container), ["/sys/fs/cgroup/"]);
        // A privileged container sees the host's tree: what is above its group is the pod's and the node's.
        let own = format!("/sys/fs/cgroup{container}");
        assert_eq!(paths(&container, "/"), [own.as_str()]);
        assert_eq!(paths(&format!("{container}/init"), "/"), [format!("{own}/init"), own.clone()]);
        assert_eq!(
            paths(&format!("{container}/init"), "/kubepods"),
            [format!("/sys/fs/cgroup/podx/{ID}/init"), format!("/sys/fs/cgroup/podx/{ID}")]
        );
        assert_eq!(
            paths(&format!("{container}/init"), &container),
            ["/sys/fs/cgroup/init", "/sys/fs/cgroup/"]
        );
        let short = "/sys/fs/cgroup/kubepods/podx/short";
        assert_eq!(paths("/kubepods/podx/short/init", "/"), [format!("{short}/init"), short.to_owned()]);
        assert_eq!(paths("/kubepods/podx", "/"), ["/sys/fs/cgroup/kubepods/podx"]);
        // Without a pod in the path, every mounted group limits the process.
        assert_eq!(paths("/init", "/"), ["/sys/fs/cgroup/init", "/sys/fs/cgroup/"]);
        // Seen from another cgroup namespace.
        assert_eq!(paths("/../other", "/../other"), ["/sys/fs/cgroup/"]);
    }

    #[test]
    fn a_group_that_is_not_the_process_s_own_has_no_directories() {
        for (path, root) in [
            ("/../other", "/elsewhere"),
            ("/", "/../.."),
            ("/", "/../../kubepods"),
            ("/", "/kubepods"),
            ("/../other", "/"),
            ("/../other", "/.."),
            ("/../other/init", "/../other"),
            ("/../../other", "/.."),
            ("/kubepods/podx", "/kube"),
            ("/kubepods/../x", "/kubepods"),
        ] {
            let line = format!("0::{path}");
            assert_eq!(directories(&groups(&line)[0], root, "/m"), None, "{path} {root}");
        }
    }
}
