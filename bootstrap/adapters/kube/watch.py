"""One watch on a cluster's nodes, shared by all threads that wait for one."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from bootstrap.adapters.kube.answers import Stream, parse_object
from bootstrap.adapters.kube.http import KubeHttp
from bootstrap.adapters.kube.nodes import parse_node, parse_renewals
from bootstrap.adapters.kube.objects import kube_object, note
from bootstrap.errors import KubernetesError, KubeUnreachableError, UnreadableError
from bootstrap.model.observed import KubeNode
from bootstrap.model.reading import Reading, each

_SERVER_ENDS_S = 25
_IDLE_S = 30.0
_AGAIN_S = (0.1, 0.2, 0.5, 1.0)
"""Pauses between attempts while the API does not answer."""
_CLOSING_S = 5.0
_LEASES_EVERY_S = 1.0
_GONE = 410


def _named(node: Reading) -> tuple[str, object]:
    """A node's name and its object."""
    return node.at("metadata").at("name").text(), node.value


def list_nodes(http: KubeHttp) -> Reading:
    """The list of nodes. By its path: `status` reads it, and `CoreV1Api` takes 0.35 s to import (ADR 0035)."""
    return kube_object(http.ask(http.client.get, "/api/v1/nodes").object, what="list the Kubernetes nodes")


class _GoneError(Exception):
    """The version watched from is too old for the server: list again."""


class Leases:
    """When each node's kubelet last renewed its lease, by the API server's clock."""

    def __init__(self, http: KubeHttp) -> None:
        self._http = http
        self._lock = threading.Lock()
        self._renewals: dict[str, datetime] = {}
        self._ahead_s = 0.0
        self._read_at_s = float("-inf")

    def refresh(self, *, older_than_s: float = 0.0) -> None:
        """Read the leases, unless they were read within `older_than_s`. Raises KubernetesError."""
        with self._lock:
            if time.monotonic() - self._read_at_s < older_than_s:
                return
            answer = self._http.ask(self._http.client.coordination.list_namespaced_lease, "kube-node-lease")
            leases = kube_object(answer.object, what="list the leases of the Kubernetes nodes").at("items")
            self._renewals = parse_renewals(leases.items(optional=True))
            # With a wrong clock on this machine, nodes must not count as dead.
            self._ahead_s = (answer.at - datetime.now(UTC)).total_seconds()
            self._read_at_s = time.monotonic()

    def age_s(self, name: str) -> float | None:
        """Seconds since a node's lease was renewed, as of the last refresh's knowledge; None without a lease."""
        renewed = self.renewed(name)
        return None if renewed is None else time.time() + self._ahead_s - renewed.timestamp()

    def renewed(self, name: str) -> datetime | None:
        """When a node's lease was renewed, as of the last refresh; None without a lease."""
        return self._renewals.get(name)


class NodeWatch:
    """Keeps the nodes as the API last reported them, in a thread that starts with the first wait."""

    def __init__(self, http: KubeHttp, leases: Leases) -> None:
        self._http = http
        self._leases = leases
        self._guard = threading.Lock()
        # By node, so that an event wakes only the threads that wait for it: a hundred of them see thousands of events.
        self._waiting: defaultdict[str, set[threading.Event]] = defaultdict(set)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._nodes: dict[str, object] = {}
        self._synced = False
        self._error: KubernetesError | None = None
        self._stream: Stream | None = None

    def wait(self, name: str, check: Callable[[KubeNode | None], bool], timeout_s: float) -> KubeNode | None:
        """Wait until `check` is true of a node (None: there is none); the last state known when time runs out.

        `check` is asked only while the watch stands, never about what was known before it broke.

        Raises:
            KubernetesError: The API refuses us.
        """
        deadline_s = time.monotonic() + timeout_s
        self._ensure_started()
        with self._woken(name) as news:
            while True:
                news.clear()
                seen, synced = self._known(name)
                if synced and check(seen):
                    return seen
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or self._stop.is_set():
                    return seen
                # No event reports a lease: where only the lease is missing for Ready, look again.
                doubtful = seen is not None and seen.stale
                news.wait(min(left_s, _LEASES_EVERY_S) if doubtful else left_s)

    def close(self) -> None:
        """End the thread; waiting threads get the last known state. Safe to call twice."""
        self._stop.set()
        with self._guard:
            thread, stream = self._thread, self._stream
            self._wake_all()
        if stream is not None:
            stream.shut()
        if thread is not None:
            thread.join(_CLOSING_S)

    @contextmanager
    def _woken(self, name: str) -> Iterator[threading.Event]:
        """An event that is set at each change of a node, or of the watch itself."""
        news = threading.Event()
        with self._guard:
            self._waiting[name].add(news)
        try:
            yield news
        finally:
            with self._guard:
                self._waiting[name].discard(news)

    def _wake_all(self) -> None:
        """Wake all waiting threads; the caller holds the guard."""
        for waiting in self._waiting.values():
            for news in waiting:
                news.set()

    def _known(self, name: str) -> tuple[KubeNode | None, bool]:
        """A node as last reported, and whether the watch is up. Raises KubernetesError where it is refused."""
        with self._guard:
            synced, error = self._synced, self._error
            node = self._nodes.get(name)
        if error is not None:
            raise error
        return self._seen(name, node), synced

    def _seen(self, name: str, node: object) -> KubeNode | None:
        if node is None:
            return None
        seen = parse_node(node, lease_age_s=self._leases.age_s(name))
        if seen.stale:
            try:
                self._leases.refresh(older_than_s=_LEASES_EVERY_S / 2)
            except KubeUnreachableError:
                return seen
            seen = parse_node(node, lease_age_s=self._leases.age_s(name))
        return seen

    def _ensure_started(self) -> None:
        with self._guard:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="kube-node-watch", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                version = self._list()
                failures = 0
                while not self._stop.is_set():
                    version = self._follow(version)
            except _GoneError:
                continue
            except KubeUnreachableError:
                self._report(synced=False, error=None)
            except KubernetesError as error:
                self._report(synced=False, error=error)
            self._stop.wait(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])
            failures += 1

    def _list(self) -> str:
        answer = list_nodes(self._http)
        nodes = dict(each(answer.at("items").items(optional=True), _named, note))
        with self._guard:
            self._nodes = nodes
        self._report(synced=True, error=None)
        return answer.at("metadata").at("resourceVersion").text("")

    def _follow(self, version: str) -> str:
        """Handle events until the server ends the watch; returns the version to go on from."""
        with self._http.stream(
            self._http.client.core.list_node,
            resource_version=version,
            allow_watch_bookmarks=True,
            timeout_seconds=_SERVER_ENDS_S,
            idle_s=_IDLE_S,
        ) as stream:
            with self._guard:
                # From here on close() finds the stream; if it was called before, the flag is set.
                self._stream = stream
            if self._stop.is_set():
                return version
            try:
                for line in stream.lines():
                    version = self._taken(line) or version
            finally:
                with self._guard:
                    self._stream = None
        return version

    def _taken(self, line: str) -> str:
        """Handle an event; returns its version, empty for an invalid one, which is ignored."""
        try:
            return self._take(kube_object(parse_object(line), what="watch the Kubernetes nodes"))
        except UnreadableError as error:
            note(error)
            return ""

    def _take(self, event: Reading) -> str:
        kind, sent = event.at("type").value, event.at("object")
        if kind == "ERROR":
            if sent.at("code").value == _GONE:
                raise _GoneError
            raise KubeUnreachableError("the watch on nodes ended", details=sent.at("message").text(""))
        version = sent.at("metadata").at("resourceVersion").text("")
        if kind in ("ADDED", "MODIFIED", "DELETED"):
            name, thing = _named(sent)
            with self._guard:
                if kind == "DELETED":
                    self._nodes.pop(name, None)
                else:
                    self._nodes[name] = thing
                for news in self._waiting.get(name, ()):
                    news.set()
        return version

    def _report(self, *, synced: bool, error: KubernetesError | None) -> None:
        with self._guard:
            self._synced = synced
            self._error = error
            self._wake_all()
