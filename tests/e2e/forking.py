"""Runs commands of the program in forks of one process that has imported all of it.

An import takes most of the time of a short command, and tests run hundreds of them. `tests/cli/test_process.py` and
`tests/lab/simulated/test_whole.py` start the program itself.

    command = ForkServer.of_this_process().start(["status"], env=environ, cwd=home, stdin=0, stdout=1, stderr=2)
    code = command.wait(timeout_s=60)
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import bootstrap

ROOT = Path(__file__).parents[2]
CLIENTS = (
    *("fabric", "kubernetes.client.api.core_v1_api", "kubernetes.client.api.coordination_v1_api"),
    *("kubernetes.client.api.policy_v1_api", "kubernetes.client.api.custom_objects_api"),
)
"""What the program imports of clients where it uses them; forks have it from their parent."""
VIEWS = ("rich.live", "rich.table")
LAB = ("bootstrap.lab.control", "bootstrap.lab.releases.choice", "bootstrap.lab.options")
"""What the client needs of the lab."""
_MOST_BYTES = 1 << 20


class Command:
    """A command that runs, or has run."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("r", encoding="ascii")
        self.pid = int(self._lines.readline())
        self._code: int | None = None

    def wait(self, timeout_s: float | None = None) -> int:
        """Its exit code; minus a signal's number where that has ended it. Raises TimeoutError."""
        if self._code is None:
            if not select.select([self._connection], [], [], timeout_s)[0]:
                raise TimeoutError(f"process {self.pid} runs for more than {timeout_s:g} s")
            self._code = int(self._lines.readline())
            self._lines.close()
            self._connection.close()
        return self._code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class ForkServer:
    """The process that forks."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asking, self._guard = ours, threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.forking", str(theirs.fileno())], cwd=ROOT, pass_fds=[theirs.fileno()]
        )
        theirs.close()
        atexit.register(self._end)

    @staticmethod
    @cache
    def of_this_process() -> ForkServer:
        """The one that all tests of a process share; it ends with the process."""
        return ForkServer()

    def start(
        self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdin: int, stdout: int, stderr: int
    ) -> Command:
        """Start `homelab-k8s` with these arguments and files."""
        ours, theirs = socket.socketpair()
        asked = json.dumps({"arguments": list(arguments), "env": dict(env), "cwd": str(cwd)}).encode()
        with self._guard:
            socket.send_fds(self._asking, [asked], [stdin, stdout, stderr, theirs.fileno()])
        theirs.close()
        return Command(ours)

    def _end(self) -> None:
        self._asking.close()
        self._process.wait(10)


def _serve(asking: socket.socket) -> None:
    """Fork for each request, and tell how each fork ended, until nobody can ask any more."""
    running: dict[int, socket.socket] = {}
    while True:
        if select.select([asking], [], [], 0.01 if running else None)[0]:
            asked, files, _, _ = socket.recv_fds(asking, _MOST_BYTES, 4)
            if not asked:
                return
            connection = socket.socket(fileno=files.pop())
            pid = os.fork()
            if pid == 0:
                for each in (asking, connection, *running.values()):
                    each.close()
                _run(json.loads(asked), files)
            for file in files:
                os.close(file)
            connection.sendall(b"%d\n" % pid)
            running[pid] = connection
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            with running.pop(pid) as connection, contextlib.suppress(BrokenPipeError):
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _run(asked: dict[str, object], files: list[int]) -> NoReturn:
    """In the fork: be the program, with its own files and environment; end as an interpreter ends."""
    from bootstrap.cli.main import main

    code = 70
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(str(asked["cwd"]))
        os.environ.clear()
        os.environ.update(asked["env"])  # type: ignore[call-overload]
        time.tzset()
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, buffering=buffering, encoding="utf-8", closefd=False)  # noqa: SIM115 - until the end
            for number, (mode, buffering) in enumerate((("r", -1), ("w", -1), ("w", 1)))
        )
        sys.argv = ["homelab-k8s", *asked["arguments"]]  # type: ignore[misc]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        except BaseException:  # noqa: BLE001 - shown as the interpreter shows it, which this fork must not go back to
            sys.excepthook(*sys.exc_info())
            code = 1
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    finally:
        os._exit(code)


def _import_all() -> None:
    for found in pkgutil.walk_packages(bootstrap.__path__, "bootstrap."):
        if not found.name.startswith("bootstrap.lab.") or found.name in LAB:
            import_module(found.name)
    for name in (*CLIENTS, *VIEWS):
        import_module(name)


if __name__ == "__main__":
    _import_all()
    _serve(socket.socket(fileno=int(sys.argv[1])))
