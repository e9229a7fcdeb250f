"""The pods whose facts are compared: one for every way in which a container comes to know itself."""

from dataclasses import dataclass

from manifests import PODINFO_MOUNT, RESOURCE_FILES, RESTRICTED, field, mount, podinfo, reserve, resource_file

READER = "reader"
"""The service account that may `get` pods and nodes."""


@dataclass
class Case:
    """One object, and how many pods it makes."""

    name: str
    object: dict
    pods: int = 1
    from_init: str = ""
    """The initContainer that printed its facts to its log."""
    debugged: bool = False
    """Whether an ephemeral container is added."""
    may_be_refused: str = ""
    """Since which version of Kubernetes the API server takes such a pod."""
    warned: bool = False
    """Whether introspod has something to say about the manifest."""
    foreign: bool = False
    """Whether the container sees control groups or kubelet's files that are not its own."""


def truth_volume(containers):
    """The downwardAPI volume that the kubelet tells the truth in, where introspod does not look."""
    items = [
        {"path": name, "fieldRef": {"fieldPath": f"metadata.{name}"}}
        for name in ("name", "namespace", "uid", "labels", "annotations")
    ]
    items += [
        {
            "path": resource_file(name, *what),
            "resourceFieldRef": {
                "containerName": name,
                "resource": f"{what[0]}.{what[1]}",
                "divisor": what[2],
            },
        }
        for name in containers
        for what in RESOURCE_FILES
    ]
    return {"name": "kubelet-says", "downwardAPI": {"items": items}}


class Cases:
    """Makes the cases for one cluster."""

    def __init__(self, maker, init_script):
        self.maker, self.init_script = maker, init_script

    def all(self):
        """Every case."""
        return [
            *self._containers(),
            *self._kinds(),
            *self._controllers(),
            *self._names(),
            *self._tokens(),
            *self._agents(),
            *self._misleading(),
        ]

    def _spec(self, *containers, init=(), volumes=(), **more):
        containers = containers or [self.maker.container()]
        says = truth_volume([each["name"] for each in containers])
        for each in containers:
            each["volumeMounts"] = [*each["volumeMounts"], mount("kubelet-says", "/kubelet-says")]
        more.setdefault("serviceAccountName", READER)
        return self.maker.spec(*containers, init=init, volumes=[says, *volumes], **more)

    def _pod(self, name, *containers, labels=None, annotations=None, options=None, **more):
        return Case(
            name,
            self.maker.pod(name, self._spec(*containers, **more), labels, annotations),
            **(options or {}),
        )

    def _container(self, name, *amounts, **more):
        return self.maker.container(name, resources=reserve(*amounts), **more)

    def _containers(self):
        c = self._container
        yield self._pod("plain")
        yield self._pod(
            "limits",
            c("whole", "1", "5m", "64Mi", "16Mi"),
            c("milli", "1500m", "5m", "128974848", "16Mi"),
            c("small", "5m", "5m", "100000001", "16Mi"),
            c("odd", "11m", "3m", "67108863", "16Mi"),
            c("power", "1e-1", "3m", "1e8", "16Mi"),
            c("storage", "100m", "5m", "32Mi", "16Mi", "50M", "1Mi"),
            c("large", "2", "7m", "1Gi", "17Mi"),
            c("cpu-only", "77m", "3m"),
            c("memory-only", None, None, "48Mi", "16Mi"),
        )
        yield self._pod("guaranteed", c("main", "20m", "20m", "40Mi", "40Mi"))
        yield self._pod("requests-only", c("main", None, "13m", None, "17Mi"))
        yield self._pod(
            "of-the-pod",
            c("none"),
            c("own", "100m", "5m", "64Mi", "16Mi"),
            resources=reserve("500m", "20m", "256Mi", "64Mi"),
            options={"may_be_refused": "1.34"},
        )

    def _kinds(self):
        c = self._container
        sidecar = c("sidecar", "90m", "5m", "44Mi", "16Mi", restartPolicy="Always")
        first = c("first", "60m", "5m", "33Mi", "16Mi", command=["sh", "-c", self.init_script])
        yield self._pod(
            "kinds",
            c("main", "80m", "5m", "66Mi", "16Mi"),
            c("other"),
            init=[sidecar, first],
            options={"from_init": "first"},
        )
        yield self._pod("debugged", c("main", "80m", "5m", "66Mi", "16Mi"), options={"debugged": True})
        yield self._pod(
            "restricted",
            c("main", "30m", "5m", "30Mi", "16Mi", securityContext=RESTRICTED),
            securityContext={"fsGroup": 2000},
            with_podinfo=True,
        )
        yield self._pod(
            "shared-processes", c("one"), c("two", "40m", "5m", "44Mi", "16Mi"), shareProcessNamespace=True
        )

    def _controllers(self):
        work = self.maker.workload
        parallel = {
            "podManagementPolicy": "Parallel",
            "serviceName": "none",
            "replicas": 2,
            "ordinals": {"start": 7},
        }
        indexed = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
        for suffix, mounted in (("", False), ("-podinfo", True)):

            def spec(mounted=mounted):
                return self._spec(with_podinfo=mounted)

            yield Case(f"deployment{suffix}", work("Deployment", f"deployment{suffix}", spec(), replicas=1))
            yield Case(f"set{suffix}", work("StatefulSet", f"set{suffix}", spec(), **parallel), pods=2)
        yield Case("replicas", work("ReplicaSet", "replicas", spec(), replicas=1))
        yield Case("agent", work("DaemonSet", "agent", spec()))
        yield Case("job", work("Job", "job", spec()))
        yield Case("indexed", work("Job", "indexed", spec(), **indexed), pods=2)
        yield Case("nightly", work("CronJob", "nightly", spec()), pods=2)

    def _names(self):
        nasty = {
            "note": "line 1\nline 2 \"quoted\" \\ $(X) 'single' ä €",
            "empty": "",
            "tab": "a\tb\r\nc",
            "big": "x" * 5000,
        }
        yield self._pod(
            "annotated",
            labels={"example.com/x": "", "UPPER_x.y-z": "V.1_2-3"},
            annotations=nasty,
            with_podinfo=True,
        )
        yield self._pod("a.b-c.d0", hostname="other", subdomain="sub")
        yield self._pod("n" * 63)
        yield self._pod("host-network", hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet")
        yield self._pod("dns-default", dnsPolicy="Default")
        yield self._pod(
            "sub-path",
            self.maker.container(mounts=[mount("d", "/etc/podinfo/labels", subPath="labels")]),
            volumes=[
                {
                    "name": "d",
                    "downwardAPI": {
                        "items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
                    },
                }
            ],
        )

    def _tokens(self):
        no_token = {"automountServiceAccountToken": False}
        yield self._pod("no-token", **no_token)
        mounted = self.maker.container(mounts=[PODINFO_MOUNT])
        yield self._pod("token-for-claims", mounted, volumes=[podinfo(audience="introspod")], **no_token)
        limit = {"resource": "limits.memory", "divisor": "1Ki"}
        in_kibibytes = [
            {"name": "CONTAINER_MEMORY_LIMIT_KIBIBYTES", "valueFrom": {"resourceFieldRef": limit}}
        ]
        limits = {"a1g": "1G", "a3g": "3G", "a100m": "100M", "a1500m": "1500M", "odd": "70000001"}
        sized = [
            self._container(name, None, None, size, "16Mi", env=in_kibibytes) for name, size in limits.items()
        ]
        yield self._pod("variables-for-limits", *sized, **no_token)
        by_field = [
            field("POD_NAME", "metadata.name"),
            field("K8S_NAMESPACE", "metadata.namespace"),
            field("MY_NODE_NAME", "spec.nodeName"),
            field("HOST_IP", "status.hostIP"),
            field("MY_POD_IP", "status.podIP"),
        ]
        yield self._pod("variables", self.maker.container(env=by_field), **no_token)

    def _agents(self):
        """Agents see files of the node, among them those of other pods."""
        for name, path, place in (
            ("agent-sys", "/sys", "/sys"),
            ("agent-cgroup", "/sys/fs/cgroup", "/sys/fs/cgroup"),
            ("agent-host", "/", "/host"),
            ("agent-kubelet", "/var/lib/kubelet", "/var/lib/kubelet"),
        ):
            container = self._container(
                "main", "30m", "5m", "30Mi", "16Mi", mounts=[mount("node", place, readOnly=True)]
            )
            yield self._pod(
                name,
                container,
                volumes=[{"name": "node", "hostPath": {"path": path}}],
                options={"foreign": True},
            )

    def _misleading(self):
        searches = ["elsewhere.svc.cluster.local", "svc.cluster.local", "cluster.local"]
        yield self._pod(
            "other-searches",
            dnsPolicy="None",
            dnsConfig={"nameservers": ["10.96.0.10"], "searches": searches},
        )
        literals = {
            "NODE_NAME": "es-data-0",
            "HOST_IP": "0.0.0.0",
            "POD_NAME": "whatever",
            "CONTAINER_NAME": "nginx",
            "POD_IP": "localhost",
        }
        yield self._pod(
            "literals",
            self.maker.container(env=[{"name": name, "value": value} for name, value in literals.items()]),
            options={"warned": True},
        )
        evil = "11111111-2222-3333-4444-555555555555"
        odd = [
            mount("pods", f"/pods/{evil}/containers/evil"),
            mount("pods", f"/kubepods/burstable/pod{evil}"),
        ]
        yield self._pod(
            "confusing-mounts", self.maker.container(mounts=odd), volumes=[{"name": "pods", "emptyDir": {}}]
        )
