#!/usr/bin/env bash
# A real SDK reads the variables of --otel: opentelemetry-sdk from PyPI, in a temporary virtual environment,
# in the process that introspod executes.
#
#     tests/otel.sh BINARY
#
# Needs Python with its venv module (python3-venv in Debian), and PyPI.
set -euo pipefail

binary=$(realpath "${1:?the binary to test}")
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'opentelemetry-sdk<2'

cat >"$work/test.py" <<'PYTHON'
import json
import os
import subprocess
import sys
from importlib.metadata import version

BINARY = sys.argv[1]
# An application that reads its resource.
READER = "import json; from opentelemetry.sdk.resources import Resource; print(json.dumps(dict(Resource.create().attributes)))"
APPLICATION = [sys.executable, "-c", READER]
ENVIRONMENT = {"PATH": os.environ["PATH"]}
PREFIX = "resource.opentelemetry.io/"

NASTY = {
    "comma": "a,b,c=d",
    "equals": "a=b==",
    "percent": "100% %41 %2C %zz",
    "blanks": "  in front, between and behind  ",
    "plus": "1.0.0+build.5",
    "semicolon": "a;b;metadata=1",
    "backslash": "C:\\n\\",
    "quotes": "\"double\" 'single' `back`",
    "unicode": "Grüße, 世界 😀 \u202eRTL e\u0301",
    "control": "\x00\x01\t\r\n\x1b\x7f\x85",
    "printable": "".join(map(chr, range(0x20, 0x7F))),
    "long": "é=" * 100,
}


def pod(annotations={}, labels={}, image="registry.example:5000/shop/web:1.2"):
    owner = {"kind": "StatefulSet", "name": "web", "controller": True}
    metadata = {"name": "web-0", "namespace": "shop", "uid": "3f1c2a4e-9f0e-4a58-8a51-0d3c1b3b8a77"}
    metadata |= {"ownerReferences": [owner], "annotations": annotations, "labels": labels}
    container = {"name": "app", "image": image}
    return {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": "node-1", "containers": [container]}}


GATHERED = {
    "k8s.container.name": "app",
    "k8s.namespace.name": "shop",
    "k8s.node.name": "node-1",
    "k8s.pod.name": "web-0",
    "k8s.pod.uid": "3f1c2a4e-9f0e-4a58-8a51-0d3c1b3b8a77",
    "k8s.statefulset.name": "web",
    "service.instance.id": "shop.web-0.app",
    "service.name": "web",
    "service.namespace": "shop",
    "service.version": "1.2",
}


def read(command, environment={}, stdin=""):
    """The attributes of the resource in the process that `command` becomes."""
    run = subprocess.run(
        command + APPLICATION, env=ENVIRONMENT | environment, input=stdin, capture_output=True, text=True
    )
    assert run.returncode == 0, run
    return json.loads(run.stdout)


OF_THE_SDK = read([])


def check(description, expected, got):
    differences = {name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name)}
    for name in sorted(differences):
        print(f"FAILED  {description}: {name}: {expected.get(name)!r} was meant, {got.get(name)!r} was read")
    if not differences:
        print(f"ok      {description}")
    return not differences


def check_pod(description, expected, **arguments):
    command = [BINARY, "exec", "--pod", "-", "--otel", "--"]
    got = read(command, stdin=json.dumps(pod(**arguments)))
    return check(description, OF_THE_SDK | GATHERED | expected, got)


def check_merged(description, expected, environment):
    """With what is set already, where nothing but the container's name is known."""
    command = [BINARY, "exec", "--api", "never", "--container", "app", "--otel", "--"]
    names = ("k8s.container.name", "service.name", *expected)
    got = {name: value for name, value in read(command, environment).items() if name in names}
    return check(description, {"k8s.container.name": "app"} | expected, got)


results = [check_pod("a pod as it is", {})]
for name, value in NASTY.items():
    results.append(check_pod(f"{name} in an annotation", {name: value}, annotations={PREFIX + name: value}))
results.append(check_pod("all of them", NASTY, annotations={PREFIX + name: NASTY[name] for name in NASTY}))
for name, value in NASTY.items():
    # The API server takes no such label; a Pod object in a file can have it.
    labels = {"app.kubernetes.io/version": value}
    results.append(check_pod(f"{name} in a label", {"service.version": value}, labels=labels))
for name, value in NASTY.items():
    # No variable can contain NUL: only the attributes have this one.
    annotations = {PREFIX + "service.name": value}
    results.append(check_pod(f"{name} in the service's name", {"service.name": value}, annotations=annotations))
labels = {"app.kubernetes.io/name": "shop", "app.kubernetes.io/version": "v2_x.y-z"}
results.append(check_pod("labels", {"service.name": "shop", "service.version": "v2_x.y-z"}, labels=labels))
digest = "sha256:" + "0a" * 32
results.append(check_pod("a digest", {"service.version": f"v1@{digest}"}, image=f"web:v1@{digest}"))
results.append(
    check_merged(
        "pairs that are set",
        {"team": "a,b", "service.name": "mine"},
        {"OTEL_RESOURCE_ATTRIBUTES": "team=a%2Cb,service.name=mine"},
    )
)
results.append(
    check_merged("a service's name that is set", {"service.name": "mine, =%"}, {"OTEL_SERVICE_NAME": "mine, =%"})
)
# Without a name for the service, the SDK's default stays. The container's name is not used.
results.append(check_merged("no name", {"service.name": OF_THE_SDK["service.name"]}, {}))

print(f"opentelemetry-sdk {version('opentelemetry-sdk')}: {results.count(True)} passed, {results.count(False)} failed")
sys.exit(not all(results))
PYTHON
"$work/venv/bin/python" "$work/test.py" "$binary"
