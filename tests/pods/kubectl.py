"""Stands for `kubectl proxy` in a container: passes on what its options let through, with the mounted token."""

import argparse
import http.server
import pathlib
import re
import ssl
import urllib.error
import urllib.request

ACCESS = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")

parser = argparse.ArgumentParser()
parser.add_argument("command", choices=["proxy"])
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--accept-paths", type=re.compile, required=True)
parser.add_argument("--reject-methods", type=re.compile, required=True)
options = parser.parse_args()


class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0]
        if not options.accept_paths.search(path) or options.reject_methods.search("GET"):
            return self.answer(403, b"Forbidden")
        token = (ACCESS / "token").read_text()
        request = urllib.request.Request(f"https://127.0.0.1:6443{self.path}", headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=ACCESS / "ca.crt")) as response:
                self.answer(response.status, response.read())
        except urllib.error.HTTPError as error:
            self.answer(error.code, error.read())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Proxy).serve_forever()
