"""The program's name and version, and comparison of versions."""

from __future__ import annotations

import os

from .built import VERSION
from .logs import Fatal
from .shapes import Obj

COMMIT = "standin0"
WHAT_THIS_IS = "k3s stand-in (tests double)"


def version_info() -> Obj:
    major, minor = VERSION.lstrip("v").split(".")[:2]
    return {"major": major, "minor": minor, "gitVersion": VERSION, "gitCommit": COMMIT, "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": WHAT_THIS_IS,
            "platform": f"linux/{go_arch()}"}  # fmt: skip


def go_arch() -> str:
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def minor_of(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.lstrip("v").split(".")[:2])


def refuse_downgrade(written_by: str, what: str) -> None:
    """Refuse data of a newer minor version. The text is the stand-in's own."""
    if written_by and minor_of(written_by) > minor_of(VERSION):
        raise Fatal(
            f"starting kubernetes: preparing server: start managed database: {what} was written by {written_by}, "
            f"which {VERSION} cannot read: going back needs a snapshot that was taken on that minor version"
        )
