"""The lab's front in this process, the adapter connected to it over TLS, and a relay that loses things."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from fakepve import TaskError

from bootstrap.adapters.local.clock import SystemClock
from bootstrap.adapters.proxmox import ProxmoxHypervisor, connect
from bootstrap.lab.guest_memory import MemoryGuests
from bootstrap.lab.options import LabInfo
from bootstrap.lab.server import LabServer
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, Vmid
from bootstrap.ports import CloneRequest
from tests.fakes.keys import KEYS

PVE1 = PveNodeName("pve1")
TEMPLATE = Vmid(9000)
VM = Vmid(7001)
VMIDS = VmidRange(first=Vmid(7000), last=Vmid(7999))
NAME = MachineName("demo-cp-1")


def token(text: str) -> ApiToken:
    """A token out of `user@realm!name=secret`."""
    identity, _, secret = text.partition("=")
    user, _, name = identity.partition("!")
    return ApiToken(user=user, name=name, secret=secret)


class Relay:
    """Passes TCP on to the lab, and loses what it is told to lose.

    Attributes:
        lose: `answer` cuts the next connection once the answer is there, `request` once the request is; then none.
        accepted: How many connections there were.
    """

    def __init__(self, target: tuple[str, int], *, host: str = "127.0.0.1") -> None:
        self.lose = ""
        self.accepted = 0
        self._target = target
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            far = socket.create_connection(self._target)
            self._open += [near, far]
            threading.Thread(target=self._pump, args=(near, far, "request"), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, "answer"), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, kind: str) -> None:
        try:
            while data := source.recv(65536):
                if self.lose == kind:
                    self.lose = ""
                    break
                sink.sendall(data)
        except OSError:
            pass  # the other direction has cut the connection
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        for end in (self._listener, *self._open):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for end in (self._listener, *self._open):
            end.close()


@dataclass
class Lab:
    """A running front, and what a test needs of it."""

    server: LabServer
    info: LabInfo
    guests: MemoryGuests
    stop: threading.Event = field(default_factory=threading.Event)
    warnings: list[str] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    connections: list[ProxmoxHypervisor] = field(default_factory=list)

    @property
    def pve(self) -> Any:
        return self.server.pve

    @property
    def endpoint(self) -> PveEndpoint:
        return PveEndpoint(
            url=self.info.endpoint,
            token=token(f"{self.info.token_id}={self.info.token_secret}"),
            tls=TlsSpec(fingerprint=self.info.fingerprint),
        )

    def connect(self, **changes: Any) -> ProxmoxHypervisor:
        return self.connect_to(replace(self.endpoint, **changes))

    def connect_to(
        self, endpoint: PveEndpoint, *, pools: Mapping[ClusterName, str] | None = None, **limits: float
    ) -> ProxmoxHypervisor:
        limits = {"retry_for_s": 3.0, "task_timeout_s": 20.0, **limits}
        made = connect(endpoint, keys=KEYS, pools=pools, clock=SystemClock(), stop=self.stop, **limits)
        self.connections.append(made)
        return made

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        self.server.__exit__(None, None, None)

    def hold_lock(self, vmid: int, *, until: Callable[[], bool]) -> None:
        """Hold a VM's config lock until something has been seen."""
        self.server.run(self.pve.hold_config_lock(vmid, None))

        async def release() -> None:
            while not until():
                await asyncio.sleep(0.005)
            self.pve.release_config_lock(vmid)

        asyncio.run_coroutine_threadsafe(release(), self.server.run(_running_loop()))

    def hold_volumes(self) -> Callable[[], None]:
        """Have each volume of a clone wait; a call of what is returned lets one through."""
        through = asyncio.Semaphore(0)

        async def pause(secs: float) -> None:
            if secs:
                await through.acquire()

        async def let_one_through() -> None:
            through.release()

        self.pve.pause = pause
        return lambda: self.server.run(let_one_through())

    def grant_only(self, *grants: tuple[str, str]) -> None:
        """Replace the token's rights by these: path and privileges, blank-separated."""
        self.pve.acl[self.info.token_id] = []
        for path, names in grants:
            self.pve.grant(self.info.token_id, path, *names.split())

    def end_next_task(self, kind: str, exit_status: str, *, log: tuple[str, ...] = (), works: bool = False) -> None:
        """Let the next task of a kind end so, after doing its work (`works`) or without."""
        original = self.pve.task

        async def task(
            pve_node: str,
            task_kind: str,
            *args: Any,
            body: Any = None,
            **kwargs: Any,
        ) -> Any:
            if task_kind != kind:
                return await original(pve_node, task_kind, *args, **({"body": body} if body else {}), **kwargs)
            del self.pve.task
            wanted, kept = (*args, body)[2], args[:2]

            async def ending() -> None:
                if works:
                    await wanted()
                raise TaskError(exit_status)

            return await original(pve_node, task_kind, *kept, ending, **{**kwargs, "log": log})

        self.pve.task = task

    def answer_resources(self, rows: list[dict[str, object]]) -> None:
        """Have `/cluster/resources` tell these too from now on."""
        self.pve.ct_resources = lambda _user, _kind: rows

    def requests(self, method: str, path_end: str) -> int:
        """How many such requests came in."""
        return sum(1 for verb, path in list(self.seen) if verb == method and path.endswith(path_end))

    def record_requests(self) -> None:
        """Note every request that comes to the front; fakepve's own list has only what the front passes on."""
        behind, resolve = urlsplit(self.pve.url).port, self.pve.resolve

        def noting(request: Any, *args: Any) -> Any:
            if request.url.port != behind:
                self.seen.append((request.method, request.path))
            return resolve(request, *args)

        self.pve.resolve = noting


async def _running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def clone_request(**changes: Any) -> CloneRequest:
    request = CloneRequest(
        template=TEMPLATE,
        template_pve_node=PVE1,
        pve_node=PVE1,
        vmid=VM,
        name=NAME,
        description="who: {}\nline 2\n",
        full=False,
    )
    return replace(request, **changes)
