"""The advice after a refusal by the API server, applied word for word."""

import json
import shlex

from kubectl import Failed, ended, running
from manifests import INTROSPOD

LABELS = "access: the advice for --labels works"
OWN = "access: the advice for get of the namespace works, and takes nothing from the first"
JOBS = "access: a refusal for which there are no commands says what to allow"
NARROW = "access: a StatefulSet's pods are advised a Role for one pod each, and both work"
NODE = "access: the advice for labels of the node works"
SHORT = "access: a refusal is one warning and the commands"
REQUIRED = "access: exec --require ends with 125 and has the advice in the log"
GET = "access: get gives what kubectl get --raw gives"
STARTS = "access: without --require the application starts"

RACK = "--set=OS=node.labels['kubernetes.io/os']"
OWN_PATH = "/api/v1/namespaces/{namespace}"
JOBS_PATH = "/apis/batch/v1/namespaces/{namespace}/jobs"


def commands(text):
    """The kubectl commands in introspod's advice: their words, without `kubectl`."""
    found = []
    for line in text.splitlines():
        start = line.find("kubectl create ")
        if start >= 0:
            for command in line[start:].split(" && "):
                words = shlex.split(command)
                if words[0] != "kubectl":
                    raise Failed(f"the advice is not a kubectl command: {command!r}")
                found.append(words[1:])
    return found


class Access:
    """The part of the tests that is refused, and follows the advice."""

    def __init__(self, run):
        self.run, self.maker, self.report, self.ns = run, run.maker, run.report, run.namespace
        self.report.expect(LABELS, OWN, JOBS, NARROW, NODE, SHORT, REQUIRED, STARTS, GET)

    def start(self):
        """Creates service accounts without any role, and all pods."""
        accounts = ("no-role", "no-role-set", "no-role-node")
        self.ns.create(
            *[{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}} for name in accounts]
        )

        def spec(account, *command, **more):
            container = self.maker.container(command=list(command) or None)
            return self.maker.spec(container, serviceAccountName=account, **more)

        required = self.maker.exec("true", options=["--require=CONTAINER_IMAGE", "--timeout=20s"])
        free = self.maker.exec("sh", "-c", "echo started; sleep 3600", options=["--labels", "--timeout=20s"])
        self.ns.create(
            self.maker.pod("refused", spec("no-role")),
            self.maker.pod("refused-node", spec("no-role-node")),
            self.maker.workload(
                "StatefulSet",
                "refused-set",
                spec("no-role-set", with_podinfo=True),
                replicas=2,
                serviceName="none",
                podManagementPolicy="Parallel",
            ),
            self.maker.pod("required", spec("no-role-set", *required, restartPolicy="Never")),
            self.maker.pod("free", spec("no-role-set", *free)),
        )

    def compare(self):
        """Asks, is refused, follows the advice, and asks again."""
        for checks, look in (
            ((SHORT, LABELS, OWN, JOBS), self._one_account),
            ((NARROW,), self._narrow),
            ((NODE,), self._node),
            ((REQUIRED,), self._required),
            ((STARTS,), self._starts),
            ((GET,), self._get),
        ):
            try:
                look()
            except Failed as error:
                for check in checks:
                    if check not in self.report.results:
                        self.report.check(check, False, error)

    def _ask(self, pod, *words):
        return self.ns.exec(pod, "main", INTROSPOD, *words, "--timeout=20s")

    def _follow(self, refused):
        """Runs the commands of the advice, and tells of the first that fails."""
        found = commands(refused.err)
        if not found:
            raise Failed(f"there is no advice in {refused}")
        for words in found:
            # The cluster's own objects get a name that is removed at the end.
            if words[1] in ("clusterrole", "clusterrolebinding"):
                self.run.remove_at_the_end(words[1], words[2])
            self.run.kubectl.need(*words)
        return found

    def _until(self, look):
        # The authorizer learns of a new binding a moment after its creation.
        def succeeded():
            done = look()
            return done if done.code == 0 and "kubectl create" not in done.err else None

        return self.ns.until(succeeded, 20, lambda: f"it is still refused: {look()}")

    def _one_account(self):
        self.ns.wait("refused", running)
        refused = self._ask("refused", "print", "--labels")
        # The warning, the commands, and that there are no labels.
        short = len(refused.err.splitlines()) <= 3 and len(commands(refused.err)) == 2
        self.report.check(SHORT, refused.code == 0 and short, refused)
        self._follow(refused)
        labels = self._until(lambda: self._ask("refused", "print", "--labels"))
        self.report.check(LABELS, "POD_LABEL_TEST='refused'" in labels.out, labels)
        own = OWN_PATH.format(namespace=self.ns.name)
        self._follow(self._ask("refused", "get", own))
        told = self._until(lambda: self._ask("refused", "get", own))
        labels = self._ask("refused", "print", "--labels")
        self.report.check(OWN, json.loads(told.out)["kind"] == "Namespace" and not labels.err, labels)
        path = JOBS_PATH.format(namespace=self.ns.name)
        jobs = self._ask("refused", "get", path)
        self.report.check(JOBS, jobs.code == 1 and f"let the service account get {path}" in jobs.err, jobs)

    def _narrow(self):
        self.ns.wait_for_pods("test=refused-set", 2)
        words = ("print", "--require=CONTAINER_IMAGE")
        for pod in ("refused-set-0", "refused-set-1"):
            refused = self._ask(pod, *words)
            found = self._follow(refused)
            if refused.code != 1 or f"--resource-name={pod}" not in found[0]:
                raise Failed(f"the Role is not for {pod} alone: {refused}")
        for pod in ("refused-set-0", "refused-set-1"):
            self._until(lambda pod=pod: self._ask(pod, *words))
        self.report.check(NARROW, True)

    def _node(self):
        self.ns.wait("refused-node", running)
        self._follow(self._ask("refused-node", "print", RACK))
        # The first answer may also lack what the pod's own object is needed for.
        told = self._until(lambda: self._ask("refused-node", "print", RACK))
        self.report.check(NODE, "OS='linux'" in told.out, told)

    def _get(self):
        self.ns.wait("refused", running)
        for path in ("/version", "/apis", "/openapi/v2"):
            told = self._ask("refused", "get", path)
            true = self.run.kubectl.need("get", "--raw", path)
            if told.code or told.out.strip() != true.strip():
                raise Failed(f"{path}: {len(told.out)} bytes, and {len(true)} by kubectl; {told.err}")
        missing = self._ask("refused", "get", "/no-such-path")
        self.report.check(GET, missing.code == 1 and not missing.out, missing)

    def _required(self):
        pod = self.ns.wait("required", ended)
        code = pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
        log = self.ns.need("logs", "required", "--container=main")
        self.report.check(REQUIRED, code == 125 and commands(log), f"exit code {code}: {log}")

    def _starts(self):
        self.ns.wait("free", running)

        def started():
            return "started" in self.ns.need("logs", "free", "--container=main").splitlines()

        self.report.check(STARTS, self.ns.until(started, 30, lambda: "the application does not start"))
