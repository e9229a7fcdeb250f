"""Calls to kubectl: the only way in which these tests speak to the cluster."""

import json
import shlex
import subprocess
import threading
import time


class Failed(Exception):
    """kubectl failed, or what was waited for did not come."""


class Stopped(Exception):
    """The run was interrupted: nothing more is started in the cluster."""


class Output:
    """What a command left: `code`, `out` and `err`."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __str__(self):
        return f"exit status {self.code}: {(self.err or self.out).strip()[-600:]}"


class Kubectl:
    """kubectl with the options that every call takes."""

    def __init__(self, command="kubectl"):
        self.command = shlex.split(command)
        self.stopping = threading.Event()

    def run(self, *words, stdin=None, timeout=120, even_if_stopping=False):
        """Runs kubectl to its end. A time-out is exit status 124, as of timeout(1)."""
        if self.stopping.is_set() and not even_if_stopping:
            raise Stopped
        text = stdin if stdin is None else stdin.encode()
        try:
            # Ctrl-C ends every kubectl of the terminal's process group, except those that clean up.
            done = subprocess.run(
                [*self.command, *words],
                input=text,
                capture_output=True,
                timeout=timeout,
                start_new_session=even_if_stopping,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Output(124, "", f"kubectl {shlex.join(words)} took more than {timeout} s")
        return Output(
            done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        )

    def need(self, *words, **options):
        """Standard output of a call that must succeed."""
        done = self.run(*words, **options)
        if done.code:
            raise Failed(f"kubectl {shlex.join(words)}: {done}")
        return done.out

    def json(self, *words, **options):
        """The object or list that a call that must succeed prints."""
        return json.loads(self.need(*words, "--output=json", **options))

    def start(self, *words):
        """Starts kubectl and leaves it running, with its standard output to be read line by line."""
        if self.stopping.is_set():
            raise Stopped
        return subprocess.Popen(
            [*self.command, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )


class Namespace:
    """kubectl in one namespace."""

    def __init__(self, kubectl, name):
        self.kubectl, self.name = kubectl, name

    def run(self, *words, **options):
        """As `Kubectl.run`."""
        return self.kubectl.run("--namespace", self.name, *words, **options)

    def need(self, *words, **options):
        """As `Kubectl.need`."""
        return self.kubectl.need("--namespace", self.name, *words, **options)

    def json(self, *words, **options):
        """As `Kubectl.json`."""
        return self.kubectl.json("--namespace", self.name, *words, **options)

    def start(self, *words):
        """As `Kubectl.start`."""
        return self.kubectl.start("--namespace", self.name, *words)

    def create(self, *objects):
        """Creates objects. The API server must accept all of them."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.need("create", "--filename=-", stdin=json.dumps(items))

    def pod(self, name):
        """The Pod object."""
        return self.json("get", "pod", name)

    def pods(self, selector):
        """The Pod objects with these labels that are not being deleted."""
        items = self.json("get", "pods", f"--selector={selector}")["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def exec(self, pod, container, *command, stdin=None, timeout=120):
        """Runs a command in a container, and gives what came of it."""
        flags = ["--stdin"] if stdin is not None else []
        return self.run(
            "exec", *flags, pod, f"--container={container}", "--", *command, stdin=stdin, timeout=timeout
        )

    def wait(self, name, condition, seconds=120):
        """The Pod object as soon as `condition(pod)` holds."""

        def look():
            pod = self.pod(name)
            return pod if condition(pod) else None

        return self.until(look, seconds, lambda: f"pod {name}: {self.why_not(name)}")

    def wait_for_pods(self, selector, count=1, seconds=150):
        """The pods with these labels, as soon as there are `count` and all their containers run."""

        def look():
            pods = self.pods(selector)
            return pods if len(pods) >= count and all(map(running, pods)) else None

        def why():
            names = [pod["metadata"]["name"] for pod in self.pods(selector)]
            bad = [f"{name}: {self.why_not(name)}" for name in names]
            return f"{len(names)} of {count} pods with {selector}; {'; '.join(bad)}"

        return self.until(look, seconds, why)

    def until(self, look, seconds, why):
        """What `look()` gives, as soon as it gives something. `why()` says what is amiss after that time."""
        end = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > end or self.kubectl.stopping.wait(1):
                raise Failed(f"after {seconds} s: {why()}")

    def why_not(self, name):
        """Why a pod does not run, in the words of the last warning or of its containers' states."""
        events = self.json("get", "events", f"--field-selector=involvedObject.name={name},type=Warning")[
            "items"
        ]
        status = self.pod(name)["status"]
        states = [state["state"] for state in container_statuses(status)]
        words = [event.get("message", "") for event in events][-1:] or [
            json.dumps(states) if states else str(status)
        ]
        return words[0][:400]


def container_statuses(status):
    """All container statuses of a Pod's status."""
    lists = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return [each for name in lists for each in status.get(name, [])]


def running(pod):
    """Whether every application container runs and the pod has its address."""
    statuses = pod["status"].get("containerStatuses", [])
    states = [status.get("state", {}) for status in statuses]
    all_there = len(states) == len(pod["spec"]["containers"])
    return all_there and all("running" in state for state in states) and "podIP" in pod["status"]


def ended(pod):
    """Whether the pod has run to its end."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")
