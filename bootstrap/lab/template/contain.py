"""Runs a build's tools so that no process and no mount outlives the build."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from bootstrap.lab.guests.base import GuestError

# A PID namespace whose first process dies with `unshare`, which dies with the thread that started it: kill -9
# of the build ends every tool. The mount namespace keeps their mounts (mmdebstrap: proc, sys, dev) away when an
# unfinished tree is removed.
_CONTAINED = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"),
)


def run_contained(
    argv: Sequence[str], *, stdin: str = "", held: int | None = None, env: dict[str, str] | None = None
) -> None:
    """Run a build tool in namespaces of its own and wait for it.

    Args:
        argv: The tool and its arguments.
        stdin: Text it reads.
        held: File descriptor that it inherits: the lock of the cache.
        env: Variables added to this process's.

    Raises:
        GuestError: The tool failed; the text ends with its last lines.
    """
    done = subprocess.run(
        [*_CONTAINED, *argv],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        pass_fds=() if held is None else (held,),
        env={**os.environ, "LC_ALL": "C", **(env or {})},
    )
    if done.returncode != 0:
        said = "\n".join(done.stdout.strip().splitlines()[-20:])
        raise GuestError(f"building the lab's template: {argv[0]} failed (status {done.returncode}):\n{said}")
