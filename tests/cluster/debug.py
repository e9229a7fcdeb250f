"""The documented `kubectl debug`, as it stands, in a namespace that enforces the `restricted` standard."""

import json
import pathlib
import re
import shlex
import tempfile

from kubectl import Failed, running
from manifests import KEEP_RUNNING, RESTRICTED

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"

PAGES = ("process.md", "kubernetes.md")
"""The pages that show it."""

USER = {"runAsUser": 1000, "runAsGroup": 1000}
"""The application's, and what docs/process.md puts into debug.json."""


def commands(page):
    """The documented `kubectl debug` and the `kubectl logs` that follows it: their words, without `kubectl`."""
    for block in re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        lines = [shlex.split(line)[1:] for line in block.replace("\\\n", " ").splitlines()]
        if len(lines) == 2 and lines[0][0] == "debug" and lines[1][0] == "logs":
            return lines
    raise Failed(f"docs/{page} shows no kubectl debug with a kubectl logs after it")


class Debug:
    """The part of the tests that describes a container from an ephemeral one."""

    def __init__(self, run):
        self.run, self.maker, self.report, self.ns = run, run.maker, run.report, run.example_namespace
        self.report.expect(*map(_check, PAGES))

    def start(self):
        """Creates the pods that the pages name."""
        for page in PAGES:
            container = {
                "name": "app",
                "image": self.maker.shell_image,
                "command": ["sh", "-c", KEEP_RUNNING],
                "securityContext": RESTRICTED | USER,
            }
            spec = {"nodeSelector": self.maker.node_selector, "containers": [container]}
            self.ns.create(self.maker.pod(commands(page)[0][1], spec))

    def compare(self):
        """Runs both commands, and looks for the pod's name."""
        for page in PAGES:
            try:
                self.report.check(_check(page), True, self._run(*commands(page)))
            except Failed as error:
                self.report.check(_check(page), False, error)

    def _run(self, debug, logs):
        name = debug[1]
        self.ns.wait(name, running)
        with tempfile.TemporaryDirectory() as directory:
            custom = pathlib.Path(directory, "debug.json")
            custom.write_text(json.dumps({"securityContext": USER}))
            replaced = {"--custom=debug.json": f"--custom={custom}"}
            image = f"--image={self.maker.image}"
            self.ns.need(*[image if word.startswith("--image=") else replaced.get(word, word) for word in debug])
        want = f"POD_NAME='{name}'"
        self.ns.until(
            lambda: want in self.ns.run(*logs).out.splitlines(), 60, lambda: f"no {want} in {self.ns.run(*logs)}"
        )


def _check(page):
    return f"kubectl debug as docs/{page} shows it"
