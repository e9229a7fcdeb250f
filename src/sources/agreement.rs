//! Where local sources contradict each other: which of them describes this pod.

use std::path::Path;

use crate::facts::Report;
use crate::facts::field::Field;
use crate::sources::kubelet;
use crate::system::surroundings::Surroundings;

/// The longest hostname in bytes. The kubelet makes it from the pod's name
/// (`truncatePodHostnameIfNeeded` in `pkg/kubelet/kubelet_pods.go`).
const HOSTNAME_LIMIT: usize = 63;

/// Drops what is about another pod.
pub(crate) fn settle(
    surroundings: &Surroundings,
    token: &mut Report,
    kubelet: &mut Report,
    cgroup: &mut Report,
) {
    if differ(token, kubelet) {
        if is_virtual_cluster(surroundings, token) {
            // Its API server knows the pod by the token's UID; the mounts and the control group have the host's.
            kubelet.drop(&[Field::POD_UID]);
            cgroup.drop(&[Field::POD_UID]);
        } else if kubelet::may_be_imitated(surroundings) {
            kubelet.drop(&[Field::POD_UID, Field::CONTAINER_NAME]);
        }
    }
    if differ(kubelet, cgroup) {
        cgroup.values.clear();
        cgroup.absent("the control group of this process is another pod's");
    }
    if let Some(own) = [&*kubelet, cgroup].into_iter().find(|others| differ(token, others)) {
        let uid = own.text_of(Field::POD_UID).unwrap_or_default();
        let why = format!(
            "the token belongs to another pod: the UID of this pod is {uid}; its claims are not used"
        );
        *token = Report::default();
        token.broken(why);
    }
}

/// Ranks the namespace of a token without a pod after those that the pod's author set: the token may belong to
/// another namespace.
pub(crate) fn rank_namespace(token: &mut Report, authors: [&Report; 2]) {
    let is_reported = authors.iter().any(|report| report.text_of(Field::POD_NAMESPACE).is_some());
    if is_reported && token.text_of(Field::POD_NAME).is_none() {
        token.drop(&[Field::POD_NAMESPACE]);
    }
}

/// Whether both report a UID, and not the same.
fn differ(one: &Report, other: &Report) -> bool {
    // systemd's names have `_` for `-`.
    let uid = |report: &Report| report.text_of(Field::POD_UID).map(|uid| uid.replace('_', "-"));
    uid(one).zip(uid(other)).is_some_and(|(one, other)| one != other)
}

/// Whether the pod runs in a virtual cluster such as vcluster or k3k: its hosts file names the virtual cluster's API
/// server, and the hostname is the name that the virtual cluster knows.
fn is_virtual_cluster(surroundings: &Surroundings, token: &Report) -> bool {
    let name = token.text_of(Field::POD_NAME).unwrap_or_default();
    let name = name.get(..HOSTNAME_LIMIT).unwrap_or(name).trim_end_matches(['-', '.']);
    let hosts = surroundings.read_text(Path::new("/etc/hosts")).unwrap_or_default();
    let names_server = hosts.split_ascii_whitespace().any(|name| name == "kubernetes.default.svc");
    names_server && surroundings.hostname().is_some_and(|hostname| hostname == name)
}
