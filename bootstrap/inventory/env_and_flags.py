"""Values from outside the file: environment variables fill its gaps, command-line flags replace its values.

Both are put into the tree before it is read, so that one reader checks everything; their scalars carry the variable's
or the flag's name, which problems show.
"""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from bootstrap.inventory.document import Mapping, Node, Scalar
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.section import Short
from bootstrap.model.access.endpoint import PveEndpoint

ENV_ENDPOINT: Final = "PROXMOX_VE_ENDPOINT"
ENV_TOKEN: Final = "PROXMOX_VE_API_TOKEN"  # noqa: S105 - the variable's name, not a token
ENV_INSECURE: Final = "PROXMOX_VE_INSECURE"
ENV_FINGERPRINT: Final = "PROXMOX_VE_FINGERPRINT"
ENV_ARTIFACTS: Final = ("HOMELAB_K3S_ARTIFACTS", "HOMELAB_K8S_K3S_ARTIFACTS")
"""The first is documented; users guess the second from the tool's name."""

_TLS: Final = ("proxmox", "tls")


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Values from command-line flags; None where the flag was not given.

    Texts are as in the file (`worker_memory="4GiB"`), numbers are numbers. Problems name the flag: `--worker-cores` for
    `worker_cores`.

    Attributes:
        template: A template's name, its vmid in digits, `tag:NAME` or `image:NAME`.
        template_build: `auto` or `never`.
        pool: A Proxmox resource pool.
        endpoint: A ready endpoint (the lab's), which replaces those of inventory and environment.
    """

    cluster: str | None = None
    workers: int | None = None
    worker_cores: int | None = None
    worker_memory: str | None = None
    worker_disk: str | None = None
    control_planes: int | None = None
    control_plane_cores: int | None = None
    control_plane_memory: str | None = None
    control_plane_disk: str | None = None
    template: str | None = None
    template_build: str | None = None
    clone: str | None = None
    storage: str | None = None
    pool: str | None = None
    vmids: str | None = None
    bridge: str | None = None
    ssh_user: str | None = None
    ssh_key: Path | None = None
    k3s_version: str | None = None
    k3s_channel: str | None = None
    k3s_artifacts: Path | None = None
    endpoint: PveEndpoint | None = None


NO_OVERRIDES: Final = Overrides()

_PATHS: Final[dict[str, tuple[str, ...]]] = {
    "cluster": ("cluster",),
    "workers": ("workers", "count"),
    "worker_cores": ("workers", "cores"),
    "worker_memory": ("workers", "memory"),
    "worker_disk": ("workers", "disk"),
    "control_planes": ("control_plane", "count"),
    "control_plane_cores": ("control_plane", "cores"),
    "control_plane_memory": ("control_plane", "memory"),
    "control_plane_disk": ("control_plane", "disk"),
    "template_build": ("template", "build"),
    "clone": ("clone",),
    "storage": ("proxmox", "storage"),
    "pool": ("proxmox", "pool"),
    "vmids": ("proxmox", "vmids"),
    "bridge": ("network", "bridge"),
    "ssh_user": ("ssh", "user"),
    "ssh_key": ("ssh", "private_key"),
    "k3s_version": ("k3s", "version"),
    "k3s_channel": ("k3s", "channel"),
    "k3s_artifacts": ("k3s", "artifacts"),
}
_GIVES_WAY: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "k3s_version": (("k3s", "channel"),),
    "k3s_channel": (("k3s", "version"), ("k3s", "artifacts")),
    "k3s_artifacts": (("k3s", "channel"),),
}
"""Keys of the file that a flag drops, since they contradict it."""


_SHORT: Final = {key.name: key.kind for key in Root.keys.values() if isinstance(key.kind, Short)}
"""Sections that may be written as one value."""


def flag_of(name: str) -> str:
    """The flag of a field of `Overrides`: `worker_cores` -> `--worker-cores`."""
    return "--" + name.replace("_", "-")


def apply_overrides(root: Mapping, overrides: Overrides, problems: Problems) -> Mapping:
    """The tree with what the flags say."""
    given = {each.name: value for each in fields(overrides) if (value := getattr(overrides, each.name)) is not None}
    _check_workers_exist(root, given, problems)
    for name in given:
        for path in _GIVES_WAY.get(name, ()):
            root = _drop(root, path)
    if overrides.template is not None:
        root = _put(root, ("template",), _template(overrides.template))
    for name, value in given.items():
        if name in _PATHS:
            text = str(value.absolute()) if isinstance(value, Path) else str(value)
            root = _put(root, _PATHS[name], Scalar(text=text, origin=flag_of(name)))
    return root


def apply_environment(root: Mapping, environ: Map[str, str], *, with_endpoint: bool) -> Mapping:
    """The tree with gaps filled from environment variables; an empty variable counts as missing.

    Args:
        root: The file's tree.
        environ: The process's environment.
        with_endpoint: Whether variables about the Proxmox VE API count. The token is not among them here: it never
            enters the tree.
    """
    artifacts = next((name for name in ENV_ARTIFACTS if environ.get(name)), None)
    if artifacts and not _has(root, ("k3s", "artifacts")):
        text = str(Path(environ[artifacts]).absolute())
        root = _put(root, ("k3s", "artifacts"), Scalar(text=text, origin=artifacts))
    return _with_endpoint(root, environ) if with_endpoint else root


def _with_endpoint(root: Mapping, environ: Map[str, str]) -> Mapping:
    """The tree with its gaps about the Proxmox VE API filled."""
    if environ.get(ENV_ENDPOINT) and not _has(root, ("proxmox", "endpoint")):
        root = _put(root, ("proxmox", "endpoint"), Scalar(text=unquoted(environ[ENV_ENDPOINT]), origin=ENV_ENDPOINT))
    if _has(root, _TLS):
        return root
    if environ.get(ENV_FINGERPRINT):
        text = unquoted(environ[ENV_FINGERPRINT])
        root = _put(root, (*_TLS, "fingerprint"), Scalar(text=text, origin=ENV_FINGERPRINT))
    insecure = _boolean(environ.get(ENV_INSECURE, ""))
    if insecure != "false":
        root = _put(root, (*_TLS, "insecure"), Scalar(text=insecure, origin=ENV_INSECURE))
    return root


def unquoted(text: str) -> str:
    """A value without the spaces and quotes around it that some readers of .env files leave."""
    return text.strip().strip("\"'").strip()


def _boolean(text: str) -> str:
    """`true` or `false` for the spellings of PROXMOX_VE_INSECURE in other tools; any other text unchanged."""
    word = text.strip().lower()
    if word in ("", "0", "false", "no", "off"):
        return "false"
    return "true" if word in ("1", "true", "yes", "on") else text


def _template(text: str) -> Mapping:
    kind, colon, rest = text.partition(":")
    if colon and kind in ("tag", "image"):
        name, text = kind, rest
    else:
        name = "vmid" if text.isascii() and text.isdigit() else "name"
    return Mapping(entries={name: Scalar(text=text, origin="--template")}, lines={name: None})


def _check_workers_exist(root: Mapping, given: Map[str, object], problems: Problems) -> None:
    if "pools" not in root.entries or "workers" in root.entries or "workers" in given:
        return
    for name in given:
        if name.startswith("worker_"):
            where = Where(path=flag_of(name))
            problems.add(where, "the inventory has no pool 'workers'", "change the pools in the file, or add --workers")


def _has(root: Mapping, path: tuple[str, ...]) -> bool:
    node: Node = root
    for name in path:
        if not isinstance(node, Mapping) or name not in node.entries:
            return False
        node = node.entries[name]
    return True


def _put(root: Mapping, path: tuple[str, ...], node: Node) -> Mapping:
    """The tree with a node in it; unchanged where a wrong value is in the way, which the reader reports."""
    name, *rest = path
    if rest:
        below = root.entries.get(name, Mapping())
        if name in _SHORT:
            below = _SHORT[name].expand(below)
        if not isinstance(below, Mapping):
            return root
        node = _put(below, tuple(rest), node)
    return Mapping(entries={**root.entries, name: node}, lines={name: None, **root.lines}, line=root.line)


def _drop(root: Mapping, path: tuple[str, ...]) -> Mapping:
    name, *rest = path
    entries = dict(root.entries)
    if not rest:
        entries.pop(name, None)
    elif isinstance(below := entries.get(name), Mapping):
        entries[name] = _drop(below, tuple(rest))
    return Mapping(entries=entries, lines=root.lines, line=root.line)
