"""Runs a build's tools so that no process and no mount outlives the build."""

from __future__ import annotations

import os
import select
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from bootstrap.lab.guests.base import GuestError

TICK_S = 4.0
"""A tool that is silent for so long is reported to work still."""

# A PID namespace whose first process dies with `unshare`, which dies with the thread that started it: kill -9
# of the build ends every tool. The mount namespace keeps their mounts (mmdebstrap: proc, sys, dev) away when an
# unfinished tree is removed.
_CONTAINED = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"),
)


def run_contained(
    argv: Sequence[str],
    *,
    stdin: str = "",
    held: int | None = None,
    env: dict[str, str] | None = None,
    hear: Callable[[str], None] | None = None,
) -> None:
    """Run a build tool in namespaces of its own and wait for it.

    Args:
        argv: The tool and its arguments.
        stdin: Text it reads; short, since it is written before anything is read.
        held: File descriptor that it inherits: the lock of the cache.
        env: Variables added to this process's.
        hear: Called with each line that it prints, and with an empty one after every `TICK_S` of silence.

    Raises:
        GuestError: The tool failed; the text ends with its last lines.
    """
    last: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        [*_CONTAINED, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=() if held is None else (held,),
        env={**os.environ, "LC_ALL": "C", **(env or {})},
    ) as process:
        try:
            for line in output_lines(process, stdin):
                last.extend([line] if line else [])
                if hear is not None:
                    hear(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        said = "\n".join(last)
        raise GuestError(f"building the lab's template: {argv[0]} failed (status {process.returncode}):\n{said}")


def output_lines(process: subprocess.Popen[bytes], stdin: str) -> Iterator[str]:
    """What a process prints, line by line, and an empty line whenever it is silent."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("no pipes")
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(stdin.encode())
    output, rest = process.stdout.fileno(), b""
    while True:
        if not select.select([output], [], [], TICK_S)[0]:
            yield ""
            continue
        read = os.read(output, 1 << 16)
        *whole, rest = (rest + read).split(b"\n")
        for line in whole if read else [*whole, rest]:
            yield line.decode(errors="replace").rstrip()
        if not read:
            return
