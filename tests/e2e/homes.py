"""The whole, by commands, against the lab: real guests, a home of its own, the k3s stand-in."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from bootstrap.lab import standin_release
from bootstrap.lab.guests.base import LabNetwork
from bootstrap.lab.guests.choose import why_not
from tests.bridge import bridge
from tests.e2e.forking import Command, ForkServer

HERE = Path(__file__).parent
PROGRAM = str(Path(sys.executable).parent / "homelab-k8s")
STAND_IN = Path(standin_release.__file__)


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Home:
    """A user's home: all files the tool reads and writes are below it."""

    directory: Path

    @property
    def environ(self) -> dict[str, str]:
        home = str(self.directory)
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("PROXMOX_VE_", "HOMELAB_", "XDG_"))
        }
        kept |= {
            "HOME": home,
            "KUBECONFIG": f"{home}/kubeconfig",
            "XDG_STATE_HOME": f"{home}/state",
            "HOMELAB_K3S_ARTIFACTS": f"{home}/k3s",
            "NO_COLOR": "1",
        }
        # The template is costly: all tests share the user's cache of it.
        kept["HOMELAB_K8S_LAB_CACHE"] = os.environ.get("HOMELAB_K8S_LAB_CACHE", str(_cache()))
        return kept

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    def run(
        self,
        *arguments: str,
        timeout_s: float = 300,
        expect: int | None = 0,
        env: Mapping[str, str] | None = None,
        together: bool = False,
    ) -> Result:
        """Run `homelab-k8s` with these arguments, and with `env` besides the home's own environment.

        What it says on both streams is in `out` if they are to be together, as on a terminal.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            command = self._start(arguments, env, stdout=out.fileno(), stderr=(out if together else err).fileno())
            try:
                code = command.wait(timeout_s)
            except TimeoutError as error:
                command.send_signal(signal.SIGKILL)
                command.wait(timeout_s)  # and close what the tests after this one would be blamed for
                raise AssertionError(f"{error}; it had said:\n{_text(out)}\n{_text(err)}") from None
            result = Result(code=code, out=_text(out), err=_text(err))
        if expect is not None:
            assert result.code == expect, f"{' '.join(arguments)} exited with {result.code}\n{result.out}\n{result.err}"
        return result

    def kill(self, *arguments: str, at: str, env: Mapping[str, str] | None = None) -> None:
        """Run `homelab-k8s`, and kill it with SIGKILL as soon as it tells of what the regular expression matches."""
        reading, writing = os.pipe()
        with os.fdopen(reading, encoding="utf-8") as told:
            command = self._start((*arguments, "--progress", "plain"), env, stdout=None, stderr=writing)
            os.close(writing)
            said = []
            for text in told:
                said.append(text)
                if re.search(at, text):
                    command.send_signal(signal.SIGKILL)
                    break
            code = command.wait(60)
        assert code == -signal.SIGKILL, f"{arguments} was never at {at!r}:\n{''.join(said)}"

    def _start(
        self, arguments: Sequence[str], env: Mapping[str, str] | None, *, stdout: int | None, stderr: int
    ) -> Command:
        environ = {**self.environ, **(env or {})}
        with Path(os.devnull).open("r+b") as nothing:
            null = nothing.fileno()
            return ForkServer.of_this_process().start(
                arguments, env=environ, cwd=self.directory, stdin=null, stdout=stdout or null, stderr=stderr
            )


def _text(file: IO[bytes]) -> str:
    """What a command has said so far."""
    file.seek(0)
    return file.read().decode(errors="replace")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "homelab-k8s" / "lab"


@contextmanager
def lab_home(kind: str, *, pve_nodes: int = 1) -> Iterator[Home]:
    """A home with a lab of one kind of guests; nothing of it is left afterwards.

    Its path is short, as users' are: a guest agent's socket is below it, and paths of sockets end at 107 bytes.
    """
    reason = why_not(kind)
    if reason is not None:
        pytest.skip(reason)
    with bridge(), tempfile.TemporaryDirectory(prefix="hk8s-") as directory:
        yield from _lab_in(Path(directory), kind, pve_nodes=pve_nodes)


def _lab_in(directory: Path, kind: str, *, pve_nodes: int) -> Iterator[Home]:
    home = Home(directory)
    subprocess.run([sys.executable, str(STAND_IN), str(directory / "k3s")], check=True, capture_output=True)
    home.run("lab", "start", "--guests", kind, "--pve-nodes", str(pve_nodes), timeout_s=600)
    try:
        yield home
    finally:
        home.run("lab", "stop", timeout_s=120)
    deadline = time.monotonic() + 60
    while leftovers(home) and time.monotonic() < deadline:
        time.sleep(0.2)  # the other bridge may be gone, and its route about to go
    assert leftovers(home) == []


def leftovers(home: Home) -> list[str]:
    """What a lab might have left on this machine: its bridge, route, namespaces, mounts and files."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    # Labs share the route: while another lab has a bridge, which its alias says, it is theirs.
    own = LabNetwork().bridge
    others = [line for line in links.splitlines() if "alias homelab-k8s lab, owner" in line and own not in line]
    return leftovers_of(home, own, *(() if others else ("unreachable 198.18.0.0/15",)))


def leftovers_of(home: Home, *marks: str) -> list[str]:
    """What has the home or one of the marks in its name; a lab without a bridge leaves others their bridge."""
    marks = (*marks, str(home.directory))
    found = []
    for command in (["ip", "-o", "link"], ["ip", "netns"], ["ip", "route"], ["cat", "/proc/mounts"]):
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        found += [line for line in lines if any(mark in line for mark in marks)]
    return found + [str(path) for path in (home.directory / "state/homelab-k8s").glob("lab/*")]
