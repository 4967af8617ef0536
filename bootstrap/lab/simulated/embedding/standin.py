"""k3s in simulated guests: the stand-in's own program, uploaded by the client, run inside the lab's process.

Servers are whole: threads, TLS on their guest's address, data on their guest's disk. Agents are the stand-in's
`Resident`s, which need neither; a small pool of threads serves them all.
"""
# ruff: noqa: ANN401 - the stand-in is loaded at run time

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, NoReturn

from bootstrap.lab.faults.active import Faults
from bootstrap.lab.simulated.embedding.program import Program

API_PORT = 6443
AGENT_THREADS = 2
RETRY_LEAST_S = 0.1
"""Least real seconds between two attempts of an agent, whatever the lab's time scale is."""
HELD_LOOK_S = 0.5
"""How often a kubelet checks whether a fault still keeps its node from Ready."""


class Network:
    """The servers by address: how agents reach servers inside this process.

    Attributes:
        behind: Guests accept connections only from this range: they are behind a jump host. None: from everywhere.
    """

    def __init__(self) -> None:
        self.behind: IPv4Network | None = None
        self._servers: dict[tuple[str, int], Any] = {}
        self._machines: dict[str, bool] = {}

    def admits(self, peer: str) -> bool:
        """Whether guests accept connections from an address."""
        return self.behind is None or IPv4Address(peer) in self.behind

    def power(self, address: IPv4Address, *, on: bool) -> None:
        """Record that the guest at this address is on, or off."""
        if on:
            self._machines[str(address)] = True
        else:
            self._machines.pop(str(address), None)

    def listen(self, address: str, port: int, server: Any) -> None:
        """Add a listening server."""
        self._servers[address, port] = server

    def gone(self, server: Any) -> None:
        """Remove a server."""
        for key in [key for key, value in list(self._servers.items()) if value is server]:
            self._servers.pop(key, None)

    def reach(self, host: str, port: int) -> Any:
        """The server there. Raises OSError as a connection would."""
        found = self._servers.get((host, port))
        if found is not None:
            return found
        if host in self._machines:
            raise ConnectionRefusedError(111, "Connection refused")
        raise TimeoutError("timed out")


class _Ended(BaseException):
    """Ends a thread of an ended server; the stand-in's handlers do not catch it."""


class ServerLife:
    """The stand-in's `Life` inside this process."""

    idle_s = 0.1
    pace = 0.0
    """Starts are slowed by the lab's own delays (`server`, `join`, ...), not by the stand-in."""

    def __init__(
        self, *, bind: str, ready_delay_s: float, tell: Callable[[str], None], up: Callable[[], None],
        listening: Callable[[str, int], None], refusal: Callable[[], tuple[int, dict[str, Any]] | None],
        held: Callable[[], bool], admits: Callable[[str], bool] = lambda _peer: True,
    ) -> None:  # fmt: skip
        self._admits = admits
        self.bind, self.ready_delay_s = bind, ready_delay_s
        self.code = 0
        self.tell = tell
        self.refusal, self.held = refusal, held
        self._up, self._on_listening = up, listening
        self._over = threading.Event()
        self._listeners: list[Any] = []
        self._open: list[Any] = []

    def pause(self, seconds: float) -> None:
        """Wait; ends the thread once the server has ended."""
        if self._over.wait(seconds):
            raise _Ended

    def end(self, code: int) -> NoReturn:
        """End the server from one of its threads."""
        self.code = code
        self._over.set()
        raise _Ended

    def notify(self, state: str) -> None:
        """Take a notification for systemd."""
        if state == "READY=1":
            self._up()

    def run(self, target: Callable[..., object], *arguments: object) -> None:
        """Run the body of a thread. A thread that writes when the process ends finds its database closed."""
        try:
            with suppress(_Ended):
                target(*arguments)
        except sqlite3.ProgrammingError:
            if not self._over.is_set():
                raise

    def listening(self, listener: Any) -> None:
        """Keep a listener, to close it at the end; close it at once if the end came during the start."""
        if self._over.is_set():
            listener.stop()
            return
        listener.verify_request = lambda _request, peer: self._admits(peer[0])
        self._listeners.append(listener)
        self._on_listening(*listener.server_address[:2])

    def opened(self, thing: Any) -> None:
        """Keep something to close at the end of the process."""
        if self._over.is_set():
            thing.close()
        self._open.append(thing)

    def ended(self) -> bool:
        """Whether the server has ended."""
        return self._over.is_set()

    def stop(self) -> None:
        """End the server: its threads at their next pause, its connections now. Blocks for a moment."""
        self._over.set()
        while self._listeners:
            self._listeners.pop().stop()

    def close(self) -> None:
        """Close everything that it opened, once its main thread has ended."""
        self.stop()  # It may have begun to listen after the first call.
        for thing in self._open:
            thing.close()


class ServerProcess:
    """`k3s server` of one guest; a `Process`.

    Args:
        program: What to run.
        root: The guest's disk.
        environ: Of the unit.
        address: The guest's.
        network: Where agents find the server.
        tell: Takes a line of its log.
        up: Called once it serves.
        refusal: An error that its Kubernetes API answers to everything, or None.
        held: Whether its node is kept from becoming Ready.
        ready_delay_s: Real seconds from registering until its node is Ready.
    """

    def __init__(
        self, program: Program, *, root: Path, environ: Mapping[str, str], address: IPv4Address, network: Network,
        tell: Callable[[str], None], up: Callable[[], None],
        refusal: Callable[[], tuple[int, dict[str, Any]] | None], held: Callable[[], bool], ready_delay_s: float,
    ) -> None:  # fmt: skip
        self._module: Any = program.load()
        self._root, self._environ, self._network = root, environ, network
        self._server: Any = None
        loop = asyncio.get_running_loop()

        def is_up() -> None:
            loop.call_soon_threadsafe(up)

        self._life = ServerLife(
            bind=str(address), ready_delay_s=max(self._module.READY_DELAY_S, ready_delay_s), tell=tell, up=is_up,
            listening=self._listening, refusal=refusal, held=held, admits=network.admits,
        )  # fmt: skip
        self._module.adopt(self._life)

    async def run(self) -> int:
        """Run it in a thread until it ends or this is cancelled."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="k3s server")
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, self._body)
        finally:
            self._network.gone(self._server)
            await asyncio.shield(asyncio.to_thread(self._end, thread))

    def _end(self, thread: ThreadPoolExecutor) -> None:
        self._life.stop()
        thread.shutdown()
        self._life.close()

    def _body(self) -> int:
        module = self._module
        try:
            options = module.Options("server", [], root=str(self._root), environ=self._environ)
            self._server = module.Server(options)
            self._server.run()
        except _Ended:
            return self._life.code
        except module.Fatal as error:
            self._life.tell(error.line())
            return int(error.code)
        return 0

    def _listening(self, host: str, port: int) -> None:
        if port == self._server.port:
            self._network.listen(host, port, self._server)


class AgentProcess:
    """`k3s agent` of one guest; a `Process`.

    Args:
        program: What to run.
        machine: The guest's name.
        vmid: Its VM id.
        root: Its disk.
        environ: Of the unit.
        network: Where the agent finds servers.
        faults: May keep it from joining.
        threads: Run the steps of all agents.
        scale: Real seconds per second of the lab, for its retries.
        ready_delay_s: Real seconds from registering until its node is Ready.
        unit_delay_s: Real seconds from then until it says READY=1; the fault `late-ready` says another time.
    """

    def __init__(
        self, program: Program, *, machine: str, vmid: int, root: Path, environ: Mapping[str, str],
        network: Network, faults: Faults, threads: ThreadPoolExecutor, tell: Callable[[str], None],
        up: Callable[[], None], scale: float, ready_delay_s: float, unit_delay_s: float,
    ) -> None:  # fmt: skip
        self._module: Any = program.shared
        self._machine, self._vmid = machine, vmid
        self._root, self._environ, self._network, self._faults = root, environ, network, faults
        self._threads, self._tell, self._up = threads, tell, up
        self._scale, self._ready_delay_s, self._unit_delay_s = scale, ready_delay_s, unit_delay_s
        self._joined = False
        self._later: asyncio.TimerHandle | None = None

    async def run(self) -> int:
        """Run its steps until cancelled."""
        try:
            return await self._run()
        finally:
            if self._later is not None:
                self._later.cancel()

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        module = self._module
        try:
            resident = await loop.run_in_executor(self._threads, self._make, loop)
        except module.Fatal as error:
            self._tell(error.line())
            return int(error.code)
        while True:
            try:
                pause_s = await loop.run_in_executor(self._threads, resident.step)
            except module.Fatal as error:
                self._tell(error.line())
                return int(error.code)
            if pause_s and not self._joined:
                pause_s = max(pause_s * self._scale, RETRY_LEAST_S)
            elif self._joined and resident.kubelet.held():
                pause_s = min(pause_s, HELD_LOOK_S)
            await asyncio.sleep(pause_s)

    def _make(self, loop: asyncio.AbstractEventLoop) -> Any:
        module = self._module

        def up() -> None:
            self._joined = True
            loop.call_soon_threadsafe(self._up_later, loop)

        options = module.Options("agent", [], root=str(self._root), environ=self._environ)
        resident = module.Resident(options, reach=self._reach, tell=self._tell, up=up)
        resident.ready_delay_s = max(resident.ready_delay_s, self._ready_delay_s)
        resident.kubelet.held = lambda: self._struck("never-ready")
        return resident

    def _up_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send READY=1 after its delay: the unit stays `activating`, though its node is Ready."""
        fault = self._faults.strike("late-ready", machine=self._machine, vmid=self._vmid)
        after_s = float(fault.values["seconds"]) if fault is not None else self._unit_delay_s
        self._later = loop.call_later(self._ready_delay_s + after_s, self._up)

    def _reach(self, host: str, port: int) -> Any:
        if self._struck("server-unreachable"):
            raise TimeoutError("timed out")
        server = self._network.reach(host, port)
        for fault, change in _SEEN_SO.items():
            if self._struck(fault):
                return _Changed(server, change(self._module))
        return server

    def _struck(self, fault: str) -> bool:
        return self._faults.strike(fault, machine=self._machine, vmid=self._vmid) is not None


class _Changed:
    """A server as one agent sees it under a fault."""

    def __init__(self, server: Any, changes: Mapping[str, Any]) -> None:
        self._server, self._changes = server, changes

    def __getattr__(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else getattr(self._server, name)


_SEEN_SO: Mapping[str, Callable[[Any], Mapping[str, Any]]] = {
    "wrong-token": lambda _module: {"passwords": {"node": frozenset()}},
    "ca-mismatch": lambda _module: {"ca_pem": "-----BEGIN CERTIFICATE-----\nanother\n-----END CERTIFICATE-----\n"},
    "password-rejected": lambda module: {"check_node_password": lambda *_: (403, module.REJECTED)},
}
