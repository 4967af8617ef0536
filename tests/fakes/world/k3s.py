"""k3s as it treats its settings files, and what it tells of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import yaml

from bootstrap.errors import ScriptError
from bootstrap.lab.standin.settings.flags import flag_table
from bootstrap.model.machine import Taint
from tests.fakes.world.vm import FakeVm

DROP_INS = "config.yaml.d/"
"""What the names of the user's settings files begin with in `FakeVm.files`."""

REGISTRIES = "registries.yaml"
HARDENING = ("psa.yaml", "audit.yaml")
"""What a hardened server has in its data directory."""
_MARK = "# inventory: "
_HEADER = "# Written by homelab-k8s"
_MASKED = ("token", "agent-token", "etcd-s3-access-key", "etcd-s3-secret-key")


def k3s_config(files: Mapping[str, str]) -> dict[str, Any]:
    """config.yaml, and over it the files of config.yaml.d."""
    config: dict[str, Any] = dict(yaml.safe_load(files["config.yaml"]))
    for name in sorted(name for name in files if name.startswith(DROP_INS)):
        for key, value in yaml.safe_load(files[name]).items():
            bare = key.removesuffix("+")
            config[bare] = [*_list(config.get(bare, [])), *_list(value)] if key != bare else value
    return config


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def node_args(command: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The annotation k3s.io/node-args. A server passes over keys that it does not know."""
    told, known = [command], flag_table(command)
    for key, value in config.items():
        if command == "server" and key not in known:
            continue
        for each in _list(value):
            text = str(each).lower() if isinstance(each, bool) else str(each)
            told += [f"--{key}", "********" if key in _MASKED else text]
    return tuple(told)


def node_labels(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(str(label).split("=", 1) for label in config.get("node-label", []))


def node_taints(config: Mapping[str, Any]) -> tuple[Taint, ...]:
    found = []
    for text in config.get("node-taint", []):
        what, _, effect = str(text).rpartition(":")
        key, _, value = what.partition("=")
        found.append(Taint(key=key, value=value, effect=effect))
    return tuple(sorted(found))


def whole_environment(there: str, sent: Mapping[str, str]) -> str:
    """The unit's environment file with what was sent: the user's lines stay, the inventory's of before go."""
    tokens, variables = sent.get("service.env", ""), sent.get("environment", "")
    names = {line.partition("=")[0] for line in (tokens + variables).splitlines()} | inventory_names(there)
    kept = [line for line in there.splitlines() if line.partition("=")[0] not in names and _MARK not in line]
    mark = [f"{_MARK}{' '.join(line.partition('=')[0] for line in variables.splitlines())}"] * bool(variables)
    whole = [*kept, *tokens.splitlines(), *mark, *variables.splitlines()]
    return there if sorted(there.splitlines()) == sorted(whole) else "".join(f"{line}\n" for line in whole)


def put_environment(vm: FakeVm, files: Mapping[str, str]) -> bool:
    """Put the unit's environment file in place; whether that changed it."""
    there = vm.files.get("service.env", "")
    vm.files["service.env"] = whole_environment(there, files)
    return vm.files["service.env"] != there


def with_lines(there: str, lines: str) -> str:
    """The unit's environment file with lines in place of those of the same names."""
    names = {line.partition("=")[0] for line in lines.splitlines()}
    kept = [line for line in there.splitlines() if line.partition("=")[0] not in names]
    whole = [*kept, *lines.splitlines()]
    return there if sorted(there.splitlines()) == sorted(whole) else "".join(f"{line}\n" for line in whole)


def inventory_names(text: str) -> set[str]:
    """The variables in a unit's environment file that came from the inventory."""
    return {name for line in text.splitlines() if _MARK in line for name in line.removeprefix(_MARK).split()}


def environment(text: str) -> dict[str, str]:
    """The variables of a unit's environment file."""
    return {
        name: value.strip("'")
        for name, _, value in (line.partition("=") for line in text.splitlines() if line[0] != "#")
    }


def environment_told(vm: FakeVm) -> str:
    """What read-settings.sh prints of it."""
    text = vm.files.get("service.env", "")
    ours = [line for line in text.splitlines() if line.partition("=")[0] in inventory_names(text)]
    return "".join(
        f"environment={line.partition('=')[0]} {hashlib.sha256(line.encode()).hexdigest()}\n" for line in ours
    )


def put_registries(vm: FakeVm, files: Mapping[str, str]) -> bool:
    """Put ours, or remove it where none was sent; whether that changed it. Raises ScriptError for another's."""
    before, sent = _registries(vm), files.get(REGISTRIES)
    there = vm.files.get(REGISTRIES)
    if sent is not None and there is not None and not there.startswith(_HEADER):
        raise ScriptError(f"{vm.name}: {REGISTRIES} was not written by homelab-k8s and is not overwritten", status=1)
    if sent is not None or (there is not None and there.startswith(_HEADER) and "config.yaml" in files):
        for name in before:
            del vm.files[name]
        vm.files |= {name: text for name, text in files.items() if name == REGISTRIES or name.endswith(".pem")}
    return _registries(vm) != before


def _registries(vm: FakeVm) -> dict[str, str]:
    """registries.yaml and what it names."""
    names = [*([REGISTRIES] if REGISTRIES in vm.files else []), *sorted(n for n in vm.files if n.endswith(".pem"))]
    return {name: vm.files[name] for name in names}


def registries_line(vm: FakeVm) -> str:
    """What read-settings.sh prints of it."""
    there = vm.files.get(REGISTRIES)
    if there is None:
        return ""
    whole = "".join(_registries(vm).values())
    told = hashlib.sha256(whole.encode()).hexdigest() if there.startswith(_HEADER) else "foreign"
    return f"registries={told}\n"


def put_hardening(vm: FakeVm, files: Mapping[str, str]) -> bool:
    """Put ours, or remove them where none were sent; whether that changed them. Raises ScriptError for another's."""
    there = {name: vm.files[name] for name in HARDENING if name in vm.files}
    sent = {name: files[name] for name in HARDENING if name in files}
    if sent and not all(text.startswith(_HEADER) for text in there.values()):
        raise ScriptError(f"{vm.name}: psa.yaml was not written by homelab-k8s and is not overwritten", status=1)
    if sent:
        vm.files.update(sent)
    elif "config.yaml" in files:
        for name in [name for name, text in there.items() if text.startswith(_HEADER)]:
            del vm.files[name]
    return {name: vm.files.get(name) for name in HARDENING} != {name: there.get(name) for name in HARDENING}


def hardening_line(vm: FakeVm) -> str:
    """What read-settings.sh prints of them."""
    there = [vm.files[name] for name in HARDENING if name in vm.files]
    if not there:
        return ""
    ours = all(text.startswith(_HEADER) for text in there)
    return f"hardening={hashlib.sha256(''.join(there).encode()).hexdigest() if ours else 'foreign'}\n"


def check_apiserver(vm: FakeVm, config: Mapping[str, Any]) -> None:
    """An API server does not start where a file that its arguments name is missing."""
    for argument in config.get("kube-apiserver-arg", []):
        name, _, value = str(argument).partition("=")
        if name in ("admission-control-config-file", "audit-policy-file") and value.startswith("/var/lib/rancher/"):
            assert value.rpartition("/")[2] in vm.files, f"{vm.name}: there is no {value}"
