"""Stands for the API server: gives the objects in /state to whoever has the token and is allowed to by the Roles."""

import http.server
import json
import pathlib
import ssl

STATE = pathlib.Path("/state")


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0]
        state = json.loads((STATE / "objects.json").read_text())
        resource, name = path.split("/")[-2:]
        if self.headers["Authorization"] != f"Bearer {state['token']}":
            self.answer(401, {"kind": "Status", "code": 401, "reason": "Unauthorized"})
        elif not any(allows(rule, resource, name) for rule in state["rules"]):
            self.answer(403, {"kind": "Status", "code": 403, "reason": "Forbidden", "message": f"may not get {resource} {name}"})
        elif path not in state["objects"]:
            self.answer(404, {"kind": "Status", "code": 404, "reason": "NotFound"})
        else:
            self.answer(200, state["objects"][path])

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def allows(rule, resource, name):
    return "get" in rule["verbs"] and resource in rule["resources"] and name in rule.get("resourceNames", [name])


server = http.server.ThreadingHTTPServer(("127.0.0.1", 6443), Server)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(STATE / "server.crt", STATE / "server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
