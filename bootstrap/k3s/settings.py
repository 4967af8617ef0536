"""k3s's settings as values: of a file, of several files together, of a process that runs. Pure.

As k3s reads them (pkg/configfilearg/parser.go): the files of config.yaml.d come after config.yaml, in order of their
names; a later value replaces, `NAME+` adds to the list. As it reports them (pkg/nodeconfig/nodeconfig.go): a list of
arguments, `--NAME=VALUE` as two, with the values of secrets left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bootstrap.errors import UnreadableError
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import GuestSettings, Settings, SettingsFile
from bootstrap.model.reading import Source, shown
from bootstrap.model.reading_yaml import read_yaml

CONFIG: Final = "/etc/rancher/k3s/config.yaml"

OMITTED: Final = "********"
"""What k3s shows of a secret."""

SECRET: Final = frozenset({"token", "agent-token", "datastore-endpoint", "vpn-auth", "etcd-s3-access-key"}) | {
    "etcd-s3-secret-key"
}
"""Settings whose values are never shown; k3s's own list (pkg/nodeconfig/nodeconfig.go)."""

_COMMAS: Final = frozenset({"tls-san", "disable", "cluster-cidr", "service-cidr"})
"""Lists of which one value may hold several, between commas."""


def settings_of(config: Mapping[str, object]) -> Settings:
    """What a file sets, as k3s turns it into arguments."""
    return {key: _values(key.removesuffix("+"), value) for key, value in config.items()}


def _values(key: str, value: object) -> tuple[str, ...]:
    texts = [_text(each) for each in (value if isinstance(value, list) else [value])]
    return tuple(part for text in texts for part in (text.split(",") if key in _COMMAS else (text,)))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list | set | tuple):
        return shown(value)  # k3s takes none; a few aliases within each other would make gigabytes of it
    return "" if value is None else str(value)


def parse_file(name: str, text: str) -> SettingsFile:
    """A settings file. YAML 1.1, as k3s reads it; one that it cannot read sets None."""
    try:
        found = read_yaml(text, Source(call=f"read the settings file {name}")).value
    except UnreadableError:
        return SettingsFile(name=name, settings=None)
    if found is None:
        return SettingsFile(name=name, settings={})
    if not isinstance(found, dict):
        return SettingsFile(name=name, settings=None)
    return SettingsFile(name=name, settings=settings_of({str(key): value for key, value in found.items()}))


def guest_settings(machine: MachineName, files: Iterable[tuple[str, str]], *, pending: bool) -> GuestSettings:
    """What a machine's k3s would start with: paths and texts of its settings files."""
    parsed = [parse_file(name, text) for name, text in files]
    ours = next((each.settings for each in parsed if each.name == CONFIG), None) or {}
    others = sorted((each for each in parsed if each.name != CONFIG), key=lambda each: each.name)
    return GuestSettings(machine=machine, ours=ours, others=tuple(others), pending=pending)


def parse_args(args: Sequence[str]) -> Settings:
    """The settings of a process, by the arguments that k3s reports (its command, `server` or `agent`, comes first)."""
    found: dict[str, tuple[str, ...]] = {}
    rest = list(args)
    while rest:
        word = rest.pop(0)
        key = word.lstrip("-")
        if key == word or not key:
            continue
        # A flag on the command line may have no value. k3s splits flags at their `=`: with one it is a value.
        is_value = bool(rest) and (not rest[0].startswith("--") or "=" in rest[0])
        value = rest.pop(0) if is_value else "true"
        found[key] = (*found.get(key, ()), *_values(key, value))
    return found


def merged(base: Settings, files: Iterable[SettingsFile]) -> Settings:
    """What k3s makes of its own file and those beside it."""
    result = dict(base)
    for file in files:
        for key, values in (file.settings or {}).items():
            name = key.removesuffix("+")
            result[name] = (*result.get(name, ()), *values) if key != name else values
    return result
