"""What the parts make of answers: limits, advice, policies, examples. None of it needs a cluster."""

import io
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import types
import unittest
from fractions import Fraction

import compare
import debug
from access import commands
from examples import ELSEWHERE, FOLDER, SINCE, Examples, names, with_images
from facts import Asked
from file_key import FileKey
from kubectl import Failed
from policies import Policies, renamed
from report import MISSING, RIGHT, ROUNDED, SKIPPED, UNKNOWABLE, WRONG, Report
from session import _documents

RUN = pathlib.Path(__file__).resolve().parent / "run"

LIMITS = "container.resources.limits"


def memory(told, manifest, kernel, required=False):
    """The verdict on a memory limit."""
    name = f"{LIMITS}.memory"
    document = {"container": {"resources": {"limits": {"memory": told}}}} if told else {}
    verdicts = compare.document(
        document, {name: manifest}, {name} if required else set(), compare.Kernel(compare.UNSEEN, kernel)
    )
    return verdicts[0].verdict if verdicts else None


class Limits(unittest.TestCase):
    """The kernel has the last word on limits."""

    def test_the_manifest_s_digits_are_right_and_the_kernel_s_are_rounded(self):
        self.assertEqual(memory("100000001", "100000001", 99999744), RIGHT)
        self.assertEqual(memory("99999744", "100000001", 99999744), ROUNDED)
        self.assertEqual(memory("97657Ki", "100000001", 99999744), ROUNDED)
        self.assertEqual(memory("100000000", "100000001", 99999744), WRONG)

    def test_a_limit_that_the_kernel_does_not_enforce_yet_is_wrong(self):
        self.assertEqual(memory("128Mi", "128Mi", 67108864), WRONG)
        self.assertEqual(memory("64Mi", "128Mi", 67108864), ROUNDED)

    def test_no_limit_in_the_kernel_is_none(self):
        self.assertEqual(memory("64Mi", "64Mi", None), WRONG)
        self.assertIsNone(memory(None, None, None))

    def test_a_limit_that_must_be_told(self):
        self.assertEqual(memory(None, "64Mi", 67108864, required=True), MISSING)
        self.assertEqual(memory(None, "64Mi", 67108864), UNKNOWABLE)

    def test_where_the_kernel_cannot_be_seen_both_digits_are_good(self):
        self.assertEqual(memory("100000001", "100000001", compare.UNSEEN), RIGHT)
        self.assertEqual(memory("99999744", "100000001", compare.UNSEEN), ROUNDED)
        self.assertEqual(memory("1Gi", "100000001", compare.UNSEEN), WRONG)

    def test_a_divided_resource(self):
        facts, kernel = {f"{LIMITS}.memory": "100000001"}, compare.Kernel(None, Fraction(99999744))
        for told, verdict in (("97657", RIGHT), ("97656", ROUNDED), ("97658", WRONG), (None, MISSING)):
            found = compare.resource_variable("X", told, facts, kernel, "limits", "memory", "1Ki")
            self.assertEqual(found.verdict, verdict, told)

    def test_a_resource_that_is_not_set_must_not_be_told(self):
        found = compare.resource_variable("X", "2", {}, compare.Kernel(None, None), "limits", "cpu", "1")
        self.assertEqual(found.verdict, WRONG)


class Answers(unittest.TestCase):
    """What a container answers."""

    def test_limits_of_both_versions_of_control_groups(self):
        for cpu, memory_, want in (
            ("10000 100000", "max", (Fraction(1, 10), None)),
            ("max 100000", "67108864", (None, Fraction(67108864))),
            ("-1\n100000", "9223372036854771712", (None, None)),
            ("1100\n100000", "4096\n", (Fraction(11, 1000), Fraction(4096))),
        ):
            asked = Asked(f"@@@ memory 0\n{memory_}\n@@@ cpu 0\n{cpu}\n@@@ end 0\n")
            self.assertEqual(tuple(asked.kernel()), want)

    def test_what_cannot_be_read_is_not_taken_for_no_limit(self):
        asked = Asked("@@@ memory 0\n@@@ cpu 0\n@@@ end 0\n")
        self.assertEqual(tuple(asked.kernel()), (compare.UNSEEN, compare.UNSEEN))

    def test_an_answer_that_breaks_off_is_a_failure(self):
        with self.assertRaises(Failed):
            Asked("@@@ local 0\n{}\n")

    def test_a_failed_introspod_is_a_failure(self):
        asked = Asked("@@@ local 1\n@@@ local.err 1\nintrospod: error: no\n@@@ end 0\n")
        with self.assertRaisesRegex(Failed, "introspod: error: no"):
            asked.document("local")

    def test_files_keep_their_own_newlines(self):
        asked = Asked("@@@ file:a 0\none\n\n@@@ file:b 0\n\n@@@ end 0\n")
        self.assertEqual(asked.files(), {"a": "one\n", "b": ""})

    def test_documents_one_after_another(self):
        text = '{"kind": "A"}\n{"kind": "List", "items": [{"kind": "B"}]}\n'
        self.assertEqual([item["kind"] for item in _documents(text)], ["A", "B"])


class Documents(unittest.TestCase):
    """The documented commands."""

    def test_every_page_shows_how_to_debug(self):
        for page in debug.PAGES:
            first, second = debug.commands(page)
            self.assertIn("--attach=false", first)
            self.assertIn("--profile=restricted", first)
            self.assertEqual(first[1], second[1])


class Advice(unittest.TestCase):
    """The commands in the advice after a refusal."""

    def test_commands_are_found_and_split_as_a_shell_would(self):
        text = (
            "introspod: warn: 403: pods is forbidden\n"
            "    kubectl create role 'a b' --verb=get && kubectl create rolebinding x --role='a b'\n"
        )
        self.assertEqual(
            commands(text),
            [["create", "role", "a b", "--verb=get"], ["create", "rolebinding", "x", "--role=a b"]],
        )

    def test_no_advice(self):
        self.assertEqual(commands("introspod: warn: 403\n"), [])


class Telemetry(unittest.TestCase):
    """OpenTelemetry's attributes."""

    FACTS = {
        "pod.name": "web-5d-x",
        "pod.namespace": "shop",
        "pod.labels": {},
        "pod.owner.kind": "ReplicaSet",
        "pod.owner.name": "web-5d",
        "pod.workload.kind": "Deployment",
        "pod.workload.name": "web",
        "container.name": "main",
        "container.image": "docker.io/library/busybox:1.37",
        "node.name": "node 1",
    }

    def verdicts(self, told, known=()):
        """The verdict on each attribute."""
        return {each.name: each.verdict for each in compare.attributes(told, self.FACTS, known)}

    def test_right_attributes(self):
        told = {
            "k8s.pod.name": "web-5d-x",
            "k8s.node.name": "node%201",
            "k8s.deployment.name": "web",
            "k8s.replicaset.name": "web-5d",
            "service.name": "web",
            "service.instance.id": "shop.web-5d-x.main",
            "service.version": "1.37",
        }
        found = self.verdicts(",".join(f"{name}={value}" for name, value in told.items()))
        self.assertEqual({found[name] for name in told}, {RIGHT})

    def test_wrong_and_missing_attributes(self):
        found = self.verdicts("k8s.job.name=web,service.name=web-5d-x,k8s.cluster.uid=u", {"pod.name"})
        self.assertEqual(
            {found[name] for name in ("k8s.job.name", "service.name", "k8s.cluster.uid")}, {WRONG}
        )
        self.assertEqual(found["k8s.pod.name"], MISSING)
        self.assertEqual(found["k8s.node.name"], UNKNOWABLE)


class Old(unittest.TestCase):
    """A cluster that is too old for a part."""

    def test_parts_are_skipped_by_name(self):
        report = Report(out=io.StringIO())
        session = types.SimpleNamespace(
            report=report,
            maker=None,
            namespace=None,
            policy_namespace=None,
            example_namespace=None,
            at_least=lambda version: False,
            example=lambda name: (
                self.fail(f"examples/{name} needs no newer cluster") if name in SINCE else []
            ),
        )
        for part in (FileKey(session), Policies(session)):
            part.start()
            part.compare()
        self.assertEqual({result.outcome for result in report.results.values()}, {SKIPPED})
        self.assertEqual(set(report.results), set(report.expected))

    def test_every_example_with_a_version_exists(self):
        self.assertLessEqual(set(SINCE), set(names()))


class Manifests(unittest.TestCase):
    """Examples and policies, changed for one run."""

    def test_every_example_is_looked_at(self):
        folders = {each.name for each in FOLDER.iterdir() if each.is_dir()}
        self.assertEqual(folders, set(names()) | set(ELSEWHERE))
        for name in names():
            self.assertTrue(
                hasattr(Examples, "_" + name.replace("-", "_")), f"nothing looks at examples/{name}"
            )

    def test_images_are_those_of_the_run(self):
        spec = {
            "containers": [
                {"image": "ghcr.io/introspod/example-entrypoint:1"},
                {"image": "docker.io/library/busybox:1"},
            ],
            "initContainers": [{"image": "ghcr.io/introspod/introspod:1"}],
            "volumes": [{"image": {"reference": "ghcr.io/introspod/introspod:1"}}],
        }
        cron = {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}
        with_images([cron, {"kind": "ConfigMap"}], "mine", "example", {"a": "b"})
        self.assertEqual(
            [each["image"] for each in spec["containers"] + spec["initContainers"]],
            ["example", "docker.io/library/busybox:1", "mine"],
        )
        self.assertEqual(spec["volumes"][0]["image"]["reference"], "mine")
        self.assertEqual(spec["nodeSelector"], {"a": "b"})

    def test_policies_affect_this_run_alone(self):
        binding = {
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": "introspod-variables"},
            "spec": {
                "policyName": "introspod-variables",
                "matchResources": {"namespaceSelector": {"matchLabels": {"introspod.io/inject": "true"}}},
            },
        }
        [changed] = renamed([binding], "run-1")
        self.assertEqual(changed["metadata"]["name"], "run-1-introspod-variables")
        self.assertEqual(changed["spec"]["policyName"], "run-1-introspod-variables")
        self.assertEqual(
            changed["spec"]["matchResources"]["namespaceSelector"]["matchLabels"],
            {"run-1.introspod.io/inject": "true"},
        )


FAKE = """#!{python}
import sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    print(*words, file=log)
if words[0] == "version":
    print('{{"serverVersion": {{"major": "1", "minor": "36+"}}}}')
elif words[:2] == ["get", "nodes"]:
    print('{{"items": [{{"metadata": {{"name": "n", "labels": {{}}, "uid": "u"}}}}]}}')
elif words[0] == "get" and "configz" in words[-1]:
    print('{{"kubeletconfig": {{"clusterDomain": "cluster.local"}}}}')
elif words[0] == "get":
    print('{{"metadata": {{"uid": "u"}}}}')
elif words[0] != "delete":
    sys.exit("this cluster takes nothing")
"""


class Run(unittest.TestCase):
    """The command, with a kubectl of the tests' own."""

    def test_without_a_cluster_it_fails(self):
        done = subprocess.run(
            [sys.executable, RUN, "--kubectl", "false"], capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("kubectl version", done.stderr)

    def test_a_cluster_that_takes_nothing_is_a_failure_and_is_left_clean(self):
        with tempfile.TemporaryDirectory() as folder:
            log, fake = os.path.join(folder, "log"), pathlib.Path(folder, "kubectl")
            fake.write_text(FAKE.format(python=sys.executable, log=log))
            fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
            done = subprocess.run(
                [sys.executable, RUN, "--kubectl", str(fake)], capture_output=True, text=True, check=False
            )
            calls = pathlib.Path(log).read_text()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("this check was not reached", done.stdout)
        self.assertNotIn("\nok ", done.stdout)
        self.assertEqual(calls.count("delete namespace introspod-test-"), 3)


if __name__ == "__main__":
    unittest.main()
