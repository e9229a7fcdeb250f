"""Compares the facts of every container of many pods with the objects, and with what the kubelet says there."""

import base64
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import compare
import truth
from cases import Cases
from kubectl import Failed
from manifests import INTROSPOD, RESOURCE_FILES, resource_file
from quantity import divided, parse
from report import MISSING, RIGHT, UNKNOWABLE, WRONG

NODE_LABELS = ("kubernetes.io/hostname", "kubernetes.io/os")
"""Labels that every node has."""

CONTROLLER_LABELS = {"pod-template-hash", "controller-revision-hash", "batch.kubernetes.io/job-name"}
"""Labels that controllers put on their pods."""

AT_ONCE = 6
"""How many pods are asked at the same time."""


def set_name(kind, resource, divisor):
    """The variable that --set puts a divided resource into."""
    return f"{kind}_{resource}_{divisor}".replace("-", "_").upper()


def _set_options():
    words = [f"--set {set_name(*what)}={what[0]}.{what[1]}/{what[2]}" for what in RESOURCE_FILES]
    words += [
        f"--set \"NODE_LABEL_{index}=node.labels['{label}']\"" for index, label in enumerate(NODE_LABELS)
    ]
    return " ".join(
        [
            *words,
            "--set \"TEST=metadata.labels['test']\"",
            "--set NAMESPACE_UID=namespace.metadata.uid",
            "--set CLUSTER_UID=cluster.uid",
        ]
    )


SCRIPT = f"""
section() {{ printf '@@@ %s %s\\n' "$1" "$2"; }}
ask() {{
    name=$1; shift
    "$@" >/run/introspod/$$.out 2>/run/introspod/$$.err; code=$?
    section "$name" $code; cat /run/introspod/$$.out
    section "$name.err" $code; cat /run/introspod/$$.err
}}
ask local {INTROSPOD} print --format json --api never
ask api {INTROSPOD} print --format json --api always --timeout 20s
ask sets {INTROSPOD} print --format json --api always --timeout 20s {_set_options()}
ask otel {INTROSPOD} print --format json --otel --timeout 20s
ask local-sets {INTROSPOD} print --format json --api never {_set_options()}
section start 0; base64 </proc/1/environ
section cgroup 0; cat /proc/self/cgroup
cd /sys/fs/cgroup
section memory 0; cat memory.max memory/memory.limit_in_bytes 2>/dev/null
section cpu 0; cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us
for file in /kubelet-says/*; do [ -f "$file" ] && {{ section "file:${{file##*/}}" 0; cat "$file"; echo; }}; done
section end 0
"""
"""Asks introspod, the kernel and the kubelet in a container, and prints the answers one after another."""


class Asked:
    """The answers of one run of `SCRIPT`."""

    def __init__(self, text):
        parts = re.split(r"^@@@ (\S+) (\d+)\n", text, flags=re.MULTILINE)[1:]
        self.codes = {name: int(code) for name, code in zip(parts[0::3], parts[1::3])}
        self.texts = dict(zip(parts[0::3], parts[2::3]))
        if "end" not in self.texts:
            raise Failed(f"the container could not be asked: {text[-500:]!r}")

    def document(self, name):
        """What introspod printed, which must have succeeded."""
        if self.codes[name]:
            raise Failed(
                f"introspod print ({name}) ended with {self.codes[name]}: {self.texts[name + '.err']}"
            )
        return json.loads(self.texts[name])

    def files(self):
        """The files of the kubelet's volume."""
        return {
            name.removeprefix("file:"): body.removesuffix("\n")
            for name, body in self.texts.items()
            if name.startswith("file:")
        }

    def start(self):
        """The environment that the application was started with."""
        return self.environment(base64.b64decode(self.texts["start"]))

    @staticmethod
    def environment(block):
        """The variables of the bytes of /proc/PID/environ."""
        pairs = (entry.decode("utf-8", "replace").partition("=") for entry in block.split(b"\0") if entry)
        return {name: value for name, _, value in pairs}

    def kernel(self):
        """The limits that the kernel enforces, as far as the container can read them."""
        memory = self.texts["memory"].split()
        cpu = self.texts["cpu"].split()
        # Version 1 of control groups writes the largest multiple of a page for no limit.
        none = not memory or memory[0] == "max" or int(memory[0]) > 2**62
        bytes_ = compare.UNSEEN if not memory else None if none else Fraction(int(memory[0]))
        if len(cpu) != 2:
            return compare.Kernel(compare.UNSEEN, bytes_)
        return compare.Kernel(None if cpu[0] in ("max", "-1") else Fraction(int(cpu[0]), int(cpu[1])), bytes_)

    def sees_cgroup(self, uid):
        """Whether the path of the control group shows whose it is."""
        return uid in self.texts["cgroup"].replace("_", "-")


def known(pod, name, mode, asked, hidden=frozenset()):
    """The facts that introspod must tell of this container, by what the README says."""
    spec, container = pod["spec"], truth.container(pod, name)[0]
    mounts = {each["mountPath"]: each["name"] for each in container.get("volumeMounts", [])}
    found = {"container.name", "pod.uid"}
    token = "/var/run/secrets/kubernetes.io/serviceaccount" in mounts
    if token or _volume_has(spec, mounts.get("/etc/podinfo"), "serviceAccountToken"):
        found |= {"pod.name", "pod.namespace", "node.name", "node.uid", "pod.serviceAccountName"}
    if not spec.get("hostNetwork"):
        found |= {"pod.ip", "pod.ips"}
        if spec.get("dnsPolicy") == "ClusterFirst":
            found |= {"cluster.domain", "pod.namespace"}
    if asked.sees_cgroup(pod["metadata"]["uid"]):
        found |= {"container.id", "pod.qosClass"}
    if _volume_has(spec, mounts.get("/etc/podinfo"), "downwardAPI"):
        found |= {"pod.labels", "pod.annotations"}
        # A bare ReplicaSet puts no label on its pods.
        if truth.controller(pod) and _has_controller_label(pod):
            found |= {f"pod.{what}.{key}" for what in ("owner", "workload") for key in ("kind", "name")}
        if truth.ordinal(pod) is not None:
            found.add("pod.ordinal")
    kernel = asked.kernel()
    found |= {
        f"container.resources.limits.{resource}"
        for resource in compare.Kernel._fields
        if isinstance(getattr(kernel, resource), Fraction)
    }
    if mode == "api" and token:
        facts = truth.facts(pod, name, None, None)
        found |= {
            fact for fact, value in facts.items() if value not in (None, {}) and not fact.startswith("node.")
        }
    return found - hidden


def _has_controller_label(pod):
    return bool(pod["metadata"].get("labels", {}).keys() & CONTROLLER_LABELS)


def _volume_has(spec, name, source):
    volume = next((each for each in spec.get("volumes", []) if each["name"] == name), {})
    return source in json.dumps(volume)


class Facts:
    """The part of the tests that compares facts."""

    def __init__(self, run):
        self.run, self.report, self.ns = run, run.report, run.namespace
        self.cases = Cases(run.maker, SCRIPT).all()
        self.owners = {}
        for case in self.cases:
            self.report.expect(self._check(case))

    @staticmethod
    def _check(case):
        return f"facts: {case.name}"

    def start(self):
        """Creates all pods."""
        for case in self.cases:
            done = self.ns.run("create", "--filename=-", stdin=json.dumps(case.object))
            if done.code and case.may_be_refused and not self.run.at_least(case.may_be_refused):
                self.report.skip(
                    self._check(case), f"Kubernetes before {case.may_be_refused} does not take such a pod"
                )
            elif done.code:
                self.report.check(self._check(case), False, done)
            elif case.object["kind"] == "CronJob":
                self._start_cron_job(case)

    def compare(self):
        """Asks in every container, and compares."""
        todo = [case for case in self.cases if self._check(case) not in self.report.results]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._guarded, todo))

    def _start_cron_job(self, case):
        """One Job made by hand, and one named as if it was due now."""
        for suffix in ("now", int(time.time()) // 60):
            self.ns.need("create", "job", f"{case.name}-{suffix}", f"--from=cronjob/{case.name}")

    def _guarded(self, case):
        try:
            pods = self.ns.wait_for_pods(f"test={case.name}", case.pods)
            compared = sum(self._of_pod(case, pod) for pod in pods)
            self.report.check(self._check(case), compared > 20, f"only {compared} facts were compared")
        except (Failed, ValueError, KeyError) as error:
            self.report.check(self._check(case), False, repr(error))

    def _of_pod(self, case, pod):
        name, compared = pod["metadata"]["name"], 0
        if case.debugged:
            compared += self._of_debugger(case, pod)
        answers = {}
        for container in self._running_containers(pod):
            done = self.ns.exec(name, container, "sh", "-s", stdin=SCRIPT)
            answers[container] = Asked(done.out + ("" if "@@@ end" in done.out else str(done)))
        if case.from_init:
            answers[case.from_init] = Asked(self.ns.need("logs", name, f"--container={case.from_init}"))
        pod = self.ns.pod(name)
        for container, asked in answers.items():
            compared += self._of_container(case, pod, container, asked, in_init=container == case.from_init)
        return compared

    @staticmethod
    def _running_containers(pod):
        spec = pod["spec"]
        sidecars = [each for each in spec.get("initContainers", []) if each.get("restartPolicy") == "Always"]
        return [each["name"] for each in spec["containers"] + sidecars]

    def _truth(self, pod, container):
        owner = truth.controller(pod)
        kind = owner["kind"] if owner else None
        if kind in ("ReplicaSet", "Job") and owner["name"] not in self.owners:
            self.owners[owner["name"]] = self.ns.json("get", kind, owner["name"])
        owner_object = self.owners.get(owner["name"]) if owner else None
        found = truth.facts(pod, container, self.run.nodes[pod["spec"]["nodeName"]], owner_object)
        return found | {"cluster.domain": self.run.cluster_domain}

    def _of_container(self, case, pod, container, asked, in_init):
        where = f"{pod['metadata']['name']}/{container}"
        facts, kernel = self._truth(pod, container), asked.kernel()
        foreign = frozenset()
        if case.foreign:
            # The groups at /sys/fs/cgroup are not this container's.
            kernel = compare.Kernel(compare.UNSEEN, compare.UNSEEN)
            foreign = frozenset({"container.id", "pod.qosClass", *truth.RESOURCE_FACTS})
        compared = 0
        if asked.texts["local.err"].strip() and not case.warned:
            raise Failed(f"{where}: print --api never says {asked.texts['local.err']!r}")
        for mode in ("local", "api"):
            hidden = foreign if mode == "local" else frozenset()
            if in_init and mode == "api":
                # While an initContainer runs the API may lack these: introspod waits only for what is wanted.
                hidden = frozenset({"container.id", "container.imageID", "pod.ip", "pod.ips"})
            must = known(pod, container, mode, asked, hidden)
            verdicts = compare.document(asked.document(mode), facts, must, kernel)
            compared += self._record(verdicts, f"{where} ({mode})", own=_own_variables(pod, container))
        compared += self._sets(pod, where, asked, facts, kernel, container)
        compared += self._object(pod, container, facts, where)
        told = asked.document("otel")["variables"].get("OTEL_RESOURCE_ATTRIBUTES", "")
        must = known(pod, container, "local", asked, foreign)
        compared += self._record(compare.attributes(told, facts, must), f"{where} (--otel)")
        if not in_init and not pod["spec"].get("shareProcessNamespace"):
            verdicts = compare.variables(asked.start(), facts, kernel)
            compared += self._record(verdicts, f"{where} (at the start)", own=_own_variables(pod, container))
        return compared

    def _record(self, verdicts, where, own=()):
        verdicts = [verdict for verdict in verdicts if verdict.name not in own]
        for verdict in verdicts:
            self.report.fact(verdict.verdict, verdict.name, where, verdict.told, verdict.truth)
        return sum(verdict.verdict != UNKNOWABLE for verdict in verdicts)

    def _sets(self, pod, where, asked, facts, kernel, container):
        """--set: against resourceFieldRef in the same container, and what the objects around the pod have."""
        files, compared = asked.files(), 0
        own = truth.container(pod, container)[0].get("resources", {})
        for mode, can_ask in (("sets", True), ("local-sets", False)):
            told = asked.document(mode)["variables"]
            for what in RESOURCE_FILES:
                verdict = compare.resource_variable(
                    f"--set {what[0]}.{what[1]}", told.get(set_name(*what)), facts, kernel, *what
                )
                self._kubelet_agrees(files, container, what, own)
                if verdict.verdict == MISSING and not (can_ask and _has_token(pod, container)):
                    verdict = verdict._replace(verdict=UNKNOWABLE)
                compared += self._record([verdict], f"{where} ({mode}, /{what[2]})")
            compared += self._others(pod, container, where, told, mode, can_ask)
        for name in ("name", "namespace", "uid"):
            if name in files and files[name] != pod["metadata"][name]:
                raise Failed(f"{where}: the kubelet says {files[name]!r} for metadata.{name}")
        return compared

    @staticmethod
    def _kubelet_agrees(files, container, what, own):
        # The kubelet does not show a limit here that the container has from the pod.
        manifest = own.get(what[0], {}).get(what[1])
        said = files.get(resource_file(container, *what))
        if manifest is not None and said is not None and said != str(divided(parse(manifest), what[2])):
            raise Failed(f"the kubelet makes {said!r} of {what} {manifest}: quantity.py is wrong")

    def _others(self, pod, container, where, told, mode, can_ask):
        node = self.run.nodes[pod["spec"]["nodeName"]]["metadata"]["labels"]
        wanted = {
            f"NODE_LABEL_{index}": ("node.labels['…']", node[label])
            for index, label in enumerate(NODE_LABELS)
        }
        wanted["TEST"] = ("metadata.labels['…']", pod["metadata"]["labels"]["test"])
        wanted["NAMESPACE_UID"] = ("namespace.metadata.uid", self.run.namespace_uid)
        wanted["CLUSTER_UID"] = ("cluster.uid", self.run.cluster_uid)
        verdicts = []
        for name, (fact, true) in wanted.items():
            absent = MISSING if can_ask and _has_token(pod, container) else UNKNOWABLE
            verdict = absent if told.get(name) is None else RIGHT if told[name] == true else WRONG
            verdicts.append(compare.Verdict(verdict, f"--set {fact}", told.get(name), true))
        return self._record(verdicts, f"{where} ({mode})")

    def _object(self, pod, container, facts, where):
        """`print --pod` of the object that kubectl gives."""
        done = self.ns.exec(
            self.run.shell_pod,
            "main",
            INTROSPOD,
            "print",
            "--pod=-",
            "--format=json",
            f"--container={container}",
            stdin=json.dumps(pod),
        )
        if done.code:
            raise Failed(f"print --pod: {done}")
        in_object = {
            name: value
            for name, value in facts.items()
            if name not in ("node.uid", "node.labels", "cluster.domain")
        }
        must = {name for name, value in in_object.items() if value not in (None, {})}
        return self._record(compare.document(json.loads(done.out), in_object, must), f"{where} (print --pod)")

    def _of_debugger(self, case, pod):
        """An ephemeral container with introspod's own image, which knows what it shares with the pod."""
        name = pod["metadata"]["name"]
        self.ns.need(
            "debug",
            name,
            f"--image={self.run.maker.image}",
            "--container=debugger",
            "--profile=general",
            "--attach=false",
            "--",
            "/introspod",
            "print",
            "--format=json",
        )

        def printed():
            done = self.ns.run("logs", name, "--container=debugger")
            return done.out if done.code == 0 and done.out.rstrip().endswith("}") else None

        told = json.loads(self.ns.until(printed, 60, lambda: "the debugger printed nothing"))
        pod = self.ns.wait(
            name, lambda pod: "terminated" in truth.container(pod, "debugger")[1].get("state", {})
        )
        must = {"container.name", "pod.uid", "pod.ip", "pod.ips", "pod.namespace", "cluster.domain"}
        return self._record(compare.document(told, self._truth(pod, "debugger"), must), f"{name}/debugger")


def _own_variables(pod, container):
    """Variables that the pod's author set: they stay as they are."""
    return {each["name"] for each in truth.container(pod, container)[0].get("env", [])}


def _has_token(pod, container):
    mounts = truth.container(pod, container)[0].get("volumeMounts", [])
    return any(each["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount" for each in mounts)
