//! The names of control groups, by the rules of the kubelet and of container runtimes.

/// The pod in a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pod<'a> {
    pub(crate) uid: String,
    /// A path relative to another process's group may not show it.
    pub(crate) qos_class: Option<&'static str>,
    /// The path of the container's group, which is right below the pod's.
    pub(crate) container: &'a str,
}

/// The pod in a path of the kubelet (`pkg/kubelet/cm/pod_container_manager_linux.go`, and
/// `cgroup_manager_linux.go` for the names with systemd).
pub(crate) fn pod_of(path: &str) -> Option<Pod<'_>> {
    // A cluster inside a pod has its own groups below those of the outer cluster: the last pod is the inner one.
    let mut end = path.len();
    loop {
        let start = path[..end].rfind('/')?;
        let (parent, component) = (&path[..start], &path[start + 1..end]);
        // With cgroupfs below a kubelet that expects systemd: `<slice of the pod>:<runtime>:<ID>`.
        let (slice, is_container) = match component.split_once(':') {
            Some((slice, _)) => (slice, true),
            None => (component, false),
        };
        if let Some((uid, qos_class)) = under_systemd(slice).or_else(|| under_cgroupfs(parent, component)) {
            let below =
                if is_container { 0 } else { path[end..].split('/').nth(1).map_or(0, |name| name.len() + 1) };
            return Some(Pod { uid, qos_class, container: &path[..end + below] });
        }
        end = start;
    }
}

/// `[<prefix>-]kubepods[-burstable|-besteffort]-pod<uid>.slice`, with `_` for `-` in the UID.
fn under_systemd(component: &str) -> Option<(String, Option<&'static str>)> {
    let (parent, uid) = component.strip_suffix(".slice")?.rsplit_once("-pod")?;
    let qos_class = match parent.rsplit('-').next()? {
        "burstable" => "Burstable",
        "besteffort" => "BestEffort",
        "kubepods" => "Guaranteed",
        _ => return None,
    };
    let is_kubelet = parent.split('-').any(|part| part == "kubepods");
    (is_kubelet && !uid.is_empty()).then(|| (uid.replace('_', "-"), Some(qos_class)))
}

/// `kubepods/[burstable|besteffort/]pod<uid>`; relative to the group of another process `../../pod<uid>`, where the
/// parents are not shown.
fn under_cgroupfs(parent: &str, component: &str) -> Option<(String, Option<&'static str>)> {
    let uid = component.strip_prefix("pod").filter(|uid| !uid.is_empty())?;
    let (qos_class, parent) = match parent.rsplit_once('/') {
        Some((parent, "burstable")) => (Some("Burstable"), parent),
        Some((parent, "besteffort")) => (Some("BestEffort"), parent),
        _ => (None, parent),
    };
    let mut parents = parent.rsplit('/');
    match parents.next()? {
        "kubepods" => Some((uid.to_owned(), qos_class.or(Some("Guaranteed")))),
        ".." if is_shown_uid(uid) && parents.all(|name| matches!(name, ".." | "")) => {
            Some((uid.to_owned(), qos_class))
        }
        _ => None,
    }
}

/// Whether `uid` can be the UID of an API object or of a static pod. Without `kubepods` before it, the check is
/// needed: other groups have names that begin with `pod`.
fn is_shown_uid(uid: &str) -> bool {
    let digits = uid.bytes().filter(|byte| byte.is_ascii_hexdigit()).count();
    let hyphens = uid.bytes().filter(|byte| *byte == b'-').count();
    digits == 32 && digits + hyphens == uid.len() && matches!(hyphens, 0 | 4)
}

/// The ID in the deepest component that belongs to a container, with or without the runtime's name
/// (`cri-containerd-….scope`). With crun, the process is in `/container` below it.
pub(crate) fn container_id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(id_of_component)
}

fn id_of_component(component: &str) -> Option<&str> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let (runtime, id) = name.split_at(name.rfind(['-', ':']).map_or(0, |end| end + 1));
    // conmon, the monitor of CRI-O, has another group with the same ID.
    (is_id(id) && !runtime.ends_with("conmon-")).then_some(id)
}

/// Whether `text` is the ID of a container or sandbox.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "552b683940dc8894696bccffa3d7126b28341a6d57e3ecc1129040cc97d961af";
    const UID: &str = "e9547980-83bf-438d-9893-b0834b7358b8";

    fn pod(path: &str) -> Option<(String, &'static str)> {
        pod_of(path).map(|pod| (pod.uid, pod.qos_class.unwrap_or("unknown")))
    }

    #[test]
    fn paths_under_cgroupfs() {
        let is = |class| Some((UID.to_owned(), class));
        assert_eq!(pod(&format!("/kubepods/burstable/pod{UID}/{ID}")), is("Burstable"));
        assert_eq!(pod(&format!("/kubepods/besteffort/pod{UID}/{ID}/x:y")), is("BestEffort"));
        assert_eq!(pod(&format!("/kubepods/pod{UID}/{ID}")), is("Guaranteed"));
        assert_eq!(pod(&format!("/system.slice/kubelet/kubepods/pod{UID}/{ID}")), is("Guaranteed"));
    }

    #[test]
    fn paths_under_systemd() {
        let uid = UID.replace('-', "_");
        let is = |class| Some((UID.to_owned(), class));
        let path = format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/cri-containerd-{ID}.scope"
        );
        assert_eq!(pod(&path), is("Burstable"));
        assert_eq!(container_id(&path), Some(ID));
        let path = format!("/kubepods.slice/kubepods-pod{uid}.slice/crio-{ID}.scope/container");
        assert_eq!(pod(&path), is("Guaranteed"));
        assert_eq!(container_id(&path), Some(ID));
        let path = format!(
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{uid}.slice/docker-{ID}.scope"
        );
        assert_eq!(pod(&path), is("BestEffort"));
    }

    #[test]
    fn a_static_pod_s_uid_has_no_dashes() {
        let uid = UID.replace('-', "");
        assert_eq!(pod(&format!("/kubepods/pod{uid}/{ID}")), Some((uid, "Guaranteed")));
    }

    #[test]
    fn the_inner_of_two_clusters() {
        let path = format!(
            "/kubepods/burstable/podouter/{}/kubelet/kubepods/besteffort/pod{UID}/{ID}",
            "0".repeat(64)
        );
        assert_eq!(pod(&path), Some((UID.to_owned(), "BestEffort")));
        assert_eq!(container_id(&path), Some(ID));
    }

    #[test]
    fn a_private_namespace_is_unknown_and_not_guaranteed() {
        for path in ["/", "", "/../..", "/user.slice/user-0.slice", "/docker/abc", "/podman/podx"] {
            assert_eq!(pod(path), None, "{path}");
            assert_eq!(container_id(path), None, "{path}");
        }
        assert_eq!(container_id(&format!("/x/crio-conmon-{ID}.scope")), None);
    }

    #[test]
    fn a_pod_and_its_container_in_one_name() {
        let uid = UID.replace('-', "_");
        let path =
            format!("/system.slice/containerd.service/kubepods-burstable-pod{uid}.slice:cri-containerd:{ID}");
        let known = Pod { uid: UID.to_owned(), qos_class: Some("Burstable"), container: &path };
        assert_eq!(pod_of(&path), Some(known));
        assert_eq!(container_id(&path), Some(ID));
        let below = format!("{path}/init");
        assert_eq!(pod_of(&below).map(|pod| pod.container), Some(path.as_str()));
        assert_eq!(container_id(&below), Some(ID));
    }

    #[test]
    fn paths_relative_to_another_group() {
        let is = |class| Some((UID.to_owned(), class));
        assert_eq!(pod(&format!("/../../pod{UID}/{ID}")), is("unknown"));
        assert_eq!(pod(&format!("/../../../burstable/pod{UID}/{ID}")), is("Burstable"));
        let static_pod = UID.replace('-', "");
        assert_eq!(pod(&format!("/../../pod{static_pod}/{ID}")), Some((static_pod, "unknown")));
        for path in ["/../podman-1234/x", "/../../podx/y", "/../machine/podx", "/../kubepods-x/podx"] {
            assert_eq!(pod(path), None, "{path}");
        }
        assert_eq!(pod(&format!("/../other/pod{UID}/{ID}")), None);
    }

    #[test]
    fn the_container_s_group_is_right_below_the_pod_s() {
        for (path, container) in [
            ("/kubepods/podx/short/init", "/kubepods/podx/short"),
            ("/kubepods/podx/short", "/kubepods/podx/short"),
            ("/kubepods/podx", "/kubepods/podx"),
            ("/a.slice/kubepods-podx.slice/my-1.scope/b/c", "/a.slice/kubepods-podx.slice/my-1.scope"),
        ] {
            assert_eq!(pod_of(path).map(|pod| pod.container), Some(container), "{path}");
        }
    }
}
