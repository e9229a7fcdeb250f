"""Quantities, and limits as the kernel rounds them."""

import unittest
from fractions import Fraction

from quantity import divided, enforced, parse


class Quantities(unittest.TestCase):
    """By examples from recorded clusters and from the API's documentation."""

    def test_amounts(self):
        for text, amount in (
            ("100m", Fraction(1, 10)),
            ("1e-1", Fraction(1, 10)),
            ("1.5", Fraction(3, 2)),
            ("64Mi", 67108864),
            ("1e8", 10**8),
            ("128974848000m", 128974848),
            ("3Ti", 3 * 2**40),
            ("1k", 1000),
            ("1Ki", 1024),
            ("5n", Fraction(5, 10**9)),
            ("1E", 10**18),
        ):
            with self.subTest(text=text):
                self.assertEqual(parse(text), amount)

    def test_what_is_no_quantity(self):
        for text in ("", "1ki", "ten", "1 Mi", "1mi", "0x10"):
            with self.subTest(text=text), self.assertRaises(ValueError):
                parse(text)

    def test_a_quotient_is_rounded_up(self):
        for amount, divisor, quotient in (
            ("100m", "1", 1),
            ("1500m", "1", 2),
            ("11m", "1m", 11),
            ("100000001", "1Ki", 97657),
            ("64Mi", "1M", 68),
            ("64Mi", "1Gi", 1),
        ):
            with self.subTest(amount=amount, divisor=divisor):
                self.assertEqual(divided(parse(amount), divisor), quotient)

    def test_the_kernel_rounds_memory_down_to_a_page(self):
        self.assertEqual(enforced("memory", "100000001"), 99999744)
        self.assertEqual(enforced("memory", "64Mi"), 67108864)

    def test_the_kubelet_writes_no_quota_below_a_millisecond(self):
        self.assertEqual(enforced("cpu", "5m"), Fraction(1, 100))
        self.assertEqual(enforced("cpu", "11m"), Fraction(11, 1000))


if __name__ == "__main__":
    unittest.main()
