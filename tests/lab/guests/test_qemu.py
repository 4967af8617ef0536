"""QEMU guests on this very machine: a real virtual machine, from clone to nothing left."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from bootstrap.lab.guests.qemu import QemuGuests
from tests.lab.guests.machines import NETWORK, address_of, eventually, leftovers, log_in, make_spec, ssh

pytestmark = pytest.mark.qemu

BOOT_TIMEOUT_S = 400
"""An emulated machine boots in 30 s alone, and in minutes beside others."""


def test_a_virtual_machine_boots_answers_and_leaves_nothing(state_dir: Path, key: Path, public_key: str) -> None:
    async def scenario() -> None:
        guests = QemuGuests(state_dir, NETWORK)
        await guests.prepare()
        try:
            await _life(guests, key, public_key)
        finally:
            await guests.close()

    before = leftovers(state_dir)
    asyncio.run(scenario())
    assert leftovers(state_dir) == before


async def _life(guests: QemuGuests, key: Path, public_key: str) -> None:
    spec = make_spec(301, public_key=public_key, disk_gib=6)
    await guests.clone(spec.vmid)
    await guests.start(spec)
    address = await eventually("address", lambda: address_of(guests, spec), timeout_s=BOOT_TIMEOUT_S)
    await log_in(address, key, timeout_s=BOOT_TIMEOUT_S)

    async def finished() -> bool:
        return (await ssh(address, key, "test -e /run/cloud-init/result.json"))[0] == 0

    await eventually("cloud-init done", finished, timeout_s=BOOT_TIMEOUT_S, pause_s=1)
    _, result = await ssh(address, key, "cat /run/cloud-init/result.json; hostname")
    assert '"errors": []' in result
    assert "seed=/dev/sr0" in result
    assert result.endswith("guest301\n")
    _, firmware = await ssh(address, key, "sudo cat /sys/class/dmi/id/product_uuid")
    assert firmware.strip().lower() == spec.smbios_uuid
    _, size = await ssh(address, key, "df --output=size -BG / | tail -1")
    assert int(size.strip().rstrip("G")) == 6

    handle = await guests.agent(spec.vmid, "guest-file-open", {"path": "/etc/hostname", "mode": "r"})
    read = await guests.agent(spec.vmid, "guest-file-read", {"handle": handle})
    await guests.agent(spec.vmid, "guest-file-close", {"handle": handle})
    assert base64.b64decode(read["buf-b64"]) == b"guest301\n"

    await ssh(address, key, "sudo systemctl poweroff")

    async def stopped() -> bool:
        return not guests.running(spec.vmid)

    await eventually("powered off", stopped, timeout_s=120)
