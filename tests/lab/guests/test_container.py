"""Container guests on this very machine: booted, logged into, asked, powered off, and gone without a trace."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.lab.guests.base import AgentCommandError, AgentSilentError, GuestError
from bootstrap.lab.guests.containers.container import ContainerGuests
from bootstrap.lab.guests.sweep import sweep
from tests.lab.guests.machines import NETWORK, address_of, eventually, leftovers, log_in, make_spec, ssh

pytestmark = pytest.mark.container


def test_guests_boot_answer_and_leave_nothing(state_dir: Path, key: Path, public_key: str) -> None:
    async def scenario() -> None:
        guests = ContainerGuests(state_dir, NETWORK)
        await guests.prepare()
        try:
            await _life_of_two(guests, key, public_key)
        finally:
            await guests.close()

    before = leftovers(state_dir)
    asyncio.run(scenario())
    assert leftovers(state_dir) == before


async def _life_of_two(guests: ContainerGuests, key: Path, public_key: str) -> None:
    static = make_spec(201, public_key=public_key, address="198.19.0.21")
    leased = make_spec(202, public_key=public_key)
    await asyncio.gather(*(guests.clone(spec.vmid) for spec in (static, leased)))
    await asyncio.gather(*(guests.start(spec) for spec in (static, leased)))
    addresses = [
        await eventually("address", lambda spec=spec: address_of(guests, spec), timeout_s=120)  # type: ignore[misc]
        for spec in (static, leased)
    ]
    await asyncio.gather(*(log_in(address, key, timeout_s=120) for address in addresses))
    assert addresses[0] == "198.19.0.21"
    assert addresses[1].startswith("198.19.1")

    await _check_inside(addresses, key)
    await _check_agent(guests, leased.vmid)

    # A guest that powers itself off is noticed, and starts again with the disk it had.
    await ssh(addresses[1], key, "echo kept | sudo tee /root/mark; sudo poweroff")
    await eventually("powered off", lambda: _stopped(guests, leased.vmid), timeout_s=120)
    with pytest.raises(AgentSilentError):
        await guests.agent(leased.vmid, "guest-ping")
    await guests.start(leased)
    await log_in(addresses[1], key, timeout_s=120)
    assert (await ssh(addresses[1], key, "sudo cat /root/mark"))[1] == "kept\n"

    await guests.stop(static.vmid, graceful_s=30)
    assert not guests.running(static.vmid)
    await guests.destroy(leased.vmid)
    assert not guests.running(leased.vmid)
    with pytest.raises(GuestError, match="no disk"):
        await guests.start(leased)


async def _stopped(guests: ContainerGuests, vmid: int) -> bool:
    return not guests.running(vmid)


async def _check_inside(addresses: list[str], key: Path) -> None:
    async def finished() -> bool:
        results = [await ssh(address, key, "cat /run/cloud-init/result.json") for address in addresses]
        return all(status == 0 for status, _ in results)

    await eventually("cloud-init done", finished, timeout_s=120)
    status, result = await ssh(addresses[0], key, "cat /run/cloud-init/result.json")
    assert '"errors": []' in result
    assert "NoCloud" in result

    async def booted() -> bool:
        return (await ssh(addresses[0], key, "systemctl is-system-running"))[1] == "running\n"

    await eventually("systemd running", booted, timeout_s=120)
    assert (await ssh(addresses[0], key, "hostname"))[1] == "guest201\n"
    identities = [(await ssh(address, key, "cat /etc/machine-id /etc/ssh/*.pub"))[1] for address in addresses]
    assert identities[0] != identities[1]
    assert (await ssh(addresses[0], key, "sudo iptables -w -S INPUT"))[1] == "-P INPUT ACCEPT\n"
    # TCP between guests; and nothing of theirs is forwarded off this machine.
    status, greeting = await ssh(addresses[0], key, f"exec 3<>/dev/tcp/{addresses[1]}/22; head -1 <&3")
    assert status == 0
    assert greeting.startswith("SSH-2.0")


async def _check_agent(guests: ContainerGuests, vmid: int) -> None:
    await guests.agent(vmid, "guest-ping")
    handle = await guests.agent(vmid, "guest-file-open", {"path": "/etc/ssh/ssh_host_ed25519_key.pub", "mode": "r"})
    read = await guests.agent(vmid, "guest-file-read", {"handle": handle})
    await guests.agent(vmid, "guest-file-close", {"handle": handle})
    assert base64.b64decode(read["buf-b64"]).startswith(b"ssh-ed25519 ")
    with pytest.raises(AgentCommandError, match="No such file"):
        await guests.agent(vmid, "guest-file-open", {"path": "/nowhere", "mode": "r"})
    answers = await asyncio.gather(*(guests.agent(vmid, "guest-get-host-name") for _ in range(5)))
    assert answers == [{"host-name": "guest202"}] * 5


def test_a_guest_without_the_agent_option_is_silent(state_dir: Path, public_key: str) -> None:
    async def scenario() -> None:
        guests = ContainerGuests(state_dir, NETWORK)
        await guests.prepare()
        try:
            await guests.clone(203)
            await guests.start(make_spec(203, public_key=public_key, agent=False))
            socket = state_dir / "container/203/run-lab/qga.sock"

            async def listening() -> bool:
                return socket.exists()

            await eventually("qemu-ga itself", listening, timeout_s=120)
            with pytest.raises(AgentSilentError):
                await guests.agent(203, "guest-ping")
            assert guests.running(203)
        finally:
            await guests.close()

    asyncio.run(scenario())


def test_a_rebooting_guest_stays_powered_on(state_dir: Path, key: Path, public_key: str) -> None:
    async def scenario() -> None:
        guests = ContainerGuests(state_dir, NETWORK)
        await guests.prepare()
        try:
            spec = make_spec(204, public_key=public_key, address="198.19.0.24")
            await guests.clone(204)
            await guests.start(spec)
            await log_in("198.19.0.24", key, timeout_s=120)
            boot = "systemctl show -P UserspaceTimestampMonotonic"
            first = (await ssh("198.19.0.24", key, boot))[1]
            await ssh("198.19.0.24", key, "sudo systemctl reboot")

            async def again() -> bool:
                assert guests.running(204)
                status, said = await ssh("198.19.0.24", key, boot)
                return status == 0 and said != first

            await eventually("second boot", again, timeout_s=120)
        finally:
            await guests.close()

    asyncio.run(scenario())


_CHECKOUT = Path(__file__).parents[3]

_OWNER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])

from bootstrap.lab.guests.containers.container import ContainerGuests
from tests.lab.guests import machines

async def main():
    guests = ContainerGuests(Path(sys.argv[2]), machines.NETWORK)
    await guests.prepare()
    await guests.clone(205)
    await guests.start(machines.make_spec(205, public_key="none"))
    print("up", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_what_a_killed_lab_left_is_swept_but_a_living_one_is_not(state_dir: Path) -> None:
    before = leftovers(state_dir)
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(_CHECKOUT), str(state_dir)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert owner.stdout is not None
        with owner.stdout:
            assert owner.stdout.readline() == "up\n"
        with pytest.raises(GuestError, match="another process"):
            asyncio.run(sweep(state_dir, NETWORK))
        with pytest.raises(GuestError, match="another process"):
            asyncio.run(ContainerGuests(state_dir, NETWORK).prepare())
    finally:
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    found = leftovers(state_dir)
    assert found["links"]
    assert found["cgroups"]
    assert len(found["processes"]) >= 2
    assert set(asyncio.run(sweep(state_dir, NETWORK))) == {"205", "dhcp"}
    assert leftovers(state_dir) == before


def test_a_bridge_that_is_not_the_labs_is_refused_and_survives(state_dir: Path) -> None:
    subprocess.run(["ip", "link", "add", NETWORK.bridge, "type", "bridge"], check=True)
    try:
        with pytest.raises(GuestError, match="no lab made it"):
            asyncio.run(ContainerGuests(state_dir, NETWORK).prepare())
        assert leftovers(state_dir)["links"] == [NETWORK.bridge]
    finally:
        subprocess.run(["ip", "link", "delete", NETWORK.bridge], check=True)
