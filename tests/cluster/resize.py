"""In-place resize: what introspod tells is what the kernel enforces, before and after."""

import json

import compare
import truth
from facts import SCRIPT, Asked, known
from kubectl import Failed, running
from manifests import KEEP_RUNNING, PODINFO_MOUNT, podinfo, reserve
from quantity import enforced, parse
from report import UNKNOWABLE

STEPS = {"larger": ("250m", "30m", "96Mi", "48Mi"), "smaller": ("50m", "10m", "60000001", "24000001")}

WATCHED = "resize-watched"
"""The pod whose files are kept by `watch`."""

STALE = [
    {"name": name, "valueFrom": {"resourceFieldRef": {"resource": f"{kind}.{resource}", "divisor": divisor}}}
    for name, (kind, resource, divisor) in truth.RESOURCE_VARIABLES.items()
]
"""Variables that the kubelet sets at the start and that a resize makes untrue."""


class Resize:
    """The part of the tests that resizes pods."""

    def __init__(self, run):
        self.run, self.maker, self.report, self.ns = run, run.maker, run.report, run.namespace
        self.pods = {"resize": [], "resize-with-variables": STALE}
        self.report.expect(*[_check(pod, step) for pod in [*self.pods, WATCHED] for step in STEPS])

    def start(self):
        """Creates all pods."""
        for name, env in self.pods.items():
            container = self.maker.container(resources=reserve("100m", "20m", "64Mi", "32Mi"), env=env)
            spec = self.maker.spec(container, serviceAccountName="reader")
            self.ns.create(self.maker.pod(name, spec))
        self.ns.create(self.maker.pod(WATCHED, self._watched()))

    def _watched(self):
        """A container that keeps a file for itself, and a sidecar that keeps one for it."""
        items = [
            {"path": f"main.{path}", "resourceFieldRef": {"containerName": "main", "resource": resource, **more}}
            for path, resource, more in (
                ("containerMemoryLimitBytes", "limits.memory", {}),
                ("containerCpuLimitMilliCores", "limits.cpu", {"divisor": "1m"}),
            )
        ]
        own = self.maker.introspod("main", "watch", "--container=main", "--out=/run/introspod/own.json", mounts=[PODINFO_MOUNT])
        side = self.maker.introspod(
            "side", "watch", "--container=main", "--out=/run/introspod/side.json", mounts=[PODINFO_MOUNT]
        )
        return self.maker.spec(
            own | {"resources": reserve("100m", "20m", "64Mi", "32Mi")},
            self.maker.container("reader", command=["sh", "-c", KEEP_RUNNING]),
            init=[side | {"restartPolicy": "Always"}],
            volumes=[podinfo(*items)],
            automountServiceAccountToken=False,
        )

    def compare(self):
        """Resizes each pod, and compares after every step."""
        for pod in [*self.pods, WATCHED]:
            for step, amounts in STEPS.items():
                check = _check(pod, step)
                if not self.run.at_least("1.33"):
                    self.report.skip(check, "Kubernetes before 1.33 does not resize pods in place")
                    continue
                try:
                    (self._follow if pod == WATCHED else self._step)(pod, step, amounts)
                    self.report.check(check, True)
                except (Failed, ValueError) as error:
                    self.report.check(check, False, error)

    def _resize(self, name, amounts):
        self.ns.wait(name, running)
        resources = reserve(*amounts)
        patch = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
        self.ns.need(
            "patch", "pod", name, "--subresource=resize", "--type=strategic", f"--patch={json.dumps(patch)}"
        )
        return resources

    def _follow(self, name, step, amounts):
        """Waits until both files have the new limits, as the manifest or the kernel has them."""
        limits = self._resize(name, amounts)["limits"]
        good = {resource: {parse(limit), enforced(resource, limit)} for resource, limit in limits.items()}

        def told(file):
            done = self.ns.exec(name, "reader", "cat", f"/run/introspod/{file}.json")
            return json.loads(done.out or "{}").get("container", {}).get("resources", {}).get("limits", {})

        def agree(file):
            limits = told(file)
            return all(parse(limits.get(resource, "0")) in values for resource, values in good.items())

        for file in ("own", "side"):
            self.ns.until(
                lambda file=file: agree(file), 130, lambda file=file: f"{file}.json says {told(file)}, not {limits}"
            )

    def _step(self, name, step, amounts):
        resources = self._resize(name, amounts)
        want = compare.Kernel(
            *[enforced(resource, resources["limits"][resource]) for resource in compare.Kernel._fields]
        )

        def resized():
            asked = self._ask(name)
            status = truth.container(self.ns.pod(name), "main")[1]
            if compare.UNSEEN in asked.kernel():
                raise Failed("the control group cannot be read in the container")
            close = asked.kernel().memory == want.memory and 0 <= asked.kernel().cpu - want.cpu < 0.01
            return asked if close and status.get("resources") == resources else None

        self.ns.until(
            resized,
            90,
            lambda: f"the kernel enforces {self._ask(name).kernel()}; {self.ns.pod(name)['status'].get('conditions')}",
        )
        self._compare(name, step, self._ask(name))

    def _ask(self, name):
        return Asked(self.ns.exec(name, "main", "sh", "-s", stdin=SCRIPT).out)

    def _compare(self, name, step, asked):
        pod = self.ns.pod(name)
        facts = truth.facts(pod, "main", self.run.nodes[pod["spec"]["nodeName"]])
        facts["cluster.domain"] = self.run.cluster_domain
        own = [each["name"] for each in self.pods[name]]
        for mode in ("local", "api"):
            must = known(pod, "main", mode, asked)
            for verdict in compare.document(asked.document(mode), facts, must, asked.kernel()):
                # A request that only the API server tells is older in a variable, which the author set.
                stale = mode == "local" and own and ".requests." in verdict.name
                if verdict.name in own or stale or verdict.verdict == UNKNOWABLE:
                    continue
                self.report.fact(
                    verdict.verdict, verdict.name, f"{name}, {step} ({mode})", verdict.told, verdict.truth
                )


def _check(pod, step):
    return f"{pod}: made {step} in place"
