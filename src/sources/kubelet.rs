//! The files that the kubelet mounts into every container.

use std::net::IpAddr;
use std::path::Path;

use crate::facts::field::Field;
use crate::facts::{Report, Value};
use crate::kubernetes::{control_group, names};
use crate::sources::token;
use crate::system::mountinfo::Mount;
use crate::system::surroundings::Surroundings;

/// The first line of a hosts file that the kubelet manages (`pkg/kubelet/kubelet_pods.go`).
const MANAGED_HOSTS: &str = "# Kubernetes-managed hosts file";

/// The lines of mounts that can name a pod or a container have one of these parts: the kubelet, Kata and CRI-O make such paths.
const PARTS: [&str; 5] = ["/containers/", "/volume-subpaths/", " /etc/hosts ", "kata", "/userdata/"];

/// Reads the mounts, `/etc/hosts` and `/etc/resolv.conf`.
pub(crate) fn read(surroundings: &Surroundings) -> Report {
    let mut report = Report::default();
    let mounts = match surroundings.mounts_with(&PARTS) {
        Ok(mounts) => Mounts::among(mounts),
        Err(error) => {
            report.absent(error.to_string());
            Mounts::default()
        }
    };
    if mounts.pods.is_empty() && are_of_no_pod(surroundings) && !token::is_mounted(surroundings) {
        report.absent(
            "the mounts are not those of a pod: docker or podman inside a pod? Its /etc/hosts and \
             /etc/resolv.conf are copies",
        );
        return report;
    }
    mounts.report(&mut report);
    let is_host_network = read_hosts(surroundings, &mounts, &mut report);
    read_resolv_conf(surroundings, is_host_network, &mut report);
    report
}

/// Whether no mount is from the directory of a pod or shared by a sandbox, which may hide the kubelet's directories.
fn are_of_no_pod(surroundings: &Surroundings) -> bool {
    let mut mounts = surroundings.mounts().into_iter().flatten().peekable();
    let is_of_pod = |mount: Mount| mount.is_shared_by_sandbox() || mount.root().contains("/pods/");
    mounts.peek().is_some() && !mounts.any(is_of_pod)
}

/// Whether a pod's author can have made the mounts that name the pod: a sandbox shares its files, and the hosts
/// file is not known to be the kubelet's.
pub(crate) fn may_be_imitated(surroundings: &Surroundings) -> bool {
    let is_sandboxed =
        surroundings.mounts().is_ok_and(|mut all| all.any(|mount| mount.is_shared_by_sandbox()));
    let known = surroundings.mounts_with(&PARTS).map(Mounts::among).unwrap_or_default();
    is_sandboxed && known.hosts != HostsFile::OfPod
}

/// What the mounts show. The kubelet and the runtime make them.
#[derive(Default)]
struct Mounts<'a> {
    hosts: HostsFile,
    /// The directories of pods that the kubelet's mounts are from.
    pods: Vec<PodDirectory<'a>>,
    /// The containers in the paths of termination logs, and of subPath mounts with the pod's directory.
    containers: Vec<String>,
    sub_paths: Vec<(PodDirectory<'a>, String)>,
    /// The container's IDs in the runtime's own mounts.
    ids: Vec<String>,
}

/// A device, and the directory of a pod in its file system.
type PodDirectory<'a> = (&'a str, String);

/// What is mounted at `/etc/hosts`.
#[derive(Clone, Copy, Default, PartialEq)]
enum HostsFile {
    /// Nothing, or a sandbox's share, which shows no path.
    #[default]
    Unknown,
    /// The kubelet's file in the directory of a pod.
    OfPod,
    Other,
}

impl<'a> Mounts<'a> {
    fn among(mounts: impl Iterator<Item = Mount<'a>>) -> Self {
        let mut all = Mounts::default();
        for mount in mounts {
            all.add(&mount);
        }
        all
    }

    fn add(&mut self, mount: &Mount<'a>) {
        let root = mount.root();
        let pod = |directory: &str| (mount.device, directory.to_owned());
        if let Some((directory, container)) = termination_log(&root) {
            self.pods.push(pod(directory));
            self.containers.push(container.to_owned());
        } else if let Some((directory, container)) = sub_path(&root) {
            self.sub_paths.push((pod(directory), container.to_owned()));
        }
        let kata = kata_share(mount, &root);
        if mount.is_at(ETC_HOSTS) {
            let directory = etc_hosts(&root);
            self.hosts = match directory {
                Some(_) => HostsFile::OfPod,
                None if mount.is_shared_by_sandbox() || kata.is_some() => HostsFile::Unknown,
                None => HostsFile::Other,
            };
            self.pods.extend(directory.map(pod));
        }
        self.ids.extend(kata.or_else(|| crio_container(&root)).map(str::to_owned));
    }

    /// The pod's directory. A pod's author can mount a subPath with such a name. All mounts of the kubelet come from one
    /// directory. So if there are several directories, none of them is certain.
    fn pod(&self) -> Result<&PodDirectory<'a>, &'static str> {
        if self.pods.is_empty() {
            return Err(
                "/proc/self/mountinfo has no mount of the kubelet: a sandboxed runtime, or not a pod",
            );
        }
        only(&self.pods).ok_or(
            "the mounts name several pods: does a hostPath or subPath look like a mount of the kubelet?",
        )
    }

    fn report(&self, report: &mut Report) {
        if let Some(id) = only(&self.ids) {
            report.text(Field::CONTAINER_ID, id);
        }
        let pod = match self.pod() {
            Ok(pod) => pod,
            Err(why) => return report.absent(why),
        };
        report.text(Field::POD_UID, pod.1.rsplit('/').next().unwrap_or_default());
        let sub_paths = self.sub_paths.iter().filter(|(of, _)| of == pod && self.containers.is_empty());
        let containers: Vec<&String> =
            self.containers.iter().chain(sub_paths.map(|(_, container)| container)).collect();
        if let Some(container) = only(&containers) {
            report.text(Field::CONTAINER_NAME, container.as_str());
        }
    }
}

/// The first value, if all are equal.
fn only<T: PartialEq>(all: &[T]) -> Option<&T> {
    all.first().filter(|first| all.iter().all(|it| it == *first))
}

/// The path of the kubelet's hosts file (`etcHostsPath` in `pkg/kubelet/kubelet_pods.go`).
const ETC_HOSTS: &str = "/etc/hosts";

/// The length of the termination log's name: eight hexadecimal digits.
const LOG_NAME: usize = 8;

/// The pod's directory and the container in a path that ends in `/pods/<uid>/containers/<name>/<8 hex>`.
pub(crate) fn termination_log(root: &str) -> Option<(&str, &str)> {
    // Most other roots end here.
    if root.as_bytes().iter().rev().nth(LOG_NAME) != Some(&b'/') {
        return None;
    }
    let (container_directory, file) = root.rsplit_once('/')?;
    let (containers, container) = container_directory.rsplit_once('/')?;
    let pod = pod_directory(containers.strip_suffix("/containers")?)?;
    let is_file = file.len() == LOG_NAME && file.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_file && !container.is_empty()).then_some((pod, container))
}

/// The pod's directory and the container in a path `/pods/<uid>/volume-subpaths/<volume>/<container>/<n>`.
fn sub_path(root: &str) -> Option<(&str, &str)> {
    let (container_directory, number) = root.rsplit_once('/')?;
    let (volume, container) = container_directory.rsplit_once('/')?;
    let (sub_paths, _) = volume.rsplit_once('/')?;
    let pod = pod_directory(sub_paths.strip_suffix("/volume-subpaths")?)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !container.is_empty()).then_some((pod, container))
}

/// The pod's directory in a path that ends in `/pods/<uid>/etc-hosts`.
fn etc_hosts(root: &str) -> Option<&str> {
    pod_directory(root.strip_suffix("/etc-hosts")?)
}

/// The path, if it ends in `/pods/<uid>`.
fn pod_directory(path: &str) -> Option<&str> {
    let (pods, uid) = path.rsplit_once('/')?;
    (pods.ends_with("/pods") && !uid.is_empty()).then_some(path)
}

/// The container's ID in the name of a file that Kata shares with its virtual machine: `<64 hex>-<16 hex>-hosts`
/// (`shareFile` in `src/runtime/virtcontainers/container.go`).
fn kata_share<'r>(mount: &Mount, root: &'r str) -> Option<&'r str> {
    if mount.source != "kataShared" && !root.contains("/kata-containers/") {
        return None;
    }
    let (id, rest) = root.rsplit('/').next()?.split_once('-')?;
    let (random, name) = rest.split_once('-')?;
    let is_random = random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    // The names of these two could be the sandbox's.
    let is_own = !matches!(name, "hostname" | "resolv.conf");
    (control_group::is_id(id) && is_random && is_own).then_some(id)
}

/// The container's ID in the path of what CRI-O mounts into the container itself, and not into the sandbox:
/// `…/overlay-containers/<64 hex>/userdata/run/secrets`, or `.containerenv` there.
fn crio_container(root: &str) -> Option<&str> {
    let own = ["/userdata/run/secrets", "/userdata/.containerenv", "/userdata/run/.containerenv"];
    let directory = own.iter().find_map(|own| root.strip_suffix(own))?;
    let (storage, id) = directory.rsplit_once('/')?;
    (storage.ends_with("-containers") && control_group::is_id(id)).then_some(id)
}

/// The fields that `/etc/hosts` has, and those that `/etc/resolv.conf` has.
const OF_HOSTS: [Field; 5] = [Field::POD_IP, Field::POD_IPS, Field::FQDN, Field::HOSTNAME, Field::SUBDOMAIN];
const OF_RESOLV_CONF: [Field; 3] = [Field::POD_NAMESPACE, Field::CLUSTER_DOMAIN, Field::NAMESERVERS];

/// Reads the pod's addresses. Answers whether the pod is on the host network.
fn read_hosts(surroundings: &Surroundings, mounts: &Mounts, report: &mut Report) -> bool {
    let is_own = match mounts.hosts {
        HostsFile::Unknown => true,
        HostsFile::OfPod => mounts.pod().is_ok(),
        HostsFile::Other => false,
    };
    if !is_own {
        report.absent_of(
            &OF_HOSTS,
            "/etc/hosts has no pod IP: a volume is mounted there, and not this pod's file of the kubelet",
        );
        return false;
    }
    let hosts = match surroundings.read_text(Path::new(ETC_HOSTS)) {
        Ok(hosts) => hosts,
        Err(error) => {
            report.absent_of(&OF_HOSTS, error.to_string());
            return false;
        }
    };
    let kind = hosts.lines().next().unwrap_or_default().strip_prefix(MANAGED_HOSTS);
    let known = match kind {
        Some(".") => report_addresses(surroundings, &hosts, report),
        Some(_) => Err("/etc/hosts has no pod IP: the pod is on the host network".to_owned()),
        None => {
            Err("/etc/hosts is not a file of the kubelet: did an image or a volume replace it?".to_owned())
        }
    };
    if let Err(why) = known {
        report.absent_of(&OF_HOSTS, why);
    }
    kind.is_some_and(|kind| kind != ".")
}

/// Reports the addresses of the hostname in the kubelet's hosts file.
///
/// # Errors
/// Why there are none.
fn report_addresses(surroundings: &Surroundings, hosts: &str, report: &mut Report) -> Result<(), String> {
    let hostname = surroundings
        .hostname()
        .ok_or("the pod IP cannot be found in /etc/hosts: the hostname is not known")?;
    let addresses = addresses_of(&hostname, hosts);
    let first = addresses.first();
    let first = first.ok_or_else(|| format!("/etc/hosts has no line for the hostname {hostname:?}"))?;
    report.text(Field::POD_IP, *first);
    report.text(Field::POD_IPS, addresses.join(","));
    report_names(hosts, first, report);
    Ok(())
}

/// Reports the names in the pod's entry of the hosts file. The full one comes first if a subdomain is set
/// (`managedHostsFileContent` in `pkg/kubelet/kubelet_pods.go`).
fn report_names(hosts: &str, address: &str, report: &mut Report) {
    let names = hosts.lines().find_map(|line| line.strip_prefix(address)?.strip_prefix('\t'));
    let Some((fqdn, hostname)) = names.and_then(|names| names.split_once('\t')) else { return };
    let subdomain = fqdn.strip_prefix(hostname).and_then(|rest| rest.strip_prefix('.')?.split_once('.'));
    let Some((subdomain, service)) = subdomain else { return };
    if names::is_subdomain(fqdn) && service.contains(".svc.") {
        report.text(Field::FQDN, fqdn);
        report.text(Field::HOSTNAME, hostname);
        report.text(Field::SUBDOMAIN, subdomain);
    }
}

fn addresses_of<'a>(hostname: &str, hosts: &'a str) -> Vec<&'a str> {
    // The entries of hostAliases follow an empty line.
    let own = hosts.lines().take_while(|line| !line.is_empty());
    let entries = own.filter_map(|line| line.split_once('\t'));
    let named = entries.filter(|(_, names)| names.split('\t').any(|name| name == hostname));
    let addresses = named.map(|(address, _)| address);
    let mut of_families: Vec<(IpAddr, &str)> = Vec::new();
    for address in addresses {
        let Ok(ip) = address.parse::<IpAddr>() else { continue };
        // The kubelet writes one address of each family. Tools append others.
        if !ip.is_loopback() && !of_families.iter().any(|(other, _)| other.is_ipv6() == ip.is_ipv6()) {
            of_families.push((ip, address));
        }
    }
    of_families.into_iter().map(|(_, address)| address).collect()
}

fn read_resolv_conf(surroundings: &Surroundings, is_host_network: bool, report: &mut Report) {
    let resolv_conf = match surroundings.read_text(Path::new("/etc/resolv.conf")) {
        Ok(text) => text,
        Err(error) => return report.absent_of(&OF_RESOLV_CONF, error.to_string()),
    };
    let servers = resolv_conf.lines().filter_map(|line| line.strip_prefix("nameserver"));
    let servers = servers.filter(|server| server.starts_with([' ', '\t'])).map(str::trim);
    let servers: Vec<&str> = servers.filter(|server| names::is_address(server)).collect();
    report.text(Field::NAMESERVERS, servers.join(","));
    if is_host_network {
        return;
    }
    match cluster_domain(&resolv_conf) {
        Some((namespace, domain)) => {
            report.text(Field::POD_NAMESPACE, namespace);
            report.value(Field::CLUSTER_DOMAIN, Value::Text(domain.to_owned()));
        }
        None => report.absent_of(
            &OF_RESOLV_CONF,
            "/etc/resolv.conf has no search list of a cluster: is dnsPolicy not ClusterFirst?",
        ),
    }
}

/// The namespace and cluster domain of a search list that starts with `<ns>.svc.<domain> svc.<domain> <domain>`
/// (`generateSearchesForDNSClusterFirst` in `pkg/kubelet/network/dns/dns.go`).
fn cluster_domain(resolv_conf: &str) -> Option<(&str, &str)> {
    // The last search list wins (resolv.conf(5)).
    let mut searches = resolv_conf.lines().filter_map(|line| line.strip_prefix("search"));
    let list = searches.rfind(|list| list.starts_with([' ', '\t']))?;
    // Some programs write the names with the dot of the root.
    let mut names = list.split_ascii_whitespace().map(|name| name.strip_suffix('.').unwrap_or(name));
    let (first, services, domain) = (names.next()?, names.next()?, names.next()?);
    let namespace = first.strip_suffix(services)?.strip_suffix('.')?;
    let matches = services.strip_prefix("svc.") == Some(domain);
    (matches && names::is_label(namespace) && names::is_subdomain(domain)).then_some((namespace, domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_termination_log_names_pod_and_container() {
        for prefix in ["/var/lib/kubelet", "", "/data/docker/volumes/x/_data/lib/kubelet"] {
            let root = format!("{prefix}/pods/0123/containers/main/0a1b2c3d");
            let pod = format!("{prefix}/pods/0123");
            assert_eq!(termination_log(&root), Some((pod.as_str(), "main")), "{root}");
        }
        for root in [
            "/pods/u/containers/main/0a1b2c3",
            "/pods/u/containers/main/0a1b2c3x",
            "/pods/u/volumes/main/0a1b2c3d",
            "/pods//containers/main/0a1b2c3d",
            "pods/u/containers/main/0a1b2c3d",
            "/sandboxes/u/containers/main/0a1b2c3d",
            "",
        ] {
            assert_eq!(termination_log(root), None, "{root}");
        }
    }

    #[test]
    fn etc_hosts_names_the_pod() {
        assert_eq!(etc_hosts("/var/lib/kubelet/pods/u-1/etc-hosts"), Some("/var/lib/kubelet/pods/u-1"));
        assert_eq!(etc_hosts("/pods/u-1/etc-hosts"), Some("/pods/u-1"));
        for root in ["/etc-hosts", "/u/etc-hosts", "/pods//etc-hosts", "/pods/u/etc-hosts/x"] {
            assert_eq!(etc_hosts(root), None, "{root}");
        }
    }

    #[test]
    fn hosts_lines_of_the_hostname_are_pod_ips() {
        let hosts = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost\n\
                     fe00::0\tip6-localnet\n10.0.0.7\tweb-0.db.ns.svc.cluster.local\tweb-0\n\
                     fd00::7\tweb-0.db.ns.svc.cluster.local\tweb-0\n\n\
                     # Entries added by HostAliases.\n10.9.9.9\tweb-0\n";
        assert_eq!(addresses_of("web-0", hosts), ["10.0.0.7", "fd00::7"]);
        let fqdn = "web-0.db.ns.svc.cluster.local";
        assert_eq!(addresses_of(fqdn, hosts), ["10.0.0.7", "fd00::7"]);
        assert!(addresses_of("localhost", hosts).is_empty());
        assert!(addresses_of("web", hosts).is_empty());
    }

    #[test]
    fn a_search_list_of_the_cluster_names_namespace_and_domain() {
        let of = |list: &str| cluster_domain(list).map(|(ns, domain)| format!("{ns} {domain}"));
        let known = Some("default cluster.local".to_owned());
        assert_eq!(of("search default.svc.cluster.local svc.cluster.local cluster.local"), known);
        assert_eq!(
            of(
                "nameserver 1.1.1.1\nsearch a\nsearch\tdefault.svc.cluster.local svc.cluster.local cluster.local x.y\n"
            ),
            known
        );
        assert_eq!(of("search a.svc.k8s svc.k8s k8s"), Some("a k8s".to_owned()));
        for other in [
            "search cluster.local",
            "search default.svc.cluster.local svc.cluster.local other",
            "search x.default.svc.cluster.local svc.cluster.local cluster.local",
            "search .svc.cluster.local svc.cluster.local cluster.local",
            "searchdefault.svc.a svc.a a",
            "# no resolver",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
