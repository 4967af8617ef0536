#!/usr/bin/env python3
"""Runs `make demo` and the tests that need no lab on another Debian release, in a root tree with what README asks for.

    .ci/other_debian.py           trixie on bookworm, bookworm on trixie
    .ci/other_debian.py SUITE     that one

What this machine happens to have hides nothing there. The tree, its processes, cgroups and network are gone afterwards;
the lab's cache is shared, so that the guests' template is built once. Needs root; without, it says so and does nothing.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bootstrap.lab.guests.base import GuestError  # noqa: E402
from bootstrap.lab.guests.choose import why_not  # noqa: E402
from bootstrap.lab.guests.host.cgroups import LabCgroups  # noqa: E402
from bootstrap.lab.guests.host.inotify import InotifyLimit  # noqa: E402
from bootstrap.lab.template.cache import cache_dir  # noqa: E402
from bootstrap.lab.template.sources import apt_settings, debian_sources, debian_suite  # noqa: E402

OTHER = {"bookworm": "trixie", "trixie": "bookworm"}
CONTAINED = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
"""A killed run leaves no process and no mount (bootstrap/lab/template/contain.py)."""
KEPT = re.compile(r"PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|CERT|DEFAULT_TIMEOUT)|(https?|no)_proxy", re.IGNORECASE)
"""Of the environment: how this machine reaches the index."""


def main(argv: list[str]) -> int:
    """Build the tree, run all in it, remove it."""
    here = debian_suite_or_none()
    suite = argv[0] if argv else OTHER.get(here or "", "")
    reason = why_not("container") or ("" if here and suite else "this is neither Debian 12 nor 13")
    if reason:
        say(f"not tried on another Debian: {reason}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was begun is ended and removed
    began = time.monotonic()
    sources = debian_sources(here or "").replace(here or "", suite)
    own = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="homelab-k8s-debian-") as work:
        (Path(work) / "sources").write_text(sources)
        (Path(work) / "apt.conf").write_text(apt_settings())
        (Path(work) / "environment").write_text("".join(f"{name}={value}\n" for name, value in own.items()))
        cache_dir().mkdir(parents=True, exist_ok=True)
        cgroups, limit = LabCgroups(Path(work).name), InotifyLimit()
        groups = cgroups.make_with_controllers("all")
        limit.hold(Path(work))
        try:
            done = subprocess.run(
                [
                    *CONTAINED,
                    str(ROOT / ".ci/other-debian-inside"),
                    "all",
                    suite,
                    work,
                    str(cache_dir()),
                    *map(str, groups),
                ],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        finally:
            cgroups.remove_all()
            limit.release(Path(work))
    say(f"Debian {suite}: {'holds' if done.returncode == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s")
    return done.returncode


def debian_suite_or_none() -> str | None:
    """This machine's Debian release, if it is one."""
    try:
        return debian_suite()
    except (GuestError, OSError):
        return None


def say(line: str) -> None:
    """One line for whoever looks on."""
    sys.stderr.write(f"== {line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
