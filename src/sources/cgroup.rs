//! The control group of this process: `cgroups(7)`, versions 1 and 2.

use std::io;
use std::num::ParseIntError;
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
const UNLIMITED: u64 = match cfg!(target_pointer_width = "32") {
    true => (i32::MAX as u64) << 12,
    false => i64::MAX as u64 & !0xffff,
};

/// The CPUs of the machine that are in use.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// Reads the QoS class, the pod's UID and the container's ID from the path, and the enforced limits.
pub(crate) fn read(surroundings: &Surroundings) -> Report {
    let mut report = Report::default();
    match surroundings.read_process("cgroup") {
        Ok(text) => {
            let groups = of_pod(text.lines().filter_map(parse_line).collect());
            report_path(&groups, &mut report);
            read_limits(surroundings, &groups, &mut report);
        }
        Err(error) => report.absent(error.to_string()),
    }
    report
}

/// What is needed to choose between the limits that the control group and the manifest's author report. `cgroup` is what
/// [`read`] reported, and `authors` are the sources that the pod's author writes.
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
    let groups = of_pod(text.lines().filter_map(parse_line).collect());
    let mounts: Vec<Mount> = surroundings.mounts().ok()?.collect();
    let hierarchy = Hierarchy::find(surroundings, &groups, &control_groups(&mounts), "cpuset").ok()?;
    let files: &[&str] = if hierarchy.is_unified {
        &["cpuset.cpus.effective"]
    } else {
        &["cpuset.effective_cpus", "cpuset.cpus"]
    };
    let paths =
        hierarchy.directories.iter().flat_map(|directory| files.iter().map(|file| directory.join(file)));
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

/// A line of `/proc/self/cgroup`: `hierarchy-ID:controller-list:cgroup-path`.
#[derive(Debug)]
struct Group<'a> {
    controllers: &'a str,
    path: &'a str,
    pod: Option<Pod<'a>>,
}

impl Group<'_> {
    fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.split(',').any(|it| it == controller)
    }
}

fn parse_line(line: &str) -> Option<Group<'_>> {
    // The path comes last, because it may contain colons.
    let mut fields = line.splitn(3, ':');
    let (_id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Group { controllers, path, pod: pod_of(path) })
}

/// The groups that name the pod, if any does. A controller may have stayed outside: with the node, or in its root.
fn of_pod(mut groups: Vec<Group>) -> Vec<Group> {
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

fn read_limits(surroundings: &Surroundings, groups: &[Group], report: &mut Report) {
    let mounts: Vec<Mount> = match surroundings.mounts() {
        Ok(mounts) => mounts.collect(),
        Err(error) => return report.absent(format!("limits are not known: {error}")),
    };
    let mounts = control_groups(&mounts);
    let hierarchy = |controller| Hierarchy::find(surroundings, groups, &mounts, controller);
    match hierarchy("memory").and_then(|memory| memory.least(memory_limit, |bytes| *bytes)) {
        Ok(Some(bytes)) => report.value(Field::MEMORY_LIMIT, Value::Quantity(Quantity::from_bytes(bytes))),
        Ok(None) => report.value(Field::MEMORY_LIMIT, Value::Nothing),
        Err(error) => report.absent(format!("the memory limit is not known: {error}")),
    }
    match hierarchy("cpu").and_then(|cpu| cpu.least(cpu_quota, share)) {
        Ok(Some(quota)) => report.value(Field::CPU_LIMIT, Value::Quota(quota)),
        Ok(None) => report.value(Field::CPU_LIMIT, Value::Nothing),
        Err(error) => report.absent(format!("the CPU limit is not known: {error}")),
    }
}

/// The file systems of control groups that no other mount covers.
fn control_groups<'m, 'a>(mounts: &'m [Mount<'a>]) -> Vec<&'m Mount<'a>> {
    visible(mounts, |mount| matches!(mount.file_system, "cgroup2" | "cgroup"))
}

/// A limit is not known.
#[derive(Debug, thiserror::Error)]
enum LimitError {
    #[error("the sandbox made {mount_point}, and it does not show what the kernel enforces")]
    Sandbox { mount_point: String },
    #[error("/proc/self/cgroup has no control group of this pod with the controller {controller}")]
    NoGroup { controller: &'static str },
    #[error("no cgroup file system with the controller {controller} is mounted")]
    NotMounted { controller: &'static str },
    #[error(
        "the mounted control group is not the one of this process: the process is in {path}, and {root} is \
         mounted at {mount_point}; a hostPath?"
    )]
    NotOwn { path: String, root: String, mount_point: String },
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("{file}: {text:?} is not a number")]
    NotANumber { file: &'static str, text: String, source: ParseIntError },
    #[error("a CPU quota of {quota:?} in a period of {period:?} is not valid")]
    NotAQuota { quota: String, period: String },
}

/// The groups of one controller, from that of the process up to that of the container.
struct Hierarchy<'a> {
    surroundings: &'a Surroundings<'a>,
    is_unified: bool,
    directories: Vec<PathBuf>,
}

impl<'a> Hierarchy<'a> {
    /// Finds the group of the process. If several hierarchies are mounted, for example by a hostPath, it uses
    /// the one that contains the group.
    fn find(
        surroundings: &'a Surroundings<'a>,
        groups: &[Group],
        mounts: &[&Mount],
        controller: &'static str,
    ) -> Result<Self, LimitError> {
        let of_controller = groups.iter().find(|group| group.has(controller));
        let group = of_controller.or_else(|| groups.iter().find(|group| group.is_unified()));
        let group = group.ok_or(LimitError::NoGroup { controller })?;
        let is_its = |mount: &&&Mount| match mount.file_system {
            "cgroup2" => group.is_unified(),
            "cgroup" => !group.is_unified() && mount.has_super_option(controller),
            _ => false,
        };
        let mut error = LimitError::NotMounted { controller };
        for mount in mounts.iter().filter(is_its) {
            let (root, mount_point) = (mount.root(), mount.mount_point());
            if mount.source == "none" || surroundings.is_gvisor() {
                error = LimitError::Sandbox { mount_point: mount_point.into_owned() };
            } else if let Some(directories) = directories(group, &root, &mount_point) {
                return Ok(Hierarchy { surroundings, is_unified: group.is_unified(), directories });
            } else {
                error = LimitError::NotOwn {
                    path: group.path.to_owned(),
                    root: root.into_owned(),
                    mount_point: mount_point.into_owned(),
                };
            }
        }
        Err(error)
    }

    /// The lowest limit of the groups, if there is one. If the process has a group below that of the
    /// container, both limits apply.
    fn least<T, K: Ord>(
        &self,
        read: fn(&Self, &Path) -> Result<Option<T>, LimitError>,
        key: fn(&T) -> K,
    ) -> Result<Option<T>, LimitError> {
        let mut limits = Vec::new();
        let mut first_error = None;
        for directory in &self.directories {
            match read(self, directory) {
                Ok(limit) => limits.push(limit),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            Some(error) if limits.is_empty() => Err(error),
            _ => Ok(limits.into_iter().flatten().min_by_key(key)),
        }
    }

    fn read(&self, directory: &Path, name: &str) -> io::Result<String> {
        let text = self.surroundings.read_text(&directory.join(name))?;
        Ok(text.trim_end().to_owned())
    }
}

/// The directories of the group and of its parents: up to the group of the container if the path names a pod, and
/// else to the mounted group `root`. None if the mounted group does not contain it.
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

fn memory_limit(hierarchy: &Hierarchy, directory: &Path) -> Result<Option<u64>, LimitError> {
    let file = if hierarchy.is_unified { "memory.max" } else { "memory.limit_in_bytes" };
    let text = hierarchy.read(directory, file)?;
    if text == "max" {
        return Ok(None);
    }
    match text.parse::<u64>() {
        Ok(bytes) => Ok(Some(bytes).filter(|bytes| *bytes < UNLIMITED)),
        Err(source) => Err(LimitError::NotANumber { file, text, source }),
    }
}

/// The share of a CPU that a quota is, in units of 2^-64.
fn share(quota: &Quota) -> u128 {
    (u128::from(quota.quota) << 64) / u128::from(quota.period)
}

fn cpu_quota(hierarchy: &Hierarchy, directory: &Path) -> Result<Option<Quota>, LimitError> {
    let (quota, period) = if hierarchy.is_unified {
        let text = hierarchy.read(directory, "cpu.max")?;
        let (quota, period) = text.split_once(' ').unwrap_or((&text, "100000"));
        (quota.to_owned(), period.to_owned())
    } else {
        (hierarchy.read(directory, "cpu.cfs_quota_us")?, hierarchy.read(directory, "cpu.cfs_period_us")?)
    };
    if quota == "max" || quota == "-1" {
        return Ok(None);
    }
    match (quota.parse::<u64>(), period.parse::<u64>()) {
        (Ok(quota), Ok(period)) if quota > 0 && period > 0 => Ok(Some(Quota { quota, period })),
        _ => Err(LimitError::NotAQuota { quota, period }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "552b683940dc8894696bccffa3d7126b28341a6d57e3ecc1129040cc97d961af";

    #[test]
    fn a_path_may_hold_colons() {
        let group = parse_line("4:cpu,cpuacct:/a:b/c").unwrap();
        assert_eq!((group.controllers, group.path), ("cpu,cpuacct", "/a:b/c"));
        assert!(group.has("cpu") && !group.has("cp"));
    }

    #[test]
    fn directories_up_to_the_container_s() {
        let paths = |path: &str, root: &str| -> Vec<String> {
            let line = format!("0::{path}");
            let found = directories(&parse_line(&line).unwrap(), root, "/sys/fs/cgroup");
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
            assert_eq!(directories(&parse_line(&line).unwrap(), root, "/m"), None, "{path} {root}");
        }
    }
}
