//! The files that the kubelet mounts into every container.

use std::net::IpAddr;
use std::path::Path;

use crate::facts::field::Field;
use crate::facts::{Told, Value};
use crate::system::surroundings::Surroundings;

/// The first line of a hosts file that the kubelet manages (`pkg/kubelet/kubelet_pods.go`).
const MANAGED_HOSTS: &str = "# Kubernetes-managed hosts file";

/// Reads the mounts, `/etc/hosts` and `/etc/resolv.conf`.
pub(crate) fn tell(surroundings: &Surroundings) -> Told {
    let mut told = Told::default();
    tell_mounts(surroundings, &mut told);
    let is_host_network = tell_hosts(surroundings, &mut told);
    if !is_host_network {
        tell_resolv_conf(surroundings, &mut told);
    }
    told
}

/// What the directory of every pod has in its path: few of a container's mounts are the kubelet's.
const PODS: &str = "/pods/";

fn tell_mounts(surroundings: &Surroundings, told: &mut Told) {
    let mounts = match surroundings.mounts_with(PODS) {
        Ok(mounts) => mounts,
        Err(error) => return told.absent(error.to_string()),
    };
    let mut pods = Vec::new();
    let mut containers = Vec::new();
    for mount in mounts {
        let root = mount.root();
        let of_log = termination_log(&root);
        let of_hosts = || etc_hosts(&root).filter(|_| mount.mount_point() == ETC_HOSTS);
        let Some(pod) = of_log.map(|(pod, _)| pod).or_else(of_hosts) else { continue };
        pods.push((mount.device, pod.to_owned()));
        containers.extend(of_log.map(|(_, container)| container.to_owned()));
    }
    // A pod's author can mount a subPath with such a name. All mounts of the kubelet come from one
    // directory. So if there are several directories, none of them is certain.
    let Some((_, pod)) = only(&pods) else {
        return told.absent(match pods.is_empty() {
            true => "/proc/self/mountinfo has no mount of the kubelet: a sandboxed runtime, or not a pod",
            false => {
                "the mounts name several pods: does a hostPath or subPath look like a mount of the kubelet?"
            }
        });
    };
    told.text(Field::POD_UID, pod.rsplit('/').next().unwrap_or_default());
    if let Some(container) = only(&containers) {
        told.text(Field::CONTAINER_NAME, container);
    }
}

/// The value that all have in common, if there is one.
fn only<T: PartialEq>(all: &[T]) -> Option<&T> {
    all.first().filter(|first| all.iter().all(|it| it == *first))
}

/// The path of the kubelet's hosts file (`etcHostsPath` in `pkg/kubelet/kubelet_pods.go`).
const ETC_HOSTS: &str = "/etc/hosts";

/// The length of the termination log's name: eight hexadecimal digits.
const LOG_NAME: usize = 8;

/// The pod's directory and the container in a path that ends in `/pods/<uid>/containers/<name>/<8 hex>`.
fn termination_log(root: &str) -> Option<(&str, &str)> {
    // Skip the other roots quickly, which are most of them.
    if root.as_bytes().iter().rev().nth(LOG_NAME) != Some(&b'/') {
        return None;
    }
    let (container_directory, file) = root.rsplit_once('/')?;
    let (containers, container) = container_directory.rsplit_once('/')?;
    let pod = pod_directory(containers.strip_suffix("/containers")?)?;
    let is_file = file.len() == LOG_NAME && file.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_file && !container.is_empty()).then_some((pod, container))
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

/// Reads the pod's addresses. Answers whether the pod is on the host network.
fn tell_hosts(surroundings: &Surroundings, told: &mut Told) -> bool {
    let hosts = match surroundings.read_text(Path::new(ETC_HOSTS)) {
        Ok(hosts) => hosts,
        Err(error) => {
            told.absent(error.to_string());
            return false;
        }
    };
    let header = hosts.lines().next().unwrap_or_default();
    let Some(kind) = header.strip_prefix(MANAGED_HOSTS) else {
        told.absent("/etc/hosts is not a file of the kubelet: did an image or a volume replace it?");
        return false;
    };
    if kind != "." {
        told.absent("/etc/hosts has no pod IP: the pod is on the host network");
        return true;
    }
    let Some(hostname) = surroundings.hostname() else {
        told.absent("the pod IP cannot be found in /etc/hosts: the hostname is not known");
        return false;
    };
    let addresses = addresses_of(&hostname, &hosts);
    match addresses.first() {
        Some(first) => {
            told.text(Field::POD_IP, *first);
            told.text(Field::POD_IPS, addresses.join(","));
        }
        None => told.absent(format!("/etc/hosts has no line for the hostname {hostname:?}")),
    }
    false
}

fn addresses_of<'a>(hostname: &str, hosts: &'a str) -> Vec<&'a str> {
    // The entries of hostAliases follow an empty line.
    let own = hosts.lines().take_while(|line| !line.is_empty());
    let entries = own.filter_map(|line| line.split_once('\t'));
    let named = entries.filter(|(_, names)| names.split('\t').any(|name| name == hostname));
    let addresses = named.map(|(address, _)| address);
    addresses.filter(|address| address.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback())).collect()
}

fn tell_resolv_conf(surroundings: &Surroundings, told: &mut Told) {
    let resolv_conf = match surroundings.read_text(Path::new("/etc/resolv.conf")) {
        Ok(text) => text,
        Err(error) => return told.absent(error.to_string()),
    };
    match cluster_domain(&resolv_conf) {
        Some((namespace, domain)) => {
            told.text(Field::POD_NAMESPACE, namespace);
            told.value(Field::CLUSTER_DOMAIN, Value::Text(domain.to_owned()));
        }
        None => {
            told.absent("/etc/resolv.conf has no search list of a cluster: is dnsPolicy not ClusterFirst?")
        }
    }
}

/// The namespace and cluster domain of a search list that starts with `<ns>.svc.<domain> svc.<domain> <domain>`
/// (`generateSearchesForDNSClusterFirst` in `pkg/kubelet/network/dns/dns.go`).
fn cluster_domain(resolv_conf: &str) -> Option<(&str, &str)> {
    // The last search list wins (resolv.conf(5)).
    let mut searches = resolv_conf.lines().filter_map(|line| line.strip_prefix("search"));
    let list = searches.rfind(|list| list.starts_with([' ', '\t']))?;
    let mut names = list.split_ascii_whitespace();
    let (first, services, domain) = (names.next()?, names.next()?, names.next()?);
    let namespace = first.strip_suffix(services)?.strip_suffix('.')?;
    let matches = services.strip_prefix("svc.") == Some(domain) && !namespace.contains('.');
    (matches && !namespace.is_empty()).then_some((namespace, domain))
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
