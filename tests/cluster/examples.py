"""Every example, applied as its README says, does what its README says."""

import json
import pathlib

import truth
from kubectl import Failed, ended
from manifests import pod_spec

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "examples"

ELSEWHERE = {
    "dry-run": "needs no cluster",
    "admission-policy": "is installed by policies.py",
    "entrypoint-scripts": "takes the images of a dozen programs; tests/outside renders and starts them",
    "helm": "needs Helm; tests/outside renders it",
    "kyverno": "needs Kyverno; its policies are those of admission-policy",
}
"""Examples that are not applied here, and why."""

SINCE = {"file-key-ref": "1.35", "kustomize-component": "1.35", "image-volume": "1.35"}
"""Examples that need a version of Kubernetes."""

RACK = "example.com/rack"
"""The label of the node that `node-zone` shows."""


def names():
    """The examples that are applied: the folders with a kustomization, but for those looked at elsewhere."""
    return sorted(
        each.parent.name for each in FOLDER.glob("*/kustomization.yaml") if each.parent.name not in ELSEWHERE
    )


class Examples:
    """The part of the tests that applies examples."""

    def __init__(self, run):
        self.run, self.report, self.ns = run, run.report, run.example_namespace
        self.report.expect(*map(_check, names()))

    def start(self):
        """Applies all of them, in a namespace that enforces the `restricted` Pod Security Standard."""
        for name in names():
            since = SINCE.get(name)
            if since and not self.run.at_least(since):
                self.report.skip(_check(name), f"it needs Kubernetes {since}")
                continue
            try:
                self._apply(name)
            except (Failed, ValueError) as error:
                self.report.check(_check(name), False, error)

    def compare(self):
        """Looks at each of them."""
        for name in names():
            if _check(name) in self.report.results:
                continue
            look = getattr(self, "_" + name.replace("-", "_"), None)
            if look is None:
                self.report.check(_check(name), False, "nothing here knows what its README says")
                continue
            try:
                why = look()
                self.report.check(_check(name), not why, why or "")
            except (Failed, ValueError, KeyError) as error:
                self.report.check(_check(name), False, repr(error))

    def _apply(self, name):
        if name == "node-zone":
            self._bind_cluster_role()
        self.ns.create(*self.run.example(name))

    def _bind_cluster_role(self):
        """What a cluster administrator does for `node-zone`, under a name of this run's own."""
        text = self.run.kubectl.need(
            "create",
            "--dry-run=client",
            "--output=json",
            f"--filename={FOLDER / 'node-zone' / 'cluster-role.yaml'}",
        )
        role = json.loads(text)
        role["metadata"]["name"] += f"-{self.run.id}"
        self.run.remove_at_the_end("clusterrole", role["metadata"]["name"])
        self.run.remove_at_the_end("clusterrolebinding", role["metadata"]["name"])
        self.run.kubectl.need("create", "--filename=-", stdin=json.dumps(role))
        self.run.kubectl.need(
            "create",
            "clusterrolebinding",
            role["metadata"]["name"],
            f"--clusterrole={role['metadata']['name']}",
            f"--serviceaccount={self.ns.name}:node-zone",
        )

    def _pods(self, name, count=1):
        return self.ns.wait_for_pods(f"app.kubernetes.io/name={name}", count)

    def _log(self, pod, container, *wanted):
        """Waits for lines of a log, and tells which do not come."""
        name = pod["metadata"]["name"]

        def lacking():
            log = self.ns.need("logs", name, f"--container={container}").splitlines()
            return [line for line in wanted if line not in log]

        try:
            self.ns.until(lambda: not lacking(), 30, lambda: "")
        except Failed:
            log = self.ns.need("logs", name, f"--container={container}")
            return f"the log of {name} lacks {lacking()}: {log[-1500:]}"
        return None

    def _web(self, pod, *wanted):
        """Asks the web server of a pod, through the API server, and tells which lines its answer lacks."""
        path = f"/api/v1/namespaces/{self.ns.name}/pods/{pod['metadata']['name']}:8080/proxy/?env=true"
        answer = self.ns.until(
            lambda: self.run.kubectl.run("get", "--raw", path).out,
            30,
            lambda: "the web server does not answer",
        )
        lacking = [line for line in wanted if line not in answer.splitlines()]
        return f"the web server's answer lacks {lacking}: {answer}" if lacking else None

    def _minimal(self):
        pod = self.ns.wait("minimal", ended)
        if pod["status"]["phase"] != "Succeeded":
            return f"the pod is {pod['status']['phase']}"
        lines = [line.split() for line in self.ns.need("logs", "minimal").splitlines()]
        wanted = ["POD_NAME", "token", "minimal"]
        return None if wanted in lines else f"the log lacks {wanted}: {lines}"

    def _entrypoint(self):
        [pod] = self._pods("entrypoint")
        return self._log(
            pod,
            "app",
            f"POD_NAME={pod['metadata']['name']}",
            f"NODE_NAME={pod['spec']['nodeName']}",
            "WORKLOAD_NAME=entrypoint",
            "POD_LABEL_APP_KUBERNETES_IO_NAME=entrypoint",
            "GOMEMLIMIT=60397977",
        )

    def _init_container(self):
        [pod] = self._pods("init-container")
        name = pod["metadata"]["name"]
        why = self._log(pod, "app", f"I am {name} of init-container and may use 48 MiB")
        document = self.ns.need("logs", name, "--container=app").partition("\n")[2]
        return why or (None if json.loads(document)["pod"]["name"] == name else f"the document is {document}")

    def _file_key_ref(self):
        [pod] = self._pods("file-key-ref")
        return self._web(pod, "Name: file-key-ref", f"CLUSTER_DOMAIN={self.run.cluster_domain}")

    def _wrapped(self, name):
        [pod] = self._pods(name)
        return self._web(
            pod, f"Name: {pod['metadata']['name']} on {pod['spec']['nodeName']}", "GOMEMLIMIT=60397977"
        )

    def _wrap_image(self):
        return self._wrapped("wrap-image")

    def _image_volume(self):
        return self._wrapped("image-volume")

    def _kustomize_component(self):
        self.ns.need("create", "job", "--from=cronjob/kustomize-component", "by-hand")
        web = [pod for pod in self._pods_of_component() if truth.controller(pod)["kind"] == "ReplicaSet"]
        why = self._web(web[0], "Name: kustomize-component")
        self.ns.need("wait", "--for=condition=Complete", "job/by-hand", "--timeout=60s")
        log = self.ns.need("logs", "job/by-hand", "--container=report")
        return why or (None if log == "a pod of the Job by-hand\n" else f"the job's log is {log!r}")

    def _pods_of_component(self):
        def look():
            pods = self.ns.pods("app.kubernetes.io/name=kustomize-component")
            return [pod for pod in pods if pod["status"].get("phase") == "Running"]

        return self.ns.until(look, 120, lambda: f"{self.ns.need('get', 'pods')}")

    def _node_zone(self):
        for pod in self._pods("node-zone", 3):
            labels = self.run.nodes[pod["spec"]["nodeName"]]["metadata"]["labels"]
            zone, rack = (labels.get(label) or "unknown" for label in ("topology.kubernetes.io/zone", RACK))
            number = pod["metadata"]["name"].rsplit("-", 1)[1]
            why = self._log(pod, "app", f"member {number} of node-zone in zone {zone}, rack {rack}")
            if why:
                return why
        return None

    def _otel(self):
        # Its label is the service's name.
        [pod] = self._pods("checkout")
        why = self._log(pod, "app", "OTEL_SERVICE_NAME=checkout")
        log = self.ns.need("logs", pod["metadata"]["name"], "--container=app").splitlines()
        text = next((line for line in log if line.startswith("OTEL_RESOURCE_ATTRIBUTES=")), "")
        pairs = text.partition("=")[2].split(",")
        wanted = {
            "k8s.deployment.name=otel",
            "service.version=1.4.2",
            "service.namespace=shop",
            "deployment.environment.name=production",
            f"k8s.pod.name={pod['metadata']['name']}",
            f"k8s.pod.uid={pod['metadata']['uid']}",
            f"k8s.node.name={pod['spec']['nodeName']}",
        }
        return why or (f"it lacks {wanted - set(pairs)}: {text}" if wanted - set(pairs) else None)

    def _ambassador(self):
        [pod] = self._pods("ambassador")
        spec, status = truth.container(pod, "app")
        return self._log(
            pod,
            "app",
            f"CONTAINER_IMAGE={spec['image']}",
            f"CONTAINER_IMAGE_ID={status['imageID']}",
            f"POD_OWNER_NAME={truth.controller(pod)['name']}",
            f"POD_NAME={pod['metadata']['name']}",
        )

    def _watch(self):
        [pod] = self._pods("watch")
        name = pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{self.ns.name}/pods/{name}:8080/proxy/"

        def labels():
            done = self.run.kubectl.run("get", "--raw", path)
            return json.loads(done.out)["pod"]["labels"] if done.code == 0 else {}

        first = self.ns.until(labels, 30, lambda: "the web server does not answer")
        if first != pod["metadata"]["labels"]:
            return f"the first answer has {first}"
        self.ns.need("label", "pod", name, "team=blue")
        self.ns.until(
            lambda: labels().get("team") == "blue", 100, lambda: f"the web server still says {labels()}"
        )
        return None


def with_images(items, image, example_image, node_selector):
    """The objects of an example with the images of this run, on the nodes of this run."""
    for item in items:
        spec = pod_spec(item)
        if spec is None:
            continue
        if node_selector:
            spec["nodeSelector"] = node_selector
        for container in spec["containers"] + spec.get("initContainers", []):
            container["image"] = _image(container["image"], image, example_image)
        for volume in spec.get("volumes", []):
            if "image" in volume:
                volume["image"]["reference"] = _image(volume["image"]["reference"], image, example_image)
    return items


def _image(reference, image, example_image):
    if reference.startswith("ghcr.io/introspod/introspod:"):
        return image
    return example_image if reference.startswith("ghcr.io/introspod/example-entrypoint:") else reference


def _check(name):
    return f"example: {name}"
