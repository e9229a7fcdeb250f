"""What the facts of a container are, by the Pod object and the objects around it.

Facts go by their paths in introspod's JSON document: `pod.name`, `container.resources.limits.memory`.
"""

import re

RESOURCES = ("cpu", "memory", "ephemeral-storage")

RESOURCE_FACTS = [
    f"container.resources.{kind}.{resource}" for kind in ("limits", "requests") for resource in RESOURCES
]

MAPS = ("pod.labels", "pod.annotations", "node.labels")
"""Facts that are objects in the document: they are compared whole."""

VARIABLES = {
    "CLUSTER_DOMAIN": "cluster.domain",
    "CONTAINER_ID": "container.id",
    "CONTAINER_IMAGE": "container.image",
    "CONTAINER_IMAGE_ID": "container.imageID",
    "CONTAINER_NAME": "container.name",
    "HOST_IP": "pod.hostIP",
    "HOST_IPS": "pod.hostIPs",
    "NODE_NAME": "node.name",
    "NODE_UID": "node.uid",
    "POD_IP": "pod.ip",
    "POD_IPS": "pod.ips",
    "POD_NAME": "pod.name",
    "POD_NAMESPACE": "pod.namespace",
    "POD_ORDINAL": "pod.ordinal",
    "POD_OWNER_KIND": "pod.owner.kind",
    "POD_OWNER_NAME": "pod.owner.name",
    "POD_QOS_CLASS": "pod.qosClass",
    "POD_UID": "pod.uid",
    "SERVICE_ACCOUNT": "pod.serviceAccountName",
    "WORKLOAD_KIND": "pod.workload.kind",
    "WORKLOAD_NAME": "pod.workload.name",
}
"""The fact that each standard variable is the text of."""

RESOURCE_VARIABLES = {
    "CONTAINER_CPU_LIMIT_MILLICORES": ("limits", "cpu", "1m"),
    "CONTAINER_CPU_REQUEST_MILLICORES": ("requests", "cpu", "1m"),
    "CONTAINER_MEMORY_LIMIT_KIBIBYTES": ("limits", "memory", "1Ki"),
    "CONTAINER_MEMORY_REQUEST_KIBIBYTES": ("requests", "memory", "1Ki"),
}
"""The resource and the divisor of each standard variable that is a number."""

KINDS = (
    ("containers", "containerStatuses"),
    ("initContainers", "initContainerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
)


def containers(pod):
    """Every container of a pod: (name, spec, status), of all kinds."""
    for specs, statuses in KINDS:
        status = {each["name"]: each for each in pod.get("status", {}).get(statuses, [])}
        for spec in pod["spec"].get(specs, []):
            yield spec["name"], spec, status.get(spec["name"], {})


def container(pod, name):
    """The spec and the status of the container with this name."""
    return next((spec, status) for found, spec, status in containers(pod) if found == name)


def controller(item):
    """The owner reference of an object's controller, or None."""
    return next(
        (owner for owner in item["metadata"].get("ownerReferences", []) if owner.get("controller")), None
    )


def facts(pod, name, node=None, owner=None):
    """The facts of one container, by the Pod, its Node, and the ReplicaSet or Job that owns the pod, if one does.

    What is not there is None. `cluster.domain` is not in any object: it is left out.
    """
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
    found = {
        "pod.name": meta["name"],
        "pod.namespace": meta["namespace"],
        "pod.uid": meta["uid"],
        "pod.labels": meta.get("labels", {}),
        "pod.annotations": meta.get("annotations", {}),
        "pod.serviceAccountName": spec.get("serviceAccountName"),
        "pod.ip": status.get("podIP"),
        "pod.ips": [each["ip"] for each in status.get("podIPs", [])] or None,
        "pod.hostIP": status.get("hostIP"),
        "pod.hostIPs": [each["ip"] for each in status.get("hostIPs", [])] or None,
        "pod.qosClass": status.get("qosClass"),
        "pod.ordinal": ordinal(pod),
        "node.name": spec.get("nodeName"),
        "node.uid": node["metadata"]["uid"] if node else None,
        "node.labels": node["metadata"]["labels"] if node else None,
    }
    found |= _owners(pod, owner) | _container(pod, name)
    return found


def ordinal(pod):
    """The number of a StatefulSet's or an Indexed Job's pod, or None."""
    owner, meta = controller(pod), pod["metadata"]
    if owner and owner["kind"] == "StatefulSet":
        return int(meta["name"].rsplit("-", 1)[1])
    index = meta.get("annotations", {}).get("batch.kubernetes.io/job-completion-index")
    return int(index) if owner and owner["kind"] == "Job" and index else None


def _owners(pod, owner_object):
    owner = workload = controller(pod)
    above = controller(owner_object) if owner_object else None
    if above and (above["kind"] == "Deployment" or _is_due(owner["name"], above)):
        workload = above
    return {
        f"pod.{what}.{key}": who and who[key]
        for what, who in (("owner", owner), ("workload", workload))
        for key in ("kind", "name")
    }


def _is_due(job, above):
    """Whether a CronJob made this Job when it was due. One that is made by hand has a name of its own."""
    return above["kind"] == "CronJob" and re.fullmatch(re.escape(above["name"]) + r"-\d{8}", job)


def _container(pod, name):
    spec, status = container(pod, name)
    found = {
        "container.name": name,
        "container.id": status.get("containerID", "").partition("://")[2] or None,
        "container.image": spec["image"],
        "container.imageID": status.get("imageID") or None,
    }
    own = spec.get("resources", {})
    # A pod-level limit is the limit of a container that has no limit of its own. Requests are not handed down.
    of_pod = {} if name in _ephemeral(pod) else pod["spec"].get("resources", {}).get("limits", {})
    for resource in RESOURCES:
        limit = own.get("limits", {}).get(resource, of_pod.get(resource))
        found[f"container.resources.limits.{resource}"] = None if limit in (None, "0") else limit
        found[f"container.resources.requests.{resource}"] = own.get("requests", {}).get(resource)
    return found


def _ephemeral(pod):
    return [each["name"] for each in pod["spec"].get("ephemeralContainers", [])]
