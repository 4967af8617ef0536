"""Answers of a dialogue, read as values of an inventory: the same reader for files and answers."""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bootstrap.errors import UsageError
from bootstrap.inventory.document import Mapping, Node, Scalar
from bootstrap.inventory.env_and_flags import Overrides, apply_overrides
from bootstrap.inventory.files import Places
from bootstrap.inventory.keys.k3s import K3sKeys
from bootstrap.inventory.keys.proxmox import ProxmoxKeys
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.secret import read_token
from bootstrap.inventory.values.section import Key, Section
from bootstrap.model.access.endpoint import PveEndpoint, TlsSpec
from bootstrap.model.cluster import TemplateRef
from bootstrap.model.ids import Vmid

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How Proxmox VE is reached, as in an inventory: with the place of the token's secret, never the secret.

    Attributes:
        endpoint: As typed; the file gets it with its port.
        token_id: `user@realm!name`, or None where the secret's place has it, too.
        token_env: Environment variable with the token; without this and without a file the default one.
        token_file: File with the token.
        tls: How the certificate is checked.
    """

    endpoint: str
    token_id: str | None = None
    token_env: str | None = None
    token_file: Path | None = None
    tls: TlsSpec = field(default_factory=TlsSpec)


def read_connection(connection: Connection, *, base: Path, environ: Map[str, str]) -> PveEndpoint:
    """The endpoint with its token.

    Args:
        connection: The answers.
        base: For a relative path of the token's file.
        environ: Has the token, if no file does.

    Raises:
        UsageError: With every problem, each under its flag.
    """
    problems = Problems()
    token = _given({"env": ("--token-env", connection.token_env), "file": ("--token-file", connection.token_file)})
    tls = _given({"fingerprint": ("--fingerprint", connection.tls.fingerprint)})
    said = _given({"endpoint": ("--endpoint", connection.endpoint), "token_id": ("--token-id", connection.token_id)})
    sections: dict[str, Node] = {name: node for name, node in (("token", token), ("tls", tls)) if node.entries}
    places = Places(base=base, environ=environ)
    values = ProxmoxKeys.read(Mapping(entries={**said.entries, **sections}), Where(path="proxmox"), problems)
    found = read_token(values, places, problems) if values is not None else None
    values = _whole(values, problems)
    if found is None:
        raise UsageError("there is no API token")
    return values.make_endpoint(found, places)


def parse_endpoint(text: str) -> str:
    """An endpoint with its port. Raises UsageError."""
    return _checked(ProxmoxKeys, ProxmoxKeys.endpoint, text, flag="--endpoint").sure(ProxmoxKeys.endpoint)


def parse_token_id(text: str) -> str:
    """A token's id, `user@realm!name`. Raises UsageError."""
    _checked(ProxmoxKeys, ProxmoxKeys.token_id, text, flag="--token-id")
    return text


def parse_channel(text: str, *, flag: str) -> str:
    """A k3s release channel. Raises UsageError, which names the existing ones."""
    _checked(K3sKeys, K3sKeys.channel, text, flag=flag)
    return text


def check_answers(answers: Overrides) -> Root:
    """The answers as an inventory's values.

    Raises:
        UsageError: With every problem, each under its flag.
    """
    problems = Problems()
    return _whole(Root.read(apply_overrides(Mapping(), answers, problems), Where(path="", line=1), problems), problems)


def parse_template(text: str) -> TemplateRef:
    """What `--template` means: a name, a vmid in digits, `tag:NAME` or `image:NAME`. Raises UsageError."""
    values = check_answers(Overrides(template=text)).sure(Root.template)
    vmid = values.vmid
    return TemplateRef(
        name=values.name,
        tag=values.tag,
        vmid=Vmid(vmid) if vmid is not None else None,
        image=values.image,
    )


def _given(named: Map[str, tuple[str, object]]) -> Mapping:
    """Given values, each with its flag, which problems name."""
    entries: dict[str, Node] = {
        name: Scalar(text=str(value), origin=flag) for name, (flag, value) in named.items() if value is not None
    }
    return Mapping(entries=entries)


def _checked(section: type[S], key: Key[Any], text: str, *, flag: str) -> S:
    """A section in which one value was given. Raises UsageError."""
    problems = Problems()
    return _whole(section.read(_given({key.name: (flag, text)}), Where(path=""), problems), problems)


def _whole(section: S | None, problems: Problems) -> S:
    """A section without problems. Raises UsageError."""
    found = problems.in_order()
    if found or section is None:
        first, *others = [str(problem) for problem in found] or ["these answers make no inventory"]
        raise UsageError(first, details="\n".join(others))
    return section
