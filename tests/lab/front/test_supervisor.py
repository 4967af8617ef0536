"""Guests follow their VMs, no matter who changes them, and a driver's failure ends nothing but its own step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from bootstrap.lab.front.datacenter.world import build_world
from bootstrap.lab.guest_memory import MemoryGuests
from bootstrap.lab.guests.base import GuestError, GuestSpec
from bootstrap.lab.options import LabOptions
from bootstrap.lab.supervisor import Supervisor

CONFIG = {
    "agent": "1",
    "cores": 2,
    "memory": "2048",
    "net0": "virtio=BC:24:11:C3:39:6B,bridge=vmbr0",
    "smbios1": "uuid=9e7e9864-4192-47a9-8f22-14a3ae14edb2",
    "boot": "order=scsi0",
    "scsi0": "local:9000/base-9000-disk-0.qcow2/201/vm-201-disk-0.qcow2,size=20G",
    "ide2": "local:201/vm-201-cloudinit.qcow2,media=cdrom,size=4M",
    "ciuser": "debian",
}

Scenario = Callable[[Any, MemoryGuests, Supervisor], Awaitable[None]]


def run(scenario: Scenario) -> None:
    """Run a scenario with a supervisor at work."""

    async def main() -> None:
        pve, _tokens = build_world(LabOptions(guests="none"))
        guests = MemoryGuests()
        supervisor = Supervisor(pve, guests)
        looking = asyncio.create_task(supervisor.run())
        try:
            await asyncio.wait_for(scenario(pve, guests, supervisor), 10)
            assert not looking.done()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            await supervisor.close()

    asyncio.run(main())


async def until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")


def test_a_new_vm_gets_a_guest_and_a_template_none() -> None:
    async def scenario(pve: Any, guests: MemoryGuests, _supervisor: Supervisor) -> None:
        pve.add_vm(201, "a", config=CONFIG)
        await until(lambda: 201 in guests.guests)
        assert 9000 not in guests.guests
        assert not guests.running(201)

    run(scenario)


def test_a_vm_that_is_still_being_cloned_gets_none_yet() -> None:
    async def scenario(pve: Any, guests: MemoryGuests, _supervisor: Supervisor) -> None:
        vm = pve.add_vm(201, "a", config=CONFIG, lock="clone")
        await asyncio.sleep(0.2)
        assert 201 not in guests.guests
        vm.lock = None
        await until(lambda: 201 in guests.guests)

    run(scenario)


def test_a_guest_is_started_with_what_its_vm_says() -> None:
    async def scenario(pve: Any, guests: MemoryGuests, supervisor: Supervisor) -> None:
        vm = pve.add_vm(201, "a", config=CONFIG)
        vm.pending = {"cores": 3}
        await supervisor.power_on(vm)
        spec = guests.guests[201].spec
        assert spec is not None
        assert (spec.vmid, spec.name, spec.mac) == (201, "a", "BC:24:11:C3:39:6B")
        assert (spec.cores, spec.memory_mib, spec.disk_gib, spec.agent_enabled) == (3, 2048, 20, True)
        assert spec.smbios_uuid == "9e7e9864-4192-47a9-8f22-14a3ae14edb2"
        assert spec.seed is not None
        assert "user: debian" in spec.seed.user_data
        assert (vm.status, vm.config["cores"]) == ("running", 3)

    run(scenario)


def test_a_state_set_from_elsewhere_is_followed() -> None:
    async def scenario(pve: Any, guests: MemoryGuests, _supervisor: Supervisor) -> None:
        vm = pve.add_vm(201, "a", status="running", config=CONFIG)
        await until(lambda: guests.running(201))
        vm.status = "stopped"
        await until(lambda: not guests.running(201))
        pve.vms.remove(vm)
        await until(lambda: 201 not in guests.guests)

    run(scenario)


def test_a_guest_that_powers_itself_off_stops_its_vm() -> None:
    async def scenario(pve: Any, guests: MemoryGuests, supervisor: Supervisor) -> None:
        vm = pve.add_vm(201, "a", config=CONFIG)
        await supervisor.power_on(vm)
        guests.guests[201].on = False
        await until(lambda: vm.status == "stopped")
        await asyncio.sleep(0.2)
        assert vm.status == "stopped", "it must not be started again"

    run(scenario)


def test_a_vmid_that_is_used_again_gets_a_new_guest() -> None:
    async def scenario(pve: Any, guests: MemoryGuests, supervisor: Supervisor) -> None:
        old = pve.add_vm(201, "old", config=CONFIG)
        await supervisor.power_on(old)
        before = guests.guests[201]
        pve.vms.remove(old)
        new = pve.add_vm(201, "new", config=CONFIG)
        await supervisor.power_on(new)
        after = guests.guests[201]
        assert after is not before
        assert after.spec is not None
        assert after.spec.name == "new"
        assert guests.calls.count(("destroy", 201)) == 1

    run(scenario)


def test_a_failed_start_is_reported_and_leaves_the_vm_stopped() -> None:
    async def scenario(pve: Any, guests: MemoryGuests, supervisor: Supervisor) -> None:
        vm = pve.add_vm(201, "a", config=CONFIG)
        guests.refusals[201] = "no room in the inn"
        with pytest.raises(GuestError, match="no room in the inn"):
            await supervisor.power_on(vm)
        assert vm.status == "stopped"
        await supervisor.power_on(vm)
        assert guests.running(201)

    run(scenario)


class BrokenGuests(MemoryGuests):
    """A driver with a mistake in it."""

    async def start(self, spec: GuestSpec) -> None:
        raise KeyError(spec.vmid)


def test_a_mistake_in_a_driver_stops_neither_the_supervisor_nor_other_guests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        pve, _tokens = build_world(LabOptions(guests="none"))
        guests = BrokenGuests()
        supervisor = Supervisor(pve, guests)
        looking = asyncio.create_task(supervisor.run())
        broken = pve.add_vm(201, "a", status="running", config=CONFIG)
        await until(lambda: broken.status == "stopped")
        pve.add_vm(202, "b", config=CONFIG)
        await until(lambda: 202 in guests.guests)
        assert not looking.done()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await supervisor.close()

    asyncio.run(main())
    assert "VM 201: KeyError: 201" in caplog.text


class SlowGuests(MemoryGuests):
    """A driver that notes calls which overlap for one vmid."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: set[int] = set()
        self.overlaps = 0

    async def _one_at_a_time(self, vmid: int, step: Coroutine[Any, Any, None]) -> None:
        self.overlaps += vmid in self.busy
        self.busy.add(vmid)
        await asyncio.sleep(0.05)
        await step
        self.busy.discard(vmid)

    async def clone(self, vmid: int) -> None:
        await self._one_at_a_time(vmid, super().clone(vmid))

    async def start(self, spec: GuestSpec) -> None:
        await self._one_at_a_time(spec.vmid, super().start(spec))

    async def stop(self, vmid: int, *, graceful_s: float = 0.0) -> None:
        await self._one_at_a_time(vmid, super().stop(vmid, graceful_s=graceful_s))


def test_steps_of_one_guest_never_overlap() -> None:
    async def main() -> None:
        pve, _tokens = build_world(LabOptions(guests="none"))
        guests = SlowGuests()
        supervisor = Supervisor(pve, guests)
        looking = asyncio.create_task(supervisor.run())
        vms = [pve.add_vm(vmid, f"n{vmid}", config=CONFIG) for vmid in range(201, 209)]
        for _ in range(3):
            await asyncio.gather(*(supervisor.power_on(vm) for vm in vms))
            assert all(guests.running(vm.vmid) for vm in vms)
            await asyncio.gather(*(supervisor.power_off(vm, graceful_s=1) for vm in vms))
            assert not any(guests.running(vm.vmid) for vm in vms)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await supervisor.close()
        assert guests.overlaps == 0

    asyncio.run(main())
