"""Compares what introspod tells with what is true, fact by fact."""

from collections import namedtuple

import quantity
from report import MISSING, RIGHT, ROUNDED, UNKNOWABLE, WRONG
from truth import MAPS, RESOURCE_FACTS, RESOURCE_VARIABLES, VARIABLES

NOT_FACTS = ("schema", "sources", "variables", "explanation", "unknown")
"""Keys of the JSON document that hold no facts."""

Kernel = namedtuple("Kernel", "cpu memory")
"""The limits that the container's control group enforces: cores and bytes, None for none."""

UNSEEN = object()
"""In a `Kernel`: the control group could not be read, so nothing is known of the limit."""

Verdict = namedtuple("Verdict", "verdict name told truth")


def document_facts(document):
    """The facts of introspod's JSON document, by their paths."""
    found = {}

    def walk(value, path):
        for key, child in value.items():
            here = f"{path}.{key}" if path else key
            if isinstance(child, dict) and here not in MAPS:
                walk(child, here)
            else:
                found[here] = child

    walk({key: value for key, value in document.items() if key not in NOT_FACTS}, "")
    return found


def document(told, truth, known, kernel=Kernel(UNSEEN, UNSEEN)):
    """Verdicts on every fact of a JSON document, and on every one of `known` that is not in it.

    `truth` is what `truth.facts` gives; `known` are the facts that introspod must tell here.
    """
    found = document_facts(told)
    names = sorted({*truth, *found, *known})
    verdicts = [_fact(name, found.get(name), truth, name in known, kernel) for name in names]
    verdicts += variables(told.get("variables", {}), truth, kernel)
    return [verdict for verdict in verdicts if verdict]


def variables(told, truth, kernel, required=()):
    """Verdicts on standard variables: those in `told`, and those `required` to be there."""
    verdicts = []
    for name in sorted({*told, *required}):
        if name in VARIABLES:
            verdicts.append(_variable(name, told.get(name), truth.get(VARIABLES[name])))
        elif name in RESOURCE_VARIABLES:
            verdicts.append(resource_variable(name, told.get(name), truth, kernel, *RESOURCE_VARIABLES[name]))
    return verdicts


def resource_variable(name, told, truth, kernel, kind, resource, divisor):
    """The verdict on a variable that is a resource divided by a divisor, rounded up."""
    amounts = _amounts(kind, resource, truth, kernel)
    values = {str(quantity.divided(amount, divisor)): verdict for amount, verdict in reversed(amounts)}
    truths = "/".join(values) or None
    if told is None:
        return Verdict(MISSING if values else UNKNOWABLE, name, None, truths)
    return Verdict(values.get(told, WRONG), name, told, truths)


def text(value):
    """A fact as the text that a variable holds."""
    return ",".join(value) if isinstance(value, list) else str(value)


def _fact(name, told, truth, required, kernel):
    if name in RESOURCE_FACTS:
        return _resource(name, told, truth, required, kernel)
    true = truth.get(name)
    if told is None:
        if true in (None, {}):
            return Verdict(MISSING, name, None, "not in the Pod object") if required else None
        return Verdict(MISSING if required else UNKNOWABLE, name, None, true)
    return Verdict(RIGHT if told == true else WRONG, name, told, true)


def _variable(name, told, true):
    if told is None:
        return Verdict(MISSING, name, None, true)
    return Verdict(RIGHT if true is not None and told == text(true) else WRONG, name, told, true)


def _resource(name, told, truth, required, kernel):
    kind, resource = name.split(".")[2:]
    amounts = _amounts(kind, resource, truth, kernel)
    if told is None:
        if not amounts:
            return Verdict(MISSING, name, None, "not in the Pod object") if required else None
        return Verdict(MISSING if required else UNKNOWABLE, name, None, truth.get(name))
    amount = quantity.parse(told)
    verdict = next((verdict for right, verdict in amounts if right == amount), WRONG)
    return Verdict(verdict, name, told, truth.get(name))


def _amounts(kind, resource, truth, kernel):
    """The amounts that may be told of a resource, each with its verdict."""
    manifest = truth.get(f"container.resources.{kind}.{resource}")
    if kind == "requests" or resource not in Kernel._fields:
        return [(quantity.parse(manifest), RIGHT)] if manifest is not None else []
    now = getattr(kernel, resource)
    if now is UNSEEN:
        return (
            []
            if manifest is None
            else [(quantity.parse(manifest), RIGHT), (quantity.enforced(resource, manifest), ROUNDED)]
        )
    if now is None:
        # No memory limit in the kernel is none. A CPU limit may be kept by other means than a quota.
        return [(quantity.parse(manifest), RIGHT)] if manifest is not None and resource == "cpu" else []
    right = []
    if manifest is not None and _close(resource, quantity.enforced(resource, manifest), now):
        right.append((quantity.parse(manifest), RIGHT))
    return right + [(now, ROUNDED)]


def _close(resource, enforced, now):
    """Whether `now` is what the kernel makes of a limit. Under systemd a CPU quota is a multiple of 10m."""
    return now == enforced or resource == "cpu" and 0 <= now - enforced < quantity.parse("10m")
