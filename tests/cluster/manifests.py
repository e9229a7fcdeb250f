"""Pods that carry introspod: an image with a shell, and the binary where `introspod install` puts it."""

import copy

INTROSPOD = "/run/introspod/introspod"
"""Where the binary is in every container that these tests start."""

KEEP_RUNNING = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"
"""A shell script that runs until SIGTERM, also as PID 1."""

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""A container's securityContext within the `restricted` Pod Security Standard."""

RESOURCE_FILES = [
    (kind, resource, divisor)
    for kind in ("limits", "requests")
    for resource, divisors in (
        ("cpu", ("1", "1m")),
        ("memory", ("1", "1k", "1M", "1Ki", "1Mi", "1Gi")),
        ("ephemeral-storage", ("1", "1Mi")),
    )
    for divisor in divisors
]
"""What is asked both of the kubelet, by resourceFieldRef, and of introspod, by --set."""


def resource_file(container, kind, resource, divisor):
    """The name of the file that holds what the kubelet says of a container's resource."""
    return f"{container}.{kind}.{resource}.{divisor}"


def reserve(cpu_limit=None, cpu=None, memory_limit=None, memory=None, storage_limit=None, storage=None):
    """The `resources` of a container or pod."""
    limits = {"cpu": cpu_limit, "memory": memory_limit, "ephemeral-storage": storage_limit}
    requests = {"cpu": cpu, "memory": memory, "ephemeral-storage": storage}
    given = {"limits": limits, "requests": requests}
    filled = {
        kind: {name: value for name, value in amounts.items() if value is not None}
        for kind, amounts in given.items()
    }
    return {kind: amounts for kind, amounts in filled.items() if amounts}


def field(name, path):
    """A variable by fieldRef."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def mount(name, path, **more):
    """A volume mount."""
    return {"name": name, "mountPath": path, **more}


def podinfo(*items, audience=None):
    """The volume `podinfo`: labels, annotations, further downwardAPI items, and a token for an audience."""
    fields = [
        {"path": name, "fieldRef": {"fieldPath": f"metadata.{name}"}} for name in ("labels", "annotations")
    ]
    sources = [{"downwardAPI": {"items": fields + list(items)}}]
    if audience:
        sources.append({"serviceAccountToken": {"audience": audience, "path": "token"}})
    return {"name": "podinfo", "projected": {"sources": sources}}


PODINFO_MOUNT = mount("podinfo", "/etc/podinfo", readOnly=True)


class Maker:
    """Makes manifests for one cluster: its images, and the nodes to use."""

    def __init__(self, image, shell_image, node_selector=None):
        self.image, self.shell_image, self.node_selector = image, shell_image, node_selector or {}

    def container(self, name="main", command=None, mounts=(), **more):
        """A container with a shell and introspod. Without a command it stays, started through introspod."""
        return {
            "name": name,
            "image": self.shell_image,
            "command": command or self.exec("sh", "-c", KEEP_RUNNING),
            "volumeMounts": [mount("introspod", "/run/introspod"), *mounts],
            **more,
        }

    def exec(self, *command, options=()):
        """The command that becomes another one through introspod."""
        return [INTROSPOD, "exec", *options, "--", *command]

    def introspod(self, name, *args, mounts=(), **more):
        """A container of introspod's own image."""
        return {
            "name": name,
            "image": self.image,
            "args": list(args),
            "volumeMounts": [mount("introspod", "/run/introspod"), *mounts],
            **more,
        }

    def spec(self, *containers, init=(), volumes=(), with_podinfo=False, **more):
        """A pod's spec, with introspod installed before anything else starts."""
        containers, init = copy.deepcopy(list(containers or [self.container()])), copy.deepcopy(list(init))
        volumes = [{"name": "introspod", "emptyDir": {}}, *volumes]
        if with_podinfo:
            volumes.append(podinfo())
            for each in containers + init:
                each["volumeMounts"] = [*each["volumeMounts"], PODINFO_MOUNT]
        return {
            "terminationGracePeriodSeconds": 5,
            "nodeSelector": self.node_selector,
            "initContainers": [self.introspod("install", "install", "/run/introspod"), *init],
            "containers": containers,
            "volumes": volumes,
            **more,
        }

    def pod(self, name, spec, labels=None, annotations=None):
        """A pod of its own."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "spec": spec,
            "metadata": {
                "name": name,
                "labels": {"test": name, **(labels or {})},
                "annotations": annotations or {},
            },
        }

    def workload(self, kind, name, spec, **more):
        """A controller's object whose pods have the label `test=<name>`."""
        template = {"metadata": {"labels": {"test": name}}, "spec": spec}
        if kind in ("Job", "CronJob"):
            template["spec"] = {**spec, "restartPolicy": "Never"}
            job = {"template": template, **more}
            body = (
                {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job}}
                if kind == "CronJob"
                else job
            )
            api = "batch/v1"
        else:
            body = {"selector": {"matchLabels": {"test": name}}, "template": template, **more}
            api = "apps/v1"
        return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": body}


def pod_spec(item):
    """The pod's spec in a Pod or in any controller's object; None for other objects."""
    kind, spec = item.get("kind"), item.get("spec", {})
    if kind == "Pod":
        return spec
    if kind == "CronJob":
        return spec["jobTemplate"]["spec"]["template"]["spec"]
    if kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"):
        return spec["template"]["spec"]
    return None
