"""The admission policies: what they add to pods is true, and is what introspod itself would tell."""

import json
import time

import compare
import truth
from file_key import environment
from kubectl import Failed
from manifests import INTROSPOD, KEEP_RUNNING, reserve
from report import MISSING, RIGHT, WRONG

ACCEPTED = "admission policy: the API server takes the policies"
OPT_OUT = "admission policy: a pod opts out by its label"
OWN = "admission policy: the author's own variables stay, and may refer to added ones"
DEBUG = "admission policy: an ephemeral container gets the variables, and kubectl debug works"
PODINFO = "admission policy: podinfo gives an image with introspod its labels and its name"
TELEMETRY = "admission policy: the attributes for OpenTelemetry are those of introspod --otel"
UNUSUAL = "admission policy: of unusual pods it tells what introspod tells of their objects"
LARGE = "admission policy: a pod starts with annotations larger than the kernel allows a variable"
MANY = "admission policy: it changes a pod of 60 containers"
CHECKS = (ACCEPTED, OPT_OUT, OWN, DEBUG, PODINFO, TELEMETRY, UNUSUAL, LARGE, MANY)

WORKLOADS = {
    "policy-deployment": ("Deployment", 1),
    "policy-set": ("StatefulSet", 2),
    "policy-agent": ("DaemonSet", 1),
    "policy-job": ("Job", 2),
}

COMPARED = (
    "POD_OWNER_KIND",
    "POD_OWNER_NAME",
    "WORKLOAD_KIND",
    "WORKLOAD_NAME",
    "POD_ORDINAL",
    "CONTAINER_CPU_LIMIT_MILLICORES",
    "CONTAINER_MEMORY_LIMIT_KIBIBYTES",
    "OTEL_SERVICE_NAME",
)
"""Variables of unusual pods that introspod tells of the same object, or both do not."""

ATTRIBUTE = "resource.opentelemetry.io/"

NOT_ADDED = {
    "NODE_UID",
    "CONTAINER_ID",
    "CONTAINER_IMAGE",
    "CONTAINER_IMAGE_ID",
    "POD_QOS_CLASS",
    "CLUSTER_DOMAIN",
}
"""Variables that the README of the policies names as left out."""


def renamed(objects, prefix):
    """The policies with names, labels and annotations of this run's own.

    So they have no effect on other namespaces; and the policies of that name, where a cluster has them, have none here.
    """
    objects = json.loads(json.dumps(objects).replace("introspod.io/", f"{prefix}.introspod.io/"))
    for item in objects:
        item["metadata"]["name"] = f"{prefix}-{item['metadata']['name']}"
        if item["kind"] == "MutatingAdmissionPolicyBinding":
            item["spec"]["policyName"] = f"{prefix}-{item['spec']['policyName']}"
    return objects


class Policies:
    """The part of the tests that looks at admission policies."""

    def __init__(self, run):
        self.run, self.maker, self.report = run, run.maker, run.report
        self.ns = run.policy_namespace
        self.report.expect(*CHECKS, *map(_check, WORKLOADS))
        self.skipped = not run.at_least("1.36")

    def start(self):
        """Installs the policies and creates pods as soon as they take effect."""
        if self.skipped:
            for check in [*CHECKS, *map(_check, WORKLOADS)]:
                self.report.skip(check, "Kubernetes before 1.36 does not have MutatingAdmissionPolicy v1")
            return
        objects = renamed(self.run.example("admission-policy"), self.run.id)
        labels = [f"{self._label(name)}=true" for name in ("inject", "otel", "podinfo")]
        self.run.kubectl.need("label", "namespace", self.ns.name, *labels)
        for item in objects:
            self.run.remove_at_the_end(item["kind"], item["metadata"]["name"])
        done = self.run.kubectl.run(
            "create", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )
        self.report.check(ACCEPTED, done.code == 0, done)
        self._wait_for_effect()
        self._create()

    def compare(self):
        """Compares the environment of every container with the Pod object."""
        if self.skipped:
            return
        for name, (_, count) in WORKLOADS.items():
            self._attempt(_check(name), lambda name=name, count=count: self._workload(name, count))
        self._attempt(OPT_OUT, self._opt_out)
        self._attempt(OWN, self._own)
        self._attempt(DEBUG, self._debug)
        self._attempt(PODINFO, self._podinfo)
        self._attempt(TELEMETRY, self._telemetry)
        self._attempt(UNUSUAL, self._unusual)
        self._attempt(LARGE, self._large)
        self._attempt(MANY, self._many)

    def _label(self, name):
        return f"{self.run.id}.introspod.io/{name}"

    def _attempt(self, check, look):
        try:
            why = look()
            self.report.check(check, not why, why or "")
        except (Failed, KeyError) as error:
            self.report.check(check, False, repr(error))

    def _wait_for_effect(self):
        """A new policy takes effect some seconds after its creation."""
        probe = self.maker.pod("probe", {"containers": [{"name": "probe", "image": self.maker.shell_image}]})

        def added():
            pod = json.loads(
                self.ns.need(
                    "create", "--dry-run=server", "--output=json", "--filename=-", stdin=json.dumps(probe)
                )
            )
            volumes = [volume["name"] for volume in pod["spec"]["volumes"]]
            return "env" in pod["spec"]["containers"][0] and "introspod-podinfo" in volumes

        self.ns.until(added, 60, lambda: "the policies have no effect")

    def _container(self, name="main", **more):
        return {"name": name, "image": self.maker.shell_image, "command": ["sh", "-c", KEEP_RUNNING], **more}

    def _spec(self, *containers, **more):
        return {
            "nodeSelector": self.maker.node_selector,
            "terminationGracePeriodSeconds": 5,
            "containers": list(containers),
            **more,
        }

    def _create(self):
        spec = self._spec(
            self._container(resources=reserve("100m", "5m", "64Mi", "16Mi")), self._container("side")
        )
        more = {
            "Deployment": {"replicas": 1},
            "StatefulSet": {"replicas": 2, "serviceName": "none", "podManagementPolicy": "Parallel"},
            "DaemonSet": {},
            "Job": {"completionMode": "Indexed", "completions": 2, "parallelism": 2},
        }
        self.ns.create(
            *[self.maker.workload(kind, name, spec, **more[kind]) for name, (kind, _) in WORKLOADS.items()]
        )
        own = [
            {"name": "POD_NAME", "value": "mine"},
            {"name": "REFERS", "value": "$(POD_UID)/$(CONTAINER_NAME)"},
        ]
        out = {self._label(name): "false" for name in ("inject", "podinfo")}
        carries = self.maker.spec(self.maker.container(), automountServiceAccountToken=False)
        self.ns.create(
            self.maker.pod("policy-own", self._spec(self._container(env=own))),
            self.maker.pod("policy-out", self._spec(self._container()), labels=out),
            self.maker.pod("policy-podinfo", carries, labels={"team": "blue"}),
        )
        self._create_unusual()

    def _create_unusual(self):
        """Pods of owners whose names or labels look like others', without a limit, orphaned, with large annotations."""
        spec = self._spec(self._container())
        minute = int(time.time()) // 60
        owned = [
            # The label is not the hash of a Deployment's ReplicaSet: a controller never uses vowels.
            ("ReplicaSet", "policy-vowels-aeiou", {"pod-template-hash": "aeiou"}, ("ReplicaSet", "policy-vowels-aeiou")),
            ("ReplicaSet", "policy-web-5d4f8c7b9", {"pod-template-hash": "5d4f8c7b9"}, ("Deployment", "policy-web")),
            (
                "ReplicaSet",
                "policy-canary-7b9f",
                {"rollouts-pod-template-hash": "7b9f"},
                ("Rollout", "policy-canary"),
            ),
            ("Job", f"policy-nightly-{minute}", {}, ("CronJob", "policy-nightly")),
            ("Job", "policy-once-20240101", {}, ("Job", "policy-once-20240101")),
        ]
        self.unusual = {}
        for kind, name, labels, workload in owned:
            item = self.maker.workload(kind, name, spec)
            item["spec"]["template"]["metadata"]["labels"] |= labels
            if kind == "ReplicaSet":
                item["spec"]["selector"]["matchLabels"] |= labels
            self.unusual[name] = {"WORKLOAD_KIND": workload[0], "WORKLOAD_NAME": workload[1]}
            self.ns.create(item)
        index = {"apps.kubernetes.io/pod-index": "3"}
        self.unusual["policy-orphan"] = {"OTEL_SERVICE_NAME": "policy-orphan"}
        self.unusual["policy-unlimited"] = {"CONTAINER_NAME": "main"}
        none = self._container(resources={"limits": {"cpu": "0", "memory": "0"}})
        self.ns.create(
            self.maker.pod("policy-orphan", spec, labels=index),
            self.maker.pod("policy-unlimited", self._spec(none)),
            self.maker.pod("policy-large", spec, annotations=_large()),
        )
        many = [self._container(f"c{number}") for number in range(60)]
        env = [{"name": f"V{number}", "value": "x"} for number in range(200)]
        for each in many:
            each["env"] = env
        item = self.maker.pod("policy-many", self._spec(*many), annotations=_large())
        text = self.ns.need("create", "--dry-run=server", "--output=json", "--filename=-", stdin=json.dumps(item))
        self.many = json.loads(text)

    def _workload(self, name, count):
        for pod in self.ns.wait_for_pods(f"test={name}", count):
            owner = truth.controller(pod)
            above = self.ns.json("get", owner["kind"], owner["name"])
            for container in ("main", "side"):
                facts = truth.facts(pod, container, None, above)
                where = f"{pod['metadata']['name']}/{container} (admission policy)"
                self._compare(environment(self.ns, pod["metadata"]["name"], container), facts, where)

    def _compare(self, told, facts, where):
        required = {
            name
            for name, fact in truth.VARIABLES.items()
            if facts.get(fact) is not None and name not in NOT_ADDED
        }
        required |= {
            name
            for name, (kind, resource, _) in truth.RESOURCE_VARIABLES.items()
            if facts.get(f"container.resources.{kind}.{resource}") is not None
        }
        added = {
            name: value
            for name, value in told.items()
            if name in truth.VARIABLES or name in truth.RESOURCE_VARIABLES
        }
        for verdict in compare.variables(
            added, facts, compare.Kernel(compare.UNSEEN, compare.UNSEEN), required
        ):
            self.report.fact(verdict.verdict, verdict.name, where, verdict.told, verdict.truth)

    def _opt_out(self):
        self.ns.wait_for_pods("test=policy-out")
        added = set(environment(self.ns, "policy-out", "main")) & set(truth.VARIABLES)
        return f"it has {added}" if added else None

    def _own(self):
        [pod] = self.ns.wait_for_pods("test=policy-own")
        told = environment(self.ns, "policy-own", "main")
        right = told.get("POD_NAME") == "mine" and told.get("REFERS") == f"{pod['metadata']['uid']}/main"
        return None if right else f"POD_NAME={told.get('POD_NAME')} REFERS={told.get('REFERS')}"

    def _debug(self):
        self.ns.wait_for_pods("test=policy-own")
        for name in ("debug-1", "debug-2"):
            self.ns.need(
                "debug",
                "policy-own",
                f"--image={self.maker.shell_image}",
                f"--container={name}",
                "--profile=general",
                "--attach=false",
                "--",
                "env",
            )
            want = f"CONTAINER_NAME={name}"
            self.ns.until(
                lambda name=name, want=want: want
                in self.ns.run("logs", "policy-own", f"--container={name}").out.splitlines(),
                60,
                lambda name=name, want=want: f"no {want} in {self.ns.run('logs', 'policy-own', f'--container={name}')}",
            )

    def _podinfo(self):
        [pod] = self.ns.wait_for_pods("test=policy-podinfo")
        done = self.ns.exec(
            "policy-podinfo", "main", INTROSPOD, "print", "--format=json", "--labels", "--api=never"
        )
        told = json.loads(done.out)
        facts = truth.facts(pod, "main") | {"cluster.domain": self.run.cluster_domain}
        must = {
            "pod.name",
            "pod.namespace",
            "node.name",
            "pod.serviceAccountName",
            "pod.labels",
            "pod.annotations",
        }
        node_uid = self.run.nodes[pod["spec"]["nodeName"]]["metadata"]["uid"]
        for verdict in compare.document(told, facts | {"node.uid": node_uid}, must):
            self.report.fact(
                verdict.verdict, verdict.name, "policy-podinfo/main", verdict.told, verdict.truth
            )

    def _telemetry(self):
        """Each pair that the policy adds is one of `introspod print --otel` of the same object."""
        [pod] = self.ns.wait_for_pods("test=policy-deployment")
        added = _pairs(environment(self.ns, pod["metadata"]["name"], "main")["OTEL_RESOURCE_ATTRIBUTES"])
        told = _pairs(self._told(pod)["OTEL_RESOURCE_ATTRIBUTES"])
        for name in sorted({*added, *told} - {"container.id", "service.version"}):
            verdict = MISSING if name not in added else RIGHT if added[name] == told.get(name) else WRONG
            self.report.fact(
                verdict, f"OTEL {name}", "policy-deployment/main", added.get(name), told.get(name)
            )

    def _told(self, pod):
        """The variables that introspod tells of a Pod object."""
        for container in pod["spec"]["containers"]:
            container["env"] = []
        done = self.run.namespace.exec(
            self.run.shell_pod,
            "main",
            INTROSPOD,
            "print",
            "--pod=-",
            "--otel",
            "--format=json",
            "--container=main",
            stdin=json.dumps(pod),
        )
        return json.loads(done.out)["variables"]

    def _unusual(self):
        """The owner, the ordinal, limits and the service's name, by the policy and by the program."""
        for name, wanted in self.unusual.items():
            [pod] = self.ns.wait_for_pods(f"test={name}")
            added = environment(self.ns, pod["metadata"]["name"], "main")
            told = self._told(pod)
            lacking = {key: value for key, value in wanted.items() if added.get(key) != value}
            if lacking:
                return f"{name} lacks {lacking}"
            for key in COMPARED:
                verdict = RIGHT if added.get(key) == told.get(key) else WRONG if key in added else MISSING
                self.report.fact(verdict, key, f"{name}/main (admission policy)", added.get(key), told.get(key))
        return None

    def _large(self):
        [pod] = self.ns.wait_for_pods("test=policy-large")
        text = environment(self.ns, pod["metadata"]["name"], "main")["OTEL_RESOURCE_ATTRIBUTES"]
        pairs = _pairs(text)
        right = len(text) <= 32768 and "huge" not in pairs and "a00" in pairs
        return None if right else f"{len(text)} bytes: {sorted(pairs)}"

    def _many(self):
        for container in self.many["spec"]["containers"]:
            added = {each["name"]: each.get("value") for each in container["env"]}
            if not {"POD_NAME", "OTEL_SERVICE_NAME", "V199"} <= set(added):
                return f"{container['name']} has {sorted(added)}"
        size = len(json.dumps(self.many))
        return None if size < 1_500_000 else f"the object has {size} bytes"


def _large():
    """An annotation that no variable can hold, and more of them than fit into the attributes."""
    many = {f"{ATTRIBUTE}a{number:02}": "x" * 900 for number in range(60)}
    return many | {f"{ATTRIBUTE}huge": "x" * 140_000}


def _pairs(text):
    return dict(pair.split("=", 1) for pair in text.split(","))


def _check(name):
    return f"admission policy: the variables of {name}"
