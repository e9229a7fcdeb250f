"""What was checked, and what came of it.

Every check is announced before anything runs. One that nothing was recorded for counts as failed, so that a
part that ended early, or was never called, cannot pass for a success.
"""

import collections
import sys
import threading
import time

RIGHT, ROUNDED, WRONG, MISSING, UNKNOWABLE = "right", "rounded", "wrong", "missing", "not knowable"
VERDICTS = (RIGHT, ROUNDED, WRONG, MISSING, UNKNOWABLE)
"""Verdicts on one fact. `rounded` is the value that the kernel enforces, where it is not the manifest's."""

PASSED, FAILED, SKIPPED = "ok", "FAILED", "skipped"

Fact = collections.namedtuple("Fact", "verdict name where told truth")
Result = collections.namedtuple("Result", "outcome why")


class Report:
    """Facts and checks of one run, from any thread."""

    def __init__(self, may_skip=True, out=sys.stderr):
        self.facts = []
        self.expected = []
        self.results = {}
        self.may_skip = may_skip
        self.out = out
        self.lock = threading.Lock()

    def expect(self, *names):
        """Announces checks by name. Each must be recorded, or it counts as failed."""
        with self.lock:
            for name in names:
                if name in self.expected:
                    raise ValueError(f"the check {name!r} is announced twice")
                self.expected.append(name)

    def check(self, name, passed, why=""):
        """Records a check. Recorded twice it must have passed twice."""
        self._record(name, PASSED if passed else FAILED, why)

    def skip(self, name, why):
        """Records that a check does not apply to this cluster."""
        self._record(name, SKIPPED if self.may_skip else FAILED, why)

    def fact(self, verdict, name, where, told=None, truth=None):
        """Records the verdict on one fact, told at one place."""
        if verdict not in VERDICTS:
            raise ValueError(f"{verdict!r} is not a verdict")
        with self.lock:
            self.facts.append(Fact(verdict, name, where, told, truth))

    def log(self, text):
        """Says what goes on, with the time."""
        with self.lock:
            print(time.strftime("%H:%M:%S"), text, file=self.out, flush=True)

    def failed(self):
        """Names of the checks that failed, were not reached, or were never announced."""
        unannounced = [name for name in self.results if name not in self.expected]
        bad = [name for name in self.expected if self._outcome(name).outcome == FAILED]
        return bad + unannounced

    def bad_facts(self):
        """The facts that were wrong or missing."""
        return [fact for fact in self.facts if fact.verdict in (WRONG, MISSING)]

    def succeeded(self):
        """Whether all is well: facts were compared and none is wrong or missing, and no check failed."""
        compared = any(fact.verdict == RIGHT for fact in self.facts)
        return compared and not self.bad_facts() and not self.failed()

    def text(self):
        """The whole report: bad facts, checks, and the table."""
        lines = []
        for fact in self.bad_facts():
            lines.append(
                f"{fact.verdict}: {fact.name} of {fact.where}: introspod {_told(fact.told)}; it is {fact.truth!r}"
            )
        lines += self._checks() + [""] + self._table() + [""] + self._summary()
        return "\n".join(lines)

    def _record(self, name, outcome, why):
        with self.lock:
            before = self.results.get(name)
            if before is None or before.outcome != FAILED:
                self.results[name] = Result(outcome, str(why))
        self.log(f"{outcome:7} {name}{f': {why}' if why and outcome != PASSED else ''}")

    def _outcome(self, name):
        return self.results.get(name, Result(FAILED, "this check was not reached"))

    def _checks(self):
        names = self.expected + [name for name in self.results if name not in self.expected]
        lines = []
        for name in names:
            outcome, why = self._outcome(name)
            if name not in self.expected:
                outcome, why = FAILED, "this check was not announced"
            lines.append(f"{outcome:7} {name}{f': {why}' if why and outcome != PASSED else ''}")
        return lines

    def _table(self):
        counts = collections.defaultdict(collections.Counter)
        for fact in self.facts:
            counts[fact.name][fact.verdict] += 1
            counts["all"][fact.verdict] += 1
        width = max(map(len, counts), default=4)
        lines = [" ".join([f"{'fact':{width}}", *(f"{verdict:>12}" for verdict in VERDICTS)])]
        for name in sorted(counts, key=lambda name: (name == "all", name)):
            lines.append(
                " ".join([f"{name:{width}}", *(f"{counts[name][verdict]:12}" for verdict in VERDICTS)])
            )
        return lines

    def _summary(self):
        outcomes = collections.Counter(self._outcome(name).outcome for name in self.expected)
        lines = [
            f"{outcomes[PASSED]} checks passed, {len(self.failed())} failed, {outcomes[SKIPPED]} skipped"
        ]
        if not any(fact.verdict == RIGHT for fact in self.facts):
            lines.append("No fact was compared.")
        return lines + ["Success." if self.succeeded() else "Failure."]


def _told(value):
    return "does not know it" if value is None else f"says {value!r}"
