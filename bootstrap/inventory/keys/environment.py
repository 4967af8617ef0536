"""The inventory's `k3s.environment` and `k3s.proxy`: variables of k3s's units, each here or stored elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from bootstrap.inventory.document import Mapping, Node
from bootstrap.inventory.files import Places
from bootstrap.inventory.keys.registries import PasswordKeys
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.secret_keys import SAID
from bootstrap.inventory.values.containers import MapOf
from bootstrap.inventory.values.environment_formats import (
    PROXY,
    VALUE,
    VARIABLE,
    check_proxy,
    check_value,
    is_proxy,
)
from bootstrap.inventory.values.scalars import Json, Kind, Text
from bootstrap.k3s.environment import PROXIES
from bootstrap.model.settings.environment import EnvironmentSpec

Value = str | PasswordKeys
"""A value in the file, or where it is stored."""


@dataclass(frozen=True, kw_only=True)
class OrStored:
    """A text, or a mapping that says where it is stored, for secrets.

    Attributes:
        text: The form of a text.
    """

    text: Text[str]

    def words(self) -> str:
        """See `Kind`."""
        return f"{self.text.words()}; or {SAID}"

    def read(self, node: Node, where: Where, problems: Problems) -> Value | None:
        """See `Kind`."""
        if isinstance(node, Mapping):
            return PasswordKeys.read(node, where, problems)
        return self.text.read(node, where, problems)

    def schema(self) -> Json:
        """See `Kind`."""
        return {"anyOf": [{**self.text.schema(), "type": ["string", "number", "boolean"]}, PasswordKeys.schema()]}


PROXY_OR_STORED: Final[Kind[Value]] = OrStored(text=PROXY)
_PROXIES: Final[MapOf[str, Value]] = MapOf(key=VARIABLE, value=PROXY_OR_STORED)
_OTHERS: Final[MapOf[str, Value]] = MapOf(key=VARIABLE, value=OrStored(text=VALUE))


class Variables:
    """A mapping of variables to values; those of proxies have a form of their own."""

    def words(self) -> str:
        """See `Kind`."""
        return f"a mapping of names of environment variables to {_OTHERS.value.words()}"

    def read(self, node: Node, where: Where, problems: Problems) -> tuple[tuple[str, Value], ...] | None:
        """See `Kind`."""
        if not isinstance(node, Mapping):
            return _OTHERS.read(node, where, problems)
        parts = [
            kind.read(
                replace(node, entries={k: v for k, v in node.entries.items() if is_proxy(k) == wanted}), where, problems
            )
            for kind, wanted in ((_PROXIES, True), (_OTHERS, False))
        ]
        return tuple(pair for part in parts for pair in part or ()) if None not in parts else None

    def schema(self) -> Json:
        """See `Kind`."""
        return _OTHERS.schema()


ENVIRONMENT: Final = Variables()


def make_environment(variables: tuple[tuple[str, Value], ...], proxy: Value | None, places: Places) -> EnvironmentSpec:
    """The variables, with the proxy for both of its variables. Raises RefusedError, which repeats no value."""
    given = [*((name, proxy) for name in PROXIES if proxy is not None), *variables]
    found = {name: read_value(name, value, places) for name, value in given}
    stored = [found[name] for name, value in given if not isinstance(value, str)]
    secrets = dict.fromkeys(part for value in stored for part in (value, *_passwords(value)) if part)
    return EnvironmentSpec(variables=tuple(found.items()), secrets=tuple(secrets))


def read_value(name: str, value: Value, places: Places) -> str:
    """A variable's value. Raises RefusedError, which never repeats any part of it."""
    text = value if isinstance(value, str) else value.read_line(places)
    return check_proxy(text) if is_proxy(name) else check_value(text)


def _passwords(url: str) -> tuple[str, ...]:
    """The password in a proxy's URL, as it is there and as it was before it was encoded."""
    found = (urlsplit(url).password or "") if "://" in url else ""
    return (found, unquote(found))
