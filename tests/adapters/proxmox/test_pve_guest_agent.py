"""The guest agent through Proxmox VE."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import (
    AgentForbidsError,
    AgentNotConfiguredError,
    AgentNotRunningError,
    InterruptedRunError,
    PermissionDeniedError,
    UnreadableError,
)
from bootstrap.lab.guests.channels.answers import FILES_AND_PROGRAMS
from bootstrap.model.access.rights import RightsNeeded
from bootstrap.model.ids import MachineName, Vmid
from tests.adapters.proxmox.pve_lab import NAME, PVE1, VM, Lab, Relay, clone_request


@pytest.fixture
def running(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> Vmid:
    hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    return vm


def test_interfaces_come_with_mac_and_addresses(lab: Lab, hypervisor: ProxmoxHypervisor, running: Vmid) -> None:
    interfaces = {one.name: one for one in hypervisor.guest_interfaces(running, pve_node=PVE1)}
    assert set(interfaces) == {"lo", "eth0"}
    assert interfaces["eth0"].mac == hypervisor.read_vm(running, pve_node=PVE1).mac
    assert [str(address) for address in interfaces["eth0"].addresses] == [lab.guests.guests[running].address]


def test_an_interface_without_an_address_yet_is_no_error(
    lab: Lab, hypervisor: ProxmoxHypervisor, running: Vmid
) -> None:
    """Proxmox VE then leaves `ip-addresses` out altogether."""
    lab.guests.guests[running].address = None
    assert hypervisor.guest_interfaces(running, pve_node=PVE1)[1].addresses == ()


def test_a_file_is_read(hypervisor: ProxmoxHypervisor, running: Vmid) -> None:
    assert hypervisor.read_guest_file(running, pve_node=PVE1, path="/etc/hostname") == f"{NAME}\n"


def test_a_file_that_is_not_there_yet_may_come(hypervisor: ProxmoxHypervisor, running: Vmid) -> None:
    with pytest.raises(AgentNotRunningError, match="failed to open file '/nope'"):
        hypervisor.read_guest_file(running, pve_node=PVE1, path="/nope")


@pytest.mark.parametrize(
    "text",
    [
        "Agent error: Command guest-file-open has been disabled: the command is not allowed",
        "Agent error: The command guest-file-open has been disabled for this instance",
        "VM 7001 qga command 'guest-file-open' failed - Command guest-file-open has been disabled",
    ],
)
def test_an_agent_that_may_not_read_files_is_final_and_says_the_way_out(
    lab: Lab, hypervisor: ProxmoxHypervisor, running: Vmid, text: str
) -> None:
    lab.pve.fail("GET", "/agent/file-read", 500, text, times=5)
    with pytest.raises(AgentForbidsError, match="cannot read /etc/hostname") as raised:
        hypervisor.read_guest_file(running, pve_node=PVE1, path="/etc/hostname")
    assert "/etc/sysconfig/qemu-ga" in raised.value.resolution
    assert lab.requests("GET", "/agent/file-read") == 1


def test_a_file_is_written_whole(lab: Lab, hypervisor: ProxmoxHypervisor, running: Vmid) -> None:
    for content in ("a\n", "ssh-ed25519 AAAA+/= me@home\n" * 100):
        hypervisor.write_guest_file(running, pve_node=PVE1, path="/etc/x", content=content)
        assert hypervisor.read_guest_file(running, pve_node=PVE1, path="/etc/x") == content
    assert lab.guests.guests[running].files["/etc/x"] == content.encode()


def test_a_file_whose_beginning_alone_comes_is_none(lab: Lab, hypervisor: ProxmoxHypervisor, running: Vmid) -> None:
    """Put back with a line more it would be cut."""
    lab.guests.guests[running].files["/etc/x"] = b"#" * (16 * 1024**2 + 1)
    with pytest.raises(UnreadableError):
        hypervisor.read_guest_file(running, pve_node=PVE1, path="/etc/x")


@pytest.mark.parametrize(
    ("path", "why"), [("/nope/x", r"failed to open file '/nope/x' \(mode: 'wb'\): No such file or directory")]
)
def test_a_file_that_cannot_be_written_is_told(
    hypervisor: ProxmoxHypervisor, running: Vmid, path: str, why: str
) -> None:
    with pytest.raises(AgentNotRunningError, match=why):
        hypervisor.write_guest_file(running, pve_node=PVE1, path=path, content="x")


def test_an_agent_that_forbids_files_is_final_for_writing_too(
    lab: Lab, hypervisor: ProxmoxHypervisor, running: Vmid
) -> None:
    lab.guests.guests[running].forbidden = FILES_AND_PROGRAMS
    with pytest.raises(AgentForbidsError, match="cannot write /etc/x"):
        hypervisor.write_guest_file(running, pve_node=PVE1, path="/etc/x", content="x")


def test_a_vm_that_is_off_has_no_agent_running(hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    with pytest.raises(AgentNotRunningError, match="VM 7001 is not running"):
        hypervisor.guest_interfaces(vm, pve_node=PVE1)


def test_an_agent_that_is_silent_is_not_running_and_asked_but_once(
    lab: Lab, hypervisor: ProxmoxHypervisor, running: Vmid
) -> None:
    lab.guests.guests[running].agent_from = time.monotonic() + 60
    with pytest.raises(AgentNotRunningError, match="QEMU guest agent is not running"):
        hypervisor.guest_interfaces(running, pve_node=PVE1)
    assert lab.requests("GET", "/network-get-interfaces") == 1


def test_an_agent_that_is_switched_off_is_final(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    hypervisor.configure(vm, pve_node=PVE1, settings={"agent": "0"})
    hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    with pytest.raises(AgentNotConfiguredError, match="No QEMU guest agent configured") as raised:
        hypervisor.guest_interfaces(vm, pve_node=PVE1)
    assert "--agent enabled=1" in raised.value.resolution


@pytest.mark.parametrize(("version", "lacks"), [(8, "VM.Monitor"), (9, "VM.GuestAgent.FileRead")])
def test_reading_files_without_the_right_names_it(start_lab: Callable[..., Lab], version: int, lacks: str) -> None:
    lab = start_lab(pve_version=version)
    hypervisor = lab.connect()
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    hypervisor.start(VM, pve_node=PVE1, warn=lab.warnings.append)
    lab.grant_only(("/", "VM.Audit VM.GuestAgent.Audit"))
    with pytest.raises(PermissionDeniedError, match=f"lacks {lacks} on /vms/7001"):
        hypervisor.read_guest_file(VM, pve_node=PVE1, path="/etc/hostname")


@pytest.mark.parametrize(("version", "lacks"), [(8, "VM.Monitor"), (9, "VM.GuestAgent.FileWrite")])
def test_writing_files_without_the_right_names_it(start_lab: Callable[..., Lab], version: int, lacks: str) -> None:
    lab = start_lab(pve_version=version)
    hypervisor = lab.connect()
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    hypervisor.start(VM, pve_node=PVE1, warn=lab.warnings.append)
    lab.grant_only(("/", "VM.Audit VM.GuestAgent.Audit VM.GuestAgent.FileRead"))
    with pytest.raises(PermissionDeniedError, match=f"lacks {lacks} on /vms/7001"):
        hypervisor.write_guest_file(VM, pve_node=PVE1, path="/etc/x", content="x")
    (lack,) = hypervisor.missing_privileges(RightsNeeded(own_vmids=(VM,), writes_guest_files=True))
    assert lacks in lack.privileges
    if version == 9:
        lab.grant_only(("/", "VM.Audit VM.GuestAgent.Audit VM.GuestAgent.FileWrite"))
        hypervisor.write_guest_file(VM, pve_node=PVE1, path="/etc/x", content="x")
        assert lab.guests.guests[VM].files["/etc/x"] == b"x"


def test_at_most_one_call_is_in_flight_per_proxmox_node(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    vmids = [Vmid(7100 + number) for number in range(4)]
    for vmid in vmids:
        hypervisor.clone(clone_request(vmid=vmid, name=MachineName(f"demo-{vmid}")), warn=lab.warnings.append)
        hypervisor.start(vmid, pve_node=PVE1, warn=lab.warnings.append)
    inside, most = 0, 0
    answer = lab.guests.agent

    async def counting(vmid: int, command: str, arguments: object = None) -> object:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.05)
        inside -= 1
        return await answer(vmid, command, arguments)  # type: ignore[arg-type]

    lab.guests.agent = counting  # type: ignore[method-assign]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda vmid: hypervisor.guest_interfaces(vmid, pve_node=PVE1), vmids * 2))
    assert most == 1


def test_a_lost_answer_is_asked_for_again(lab: Lab, relay: Relay, running: Vmid) -> None:
    hypervisor = lab.connect(url=f"https://127.0.0.1:{relay.port}")
    hypervisor.read_vm(running, pve_node=PVE1)
    relay.lose = "answer"
    assert hypervisor.guest_interfaces(running, pve_node=PVE1)
    assert relay.lose == ""


def test_an_interrupt_ends_the_queue_for_the_agent(lab: Lab, hypervisor: ProxmoxHypervisor, running: Vmid) -> None:
    lab.stop.set()
    with pytest.raises(InterruptedRunError):
        hypervisor.guest_interfaces(running, pve_node=PVE1)
    assert lab.requests("GET", "/network-get-interfaces") == 0
