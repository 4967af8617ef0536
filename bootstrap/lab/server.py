"""The lab's front in one object: fakepve, the gateway in front of it, the supervisor behind it.

`LabServer` is an async context manager for the daemon, and `with LabServer(...) as info:` runs it in a thread
of its own for tests that are not async.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import ssl
import tempfile
import threading
import time
from collections.abc import Coroutine
from ipaddress import IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from bootstrap.lab.delays import NONE, Delays
from bootstrap.lab.faults.active import Faults
from bootstrap.lab.front.datacenter.cluster import Cluster
from bootstrap.lab.front.datacenter.ha import Ha
from bootstrap.lab.front.datacenter.listings import Listings
from bootstrap.lab.front.datacenter.packages import Packages
from bootstrap.lab.front.datacenter.tagging import Tagging
from bootstrap.lab.front.datacenter.world import (
    HOMELAB,
    NO_RIGHTS,
    ROOT,
    Tokens,
    build_world,
    node_names,
)
from bootstrap.lab.front.gateway.access import Access
from bootstrap.lab.front.gateway.certs import Certificate, make_certificate
from bootstrap.lab.front.gateway.context import Front, measure_capacity
from bootstrap.lab.front.gateway.gateway import Gateway
from bootstrap.lab.front.gateway.passing import Passer
from bootstrap.lab.front.gateway.tasks import Tasks
from bootstrap.lab.front.ha_manager import HaManager
from bootstrap.lab.front.vms.agent import Agent
from bootstrap.lab.front.vms.config import Config
from bootstrap.lab.front.vms.containers import Containers
from bootstrap.lab.front.vms.machines import Machines
from bootstrap.lab.front.vms.power import Power
from bootstrap.lab.guests.base import GuestDriver, LabNetwork
from bootstrap.lab.options import LabError, LabInfo, LabJump, LabOptions
from bootstrap.lab.processes import process_start
from bootstrap.lab.releases.choice import K3sChoice
from bootstrap.lab.supervisor import Supervisor

PORTS_TRIED = 20
START_S = 60.0

_T = TypeVar("_T")


class LabServer:
    """The lab's front.

    Args:
        options: The lab's options.
        driver: The guest backend, prepared by the caller; None: VMs have no guests.
        network: The guests' network, shown in the info; None where they have none.
        ssh_port: Where guests' sshd listens, shown in the info.
        jump: What guests are behind, shown in the info.
        faults: The faults in force; shared with the driver of simulated guests.
        reason: Why this kind of guests, shown in the info.
        k3s: Which k3s clusters run, shown in the info.
        state_dir: Where the certificate goes; None: a temporary directory.

    Attributes:
        pve: The `FakePve`, for tests that cause faults (`pve.fail(...)`, `pve.hold_config_lock(...)`). From another
            thread use `run` for its coroutines.
        access: Permissions, for tests that separate a token's privileges or limit an ACL to its path.
    """

    def __init__(
        self,
        options: LabOptions,
        *,
        driver: GuestDriver | None = None,
        network: LabNetwork | IPv4Network | None = None,
        ssh_port: int = 22,
        jump: LabJump | None = None,
        faults: Faults | None = None,
        reason: str = "requested",
        k3s: K3sChoice | None = None,
        state_dir: Path | None = None,
    ) -> None:
        problems = options.problems()
        if problems:
            raise LabError("\n".join(problems))
        self.options = options
        self.pve, self._tokens = build_world(options)
        self.access = Access(self.pve)
        self.supervisor = Supervisor(self.pve, driver)
        self._network = network
        self._ssh_port = ssh_port
        self._jump = jump
        self.faults = faults or Faults()
        self.ha = HaManager(self.pve, self.supervisor, self.faults)
        self._reason = reason
        self._k3s = k3s or K3sChoice()
        self._state_dir = state_dir
        self._stack: contextlib.AsyncExitStack | None = None
        self._thread: _LoopThread | None = None
        self.info: LabInfo | None = None

    async def __aenter__(self) -> LabInfo:
        """Start listening; returns the lab's info.

        Raises:
            LabError: No port is free.
        """
        async with contextlib.AsyncExitStack() as stack:
            directory = self._state_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lab-")))
            names = node_names(self.options)
            certificate = make_certificate(directory, address=self.options.host, names=names)
            await self.pve.start(str(certificate.cert_file), str(certificate.key_file))
            stack.push_async_callback(self.pve.stop)
            passer = Passer(self.pve.url, root_token=f"{ROOT}={self._tokens.root}")
            await passer.open()
            stack.push_async_callback(passer.close)
            gateway = self._gateway(passer, certificate)
            port = await self._listen(gateway, certificate)
            stack.push_async_callback(gateway.stop)
            looking = asyncio.create_task(self.supervisor.run(), name="supervisor")
            stack.push_async_callback(self._stop_looking, looking)
            managing = asyncio.create_task(self.ha.run(), name="ha")
            stack.push_async_callback(self._stop_managing, managing)
            self._stack = stack.pop_all()
        self.info = self._describe(port, certificate, self._tokens)
        return self.info

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the gateway and the supervisor; the caller closes the driver."""
        if self._stack is not None:
            await self._stack.aclose()

    def __enter__(self) -> LabInfo:
        """Start in a thread of its own; returns the lab's info."""
        self._thread = _LoopThread()
        return self._thread.run(self.__aenter__(), timeout_s=START_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and end the thread."""
        if self._thread is not None:
            self._thread.run(self.__aexit__(None, None, None), timeout_s=START_S)
            self._thread.close()

    def run(self, coroutine: Coroutine[Any, Any, _T], *, timeout_s: float = 30.0) -> _T:
        """Run a coroutine in the server's thread, for tests: `server.run(server.pve.hold_config_lock(201, 5))`."""
        if self._thread is None:
            raise LabError("the server does not run in a thread")
        return self._thread.run(coroutine, timeout_s=timeout_s)

    def _gateway(self, passer: Passer, certificate: Certificate) -> Gateway:
        front = Front(
            pve=self.pve,
            passer=passer,
            supervisor=self.supervisor,
            ha=self.ha,
            capacity=measure_capacity(self.options),
            options=self.options,
            fingerprint=certificate.fingerprint,
            faults=self.faults,
            delays=lab_delays(self.options) if self.options.guests == "simulated" else Delays(NONE),
        )
        parts = (
            *(Tasks(front), Power(front), Agent(front), Config(front), Machines(front), Cluster(front)),
            *(Listings(front), Packages(front), Containers(front), Tagging(front), self.access, Ha(front)),
        )
        own = {route: handler for part in parts for route, handler in part.handlers().items()}
        version = self.options.pve_version
        return Gateway(
            pve=self.pve,
            passer=passer,
            pve_version=version,
            own=own,
            faults=self.faults,
            master=ROOT,
            before=self.ha.follow,
        )

    async def _listen(self, gateway: Gateway, certificate: Certificate) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert_file, certificate.key_file)
        first = self.options.port
        last = min(first + PORTS_TRIED - 1, 65535) if first else 0
        for port in range(first, last + 1):
            try:
                return await gateway.start(host=self.options.host, port=port, context=context)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise LabError(f"cannot listen on {self.options.host}:{port}: {error}") from error
        raise LabError(f"ports {first} to {last} of {self.options.host} are all in use")

    def _describe(self, port: int, certificate: Certificate, tokens: Tokens) -> LabInfo:
        driver, network = self.supervisor.driver, self._network
        return LabInfo(
            endpoint=f"https://{self.options.host}:{port}",
            token_id=HOMELAB,
            token_secret=tokens.homelab,
            fingerprint=certificate.fingerprint,
            kind=driver.kind if driver else "none",
            reason=self._reason,
            pve_nodes=node_names(self.options),
            pve_version=self.pve.version,
            bridge=network.bridge if isinstance(network, LabNetwork) else "",
            network=str(network.gateway.network if isinstance(network, LabNetwork) else network or ""),
            ssh_port=self._ssh_port,
            pid=os.getpid(),
            pid_start=process_start(os.getpid()) or 0,
            started_at=time.time(),
            no_rights_token=f"{NO_RIGHTS}={tokens.no_rights}",
            root_token=f"{ROOT}={tokens.root}",
            options=self.options,
            k3s=self._k3s,
            jump=self._jump,
        )

    async def _stop_looking(self, looking: asyncio.Task[None]) -> None:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await self.supervisor.close()

    async def _stop_managing(self, managing: asyncio.Task[None]) -> None:
        managing.cancel()
        await asyncio.gather(managing, return_exceptions=True)
        await self.ha.close()


def lab_delays(options: LabOptions) -> Delays:
    """The delays that a lab's options ask for."""
    return Delays(options.delays, seed=options.seed, scale=options.time_scale)


class _LoopThread:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, _T], *, timeout_s: float) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    def close(self) -> None:
        async def settle() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.get_running_loop().shutdown_asyncgens()

        self.run(settle(), timeout_s=START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        self._loop.close()
