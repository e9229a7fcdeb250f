//! The container or pod that the facts describe.

use crate::facts::field::{Field, Source};

/// What the facts describe: this container, another container of the pod, or only the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The container that this process runs in.
    Own { name: Option<String> },
    /// Another container of the pod. `own` is the container of this process, if it is known.
    Other { name: String, own: Option<String> },
    /// Only the pod, and no container.
    Pod,
}

/// The command line's choice of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `--container`
    pub(crate) container: Option<String>,
    /// The process runs beside the container that it describes, as an initContainer does.
    pub(crate) is_beside: bool,
}

impl Asked {
    /// The container of this process.
    pub(crate) const OWN: Asked = Asked { container: None, is_beside: false };
}

impl Subject {
    /// The subject, if this process runs in the container `own` according to the kubelet's mounts.
    pub(crate) fn resolve(asked: &Asked, own: Option<&str>) -> Self {
        let own = own.map(str::to_owned);
        match (&asked.container, own) {
            (None, _) if asked.is_beside => Subject::Pod,
            (None, own) => Subject::Own { name: own },
            (Some(name), Some(own)) if *name == own => Subject::Own { name: Some(own) },
            (Some(name), None) if !asked.is_beside => Subject::Own { name: Some(name.clone()) },
            (Some(name), own) => Subject::Other { name: name.clone(), own },
        }
    }

    /// The name of the described container, if it is known.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Subject::Own { name } => name.as_deref(),
            Subject::Other { name, .. } => Some(name),
            Subject::Pod => None,
        }
    }

    /// Whether the facts describe the container of this process. Then its control group, environment
    /// and volumes belong to the described container.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Subject::Own { .. })
    }

    /// Whether the facts describe a container.
    pub(crate) fn is_container(&self) -> bool {
        *self != Subject::Pod
    }

    /// Whether the value of `source` for `field` describes the subject.
    pub(crate) fn includes(&self, source: Source, field: Field) -> bool {
        match self {
            Subject::Own { .. } => true,
            // A volume has files that name the container that they are about.
            Subject::Other { .. } => {
                matches!(source, Source::Option | Source::Volume | Source::Api) || !field.is_of_container
            }
            Subject::Pod => !field.is_of_container,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(container: Option<&str>, is_beside: bool, own: Option<&str>) -> Subject {
        Subject::resolve(&Asked { container: container.map(str::to_owned), is_beside }, own)
    }

    #[test]
    fn exec_and_print_describe_their_own_container_unless_the_mounts_name_another() {
        let own = |name: Option<&str>| Subject::Own { name: name.map(str::to_owned) };
        assert_eq!(resolve(None, false, None), own(None));
        assert_eq!(resolve(None, false, Some("app")), own(Some("app")));
        assert_eq!(resolve(Some("app"), false, None), own(Some("app")));
        assert_eq!(resolve(Some("app"), false, Some("app")), own(Some("app")));
        assert!(!resolve(Some("app"), false, Some("debug")).is_own());
    }

    #[test]
    fn write_and_watch_describe_another_container_or_none() {
        assert_eq!(resolve(None, true, Some("init")), Subject::Pod);
        assert!(!resolve(Some("app"), true, None).is_own());
        assert!(!resolve(Some("app"), true, Some("init")).is_own());
        assert!(resolve(Some("app"), true, Some("app")).is_own());
    }

    #[test]
    fn only_the_own_container_s_limits_are_read_from_the_control_group() {
        let id = Field::CONTAINER_ID;
        assert!(resolve(None, false, None).includes(Source::Cgroup, id));
        assert!(!resolve(Some("app"), true, None).includes(Source::Cgroup, id));
        assert!(resolve(Some("app"), true, None).includes(Source::Api, id));
        assert!(!resolve(None, true, None).includes(Source::Api, id));
        assert!(resolve(None, true, None).includes(Source::Cgroup, Field::POD_UID));
    }
}
