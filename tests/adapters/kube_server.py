"""A small real Kubernetes API on loopback: nodes with list, watch, patch and delete, and leases; faults on demand."""

from __future__ import annotations

import copy
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.adapters.kube_users import KubeUsersApi
from tests.adapters.kube_workloads import KubeWorkloads

Object = dict[str, Any]


def node(name: str, *, ready: bool = True, labels: dict[str, str] | None = None, **spec: object) -> Object:
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": "KubeletReady",
        "message": "posting",
    }
    if not ready:
        condition |= {"reason": "KubeletNotReady", "message": "cni plugin not initialized"}
    return {
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels or {}},
        "spec": spec,
        "status": {
            "conditions": [{"type": "MemoryPressure", "status": "False"}, condition],
            "addresses": [
                {"type": "InternalIP", "address": "fd00::1"},
                {"type": "InternalIP", "address": "198.18.0.7"},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {"kubeletVersion": "v1.33.3+k3s1", "osImage": "Debian GNU/Linux 12 (bookworm)"},
        },
    }


class KubeServer:
    """The API; a test changes `put`, `renew` and the faults.

    Attributes:
        requests: `METHOD path` of all requests, watches as `WATCH`.
        status: Answer everything with this status instead, or None.
        conflicts: How many patches are still refused with 409.
        gone: How many watches are still answered with 410 inside the stream.
        holds_deletes: Whether a deleted node stays, as with a finalizer.
        workloads: Pods, budgets and snapshots.
        users: Certificate requests and bindings.
        secrets: Names of Secrets in kube-system. A node's password is among them once it fetched its settings,
            and has no owner until the node registers: it then stays when the node is deleted (k3s v1.36.3, observed).
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.status: int | None = None
        self.conflicts = 0
        self.gone = 0
        self.holds_deletes = False
        self.workloads = KubeWorkloads()
        self.users = KubeUsersApi()
        self.secrets: set[str] = set()
        self.ahead = timedelta()
        self._changed = threading.Condition()
        self._version = 100
        self._nodes: dict[str, Object] = {}
        self._leases: dict[str, datetime] = {}
        self._events: list[tuple[int, Object]] = []
        self._epoch = 0
        self._sockets: set[socket.socket] = set()
        self._port = 0
        self.start()

    def start(self) -> None:
        """Serve, on the same port as before."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer._sockets.add(self.connection)

            def do_GET(self) -> None:
                outer._handle(self)

            def do_POST(self) -> None:
                outer._handle(self)

            def do_PUT(self) -> None:
                outer._handle(self)

            def do_PATCH(self) -> None:
                outer._handle(self)

            def do_DELETE(self) -> None:
                outer._handle(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string((timestamp or time.time()) + outer.ahead.total_seconds())

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # A client that hangs up in the middle is what some tests are about.

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        """Refuse and drop all connections."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.drop()

    def drop(self) -> None:
        """Cut all connections."""
        with self._changed:
            self._epoch += 1
            self._changed.notify_all()
        for connection in list(self._sockets):
            self._sockets.discard(connection)
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # It was closed already.

    @property
    def kubeconfig(self) -> str:
        return yaml.safe_dump(
            {
                "clusters": [{"name": "demo", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}],
                "users": [{"name": "demo", "user": {"token": "open-sesame"}}],
                "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}],
                "current-context": "demo",
            }
        )

    def put(self, thing: Object, *, fresh: bool = True) -> None:
        """Add or change a node, with a lease of now unless not `fresh`."""
        name = thing["metadata"]["name"]
        if fresh:
            self.renew(name)
        with self._changed:
            kind = "MODIFIED" if name in self._nodes else "ADDED"
            self._store(kind, copy.deepcopy(thing))

    def get(self, name: str) -> Object:
        return copy.deepcopy(self._nodes[name])

    def remove(self, name: str) -> None:
        with self._changed:
            if name in self._nodes:
                self._store("DELETED", self._nodes[name])

    def renew(self, name: str, *, age_s: float = 0) -> None:
        """Set a lease to `age_s` seconds before the server's now."""
        self._leases[name] = datetime.now(UTC) + self.ahead - timedelta(seconds=age_s)

    def count(self, request: str) -> int:
        return self.requests.count(request)

    def _store(self, kind: str, thing: Object) -> None:
        self._version += 1
        name = thing["metadata"]["name"]
        thing["metadata"]["resourceVersion"] = str(self._version)
        if kind == "DELETED":
            del self._nodes[name]
        else:
            self._nodes[name] = thing
        self._events.append((self._version, {"type": kind, "object": copy.deepcopy(thing)}))
        self._changed.notify_all()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        query = parse_qs(url.query)
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else {}
        watching = query.get("watch") == ["true"]
        self.requests.append(f"{'WATCH' if watching else handler.command} {url.path}")
        assert handler.headers["Authorization"] == "Bearer open-sesame"
        if self.status is not None:
            self._send(handler, self.status, {"kind": "Status", "message": f"the server says {self.status}"})
        elif url.path == "/readyz":
            self._send(handler, 200, "ok")
        elif url.path.endswith("/leases"):
            items = [
                {"metadata": {"name": name}, "spec": {"renewTime": at.isoformat().replace("+00:00", "Z")}}
                for name, at in self._leases.items()
            ]
            self._send(handler, 200, {"items": items})
        elif watching:
            self._watch(handler, int(query["resourceVersion"][0]))
        elif url.path == "/api/v1/nodes":
            with self._changed:
                listing = {"metadata": {"resourceVersion": str(self._version)}, "items": list(self._nodes.values())}
                listing = copy.deepcopy(listing)
            self._send(handler, 200, listing)
        elif url.path.startswith("/api/v1/namespaces/kube-system/secrets/") and handler.command == "DELETE":
            name = url.path.rpartition("/")[2]
            known = name in self.secrets
            self.secrets.discard(name)
            self._send(handler, 200 if known else 404, {"kind": "Status"})
        elif reply := self._other(handler.command, url.path, query, body):
            self._send(handler, *reply)
        elif url.path.endswith("/status"):
            self._patch_status(handler, url.path.split("/")[-2], body)
        else:
            self._one(handler, url.path.rpartition("/")[2], body)

    def _other(self, method: str, path: str, query: dict[str, list[str]], body: Object) -> tuple[int, Object] | None:
        """The answer to what is neither about nodes nor leases; None for all else."""
        found = self.users.handle(method, path, query, body)
        return found or self.workloads.handle(method, path, query, body)

    def _patch_status(self, handler: BaseHTTPRequestHandler, name: str, body: Object) -> None:
        """Through this path the status changes, and nothing else of it."""
        with self._changed:
            current = self.get(name)
            current["status"] |= body["status"]
            self._store("MODIFIED", current)
        self._send(handler, 200, current)

    def _one(self, handler: BaseHTTPRequestHandler, name: str, body: Object) -> None:
        if name not in self._nodes:
            self._send(handler, 404, {"kind": "Status", "message": f'nodes "{name}" not found'})
        elif handler.command == "GET":
            self._send(handler, 200, self.get(name))
        elif handler.command == "DELETE":
            if not self.holds_deletes:
                self.remove(name)
            self._send(handler, 200, {"kind": "Status", "status": "Success"})
        else:
            self._patch(handler, name, body)

    def _patch(self, handler: BaseHTTPRequestHandler, name: str, body: Object) -> None:
        assert handler.headers["Content-Type"] == "application/merge-patch+json"
        with self._changed:
            current = self.get(name)
            if self.conflicts:
                self.conflicts -= 1
                current["metadata"]["labels"]["somebody"] = "else"
                self._store("MODIFIED", current)
            metadata = body.get("metadata", {})
            version = self._nodes[name]["metadata"]["resourceVersion"]
            if metadata.get("resourceVersion", version) != version:
                self._send(handler, 409, {"kind": "Status", "message": "the object has been modified"})
                return
            labels = current["metadata"]["labels"] | metadata.get("labels", {})
            # A merge patch takes away what it sets to null (RFC 7386).
            current["metadata"]["labels"] = {key: value for key, value in labels.items() if value is not None}
            annotations = current["metadata"].get("annotations", {}) | metadata.get("annotations", {})
            current["metadata"]["annotations"] = {key: value for key, value in annotations.items() if value is not None}
            current["spec"] |= body.get("spec", {})
            self._store("MODIFIED", current)
        self._send(handler, 200, current)

    def _watch(self, handler: BaseHTTPRequestHandler, version: int) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        if self.gone:
            self.gone -= 1
            status = {"kind": "Status", "code": 410, "message": "too old resource version"}
            self._chunk(handler, {"type": "ERROR", "object": status})
            handler.wfile.write(b"0\r\n\r\n")
            return
        with self._changed:
            epoch = self._epoch
            while epoch == self._epoch:
                for event_version, event in self._events:
                    if event_version > version:
                        version = event_version
                        self._chunk(handler, event)
                self._changed.wait(1)
        handler.close_connection = True

    def _chunk(self, handler: BaseHTTPRequestHandler, event: Object) -> None:
        line = json.dumps(event).encode() + b"\n"
        # In two pieces, as a long event may come.
        for part in (line[:20], line[20:]):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def _send(self, handler: BaseHTTPRequestHandler, status: int, body: object) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
