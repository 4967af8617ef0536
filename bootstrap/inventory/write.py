"""A new inventory file, as text: the choices, their reasons, and alternatives. Pure.

It is rendered and not dumped: a dump would have no comments, which hold the reasons.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from bootstrap.inventory.answers import Connection
from bootstrap.inventory.env_and_flags import ENV_TOKEN
from bootstrap.model.cluster import ClusterSpec, TemplateRef
from bootstrap.model.machine import NodePool

SCHEMA_FILE: Final = "homelab-k8s.schema.json"
"""Beside the inventory, for editors."""

Remarks = Mapping[str, tuple[str, ...]]
"""Sentences by the key they are about: `file`, `tls`, `nodes`, `storage`, `vmids`, `template`, `bridge`,
`control_plane`, `workers`."""

_WIDTH: Final = 100
_PLAIN: Final = re.compile(r"(?:https://[A-Za-z0-9.-]+:[0-9]+)|(?:~?/)?[A-Za-z][A-Za-z0-9_./@!-]*")
_GUESSED: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that YAML 1.1 does not read as text."""


def render_inventory(spec: ClusterSpec, connection: Connection, *, remarks: Remarks) -> str:
    """The file of a cluster with one pool of workers.

    Args:
        spec: The choices: name, template, storage, resource pool, bridge, VMIDs, and the two pools' sizes. Its other
            values are the defaults, and not written.
        connection: How Proxmox VE is reached.
        remarks: The choices and their reasons, for comments.

    Returns:
        Text that `load_inventory` takes, ending in a newline.
    """
    return "\n".join(_lines(spec, connection, remarks)) + "\n"


def _lines(spec: ClusterSpec, connection: Connection, remarks: Remarks) -> Iterator[str]:
    yield f"# yaml-language-server: $schema={SCHEMA_FILE}"
    yield "#"
    yield from _comment(remarks.get("file", ()))
    yield f"cluster: {_text(spec.name)}"
    yield ""
    yield from _proxmox(spec, connection, remarks)
    yield ""
    yield from _comment(remarks.get("template", ()))
    yield f"template: {_template(spec.template)}"
    yield ""
    yield from _comment(remarks.get("bridge", ()))
    if spec.network.bridge is not None:
        yield "network:"
        yield f"  bridge: {_text(spec.network.bridge)}"
    else:
        yield "# network:"
        yield "#   bridge: vmbr0"
    yield ""
    yield from _comment(remarks.get("control_plane", ()))
    yield "control_plane:"
    yield from _pool(spec.control_plane)
    yield "  # vip: 192.168.1.40 # a virtual IP for the API, which moves to a healthy server"
    for pool in spec.workers:
        yield ""
        yield from _comment(remarks.get("workers", ()))
        yield "workers:"
        yield from _pool(pool)


def _proxmox(spec: ClusterSpec, connection: Connection, remarks: Remarks) -> Iterator[str]:
    yield "proxmox:"
    yield f"  endpoint: {_text(connection.endpoint)}"
    if connection.token_id is not None:
        yield f"  token_id: {_text(connection.token_id)}"
    yield "  # Where the token is. Its secret never stands in this file."
    yield "  token:"
    if connection.token_file is not None:
        yield f"    file: {_text(str(connection.token_file))}"
    else:
        yield f"    env: {_text(connection.token_env or ENV_TOKEN)}"
    yield from _comment(remarks.get("tls", ()), indent="  ")
    if connection.tls.fingerprint is not None:
        yield "  tls:"
        yield f"    fingerprint: {_text(connection.tls.fingerprint)}"
    yield from _comment(remarks.get("nodes", ()), indent="  ")
    yield from _comment(remarks.get("storage", ()), indent="  ")
    if spec.placement.storage is not None:
        yield f"  storage: {_text(spec.placement.storage)}"
    if spec.placement.resource_pool is not None:
        yield f"  pool: {_text(spec.placement.resource_pool)}"
    yield from _comment(remarks.get("vmids", ()), indent="  ")
    yield f"  vmids: {spec.placement.vmids.first}-{spec.placement.vmids.last}"


def _pool(pool: NodePool) -> Iterator[str]:
    memory = f"{pool.memory_mib // 1024}GiB" if pool.memory_mib % 1024 == 0 else f"{pool.memory_mib}MiB"
    yield f"  count: {pool.count}"
    yield f"  cores: {pool.cores}"
    yield f"  memory: {memory}"
    yield f"  disk: {pool.disk_gib}GiB"


def _template(template: TemplateRef) -> str:
    if template.vmid is not None:
        return f"{{vmid: {template.vmid}}}"
    if template.image is not None:
        return f"{{image: {_text(template.image)}}}"
    return f"{{tag: {_text(template.tag)}}}" if template.tag is not None else _text(template.name or "")


def _text(text: str) -> str:
    """A text in YAML: quoted where it could be read as another type."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _GUESSED
    return text if plain else f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08X}"


def _comment(sentences: Iterable[str], *, indent: str = "") -> Iterator[str]:
    """Sentences as comment lines; line breaks in them become blanks, or the rest would be YAML."""
    for sentence in sentences:
        words = " ".join("".join(each if each.isprintable() else " " for each in sentence).split())
        yield from textwrap.wrap(
            words,
            width=_WIDTH,
            initial_indent=f"{indent}# ",
            subsequent_indent=f"{indent}# ",
            break_long_words=False,
            break_on_hyphens=False,
        )
