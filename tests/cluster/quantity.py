"""Kubernetes quantities, and what the kernel makes of a limit.

The rules are those of k8s.io/apimachinery/pkg/api/resource/quantity.go and of the kubelet's
pkg/kubelet/cm/helpers_linux.go, written anew here so that they share no mistake with introspod.
"""

import math
import re
from fractions import Fraction

PAGE = 4096
"""Bytes of a page: the kernel rounds a memory limit down to a multiple of it."""

PERIOD = 100_000
"""Microseconds of the period that the kubelet gives to a CPU quota."""

SHORTEST_QUOTA = 1_000
"""Microseconds: the kubelet writes no shorter CPU quota."""

SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    "": Fraction(1),
    "k": Fraction(10**3),
    **{letter: Fraction(1000 ** (power + 2)) for power, letter in enumerate("MGTPE")},
    **{letter + "i": Fraction(1024 ** (power + 1)) for power, letter in enumerate("KMGTPE")},
}


def parse(text):
    """The exact number that a quantity such as `1500m`, `64Mi` or `1e3` stands for."""
    match = re.fullmatch(r"([+-]?[0-9.]+)(?:[eE]([+-]?[0-9]+)|([a-zA-Z]*))", str(text))
    if not match or match.group(3) not in SUFFIXES and match.group(3) is not None:
        raise ValueError(f"{text!r} is not a quantity")
    number = Fraction(match.group(1))
    if match.group(2):
        return number * Fraction(10) ** int(match.group(2))
    return number * SUFFIXES[match.group(3) or ""]


def divided(amount, divisor):
    """What the kubelet puts for a resourceFieldRef with this divisor: the quotient, rounded up."""
    return math.ceil(amount / parse(divisor))


def enforced(resource, limit):
    """What the kernel enforces for a limit of `cpu` or `memory` in a manifest."""
    if resource == "memory":
        return Fraction(math.ceil(parse(limit)) // PAGE * PAGE)
    thousandths = math.ceil(parse(limit) * 1000)
    quota = max(thousandths * PERIOD // 1000, SHORTEST_QUOTA)
    return Fraction(quota, PERIOD)
