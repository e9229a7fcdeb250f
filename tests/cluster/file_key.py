"""`write --container` in an initContainer, and `fileKeyRef` in the application's."""

import base64

from compare import text
from facts import Asked
from kubectl import Failed, running
from manifests import KEEP_RUNNING, PODINFO_MOUNT, podinfo, reserve
from quantity import divided, parse
from truth import VARIABLES, facts

CHECK = "fileKeyRef: two applications have the variables of a file each"

APPLICATIONS = {"main": ("70m", "77Mi"), "side": ("80m", "88Mi")}
"""CPU and memory limits of each."""

KEYS = (
    "POD_NAME",
    "POD_NAMESPACE",
    "POD_UID",
    "NODE_NAME",
    "POD_IP",
    "CLUSTER_DOMAIN",
    "SERVICE_ACCOUNT",
    "CONTAINER_NAME",
    "CONTAINER_IMAGE",
    "CONTAINER_MEMORY_LIMIT_KIBIBYTES",
    "POD_LABEL_ODD",
    "POD_ANNOTATION_LINES",
)

LINES = 'line 1\n  line 2 \\ $(X) "quoted" # no comment ä€\n\nend '

NAME = "file-key-ref"


class FileKey:
    """The part of the tests that takes variables from a file."""

    def __init__(self, run):
        self.run, self.maker, self.report, self.ns = run, run.maker, run.report, run.namespace
        self.report.expect(CHECK)

    def start(self):
        """Creates the pod."""
        if not self.run.at_least("1.35"):
            self.report.skip(CHECK, "Kubernetes before 1.35 does not have fileKeyRef")
            return
        containers = [self._application(name, *limits) for name, limits in APPLICATIONS.items()]
        write = self.maker.introspod(
            "write",
            "write",
            *[f"--container={name}" for name in APPLICATIONS],
            "--labels",
            "--annotations",
            "--require=CONTAINER_IMAGE",
            "--set=CONTAINER_MEMORY_LIMIT_KIBIBYTES=limits.memory/1Ki",
            "--out=/run/introspod/{container}.env",
            "--timeout=20s",
            mounts=[PODINFO_MOUNT],
        )
        spec = self.maker.spec(*containers, init=[write], volumes=[podinfo()], serviceAccountName="reader")
        self.ns.create(self.maker.pod(NAME, spec, labels={"odd": "V.1_x-y"}, annotations={"lines": LINES}))

    def _application(self, name, cpu, memory):
        def reference(key):
            return {"fileKeyRef": {"volumeName": "introspod", "path": f"{name}.env", "key": key}}

        env = [{"name": f"GOT_{key}", "valueFrom": reference(key)} for key in KEYS]
        return self.maker.container(
            name, command=["sh", "-c", KEEP_RUNNING], env=env, resources=reserve(cpu, "5m", memory, "16Mi")
        )

    def compare(self):
        """Compares the application's environment with the Pod object."""
        if CHECK in self.report.results:
            return
        try:
            pod = self.ns.wait(NAME, running)
            bad = [each for name in APPLICATIONS for each in self._differences(pod, name)]
            self.report.check(CHECK, not bad, f"container, key, told and true: {bad}")
        except Failed as error:
            self.report.check(CHECK, False, error)

    def _differences(self, pod, name):
        true = facts(pod, name) | {"cluster.domain": self.run.cluster_domain}
        memory = divided(parse(APPLICATIONS[name][1]), "1Ki")
        want = {key: text(true[VARIABLES[key]]) for key in KEYS if key in VARIABLES}
        want |= {
            "CONTAINER_MEMORY_LIMIT_KIBIBYTES": str(memory),
            "POD_LABEL_ODD": "V.1_x-y",
            "POD_ANNOTATION_LINES": LINES,
        }
        got = environment(self.ns, NAME, name)
        return [
            (name, key, got.get(f"GOT_{key}"), want[key])
            for key in KEYS
            if got.get(f"GOT_{key}") != want[key]
        ]


def environment(ns, pod, container):
    """The environment that a container's first process was started with."""
    done = ns.exec(pod, container, "base64", "/proc/1/environ")
    if done.code:
        raise Failed(str(done))
    return Asked.environment(base64.b64decode(done.out))
