"""One odd thing in any list of Proxmox VE's, or one answer of one VM that is nonsense, stops no command."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bootstrap.ports import Ports
from tests.fakes.world import World
from tests.fuzz.commands import COMMANDS, TrustingApi, signed
from tests.fuzz.proxmox import connected

ROWS: tuple[Any, ...] = (None, ["x"], {"vmid": 1e999, "node": "../x", "name": ["x"], "id": 7, "pool": []})
LISTS = tuple(key for key, answer in sorted(signed().items()) if isinstance(answer, list))
OF_ONE_VM = tuple(key for key in sorted(signed()) if "/7001/" in key or "/7002/" in key)


def ports(answers: dict[str, Any]) -> Ports:
    hypervisor = connected(TrustingApi(answers))
    return replace(World().ports, hypervisor=hypervisor, markers=hypervisor.markers, templates=hypervisor.templates)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_odd_row_stops_no_command(command: str) -> None:
    for key in LISTS:
        for row in ROWS:
            COMMANDS[command](ports({**signed(), key: [row, *signed()[key]]}))


@pytest.mark.parametrize("command", ["status", "clusters", "doctor", "down", "templates"])
def test_nonsense_about_one_vm_stops_no_command(command: str) -> None:
    for key in OF_ONE_VM:
        for answer in ROWS:
            COMMANDS[command](ports({**signed(), key: answer}))
