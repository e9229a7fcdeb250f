"""Runs each example's pod under podman, as a kubelet would, and looks at what the application sees.

Usage: tests/pods/run.py PODMAN [OPTION]..., which is how to call podman. The images that the examples name must
be there. Of a pod this plays: volumes, the token, labels by the downward API, limits, fileKeyRef, initContainers in
order, sidecars with their hooks; and an API server that allows what the example's Roles allow.
"""

import base64
import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time
import uuid

import yaml

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
RENDERED = pathlib.Path(__file__).resolve().parents[1] / "fixtures/rendered"
HERE = pathlib.Path(__file__).resolve().parent
PODMAN = sys.argv[1:]
NODE = {"metadata": {"name": "node-1", "uid": "2b0c1e1e-5f3c-4d36-9a07-5d1f6c8e2a11",
                     "labels": {"topology.kubernetes.io/zone": "zone-a", "example.com/rack": "r7"}}}
ACCESS = "/var/run/secrets/kubernetes.io/serviceaccount"
PYTHON = "docker.io/library/python:3.13-alpine"
# Some machines let runc not raise limits.
ULIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=10000:10000"]

# What the log of a container says, as the example's README has it. {pod} stands for the pod's name.
EXPECTED = {
    "ambassador": ("app", ["^CONTAINER_IMAGE=ghcr.io/introspod/example-entrypoint:", "^CONTAINER_IMAGE_ID=sha256:", "^POD_OWNER_NAME=ambassador-5b7c9$"]),
    "entrypoint": ("app", ["^POD_NAME={pod}$", "^NODE_NAME=node-1$", "^WORKLOAD_NAME=entrypoint$", "^GOMEMLIMIT=60397977$",
                           "^POD_LABEL_APP_KUBERNETES_IO_NAME=entrypoint$"]),
    "file-key-ref": ("whoami", ["^WHOAMI_NAME=file-key-ref$", "^CLUSTER_DOMAIN=cluster.local$"]),
    "image-volume": ("whoami", ["^arguments: .*--name {pod} on node-1$", "^GOMEMLIMIT=60397977$"]),
    "init-container": ("app", ["^I am {pod} of init-container and may use 48 MiB$", '^    "name": "{pod}",?$']),
    "kustomize-component": ("whoami", ["^WHOAMI_NAME=kustomize-component$"]),
    "kustomize-component CronJob": ("report", ["^a pod of the Job kustomize-component-1$"]),
    "minimal": ("introspod", ["^POD_NAME +token +{pod}$", "^NODE_NAME +token +node-1$"]),
    "node-zone": ("app", ["^member 0 of node-zone in zone zone-a, rack r7$"]),
    "otel": ("app", ["^OTEL_SERVICE_NAME=checkout$", "^OTEL_RESOURCE_ATTRIBUTES=.*k8s.deployment.name=otel,.*service.version=1.4.2"]),
    "watch": ("web", []),
    "wrap-image": ("whoami", ["^arguments: .*--name {pod} on node-1$", "^GOMEMLIMIT=60397977$"]),
}


def podman(*arguments, check=True):
    result = subprocess.run([*PODMAN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and result.returncode:
        raise AssertionError(f"podman {shlex.join(arguments)}: exit code {result.returncode}\n{result.stdout}")
    return result.stdout


def wait_for(what, condition):
    """Waits for at most half a minute until a condition holds; an error says what was waited for."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come within 30 seconds")


def of_this_machine(image):
    """What runs Python in the stand-ins for images that the examples name."""
    return ["--volume", "/usr:/usr:ro"] if image == PYTHON or "/kubectl:" in image else []


class Pod:
    """One pod of an example's workload, and the directories that a kubelet would keep for it."""

    def __init__(self, directory, objects, workload):
        self.objects, kind, name = objects, workload["kind"], workload["metadata"]["name"]
        template, self.name, owner, labels = {
            "Pod": lambda: (workload, name, None, {}),
            "Deployment": lambda: (workload["spec"]["template"], f"{name}-5b7c9-x2x4z", ("ReplicaSet", f"{name}-5b7c9"),
                                   {"pod-template-hash": "5b7c9"}),
            "StatefulSet": lambda: (workload["spec"]["template"], f"{name}-0", ("StatefulSet", name),
                                    {"apps.kubernetes.io/pod-index": "0", "statefulset.kubernetes.io/pod-name": f"{name}-0"}),
            "CronJob": lambda: (workload["spec"]["jobTemplate"]["spec"]["template"], f"{name}-1-x2x4z", ("Job", f"{name}-1"),
                                {"batch.kubernetes.io/job-name": f"{name}-1"}),
        }[kind]()
        metadata = template.get("metadata", {})
        self.spec, self.owner, self.uid = template["spec"], owner, str(uuid.uuid4())
        self.labels = {**metadata.get("labels", {}), **labels}
        self.annotations = metadata.get("annotations", {})
        self.directory = directory / "pods" / self.uid
        self.state = directory / "state"
        self.token = self.make_token()
        self.containers, self.sandbox = {}, None

    def make_token(self):
        claims = {"kubernetes.io": {"namespace": "default", "node": {"name": NODE["metadata"]["name"], "uid": NODE["metadata"]["uid"]},
                                    "pod": {"name": self.name, "uid": self.uid}, "serviceaccount": {"name": "default", "uid": "0"}}}
        parts = [json.dumps({"alg": "RS256"}), json.dumps(claims), "signature"]
        return ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts)

    def run(self):
        self.directory.mkdir(parents=True)
        self.directory.chmod(0o755)
        (self.directory / "etc-hosts").write_text(f"# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n10.0.0.7\t{self.name}\n")
        (self.directory / "resolv.conf").write_text("search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.0.0.10\n")
        for volume in self.spec.get("volumes", []):
            self.make_volume(volume)
        self.sandbox = podman("run", "--detach", "--network", "none", *ULIMITS, *of_this_machine(PYTHON), PYTHON, "sleep", "infinity").strip()
        self.start_api_server()
        for container in self.spec.get("initContainers", []):
            self.start(container, is_init=True)
        for container in self.spec["containers"]:
            self.start(container)

    def stop(self):
        if self.sandbox:
            # Containers that could not start depend on it too.
            podman("rm", "--force", "--time", "0", "--depend", self.sandbox)

    def start_api_server(self):
        rules = [rule for each in self.objects if each["kind"] in ("Role", "ClusterRole") for rule in each["rules"]]
        spec = {**self.spec, "nodeName": NODE["metadata"]["name"], "serviceAccountName": "default"}
        statuses = [{"name": each["name"], "image": each["image"], "imageID": "sha256:" + 64 * "0", "containerID": "podman://" + 64 * "a"}
                    for each in self.spec["containers"]]
        group = "batch/v1" if self.owner and self.owner[0] == "Job" else "apps/v1"
        owners = [{"apiVersion": group, "kind": self.owner[0], "name": self.owner[1], "uid": "0", "controller": True}] if self.owner else []
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": spec, "status": {"containerStatuses": statuses},
               "metadata": {"name": self.name, "namespace": "default", "uid": self.uid, "labels": self.labels,
                            "annotations": self.annotations, "ownerReferences": owners}}
        node = {"apiVersion": "v1", "kind": "Node", **NODE}
        objects = {f"/api/v1/namespaces/default/pods/{self.name}": pod, f"/api/v1/nodes/{NODE['metadata']['name']}": node}
        (self.state / "objects.json").write_text(json.dumps({"token": self.token, "rules": rules, "objects": objects}))
        server = self.start_detached("api-server", ["--volume", f"{self.state}:/state:ro", "--volume", f"{HERE}:/pods:ro",
                                                    *of_this_machine(PYTHON), PYTHON, "python", "/pods/api_server.py"])
        wait_for("the API server", lambda: "ready" in podman("logs", server))

    def start_detached(self, name, words):
        self.containers[name] = podman("run", "--detach", "--network", f"container:{self.sandbox}", *ULIMITS, *words).strip()
        return self.containers[name]

    def start(self, container, is_init=False):
        name, is_sidecar = container["name"], container.get("restartPolicy") == "Always"
        started = self.start_detached(name, self.words(container))
        hook = container.get("lifecycle", {}).get("postStart", {}).get("exec", {}).get("command")
        if hook:
            podman("exec", started, *hook)
        if is_init and not is_sidecar:
            code = podman("wait", started).strip()
            assert code == "0", f"the initContainer {name} ended with {code}:\n{podman('logs', started)}"

    def words(self, container):
        """The words of `podman run` for a container."""
        log = self.directory / "containers" / container["name"] / uuid.uuid4().hex[:8]
        log.parent.mkdir(parents=True)
        log.touch()
        user = self.spec["securityContext"].get("runAsUser", 65532)
        words = ["--read-only", "--read-only-tmpfs=false", "--user", f"{user}:{user}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
                 "--env", "KUBERNETES_SERVICE_HOST=127.0.0.1", "--env", "KUBERNETES_SERVICE_PORT=6443",
                 "--volume", f"{log}:/dev/termination-log", "--volume", f"{self.directory}/etc-hosts:/etc/hosts",
                 "--volume", f"{self.directory}/resolv.conf:/etc/resolv.conf:ro"]
        for mount in container.get("volumeMounts", []):
            words += self.mount(mount)
        if self.spec.get("automountServiceAccountToken") is not False:
            words += ["--volume", f"{self.write_volume('automatic', self.access_files())}:{ACCESS}:ro"]
        limits = container.get("resources", {}).get("limits", {})
        if "memory" in limits:
            words += ["--memory", limits["memory"].replace("Mi", "m")]
        if "cpu" in limits:
            words += ["--cpus", str(int(limits["cpu"].removesuffix("m")) / 1000)]
        for variable in container.get("env", []):
            value = variable["value"] if "value" in variable else self.key_of_file(variable["valueFrom"]["fileKeyRef"])
            if value is not None:
                words += ["--env", f"{variable['name']}={value}"]
        if "command" in container:
            words += ["--entrypoint", json.dumps(container["command"])]
        return [*words, *of_this_machine(container["image"]), container["image"], *container.get("args", [])]

    def mount(self, mount):
        volume = next(each for each in self.spec["volumes"] if each["name"] == mount["name"])
        if "image" in volume:
            return ["--mount", f"type=image,source={volume['image']['reference']},destination={mount['mountPath']}"]
        mode = "ro" if mount.get("readOnly") else "rw"
        return ["--volume", f"{self.directory}/volumes/{mount['name']}:{mount['mountPath']}:{mode}"]

    def make_volume(self, volume):
        if "emptyDir" in volume:
            directory = self.directory / "volumes" / volume["name"]
            directory.mkdir(parents=True)
            directory.chmod(0o777)
        elif "configMap" in volume:
            config = next(each for each in self.objects if each["kind"] == "ConfigMap" and each["metadata"]["name"] == volume["configMap"]["name"])
            self.write_volume(volume["name"], config["data"])
        elif "projected" in volume:
            self.write_volume(volume["name"], self.projected_files(volume["projected"]["sources"]))

    def projected_files(self, sources):
        files = {}
        for source in sources:
            if "serviceAccountToken" in source:
                # One for another audience must not open anything.
                audience = source["serviceAccountToken"].get("audience")
                files[source["serviceAccountToken"]["path"]] = self.make_token() + (f"-for-{audience}" if audience else "")
            for item in source.get("configMap", {}).get("items", []):
                files[item["path"]] = (self.state / "ca.crt").read_text()
            for item in source.get("downwardAPI", {}).get("items", []):
                field = item["fieldRef"]["fieldPath"]
                content = {"metadata.namespace": lambda: "default", "metadata.labels": lambda: lines(self.labels),
                           "metadata.annotations": lambda: lines(self.annotations)}[field]
                files[item["path"]] = content()
        return files

    def access_files(self):
        return {"token": self.token, "ca.crt": (self.state / "ca.crt").read_text(), "namespace": "default"}

    def write_volume(self, name, files):
        """As the kubelet writes it: into a new directory, for which one link is then swapped."""
        directory = self.directory / "volumes" / name
        version = directory / f"..{time.time_ns()}"
        version.mkdir(parents=True)
        for file, content in files.items():
            (version / file).write_text(content)
            if not (directory / file).is_symlink():
                (directory / file).symlink_to(f"..data/{file}")
        (directory / "..data_tmp").symlink_to(version.name)
        (directory / "..data_tmp").rename(directory / "..data")
        return directory

    def key_of_file(self, reference):
        text = (self.directory / "volumes" / reference["volumeName"] / reference["path"]).read_text()
        found = re.search(rf"^{reference['key']}='([^']*)'$", text, re.MULTILINE)
        assert found or reference.get("optional"), f"no {reference['key']} in {text}"
        return found and found[1]

    def log(self, container):
        return podman("logs", self.containers[container])


def lines(mapping):
    return "\n".join(f"{key}={json.dumps(value)}" for key, value in sorted(mapping.items()))


def check_log(pod, container, patterns):
    for pattern in patterns:
        expression = re.compile(pattern.format(pod=pod.name), re.MULTILINE)
        try:
            wait_for(f"the line {expression.pattern}", lambda: expression.search(pod.log(container)))
        except AssertionError as error:
            raise AssertionError(f"{error} in the log of {container}:\n{pod.log(container)}") from None


def check_watch(pod):
    """The web server has the labels when it starts, and hears of a change."""
    fetch = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8080/').read().decode())"

    def served():
        return podman("exec", pod.containers["web"], "python", "-c", fetch, check=False)

    def labels():
        text = served()
        return json.loads(text)["pod"]["labels"] if text.startswith("{") else None

    first = wait_for("the web server", labels)
    assert first["app.kubernetes.io/name"] == "watch" and "team" not in first, first
    pod.labels["team"] = "blue"
    volume = next(each for each in pod.spec["volumes"] if each["name"] == "podinfo")
    pod.make_volume(volume)
    wait_for("the new label", lambda: labels().get("team") == "blue")


def objects_of(example):
    rendered = RENDERED / f"{example.name}.yaml"
    files = [rendered] if rendered.exists() else sorted(set(example.glob("*.yaml")) - {example / "kustomization.yaml"})
    return [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]


def make_certificates(state):
    """An authority, and the API server's certificate for 127.0.0.1."""
    (state / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        ["req", "-x509", *key, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2"],
        ["req", *key, "-subj", "/CN=kube-apiserver", "-keyout", "server.key", "-out", "server.csr"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions",
         "-out", "server.crt", "-days", "2"],
    ):
        subprocess.run(["openssl", *command], cwd=state, check=True, capture_output=True)
    (state / "server.key").chmod(0o644)


def main():
    failed, seen = 0, set()
    with tempfile.TemporaryDirectory(prefix="introspod-pods.", dir="/var/tmp") as directory:
        directory = pathlib.Path(directory)
        directory.chmod(0o755)
        (directory / "state").mkdir()
        make_certificates(directory / "state")
        for example in sorted(path.parent for path in EXAMPLES.glob("*/kustomization.yaml")):
            objects = objects_of(example)
            for workload in objects:
                if workload["kind"] not in ("Pod", "Deployment", "StatefulSet", "CronJob"):
                    continue
                name = example.name + (" CronJob" if workload["kind"] == "CronJob" else "")
                seen.add(name)
                pod = Pod(directory, objects, workload)
                try:
                    pod.run()
                    check_log(pod, *EXPECTED[name])
                    if name == "watch":
                        check_watch(pod)
                    print(f"ok      the example {name}", flush=True)
                except (AssertionError, OSError, ValueError) as error:
                    failed += 1
                    print(f"FAILED  the example {name}\n        " + str(error).replace("\n", "\n        "), flush=True)
                finally:
                    pod.stop()
    if seen != set(EXPECTED):
        print(f"FAILED  not every example was run: {seen ^ set(EXPECTED)}")
        failed += 1
    sys.exit(failed > 0)


main()
