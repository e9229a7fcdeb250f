"""The comparison, on pods that were recorded in a real cluster."""

import copy
import glob
import json
import os
import pathlib
import subprocess
import unittest

import compare
import facts
import truth
from report import MISSING, WRONG

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"

RECORDED = sorted(
    (path.parent.name, path.name) for path in FIXTURES.glob("pods/*/*") if (path / "root").is_dir()
)
"""Every recorded container: pod and name."""


def binary():
    """introspod as it was built last, or as INTROSPOD names it."""
    built = glob.glob(str(ROOT / "target" / "**" / "introspod"), recursive=True)
    built = [path for path in built if os.access(path, os.X_OK) and os.path.isfile(path)]
    return os.environ.get("INTROSPOD") or max(built, key=os.path.getmtime)


def load(path):
    """A recorded object."""
    return json.loads((FIXTURES / path).read_text())


class Recorded:
    """One recorded container: what introspod tells there, and what is true."""

    def __init__(self, pod, name):
        self.pod, self.name = load(f"pods/{pod}/pod.json"), name
        root = FIXTURES / "pods" / pod / name / "root"
        done = subprocess.run(
            [binary(), "print", "--format=json", f"--root={root}"], capture_output=True, check=True
        )
        self.told = json.loads(done.stdout)
        self.asked = facts.Asked(_script_output(root))
        owner = truth.controller(self.pod)
        deployment = (
            {
                "metadata": {
                    "ownerReferences": [
                        {"controller": True, "kind": "Deployment", "name": owner["name"].rpartition("-")[0]}
                    ]
                }
            }
            if owner
            else None
        )
        self.truth = truth.facts(self.pod, name, load("node.json"), deployment) | {
            "cluster.domain": "cluster.local"
        }
        self.known = facts.known(self.pod, name, "local", self.asked)

    def verdicts(self, told=None):
        """Verdicts on what introspod told, or on what it might have told."""
        return compare.document(told or self.told, self.truth, self.known, self.asked.kernel())

    def bad(self, told=None):
        """Names of the facts that are wrong or missing."""
        return {verdict.name for verdict in self.verdicts(told) if verdict.verdict in (WRONG, MISSING)}


def _script_output(root):
    """What `facts.SCRIPT` would have printed of the kernel's files."""

    def read(*paths):
        return "".join((root / path).read_text() for path in paths if (root / path).exists())

    groups = "sys/fs/cgroup"
    sections = {
        "cgroup": read("proc/self/cgroup"),
        "memory": read(f"{groups}/memory.max", f"{groups}/memory/memory.limit_in_bytes"),
        "cpu": read(f"{groups}/cpu.max")
        or read(f"{groups}/cpu/cpu.cfs_quota_us", f"{groups}/cpu/cpu.cfs_period_us"),
        "end": "",
    }
    return "".join(f"@@@ {name} 0\n{body}" for name, body in sections.items())


class OnRecordedPods(unittest.TestCase):
    """introspod's answers are right, and the comparison sees every one that is not."""

    @classmethod
    def setUpClass(cls):
        cls.all = [Recorded(pod, name) for pod, name in RECORDED]

    def test_there_are_recorded_containers(self):
        self.assertGreaterEqual(len(self.all), 14)

    def test_what_introspod_tells_is_right(self):
        for each in self.all:
            with self.subTest(pod=each.pod["metadata"]["name"], container=each.name):
                self.assertEqual(each.bad(), set())

    def test_every_known_fact_that_is_left_out_is_missing(self):
        for each in self.all:
            for path in each.known:
                told = copy.deepcopy(each.told)
                *parents, key = (
                    path.split(".", 3) if path.startswith("container.resources.") else path.split(".")
                )
                part = told
                for parent in parents:
                    part = part[parent]
                del part[key]
                with self.subTest(pod=each.pod["metadata"]["name"], container=each.name, fact=path):
                    self.assertIn(path, each.bad(told))

    def test_every_fact_that_is_another_is_wrong(self):
        for each in self.all:
            for path in compare.document_facts(each.told):
                told = copy.deepcopy(each.told)
                _change(
                    told, path.split(".", 3) if path.startswith("container.resources.") else path.split(".")
                )
                with self.subTest(pod=each.pod["metadata"]["name"], container=each.name, fact=path):
                    self.assertIn(path, each.bad(told))

    def test_every_variable_that_is_another_is_wrong(self):
        for each in self.all:
            for name in each.told["variables"]:
                told = copy.deepcopy(each.told)
                told["variables"][name] = "1" + told["variables"][name]
                with self.subTest(pod=each.pod["metadata"]["name"], container=each.name, variable=name):
                    self.assertIn(name, each.bad(told))

    def test_a_fact_that_does_not_exist_is_wrong(self):
        for each in self.all:
            told = copy.deepcopy(each.told)
            told["pod"]["colour"] = "blue"
            self.assertIn("pod.colour", each.bad(told))

    def test_the_facts_of_another_container_are_wrong(self):
        side = next(each for each in self.all if each.name == "side")
        web = next(each for each in self.all if each.name == "web")
        self.assertLessEqual({"container.name", "container.id"}, side.bad(web.told))


def _change(part, path):
    for parent in path[:-1]:
        part = part[parent]
    value = part[path[-1]]
    if isinstance(value, dict):
        part[path[-1]] = {**value, "added": ""}
    elif isinstance(value, list):
        part[path[-1]] = [*value, "10.0.0.1"]
    elif isinstance(value, int):
        part[path[-1]] = value + 1
    else:
        part[path[-1]] = "1" + value


if __name__ == "__main__":
    unittest.main()
