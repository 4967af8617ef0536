"""The template's root file system, from Debian's packages."""

from __future__ import annotations

import platform
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bootstrap.lab.template.cache import building, cache_dir, locked
from bootstrap.lab.template.contain import TICK_S, run_contained
from bootstrap.lab.template.layers import DATA, apply_layer, read_list, recipe_hash
from bootstrap.lab.template.sources import apt_settings, debian_sources, debian_suite

RECIPE = ("packages.txt", "mmdebstrap-options.txt", "common")
"""The parts of the recipe the root file system depends on."""


def silent(_: str) -> None:
    """Print nothing: the default listener of a build."""


def ensure_root(say: Callable[[str], None] = silent) -> Path:
    """The template's root file system, built first when the cache has none of this recipe. Blocks.

    Args:
        say: Told in a few lines what is going on.

    Raises:
        GuestError: It cannot be built; the text has the failing tool's words.
    """
    suite = debian_suite()
    cache = cache_dir()
    target = _target(cache, suite)
    if target.is_dir():
        return target
    with locked(cache) as lock:
        if target.is_dir():  # another process has built it during the wait
            return target
        began = time.monotonic()
        say(f"building the guests' root file system from Debian {suite} (a minute or two)")
        with building(cache, target) as root:
            _bootstrap(root, suite=suite, lock=lock, say=say)
            apply_layer("common", root=root)
            _forget_identity(root)
        say(f"root file system built in {time.monotonic() - began:.0f} s: {target}")
    return target


def cached_root() -> Path | None:
    """The template's root file system where the cache has it."""
    target = _target(cache_dir(), debian_suite())
    return target if target.is_dir() else None


def _target(cache: Path, suite: str) -> Path:
    return cache / f"root-{suite}-{recipe_hash(*RECIPE, also=f'{suite} {platform.machine()}')}"


class Phases:
    """Turns mmdebstrap's output into a line for each of its phases, and for every few seconds of one.

    Args:
        say: Takes the lines.
        now_s: Seconds of a monotonic clock.
    """

    def __init__(self, say: Callable[[str], None], now_s: Callable[[], float] = time.monotonic) -> None:
        self._say, self._now_s = say, now_s
        self._phase = ""
        self._began_s = self._said_s = now_s()

    def __call__(self, line: str) -> None:
        """Take a line, or an empty one for silence."""
        now_s = self._now_s()
        found = re.fullmatch(r"I: ((?!finding|reading)\w+ing .+)[.]{3}", line)
        if found:
            self._phase = found[1]
            self._tell(f"template: {self._phase}", now_s)
        elif self._phase and now_s - self._said_s >= TICK_S:
            self._tell(f"template: {self._phase} ({now_s - self._began_s:.0f} s so far)", now_s)

    def _tell(self, line: str, now_s: float) -> None:
        self._said_s = now_s
        self._say(line)


def _bootstrap(root: Path, *, suite: str, lock: int, say: Callable[[str], None]) -> None:
    packages = ",".join(read_list(DATA / "packages.txt"))
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
        settings.write(apt_settings())
        settings.flush()
        run_contained(
            [
                "mmdebstrap",
                *read_list(DATA / "mmdebstrap-options.txt"),
                f"--aptopt={settings.name}",
                f"--include={packages}",
                suite,
                str(root),
                "-",
            ],
            stdin=debian_sources(suite),
            held=lock,
            hear=Phases(say),
        )


def _forget_identity(root: Path) -> None:
    """Remove what must differ between guests, and what belongs to this machine."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for name in ("etc/hostname", "etc/resolv.conf", "etc/apt/sources.list", "var/lib/dbus/machine-id"):
        (root / name).unlink(missing_ok=True)
    for settings in (root / "etc/apt/apt.conf.d").glob("99mmdebstrap"):
        settings.unlink()
    (root / "etc/machine-id").write_bytes(b"")  # empty: systemd makes one at boot (machine-id(5))
    root.chmod(0o755)  # a guest's root directory is open to its users
