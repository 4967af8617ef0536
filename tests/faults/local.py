"""Faults beside the lab: of the k3s release, on the user's side. Each changes the spec until it is undone."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bootstrap.lab.standin_release import DEFAULT_VERSION
from bootstrap.model.cluster import ClusterSpec, K3sSpec

Undo = Callable[[], None]
Cause = Callable[[ClusterSpec, Path, Mapping[str, Any]], tuple[ClusterSpec, Undo]]
"""Given the spec, the artifact directory and the entry's parameters: the spec to run with, and how to undo the rest."""


def _damaged(spec: ClusterSpec, artifacts: Path, values: Mapping[str, Any]) -> tuple[ClusterSpec, Undo]:
    """A file of the artifact directory is not what the checksum list says."""
    path = artifacts / str(values["file"])
    before = path.read_bytes()
    path.write_bytes(before + b"#")
    return spec, lambda: _write(path, before)


def _missing(spec: ClusterSpec, artifacts: Path, values: Mapping[str, Any]) -> tuple[ClusterSpec, Undo]:
    """Files of the artifact directory are not there."""
    before = {path: path.read_bytes() for path in artifacts.glob(str(values["file"]))}
    for path in before:
        path.unlink()

    def undo() -> None:
        for path, content in before.items():
            _write(path, content)

    return spec, undo


def _write(path: Path, content: bytes) -> None:
    executable = path.suffix == ""
    path.write_bytes(content)
    path.chmod(0o755 if executable else 0o644)


def _release_server_off(spec: ClusterSpec, _artifacts: Path, values: Mapping[str, Any]) -> tuple[ClusterSpec, Undo]:
    """Releases and channels are asked for at a port where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    version = DEFAULT_VERSION if values.get("version", True) else None
    return replace(spec, k3s=K3sSpec(version=version, releases_url=url, channels_url=url)), lambda: None


LOCAL: Mapping[str, Cause] = {
    "artifact-damaged": _damaged,
    "artifact-missing": _missing,
    "release-server-off": _release_server_off,
}
"""By the word an entry uses."""
