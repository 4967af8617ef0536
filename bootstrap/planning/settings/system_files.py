"""What prepare-system.sh and run-hook.sh get: parameters, and files beside them. Pure."""

from __future__ import annotations

import base64
from typing import Final

from bootstrap.model.settings.system import HookSpec, SystemSpec

_HEADER: Final = "# Written by homelab-k8s from the inventory; changes are overwritten.\n"


def system_env(system: SystemSpec) -> dict[str, str]:
    """The parameters of prepare-system.sh."""
    return {"PACKAGES": " ".join(system.packages)}


def system_files(system: SystemSpec) -> dict[str, str]:
    """The files beside it to prepare a machine, none where nothing is wanted of that kind; may be secret."""
    contents = {f"content-{at}": _encoded(each.content) for at, each in enumerate(system.files)}
    return {**_lists(system), **contents}


def looked_at(system: SystemSpec) -> dict[str, str]:
    """The files beside it to look in what a machine differs; no content of the user's files is among them."""
    hooks = "".join(f"{each.time} {each.key} {each.name}\n" for each in system.hooks)
    return {**_lists(system), **({"hooks": hooks} if hooks else {})}


def hook_files(hook: HookSpec) -> dict[str, str]:
    """The files beside run-hook.sh; may be secret."""
    env = "".join(f"{name} {_encoded(value.encode())}\n" for name, value in hook.env)
    return {"hook": _encoded(hook.content), "hook.env": env}


def _lists(system: SystemSpec) -> dict[str, str]:
    settings = {
        "sysctls": "".join(f"{name} = {value}\n" for name, value in system.sysctls),
        "modules": "".join(f"{name}\n" for name in system.kernel_modules),
    }
    lists = {name: _HEADER + text for name, text in settings.items() if text}
    files = (f"{each.sha256} {each.mode} content-{at} {each.path}\n" for at, each in enumerate(system.files))
    return {**lists, **({"files": "".join(files)} if system.files else {})}


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
