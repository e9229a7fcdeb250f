//! The one table of fields: everything that a pod can know about itself.
//!
//! Adding a field is adding a row. Sources, expressions, variables and
//! renderers all read it here.

use std::borrow::Cow;

/// A place that fields are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The option `--container`.
    Option,
    /// The claims of the service account token, and the `namespace` file beside it.
    Token,
    /// What the kubelet mounts into every container.
    Kubelet,
    /// The control group of this process.
    Cgroup,
    /// The environment, as the pod's author set it.
    Environment,
    /// downwardAPI volumes.
    Volume,
    /// The Pod object: the API server's, or that of `--pod`.
    Api,
}

impl Source {
    /// The name that `sources` in JSON, `--explain` and the log use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Source::Option => "--container",
            Source::Token => "token",
            Source::Kubelet => "kubelet",
            Source::Cgroup => "cgroup",
            Source::Environment => "env",
            Source::Volume => "volume",
            Source::Api => "api",
        }
    }
}

/// The two lists of a container's `resources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// `resources.limits`
    Limits,
    /// `resources.requests`
    Requests,
}

impl List {
    /// The name in the Pod object and in a field path.
    pub(crate) fn name(self) -> &'static str {
        match self {
            List::Limits => "limits",
            List::Requests => "requests",
        }
    }
}

/// One thing that a pod can know about itself.
#[derive(Clone, Debug, Eq)]
pub(crate) enum Field {
    PodName,
    PodNamespace,
    PodUid,
    NodeName,
    NodeUid,
    ServiceAccount,
    PodIp,
    PodIps,
    HostIp,
    HostIps,
    /// A quantity of a container's `resources`, by the resource's name (`cpu`).
    Resource(List, Cow<'static, str>),
    Labels,
    Annotations,
    ContainerName,
    ContainerId,
    ContainerImage,
    ContainerImageId,
    OwnerKind,
    OwnerName,
    WorkloadKind,
    WorkloadName,
    Ordinal,
    QosClass,
    NodeLabels,
    ClusterDomain,
}

impl PartialEq for Field {
    // Fields are looked for thousands of times in each run, and most differ in their kind.
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && match (self, other) {
                (Field::Resource(list, name), Field::Resource(other_list, other)) => {
                    list == other_list && name == other
                }
                _ => true,
            }
    }
}

impl Field {
    /// Whether the field tells of one container, and not of the whole pod.
    pub(crate) fn is_of_container(&self) -> bool {
        use Field::*;
        matches!(self, Resource(..) | ContainerName | ContainerId | ContainerImage | ContainerImageId)
    }

    /// Whether the API has the field only some time after the container started.
    ///
    /// For up to a second the object lacks them (the kubelet's status manager reports later).
    pub(crate) fn is_late_in_api(&self) -> bool {
        use Field::*;
        matches!(self, PodIp | PodIps | HostIp | HostIps | ContainerId | ContainerImageId)
    }

    /// The row of this field; a resource without a variable of its own has none.
    pub(crate) fn row(&self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.field == *self)
    }

    /// The sources that may tell this field; of them the first that knows it wins.
    pub(crate) fn sources(&self) -> &'static [Source] {
        self.row().map_or(&[Source::Api], |row| row.sources)
    }

    /// The field as the downward API writes it.
    pub(crate) fn path(&self) -> String {
        match self {
            Field::Resource(list, resource) => format!("{}.{resource}", list.name()),
            field => field.row().map_or_else(String::new, |row| row.path.to_owned()),
        }
    }
}

/// What is known of a field before any source is asked.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) field: Field,
    /// The field's name, as the downward API writes it.
    pub(crate) path: &'static str,
    /// The environment variable that is rendered from it.
    pub(crate) variable: Option<&'static str>,
    /// The sources that may tell it, in order of precedence.
    pub(crate) sources: &'static [Source],
    /// Further variables that pods' authors set for it, beside `K8S_` and `MY_` before its own.
    pub(crate) spellings: &'static [&'static str],
    /// File names in a downwardAPI volume.
    pub(crate) files: &'static [&'static str],
    /// The path of keys in the JSON document.
    pub(crate) document: &'static [&'static str],
    /// For a resource: the divisor that its variable's name promises.
    pub(crate) divisor: &'static str,
}

const fn row(
    field: Field,
    path: &'static str,
    variable: &'static str,
    sources: &'static [Source],
    document: &'static [&'static str],
) -> Row {
    Row { field, path, variable: Some(variable), sources, spellings: &[], files: &[], document, divisor: "" }
}

const fn resource(
    list: List,
    name: &'static str,
    path: &'static str,
    variable: &'static str,
    spellings: &'static [&'static str],
    document: &'static [&'static str],
    divisor: &'static str,
) -> Row {
    // Section 4 of the design ranks a limit's sources; a request is not enforced, so no cgroup tells it.
    let sources: &[Source] = match list {
        List::Limits => &[Cgroup, Api, Environment, Volume],
        List::Requests => &[Api, Environment, Volume],
    };
    let field = Field::Resource(list, Cow::Borrowed(name));
    let mut row = row(field, path, variable, sources, document).spelt(spellings);
    row.divisor = divisor;
    row
}

impl Row {
    const fn spelt(mut self, spellings: &'static [&'static str]) -> Row {
        self.spellings = spellings;
        self
    }

    const fn in_files(mut self, files: &'static [&'static str]) -> Row {
        self.files = files;
        self
    }

    /// As a whole it is no variable.
    const fn without_variable(mut self) -> Row {
        self.variable = None;
        self
    }
}

use Source::{Api, Cgroup, Environment, Kubelet, Option as Given, Token, Volume};

/// Every field, with where it is read, what it is called and where it is rendered.
#[rustfmt::skip]
pub(crate) static TABLE: &[Row] = &[
    row(Field::PodName, "metadata.name", "POD_NAME", &[Token, Environment, Volume, Api], &["pod", "name"])
        .spelt(&["OTEL_RESOURCE_ATTRIBUTES_POD_NAME"])
        .in_files(&["podName"]),
    row(Field::PodNamespace, "metadata.namespace", "POD_NAMESPACE", &[Token, Kubelet, Environment, Volume, Api], &["pod", "namespace"])
        .spelt(&["K8S_NAMESPACE"])
        .in_files(&["podNamespace"]),
    row(Field::PodUid, "metadata.uid", "POD_UID", &[Token, Kubelet, Cgroup, Environment, Volume, Api], &["pod", "uid"])
        .spelt(&["OTEL_RESOURCE_ATTRIBUTES_POD_UID"])
        .in_files(&["podUid", "uid"]),
    row(Field::NodeName, "spec.nodeName", "NODE_NAME", &[Token, Environment, Api], &["node", "name"])
        .spelt(&["OTEL_RESOURCE_ATTRIBUTES_NODE_NAME"]),
    row(Field::NodeUid, "node.uid", "NODE_UID", &[Token, Environment, Api], &["node", "uid"]),
    row(Field::ServiceAccount, "spec.serviceAccountName", "SERVICE_ACCOUNT", &[Token, Environment, Api], &["pod", "serviceAccountName"]),
    row(Field::PodIp, "status.podIP", "POD_IP", &[Environment, Kubelet, Api], &["pod", "ip"]),
    row(Field::PodIps, "status.podIPs", "POD_IPS", &[Environment, Kubelet, Api], &["pod", "ips"]),
    row(Field::HostIp, "status.hostIP", "HOST_IP", &[Environment, Api], &["pod", "hostIP"]),
    row(Field::HostIps, "status.hostIPs", "HOST_IPS", &[Environment, Api], &["pod", "hostIPs"]),
    resource(List::Limits, "cpu", "limits.cpu", "CONTAINER_CPU_LIMIT_MILLICORES", &["CONTAINER_CPU_LIMIT_MILLI_CORES"], &["container", "resources", "limits", "cpu"], "1m"),
    resource(List::Limits, "memory", "limits.memory", "CONTAINER_MEMORY_LIMIT_KIBIBYTES", &["CONTAINER_MEMORY_LIMIT_KIBI_BYTES"], &["container", "resources", "limits", "memory"], "1Ki"),
    resource(List::Requests, "cpu", "requests.cpu", "CONTAINER_CPU_REQUEST_MILLICORES", &["CONTAINER_CPU_REQUEST_MILLI_CORES"], &["container", "resources", "requests", "cpu"], "1m"),
    resource(List::Requests, "memory", "requests.memory", "CONTAINER_MEMORY_REQUEST_KIBIBYTES", &["CONTAINER_MEMORY_REQUEST_KIBI_BYTES"], &["container", "resources", "requests", "memory"], "1Ki"),
    row(Field::Labels, "metadata.labels", "", &[Volume, Api], &["pod", "labels"])
        .in_files(&["labels"])
        .without_variable(),
    row(Field::Annotations, "metadata.annotations", "", &[Volume, Api], &["pod", "annotations"])
        .in_files(&["annotations"])
        .without_variable(),
    row(Field::ContainerName, "container.name", "CONTAINER_NAME", &[Given, Kubelet, Environment, Api], &["container", "name"]),
    row(Field::ContainerId, "container.id", "CONTAINER_ID", &[Cgroup, Api], &["container", "id"]),
    row(Field::ContainerImage, "container.image", "CONTAINER_IMAGE", &[Api], &["container", "image"]),
    row(Field::ContainerImageId, "container.imageID", "CONTAINER_IMAGE_ID", &[Api], &["container", "imageID"]),
    row(Field::OwnerKind, "owner.kind", "POD_OWNER_KIND", &[Api, Volume], &["pod", "owner", "kind"]),
    row(Field::OwnerName, "owner.name", "POD_OWNER_NAME", &[Api, Volume], &["pod", "owner", "name"]),
    row(Field::WorkloadKind, "workload.kind", "WORKLOAD_KIND", &[Api, Volume], &["pod", "workload", "kind"]),
    row(Field::WorkloadName, "workload.name", "WORKLOAD_NAME", &[Api, Volume], &["pod", "workload", "name"]),
    row(Field::Ordinal, "pod.ordinal", "POD_ORDINAL", &[Environment, Volume, Api], &["pod", "ordinal"]),
    row(Field::QosClass, "status.qosClass", "POD_QOS_CLASS", &[Cgroup, Api], &["pod", "qosClass"]),
    row(Field::NodeLabels, "node.labels", "", &[Api], &["node", "labels"])
        .without_variable(),
    row(Field::ClusterDomain, "cluster.domain", "CLUSTER_DOMAIN", &[Kubelet], &["cluster", "domain"]),
];

/// The row whose variable is `name`.
pub(crate) fn by_variable(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.variable == Some(name))
}

/// The row whose field is written `path`.
pub(crate) fn by_path(path: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.path == path)
}
