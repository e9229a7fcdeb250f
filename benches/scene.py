"""What the benchmarks share: a container without a labels volume, and an API server on loopback that knows its pod."""

import http.server
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
# The binary as it ships.
SHIPS = REPOSITORY / "dist/x86_64-unknown-linux-musl/introspod"
FIXTURES = REPOSITORY / "tests/fixtures"
# With a downwardAPI volume and 75 variables.
RECORDED = FIXTURES / "pods/downward/main/root"
SERVICE_ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"
POD = json.loads((FIXTURES / "pods/bare/pod.json").read_text())
PATH = f"/api/v1/namespaces/{POD['metadata']['namespace']}/pods/{POD['metadata']['name']}"


def build(directory=REPOSITORY, name="introspod"):
    """The release build of this machine of the package in `directory`, built if it must be."""
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=directory, check=True)
    metadata = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version=1"], cwd=directory,
                              stdout=subprocess.PIPE, check=True)
    target = pathlib.Path(json.loads(metadata.stdout)["target_directory"])
    return max(target.glob(f"*-gnu/release/{name}"), key=lambda path: path.stat().st_mtime)


def certificates(directory):
    """An authority, and a key and certificate for 127.0.0.1 that it has signed."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, stderr=subprocess.DEVNULL)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=kubernetes",
            "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=kube-apiserver")
    (directory / "extensions").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-extfile", "extensions", "-out", "server.crt")


def container(directory):
    """The root of a recorded container whose token is this server's, with the server's authority."""
    root = directory / "root"
    shutil.copytree(FIXTURES / "pods/bare/web/root", root, symlinks=True)
    recorded = next((FIXTURES / "pods/bare/web/root/var/run/secrets").glob("**/token"))
    token = recorded.read_bytes().strip()
    account = root / SERVICE_ACCOUNT
    shutil.rmtree(account)
    account.mkdir()
    (account / "token").write_bytes(token)
    (account / "ca.crt").write_text((directory / "ca.crt").read_text())
    (account / "namespace").write_text(POD["metadata"]["namespace"])
    return root


class Server(http.server.ThreadingHTTPServer):
    """Answers for the pod over TLS; with `herd` it sheds load, and drops one connection in twenty."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, directory, herd=False, body=json.dumps(POD).encode()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(directory / "server.crt", directory / "server.key")
        self.token = (directory / "root" / SERVICE_ACCOUNT / "token").read_text()
        self.body = body
        self.herd = herd
        self.lock = threading.Lock()
        self.connections = self.dropped = self.requests = self.shed = self.busy = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.server_address[1]}"

    def get_request(self):
        connection, address = super().get_request()
        # Without it every answer would wait 40 ms for the client's delayed acknowledgement.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def finish_request(self, request, client_address):
        with self.lock:
            self.connections += 1
            is_dropped = self.herd and self.connections % 20 == 0
            self.dropped += is_dropped
        if is_dropped:
            return
        # The handshake belongs to the connection's own thread.
        with self.tls.wrap_socket(request, server_side=True) as stream:
            super().finish_request(stream, client_address)

    def handle_error(self, request, client_address):
        """A client that goes away is its own business."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The most requests that a herd's server has at a time.
    CAPACITY = 4

    def do_GET(self):
        server = self.server
        with server.lock:
            server.requests += 1
            server.busy += 1
            is_shed = server.herd and server.busy > self.CAPACITY
            server.shed += is_shed
        try:
            if is_shed:
                self.answer(429, b'{"kind":"Status","code":429,"message":"too many requests"}', [("Retry-After", "1")])
            elif self.headers.get("Authorization") != f"Bearer {server.token}":
                self.answer(401, b'{"kind":"Status","code":401,"message":"Unauthorized"}')
            elif self.path.split("?")[0] != PATH:
                self.answer(404, b'{"kind":"Status","code":404,"message":"not found"}')
            else:
                # A busy API server takes its time, which is what makes requests pile up.
                time.sleep(0.02 if server.herd else 0)
                self.answer(200, server.body)
        finally:
            with server.lock:
                server.busy -= 1

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        # One write, as the API server does.
        self._headers_buffer.append(b"\r\n" + body)
        self.flush_headers()

    def log_message(self, *_):
        pass
