"""Guests of any kind in a thread, and the client's own SSH adapter talking to them."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable, Coroutine
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

from bootstrap.adapters.ssh.fabric import FabricShell, FabricShells
from bootstrap.errors import ScriptError, SshUnreachableError
from bootstrap.execution.guests.scripts import parse_lines
from bootstrap.lab.guests.base import AgentSilentError, GuestDriver, GuestSpec
from bootstrap.model.ids import MachineName
from bootstrap.ports import GuestScript

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = 60) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout_s)

    def close(self) -> None:
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


def eventually(what: str, probe: Callable[[], T], *, timeout_s: float = 90.0) -> T:
    end = time.monotonic() + timeout_s
    while not (found := probe()):
        assert time.monotonic() < end, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.05)
    return found


class Guest:
    """One guest and what a client does with it."""

    def __init__(self, driver: GuestDriver, thread: LoopThread, spec: GuestSpec, *, key: Path, port: int) -> None:
        self.driver, self.thread, self.spec = driver, thread, spec
        self._shells = FabricShells(key, port=port)
        self._shell: FabricShell | None = None

    def agent(self, command: str, **arguments: Any) -> Any:
        return self.thread.run(self.driver.agent(self.spec.vmid, command, arguments))

    def address(self) -> str:
        """What the guest agent reports; "" while it reports none."""
        try:
            interfaces = self.agent("guest-network-get-interfaces")
        except AgentSilentError:
            return ""
        own: dict[str, Any] = next((one for one in interfaces if one["name"] == "eth0"), {})
        ipv4 = [one["ip-address"] for one in own.get("ip-addresses", []) if one["ip-address-type"] == "ipv4"]
        return ipv4[0] if ipv4 else ""

    def host_key(self) -> str:
        handle = self.agent("guest-file-open", path="/etc/ssh/ssh_host_ed25519_key.pub", mode="r")
        text = base64.b64decode(self.agent("guest-file-read", handle=handle, count=4096)["buf-b64"]).decode()
        self.agent("guest-file-close", handle=handle)
        return " ".join(text.split()[:2])

    def connect(self, *, user: str = "tester", host_key: str | None = None) -> FabricShell:
        address = IPv4Address(self.address())
        return self._shells.connect(MachineName(self.spec.name), address, user=user, host_key=host_key, timeout_s=10)

    @property
    def shell(self) -> FabricShell:
        """The connection, made when first needed; waits until the guest lets us in."""
        if self._shell is None:
            eventually("an address", self.address, timeout_s=60)
            self._shell = eventually("a login", self._try)
            assert self._shell is not None
        return self._shell

    def _try(self) -> FabricShell | None:
        try:
            return self.connect()
        except SshUnreachableError:
            return None

    def run(self, script: str, *, secret_files: dict[str, str] | None = None, **env: str) -> dict[str, str]:
        """What a script printed, by key."""
        return {key: values[0] for key, values in parse_lines(self.text(script, secret_files, **env)).items()}

    def text(self, script: str, secret_files: dict[str, str] | None = None, **env: str) -> str:
        files = tuple((secret_files or {}).items())
        call = GuestScript(name=script, env=tuple(env.items()), secret_files=files)
        return self.shell.run(call, timeout_s=30)

    def refusal(self, script: str, *, secret_files: dict[str, str] | None = None, **env: str) -> tuple[int, str]:
        """Status and words of a script that fails."""
        try:
            self.text(script, secret_files, **env)
        except ScriptError as error:
            return error.status, error.details
        raise AssertionError(f"{script} did not fail")

    def reconnect(self) -> None:
        """Log in again."""
        self.close()
        self._shell = None

    def close(self) -> None:
        if self._shell is not None:
            self._shell.close()


class Guests:
    """The guests of one test."""

    def __init__(self, driver: GuestDriver, thread: LoopThread, *, key: Path, port: int,
                 make_spec: Callable[[int], GuestSpec]) -> None:  # fmt: skip
        self.driver, self.thread, self.key, self.port, self._make_spec = driver, thread, key, port, make_spec
        self.all: list[Guest] = []

    def start(self, vmid: int) -> Guest:
        spec = self._make_spec(vmid)
        self.thread.run(self.driver.clone(vmid))
        self.thread.run(self.driver.start(spec))
        guest = Guest(self.driver, self.thread, spec, key=self.key, port=self.port)
        self.all.append(guest)
        return guest

    def close(self) -> None:
        for guest in self.all:
            guest.close()
        self.thread.run(self.driver.close())
