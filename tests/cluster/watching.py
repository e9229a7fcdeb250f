"""`watch` keeps a file true while labels and annotations change."""

import json
import time

from kubectl import Failed, running
from manifests import KEEP_RUNNING, PODINFO_MOUNT, podinfo

FIRST = "watch: the file is there and true at the start"
LABEL = "watch: the file follows kubectl label"
ANNOTATION = "watch: the file follows kubectl annotate"
BURST = "watch: after several changes the file holds the last"
DELETION = "watch: the sidecar does not hold up the deletion of the pod"

NAME = "watching"


class Watching:
    """The part of the tests that changes labels."""

    def __init__(self, run):
        self.maker, self.report, self.ns = run.maker, run.report, run.namespace
        self.report.expect(FIRST, LABEL, ANNOTATION, BURST, DELETION)

    def start(self):
        """Creates the pod."""
        sidecar = self.maker.introspod(
            "watch",
            "watch",
            "--container=main",
            "--out=/run/introspod/pod.json",
            mounts=[PODINFO_MOUNT],
            restartPolicy="Always",
        )
        container = self.maker.container(command=["sh", "-c", KEEP_RUNNING])
        spec = self.maker.spec(
            container, init=[sidecar], volumes=[podinfo()], terminationGracePeriodSeconds=60
        )
        self.ns.create(self.maker.pod(NAME, spec, labels={"step": "0"}, annotations={"step": "0"}))

    def compare(self):
        """Changes labels and annotations, and reads the file after each."""
        try:
            self.ns.wait(NAME, running)
            self._changed(FIRST, "labels", "0")
            self.ns.need("label", "pod", NAME, "step=1", "--overwrite")
            self._changed(LABEL, "labels", "1")
            self.ns.need("annotate", "pod", NAME, "step=2", "--overwrite")
            self._changed(ANNOTATION, "annotations", "2")
            for step in range(3, 8):
                self.ns.need("label", "pod", NAME, f"step={step}", "--overwrite")
            self._changed(BURST, "labels", "7")
            self._deleted()
        except Failed as error:
            self.report.check(DELETION, False, f"not reached: {error}")

    def _changed(self, check, where, value):
        def true():
            done = self.ns.exec(NAME, "main", "cat", "/run/introspod/pod.json")
            return done.code == 0 and json.loads(done.out)["pod"][where].get("step") == value

        try:
            # The kubelet may take a minute to renew a volume.
            self.ns.until(true, 100, lambda: f"{where} in the file are not those of the pod")
            self.report.check(check, True)
        except Failed as error:
            self.report.check(check, False, error)
            raise

    def _deleted(self):
        start = time.monotonic()
        self.ns.need("delete", "pod", NAME, "--wait=true", timeout=90)
        seconds = time.monotonic() - start
        self.report.check(DELETION, seconds < 40, f"it took {seconds:.0f} of 60 s")
