"""Compares what introspod tells with what is true, fact by fact."""

import urllib.parse
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

ATTRIBUTES = {
    "container.id": "container.id",
    "k8s.container.name": "container.name",
    "k8s.namespace.name": "pod.namespace",
    "k8s.node.name": "node.name",
    "k8s.pod.name": "pod.name",
    "k8s.pod.uid": "pod.uid",
    "service.namespace": "pod.namespace",
}
"""OpenTelemetry's attributes that hold one fact each."""

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


def attributes(told, truth, known):
    """Verdicts on OpenTelemetry's resource attributes, which are in the variable OTEL_RESOURCE_ATTRIBUTES.

    An attribute must be there if the fact that it holds is among `known`.
    """
    pairs = dict(pair.split("=", 1) for pair in told.split(",") if pair)
    verdicts = []
    for name in sorted({*pairs, *ATTRIBUTES}):
        fact = ATTRIBUTES.get(name)
        true = _attribute(name, truth)
        if name in pairs:
            value = urllib.parse.unquote(pairs[name])
            verdicts.append(Verdict(RIGHT if value == true else WRONG, name, value, true))
        elif true is not None:
            verdicts.append(Verdict(MISSING if fact in known else UNKNOWABLE, name, None, true))
    return verdicts


def _attribute(name, truth):
    if name in ATTRIBUTES:
        return truth.get(ATTRIBUTES[name])
    if name == "service.instance.id":
        return ".".join(truth[fact] for fact in ("pod.namespace", "pod.name", "container.name"))
    if name == "service.name":
        labels = truth.get("pod.labels", {})
        label = labels.get("app.kubernetes.io/instance") or labels.get("app.kubernetes.io/name")
        return label or truth["pod.workload.name"] or truth["pod.name"]
    if name == "service.version":
        return truth["container.image"].rpartition(":")[2]
    kind = truth["pod.workload.kind"] or ""
    if name == f"k8s.{kind.lower()}.name":
        return truth["pod.workload.name"]
    kind = truth["pod.owner.kind"] or ""
    return truth["pod.owner.name"] if name == f"k8s.{kind.lower()}.name" else None


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
        # Without a memory limit in the kernel the container has no limit. A CPU limit may be kept by other means than a quota.
        return [(quantity.parse(manifest), RIGHT)] if manifest is not None and resource == "cpu" else []
    right = []
    if manifest is not None and _close(resource, quantity.enforced(resource, manifest), now):
        right.append((quantity.parse(manifest), RIGHT))
        if resource == "memory":
            # As the kubelet puts it into a variable in KiB.
            right.append((quantity.divided(quantity.parse(manifest), "1Ki") * quantity.parse("1Ki"), ROUNDED))
    return right + [(now, ROUNDED)]


def _close(resource, enforced, now):
    """Whether `now` is what the kernel makes of a limit. Under systemd a CPU quota is a multiple of 10m."""
    return now == enforced or resource == "cpu" and 0 <= now - enforced < quantity.parse("10m")
