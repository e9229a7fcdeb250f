//! The table of fields: everything that a pod can know about itself.
//!
//! To add a field, add a row. Sources, expressions, variables and renderers all read this table.

use crate::kubernetes::names;
pub(crate) use crate::kubernetes::path::Object;

/// A place that fields are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The option `--container`.
    Option,
    /// The claims of the service account token, and the `namespace` file beside it.
    Token,
    /// The files that the kubelet mounts into every container.
    Kubelet,
    /// The control group of this process.
    Cgroup,
    /// The environment that the pod's author set.
    Environment,
    /// downwardAPI volumes.
    Volume,
    /// The API server's objects, or the Pod object of `--pod`.
    Api,
    /// Conclusions from well-known labels. They are less certain: a copied pod keeps its labels.
    Labels,
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
            Source::Labels => "labels",
        }
    }
}

/// One thing that a pod can know about itself: the number of its row in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field(usize);

impl std::ops::Deref for Field {
    type Target = Row;

    fn deref(&self) -> &Row {
        &TABLE[self.0]
    }
}

impl std::fmt::Debug for Field {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(self.path)
    }
}

/// The fields that the program refers to by name.
impl Field {
    pub(crate) const POD_NAME: Field = field_of("metadata.name");
    pub(crate) const POD_NAMESPACE: Field = field_of("metadata.namespace");
    pub(crate) const POD_UID: Field = field_of("metadata.uid");
    pub(crate) const NODE_NAME: Field = field_of("spec.nodeName");
    pub(crate) const NODE_UID: Field = field_of("node.uid");
    pub(crate) const SERVICE_ACCOUNT: Field = field_of("spec.serviceAccountName");
    pub(crate) const POD_IP: Field = field_of("status.podIP");
    pub(crate) const POD_IPS: Field = field_of("status.podIPs");
    pub(crate) const CPU_LIMIT: Field = field_of("limits.cpu");
    pub(crate) const MEMORY_LIMIT: Field = field_of("limits.memory");
    pub(crate) const LIMITS: Field = field_of("limits");
    pub(crate) const CPU_REQUEST: Field = field_of("requests.cpu");
    pub(crate) const MEMORY_REQUEST: Field = field_of("requests.memory");
    pub(crate) const REQUESTS: Field = field_of("requests");
    pub(crate) const LABELS: Field = field_of("metadata.labels");
    pub(crate) const ANNOTATIONS: Field = field_of("metadata.annotations");
    pub(crate) const CONTAINER_NAME: Field = field_of("container.name");
    pub(crate) const CONTAINER_ID: Field = field_of("container.id");
    pub(crate) const CONTAINER_IMAGE: Field = field_of("container.image");
    pub(crate) const OWNER_KIND: Field = field_of("owner.kind");
    pub(crate) const OWNER_NAME: Field = field_of("owner.name");
    pub(crate) const WORKLOAD_KIND: Field = field_of("workload.kind");
    pub(crate) const WORKLOAD_NAME: Field = field_of("workload.name");
    pub(crate) const ORDINAL: Field = field_of("pod.ordinal");
    pub(crate) const QOS_CLASS: Field = field_of("status.qosClass");
    pub(crate) const NODE_LABELS: Field = field_of("node.labels");
    pub(crate) const CLUSTER_DOMAIN: Field = field_of("cluster.domain");
    pub(crate) const CLUSTER_ISSUER: Field = field_of("cluster.issuer");
    pub(crate) const CONTAINER_CPUS: Field = field_of("container.cpus");
    pub(crate) const CONTAINER_MEMORY: Field = field_of("container.memory");
    pub(crate) const FQDN: Field = field_of("pod.fqdn");
    pub(crate) const HOSTNAME: Field = field_of("spec.hostname");
    pub(crate) const SUBDOMAIN: Field = field_of("spec.subdomain");
    pub(crate) const NAMESERVERS: Field = field_of("dns.nameservers");
}

/// The field of the row with this path. It is evaluated at compile time, and fails if there is no such row.
const fn field_of(path: &str) -> Field {
    let mut index = 0;
    while !is_same(TABLE[index].path.as_bytes(), path.as_bytes()) {
        index += 1;
    }
    Field(index)
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (one, other) {
        ([], []) => true,
        ([first, one @ ..], [second, other @ ..]) => *first == *second && is_same(one, other),
        _ => false,
    }
}

impl Field {
    /// The field's position in the table.
    pub(crate) fn position(self) -> usize {
        self.0
    }

    /// Every field, in the order of the table.
    pub(crate) fn all() -> impl DoubleEndedIterator<Item = Field> {
        (0..TABLE.len()).map(Field)
    }

    /// The field whose variable is `name`.
    pub(crate) fn of_variable(name: &str) -> Option<Field> {
        Field::all().find(|field| field.variable == Some(name))
    }

    /// The field with this name.
    pub(crate) fn of_path(path: &str) -> Option<Field> {
        Field::all().find(|field| field.path == path)
    }

    /// The field of its own that the entry `key` of this map has: `limits.cpu` is the entry `cpu` of `limits`.
    pub(crate) fn at(self, key: &str) -> Option<Field> {
        let path = |field: &Field| field.path.strip_prefix(self.path)?.strip_prefix('.');
        Field::all().find(|field| path(field) == Some(key))
    }

    /// The name of the resource whose quantity it is.
    pub(crate) fn resource(self) -> Option<&'static str> {
        match self.kind {
            Kind::Resource { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The object of the API that has the field.
    pub(crate) fn object(self) -> Option<Object> {
        self.place.map(|place| place.object)
    }
}

/// The kind of a field's value. It decides which text of a variable or file is valid, how an API
/// object stores the value, and its type in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A DNS subdomain (RFC 1123). The names of most objects are of this kind.
    Subdomain,
    /// A DNS label (RFC 1123). The names of namespaces and containers are of this kind.
    Label,
    /// An object's UID. The UID of a static pod is not a UUID.
    Uid,
    /// An IP address.
    Address,
    /// Comma-separated IP addresses. An API object has a list of objects with the key `ip`.
    Addresses,
    /// A whole number. An API object implies it by its labels ([`owner`](crate::facts::owner)).
    Ordinal,
    /// A value about the pod's controller, which is one entry of an API object's `ownerReferences`
    /// ([`owner`](crate::facts::owner)).
    Controller,
    /// A container's ID. In an API object the runtime's name precedes it: `containerd://`.
    ContainerId,
    /// Labels or annotations.
    Map,
    /// The quantity of the resource `name`. The variable has it in this unit, as the variable's name states.
    Resource { name: &'static str, unit: &'static str },
    /// The quantities of a container's resources, by the names of the resources.
    Quantities,
}

impl Kind {
    /// Whether `text`, which comes from a manifest, can be a value of this kind.
    pub(crate) fn accepts(self, text: &str) -> bool {
        let is_number = || !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match self {
            Kind::Subdomain => names::is_subdomain(text),
            Kind::Label => names::is_label(text),
            Kind::Uid => names::is_uid(text),
            Kind::Address => names::is_address(text),
            Kind::Addresses => text.split(',').all(names::is_address),
            Kind::Ordinal => is_number() && text.parse::<u32>().is_ok(),
            Kind::Resource { .. } => is_number() && text.parse::<u64>().is_ok(),
            Kind::Text | Kind::ContainerId | Kind::Map | Kind::Quantities | Kind::Controller => true,
        }
    }

    /// The noun for a value of this kind in messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Kind::Subdomain => "a DNS subdomain name",
            Kind::Label => "a DNS label",
            Kind::Uid => "a UID",
            Kind::Address => "an IP address",
            Kind::Addresses => "a comma-separated list of IP addresses",
            Kind::Ordinal | Kind::Resource { .. } => "a number",
            Kind::Text | Kind::ContainerId | Kind::Map | Kind::Quantities | Kind::Controller => "a text",
        }
    }
}

/// The place of a field in an object of the API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) object: Object,
    /// A JSON pointer (RFC 6901).
    pub(crate) pointer: &'static str,
}

const fn at(object: Object, pointer: &'static str) -> Option<Place> {
    Some(Place { object, pointer })
}

/// All that introspod knows about a field.
pub(crate) struct Row {
    /// The field's name, as the downward API writes it.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    /// Its environment variable. A field without one needs `--set`.
    pub(crate) variable: Option<&'static str>,
    /// The sources that can report it, in order of precedence.
    pub(crate) sources: &'static [Source],
    /// Other names that pod authors use for the variable, beside the prefixes `K8S_` and `MY_`.
    pub(crate) spellings: &'static [&'static str],
    /// File names in a downwardAPI volume.
    pub(crate) files: &'static [&'static str],
    /// Its place in the API.
    pub(crate) place: Option<Place>,
    /// It describes one container, and not the whole pod.
    pub(crate) is_of_container: bool,
    /// The API may lack it during the first second: the kubelet's status manager reports it later.
    pub(crate) is_late_in_api: bool,
    /// The check for the keys of a map. A field that is not a map has none.
    pub(crate) keys: Option<KeyCheck>,
    /// An expression must name one entry: `node.labels['KEY']`.
    pub(crate) needs_key: bool,
    /// The path of keys in the JSON document; empty if it is not there.
    pub(crate) document: &'static [&'static str],
}

/// Whether a text can be the key of a map.
pub(crate) type KeyCheck = fn(&str) -> bool;

use Object::{ContainerSpec, ContainerStatus, KubeSystem, Node, Pod};
use Source::{Api, Cgroup, Environment, Kubelet, Labels, Option as Given, Token, Volume};

/// The default values of a row.
const FIELD: Row = Row {
    path: "",
    kind: Kind::Text,
    variable: None,
    sources: &[Api],
    spellings: &[],
    files: &[],
    place: None,
    is_of_container: false,
    is_late_in_api: false,
    keys: None,
    needs_key: false,
    document: &[],
};

/// The default values of a row about a container.
const CONTAINER_FIELD: Row = Row { is_of_container: true, ..FIELD };
/// A quantity. Status, spec and the pod's own `resources` determine it ([`pod`](crate::sources::pod)).
const RESOURCE: Row = Row { place: at(ContainerSpec, "/resources"), ..CONTAINER_FIELD };

/// A limit, which the control group enforces ([`limits`](crate::facts::limits)).
const LIMIT: Row = Row { sources: &[Cgroup, Api, Volume, Environment], ..RESOURCE };
/// A request, which no control group enforces. The kubelet updates the volume after a resize.
const REQUEST: Row = Row { sources: &[Api, Volume, Environment], ..RESOURCE };
/// The resources other than CPU and memory.
const OTHERS: Row = Row { kind: Kind::Quantities, keys: LABEL_KEYS, needs_key: true, ..RESOURCE };

/// The keys of labels, and the names of resources.
const LABEL_KEYS: Option<KeyCheck> = Some(names::is_label_key);
const ANNOTATION_KEYS: Option<KeyCheck> = Some(names::is_annotation_key);

const MILLICORES: Kind = Kind::Resource { name: "cpu", unit: "1m" };
const KIBIBYTES: Kind = Kind::Resource { name: "memory", unit: "1Ki" };

/// Every field.
#[rustfmt::skip]
pub(crate) static TABLE: &[Row] = &[
    Row { path: "metadata.name", kind: Kind::Subdomain, variable: Some("POD_NAME"), sources: &[Token, Environment, Volume, Api], spellings: &["KUBERNETES_POD_NAME", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME"], files: &["podName", "pod_name", "name"], place: at(Pod, "/metadata/name"), document: &["pod", "name"], ..FIELD },
    Row { path: "metadata.namespace", kind: Kind::Label, variable: Some("POD_NAMESPACE"), sources: &[Token, Environment, Volume, Api, Kubelet], spellings: &["K8S_NAMESPACE", "KUBERNETES_NAMESPACE"], files: &["podNamespace", "pod_namespace", "namespace"], place: at(Pod, "/metadata/namespace"), document: &["pod", "namespace"], ..FIELD },
    Row { path: "metadata.uid", kind: Kind::Uid, variable: Some("POD_UID"), sources: &[Kubelet, Cgroup, Token, Environment, Volume, Api], spellings: &["KUBERNETES_POD_UID", "OTEL_RESOURCE_ATTRIBUTES_POD_UID"], files: &["podUid", "pod_uid", "uid"], place: at(Pod, "/metadata/uid"), document: &["pod", "uid"], ..FIELD },
    Row { path: "spec.nodeName", kind: Kind::Subdomain, variable: Some("NODE_NAME"), sources: &[Token, Environment, Api], spellings: &["KUBERNETES_NODE_NAME", "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME"], place: at(Pod, "/spec/nodeName"), document: &["node", "name"], ..FIELD },
    Row { path: "node.uid", kind: Kind::Uid, variable: Some("NODE_UID"), sources: &[Token, Environment, Api], place: at(Node, "/metadata/uid"), document: &["node", "uid"], ..FIELD },
    Row { path: "spec.serviceAccountName", kind: Kind::Subdomain, variable: Some("SERVICE_ACCOUNT"), sources: &[Token, Environment, Api], place: at(Pod, "/spec/serviceAccountName"), document: &["pod", "serviceAccountName"], ..FIELD },
    Row { path: "status.podIP", kind: Kind::Address, variable: Some("POD_IP"), sources: &[Kubelet, Environment, Api], place: at(Pod, "/status/podIP"), is_late_in_api: true, document: &["pod", "ip"], ..FIELD },
    Row { path: "status.podIPs", kind: Kind::Addresses, variable: Some("POD_IPS"), sources: &[Kubelet, Environment, Api], place: at(Pod, "/status/podIPs"), is_late_in_api: true, document: &["pod", "ips"], ..FIELD },
    Row { path: "status.hostIP", kind: Kind::Address, variable: Some("HOST_IP"), sources: &[Environment, Api], place: at(Pod, "/status/hostIP"), is_late_in_api: true, document: &["pod", "hostIP"], ..FIELD },
    Row { path: "status.hostIPs", kind: Kind::Addresses, variable: Some("HOST_IPS"), sources: &[Environment, Api], place: at(Pod, "/status/hostIPs"), is_late_in_api: true, document: &["pod", "hostIPs"], ..FIELD },
    Row { path: "limits", document: &["container", "resources", "limits"], ..OTHERS },
    Row { path: "limits.cpu", kind: MILLICORES, variable: Some("CONTAINER_CPU_LIMIT_MILLICORES"), spellings: &["CONTAINER_CPU_LIMIT_MILLI_CORES"], document: &["container", "resources", "limits", "cpu"], ..LIMIT },
    Row { path: "limits.memory", kind: KIBIBYTES, variable: Some("CONTAINER_MEMORY_LIMIT_KIBIBYTES"), spellings: &["CONTAINER_MEMORY_LIMIT_KIBI_BYTES"], document: &["container", "resources", "limits", "memory"], ..LIMIT },
    Row { path: "container.cpus", kind: Kind::Resource { name: "cpu", unit: "1" }, place: None, ..LIMIT },
    Row { path: "container.memory", kind: Kind::Resource { name: "memory", unit: "1" }, place: None, ..LIMIT },
    Row { path: "requests", document: &["container", "resources", "requests"], ..OTHERS },
    Row { path: "requests.cpu", kind: MILLICORES, variable: Some("CONTAINER_CPU_REQUEST_MILLICORES"), spellings: &["CONTAINER_CPU_REQUEST_MILLI_CORES"], document: &["container", "resources", "requests", "cpu"], ..REQUEST },
    Row { path: "requests.memory", kind: KIBIBYTES, variable: Some("CONTAINER_MEMORY_REQUEST_KIBIBYTES"), spellings: &["CONTAINER_MEMORY_REQUEST_KIBI_BYTES"], document: &["container", "resources", "requests", "memory"], ..REQUEST },
    Row { path: "metadata.labels", kind: Kind::Map, keys: LABEL_KEYS, sources: &[Volume, Api], files: &["labels"], place: at(Pod, "/metadata/labels"), document: &["pod", "labels"], ..FIELD },
    Row { path: "metadata.annotations", kind: Kind::Map, keys: ANNOTATION_KEYS, sources: &[Volume, Api], files: &["annotations"], place: at(Pod, "/metadata/annotations"), document: &["pod", "annotations"], ..FIELD },
    Row { path: "container.name", kind: Kind::Label, variable: Some("CONTAINER_NAME"), sources: &[Given, Kubelet, Environment, Api], place: at(ContainerSpec, "/name"), document: &["container", "name"], ..CONTAINER_FIELD },
    Row { path: "container.id", kind: Kind::ContainerId, variable: Some("CONTAINER_ID"), sources: &[Cgroup, Kubelet, Api], place: at(ContainerStatus, "/containerID"), is_late_in_api: true, document: &["container", "id"], ..CONTAINER_FIELD },
    Row { path: "container.image", variable: Some("CONTAINER_IMAGE"), place: at(ContainerSpec, "/image"), document: &["container", "image"], ..CONTAINER_FIELD },
    Row { path: "container.imageID", variable: Some("CONTAINER_IMAGE_ID"), place: at(ContainerStatus, "/imageID"), is_late_in_api: true, document: &["container", "imageID"], ..CONTAINER_FIELD },
    Row { path: "owner.kind", kind: Kind::Controller, variable: Some("POD_OWNER_KIND"), sources: &[Api, Labels], place: at(Pod, "/metadata/ownerReferences"), document: &["pod", "owner", "kind"], ..FIELD },
    Row { path: "owner.name", kind: Kind::Controller, variable: Some("POD_OWNER_NAME"), sources: &[Api, Labels], place: at(Pod, "/metadata/ownerReferences"), document: &["pod", "owner", "name"], ..FIELD },
    Row { path: "workload.kind", kind: Kind::Controller, variable: Some("WORKLOAD_KIND"), sources: &[Api, Labels], place: at(Pod, "/metadata/ownerReferences"), document: &["pod", "workload", "kind"], ..FIELD },
    Row { path: "workload.name", kind: Kind::Controller, variable: Some("WORKLOAD_NAME"), sources: &[Api, Labels], place: at(Pod, "/metadata/ownerReferences"), document: &["pod", "workload", "name"], ..FIELD },
    Row { path: "pod.ordinal", kind: Kind::Ordinal, variable: Some("POD_ORDINAL"), sources: &[Environment, Labels, Api], place: at(Pod, "/metadata/labels"), document: &["pod", "ordinal"], ..FIELD },
    Row { path: "status.qosClass", variable: Some("POD_QOS_CLASS"), sources: &[Cgroup, Api], place: at(Pod, "/status/qosClass"), document: &["pod", "qosClass"], ..FIELD },
    Row { path: "node.labels", kind: Kind::Map, keys: LABEL_KEYS, sources: &[Api, Labels], place: at(Node, "/metadata/labels"), needs_key: true, document: &["node", "labels"], ..FIELD },
    Row { path: "cluster.domain", kind: Kind::Subdomain, variable: Some("CLUSTER_DOMAIN"), sources: &[Kubelet], document: &["cluster", "domain"], ..FIELD },
    Row { path: "cluster.issuer", sources: &[Token], ..FIELD },
    Row { path: "pod.fqdn", kind: Kind::Subdomain, sources: &[Kubelet, Api], ..FIELD },
    Row { path: "spec.hostname", kind: Kind::Subdomain, sources: &[Kubelet, Api], place: at(Pod, "/spec/hostname"), ..FIELD },
    Row { path: "spec.subdomain", kind: Kind::Subdomain, sources: &[Kubelet, Api], place: at(Pod, "/spec/subdomain"), ..FIELD },
    Row { path: "dns.nameservers", kind: Kind::Addresses, sources: &[Kubelet], ..FIELD },
    Row { path: "cluster.uid", kind: Kind::Uid, place: at(KubeSystem, "/metadata/uid"), document: &["cluster", "uid"], ..FIELD },
];
