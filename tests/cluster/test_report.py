"""The report: nothing passes that was not seen to pass."""

import io
import unittest

from report import MISSING, RIGHT, ROUNDED, UNKNOWABLE, WRONG, Report


def report(**options):
    """A report with one check that passed and one fact that is right."""
    made = Report(out=io.StringIO(), **options)
    made.expect("good")
    made.check("good", True)
    made.fact(RIGHT, "pod.name", "web/main", "web", "web")
    return made


class Reports(unittest.TestCase):
    """What makes a run a success."""

    def test_all_is_well(self):
        self.assertTrue(report().succeeded())
        self.assertIn("Success.", report().text())

    def test_a_check_that_was_not_reached_has_failed(self):
        made = report()
        made.expect("later")
        self.assertFalse(made.succeeded())
        self.assertIn("FAILED  later: this check was not reached", made.text())

    def test_a_check_that_was_not_announced_has_failed(self):
        made = report()
        made.check("surprise", True)
        self.assertFalse(made.succeeded())
        self.assertIn("FAILED  surprise: this check was not announced", made.text())

    def test_a_check_that_failed_once_has_failed(self):
        made = report()
        made.check("good", False, "no")
        made.check("good", True)
        self.assertEqual(made.failed(), ["good"])

    def test_a_check_is_announced_once(self):
        with self.assertRaises(ValueError):
            report().expect("good")

    def test_a_check_may_be_skipped_only_where_that_is_allowed(self):
        for may_skip in (True, False):
            made = report(may_skip=may_skip)
            made.expect("new")
            made.skip("new", "it needs Kubernetes 1.99")
            self.assertEqual(made.succeeded(), may_skip)

    def test_wrong_and_missing_facts_are_failures(self):
        for verdict, success in (
            (RIGHT, True),
            (ROUNDED, True),
            (UNKNOWABLE, True),
            (WRONG, False),
            (MISSING, False),
        ):
            made = report()
            made.fact(verdict, "pod.ip", "web/main", None, "10.0.0.1")
            self.assertEqual(made.succeeded(), success, verdict)

    def test_a_run_that_compared_nothing_is_a_failure(self):
        made = Report(out=io.StringIO())
        made.expect("good")
        made.check("good", True)
        self.assertFalse(made.succeeded())
        self.assertIn("No fact was compared.", made.text())

    def test_an_unknown_verdict_is_a_mistake(self):
        with self.assertRaises(ValueError):
            report().fact("fine", "pod.ip", "web/main")

    def test_the_table_counts_every_verdict(self):
        made = report()
        made.fact(WRONG, "pod.name", "web/side", "x", "web")
        row = next(line for line in made.text().splitlines() if line.startswith("pod.name"))
        self.assertEqual(row.split(), ["pod.name", "1", "0", "1", "0", "0"])
        self.assertIn("wrong: pod.name of web/side: introspod says 'x'; it is 'web'", made.text())


if __name__ == "__main__":
    unittest.main()
