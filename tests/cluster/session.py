"""One run against one cluster: its namespaces, what it knows of the cluster, what it removes at the end."""

import json
import pathlib
import re
import secrets
from concurrent.futures import ThreadPoolExecutor

from cases import READER
from examples import FOLDER, with_images
from kubectl import Failed, Kubectl, Namespace
from manifests import Maker

VERSION = re.search(
    r'^version = "(.+)"',
    (pathlib.Path(__file__).resolve().parents[2] / "Cargo.toml").read_text(),
    re.MULTILINE,
).group(1)
"""introspod's version, which is the tag of its image."""

STANDARDS = {"": "privileged", "-examples": "restricted", "-policies": "privileged"}
"""The Pod Security Standard that each namespace enforces."""

SHELL_POD = "shell"
"""A pod that introspod is run in, on objects that have no pod of their own."""


class Session:
    """The cluster, and what of it belongs to this run."""

    def __init__(self, options, report):
        self.kubectl, self.report = Kubectl(options.kubectl), report
        self.id = f"introspod-test-{secrets.token_hex(3)}"
        self.images = (options.image, options.example_image)
        self.maker = Maker(options.image, options.shell_image, options.node_selector)
        self.namespace, self.example_namespace, self.policy_namespace = (
            Namespace(self.kubectl, self.id + each) for each in STANDARDS
        )
        self.shell_pod = SHELL_POD
        self.leftovers = []
        server = self.kubectl.json("version")["serverVersion"]
        self.version = (int(server["major"]), int(re.match(r"\d+", server["minor"]).group()))
        nodes = self.kubectl.json("get", "nodes")["items"]
        self.nodes = {node["metadata"]["name"]: node for node in nodes}
        self.cluster_uid = self.kubectl.json("get", "namespace", "kube-system")["metadata"]["uid"]
        self.namespace_uid = None
        self.cluster_domain = options.cluster_domain or self._domain()

    def at_least(self, version):
        """Whether the cluster has this version of Kubernetes, such as `1.35`, or a later one."""
        return self.version >= tuple(map(int, version.split(".")))

    def remove_at_the_end(self, kind, name):
        """Notes an object outside of all namespaces."""
        self.leftovers.append((kind, name))

    def example(self, name):
        """The objects of an example, with the images of this run."""
        text = self.kubectl.need("kustomize", str(FOLDER / name))
        namespace = self.policy_namespace if name == "admission-policy" else self.example_namespace
        text = namespace.need("create", "--dry-run=client", "--output=json", "--filename=-", stdin=text)
        return with_images(_documents(text), *self.images, self.maker.node_selector)

    def set_up(self):
        """Creates the namespaces, a service account that may read, and the pod with a shell."""
        for suffix, standard in STANDARDS.items():
            labels = {"pod-security.kubernetes.io/enforce": standard}
            self._create(
                {
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "metadata": {"name": self.id + suffix, "labels": labels},
                }
            )
        for suffix in STANDARDS:
            ns = Namespace(self.kubectl, self.id + suffix)
            for kind, name in (("serviceaccount", "default"), ("configmap", "kube-root-ca.crt")):
                ns.until(
                    lambda ns=ns, kind=kind, name=name: ns.run("get", kind, name).code == 0,
                    60,
                    lambda kind=kind, name=name: f"the namespace has no {kind} {name}",
                )
        self.namespace_uid = self.kubectl.json("get", "namespace", self.namespace.name)["metadata"]["uid"]
        self._reader()
        self.namespace.create(self.maker.pod(SHELL_POD, self.maker.spec()))
        self.namespace.wait_for_pods(f"test={SHELL_POD}")

    def _reader(self):
        account = f"--serviceaccount={self.namespace.name}:{READER}"
        self.namespace.need("create", "serviceaccount", READER)
        self.namespace.need("create", "role", READER, "--verb=get", "--resource=pods")
        self.namespace.need("create", "rolebinding", READER, f"--role={READER}", account)
        for kind in ("clusterrole", "clusterrolebinding"):
            self.remove_at_the_end(kind, self.id)
        self.kubectl.need("create", "clusterrole", self.id, "--verb=get", "--resource=nodes,namespaces")
        self.kubectl.need("create", "clusterrolebinding", self.id, f"--clusterrole={self.id}", account)

    def remove(self):
        """Deletes everything that this run has created."""
        calls = [("delete", kind, name, "--ignore-not-found") for kind, name in self.leftovers]
        calls += [
            ("delete", "namespace", self.id + suffix, "--ignore-not-found", "--wait=true")
            for suffix in STANDARDS
        ]
        with ThreadPoolExecutor(4) as pool:
            for call, done in zip(
                calls,
                pool.map(lambda call: self.kubectl.run(*call, timeout=300, even_if_stopping=True), calls),
            ):
                if done.code:
                    self.report.log(f"kubectl {' '.join(call)}: {done}")

    def _create(self, item):
        self.kubectl.need("create", "--filename=-", stdin=json.dumps(item))

    def _domain(self):
        """The cluster domain that the kubelet of some node has."""
        for name in self.nodes:
            done = self.kubectl.run("get", "--raw", f"/api/v1/nodes/{name}/proxy/configz")
            if done.code == 0:
                return json.loads(done.out)["kubeletconfig"]["clusterDomain"]
        raise Failed("no kubelet tells its configuration; name the cluster's domain by --cluster-domain")


def _documents(text):
    """The JSON documents that follow one another in a text, with those of a List taken out of it."""
    decoder, found = json.JSONDecoder(), []
    text = text.strip()
    while text:
        item, end = decoder.raw_decode(text)
        found += item["items"] if item["kind"] == "List" else [item]
        text = text[end:].strip()
    return found
