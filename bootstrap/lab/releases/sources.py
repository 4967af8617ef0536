"""Finds sources of k3s: reads directories, tests whether releases can be reached, makes the stand-in."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from bootstrap.lab.options import LabError
from bootstrap.lab.releases.choice import K3sRequest, Sources
from bootstrap.lab.standin_release import make_artifacts

REACH_S = 5.0


def find_sources(request: K3sRequest, *, kind: str, lacks: Sequence[str], stand_in: Path) -> Sources:
    """Find the possible sources of k3s. Blocks, for a few seconds if the internet does not answer.

    Args:
        request: The client's request.
        kind: Kind of guests.
        lacks: What keeps a real k3s from running in them; if anything, releases are not tested.
        stand_in: Directory for the stand-in.
    """
    look = request.channel and not request.artifacts and not lacks and kind not in ("none", "simulated")
    return Sources(
        asked=request.artifacts,
        asked_is_stand_in=bool(request.artifacts) and is_stand_in(Path(request.artifacts)),
        unreachable=_why_unreachable(request.channel) if look else "not looked for",
        stand_in=str(stand_in),
    )


def make_stand_in(directory: Path) -> None:
    """Make the stand-in's artifact directory. Blocks for a moment.

    Raises:
        LabError: It cannot be made.
    """
    try:
        make_artifacts(directory)
    except OSError as error:
        raise LabError(f"the k3s stand-in cannot be made in {directory}\n{error}") from error


def is_stand_in(artifacts: Path) -> bool:
    """Whether an artifact directory (of one release, or of several) holds the stand-in: a script, where k3s is ELF."""
    binaries = [path for name in ("k3s", "k3s-arm64", "*/k3s", "*/k3s-arm64") for path in artifacts.glob(name)]
    return any(path.is_file() and _magic(path) != b"\x7fELF" for path in binaries)


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _why_unreachable(url: str) -> str:
    """Why the URL cannot be reached; empty if it answers. A channel's answer redirects to the releases."""
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the product's own address
    try:
        with urllib.request.urlopen(request, timeout=REACH_S):  # noqa: S310
            return ""
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except urllib.error.URLError as error:
        said = error.reason.strerror if isinstance(error.reason, OSError) else None
        return said or str(error.reason)
    except TimeoutError:
        return "timed out"
