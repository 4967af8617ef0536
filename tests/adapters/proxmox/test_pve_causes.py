"""What a Proxmox VE that is unwell says, and what is made of it: quorum, pauses, KVM, refusals, wrong ports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import (
    AuthenticationError,
    HypervisorError,
    PermissionDeniedError,
    TaskFailedError,
    TransientError,
)
from bootstrap.model.ids import ClusterName, PveNodeName, Vmid
from bootstrap.model.observed import LostQuorum
from bootstrap.proxmox.rights.grants import likely_paths
from tests.adapters.proxmox.pve_lab import PVE1, VMIDS, Lab, Relay, clone_request

DEMO = ClusterName("demo")
PVE2, PVE3 = PveNodeName("pve2"), PveNodeName("pve3")


def test_a_cluster_without_quorum_is_seen_as_that(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab(pve_nodes=3)
    hypervisor = lab.connect()
    assert hypervisor.observe(cluster=DEMO, vmids=VMIDS).lost_quorum is None
    lab.pve.lose_quorum()
    lost = hypervisor.observe(cluster=DEMO, vmids=VMIDS).lost_quorum
    assert lost == LostQuorum(total=3, away=(PVE2, PVE3))
    assert "(1 of 3 nodes online: pve2, pve3 are off)" in str(lost)


def test_a_node_in_no_cluster_has_no_quorum_to_lose(hypervisor: ProxmoxHypervisor) -> None:
    assert hypervisor.observe(cluster=DEMO, vmids=VMIDS).lost_quorum is None


def test_a_token_that_may_not_ask_for_the_quorum_still_observes(lab: Lab) -> None:
    lab.grant_only(("/vms", "VM.Audit"))
    assert lab.connect().observe(cluster=DEMO, vmids=VMIDS).lost_quorum is None


def test_a_config_that_cannot_be_written_is_a_lost_quorum(lab: Lab, vm: Vmid) -> None:
    lab.pve.lose_quorum()
    hypervisor = lab.connect_to(lab.endpoint, retry_for_s=0.3)
    with pytest.raises(TransientError, match="Permission denied") as raised:
        hypervisor.configure(vm, pve_node=PVE1, settings={"cores": 2})
    assert "has no quorum" in raised.value.resolution
    with pytest.raises(TransientError, match="Permission denied"):
        hypervisor.clone(clone_request(vmid=Vmid(7002)), warn=lab.warnings.append)


@pytest.mark.parametrize("word", ["paused", "io-error"])
def test_a_paused_vm_runs_and_is_halted_until_it_is_resumed(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid, word: str
) -> None:
    hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert hypervisor.read_vm(vm, pve_node=PVE1).halted == ""
    lab.pve.vm(vm).qmpstatus = word
    seen = hypervisor.read_vm(vm, pve_node=PVE1)
    assert (seen.running, seen.halted) == (True, word)
    hypervisor.resume(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert hypervisor.read_vm(vm, pve_node=PVE1).halted == ""


def test_a_host_without_kvm_is_final_and_comes_with_the_way_out(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    assert "vmx" in hypervisor.observe(cluster=DEMO, vmids=VMIDS).pve_nodes[0].cpu_flags
    lab.server.faults.add("kvm-missing")
    assert not hypervisor.observe(cluster=DEMO, vmids=VMIDS).pve_nodes[0].cpu_flags & {"vmx", "svm"}
    with pytest.raises(TaskFailedError, match="KVM virtualisation configured") as raised:
        hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert "kvm: 0" in raised.value.resolution


def test_qemus_own_word_comes_first(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    lab.server.faults.add("start-dies")
    with pytest.raises(TaskFailedError) as raised:
        hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert raised.value.details.splitlines()[0].startswith("kvm: Invalid CPU topology")


def test_a_bare_refusal_names_where_the_right_is_likely_missing(lab: Lab) -> None:
    lab.grant_only(("/vms/9000", "VM.Clone VM.Audit"))
    with pytest.raises(PermissionDeniedError) as raised:
        lab.connect().clone(clone_request(), warn=lab.warnings.append)
    assert "lacks VM.Allocate on /vms/7001, or VM.Clone on /vms/9000" in raised.value.brief
    assert "pveum acl list" in raised.value.resolution


@pytest.mark.parametrize(
    ("path", "parameters", "found"),
    [
        ("nodes/pve1/qemu/7000/config", {}, ("a right on /vms/7000",)),
        ("nodes/pve1/storage/local/upload", {}, ("a right on /storage/local",)),
        ("nodes/pve1/qemu", {"vmid": 7000, "pool": "x"}, ("VM.Allocate on /vms/7000", "a right on /pool/x")),
        ("nodes/pve1/qemu/9000/clone", {"newid": 7, "storage": "s"},
         ("VM.Allocate on /vms/7", "VM.Clone on /vms/9000", "a right on /storage/s")),
        ("version", {}, ()),
    ],
)  # fmt: skip
def test_what_a_request_needs_rights_on(path: str, parameters: dict[str, str | int], found: tuple[str, ...]) -> None:
    assert likely_paths(path, parameters) == found


def test_an_api_that_is_away_is_given_up_once(lab: Lab, relay: Relay) -> None:
    """Three requests one after another waited three times as long (61, 65 and 65 s)."""
    endpoint = replace(lab.endpoint, url=f"https://127.0.0.1:{relay.port}")
    hypervisor = lab.connect_to(endpoint, retry_for_s=3.0, connect_timeout_s=1.0)
    hypervisor.observe(cluster=DEMO, vmids=VMIDS)
    relay.close()
    began_s = time.monotonic()
    for _ in range(3):
        with pytest.raises(HypervisorError):
            hypervisor.read_vm(Vmid(7001), pve_node=PVE1)
    assert time.monotonic() - began_s < 8.0, "one after another they would be waited for 9 s"


def test_lanes_side_by_side_give_up_together_on_an_api_that_is_away(lab: Lab, relay: Relay) -> None:
    """A lane that asks later has no deadline of its own: the API has been away for all since it was last heard of."""
    endpoint = replace(lab.endpoint, url=f"https://127.0.0.1:{relay.port}")
    hypervisor = lab.connect_to(endpoint, retry_for_s=4.0, connect_timeout_s=1.0)
    hypervisor.observe(cluster=DEMO, vmids=VMIDS)
    relay.close()

    def lane(turn: int) -> float:
        time.sleep(0.8 * turn)
        for _ in range(3):
            with pytest.raises(HypervisorError):
                hypervisor.read_vm(Vmid(7001), pve_node=PVE1)
        return time.monotonic()

    began_s = time.monotonic()
    with ThreadPoolExecutor(5) as pool:
        ended_s = [at - began_s for at in pool.map(lane, range(5))]
    # The last to start asks first after 3.2 s; on its own it would go on for 4 s from then, and for each request.
    assert min(ended_s) >= 3.9
    assert max(ended_s) < 7.0, ended_s


class _Plain(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(400)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_port_that_speaks_plain_http_is_told_as_that(lab: Lab) -> None:
    with HTTPServer(("127.0.0.1", 0), _Plain) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            hypervisor = lab.connect(url=f"https://127.0.0.1:{server.server_port}")
            with pytest.raises(AuthenticationError, match="does not speak HTTPS") as raised:
                hypervisor.observe(cluster=DEMO, vmids=VMIDS)
        finally:
            server.shutdown()
            thread.join()
    assert "port 8006" in raised.value.resolution


def test_a_proxmox_node_that_does_not_answer_is_waited_for_once(lab: Lab) -> None:
    """A look at the whole cluster asks it many times: the waits must not add up."""
    lab.pve.add_node("pve2")
    silence = lab.server.faults.add("api-595", path="/qemu", pve_node="pve2")
    hypervisor = lab.connect_to(lab.endpoint, retry_for_s=1.0)
    began_s = time.monotonic()
    hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS)
    assert time.monotonic() - began_s >= 1.0
    hits = silence.hits
    assert hits > 1
    hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS)
    assert silence.hits == hits + 1


def test_a_proxmox_node_that_refuses_something_is_no_longer_silent(lab: Lab) -> None:
    """Its time starts again when it falls silent again: one that only refuses in between has answered."""
    lab.pve.add_node("pve2")
    hypervisor = lab.connect_to(lab.endpoint, retry_for_s=0.6)
    silence = lab.server.faults.add("api-595", path="/qemu", pve_node="pve2")
    hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS)
    lab.server.faults.remove(silence.id)
    with pytest.raises(HypervisorError):
        hypervisor.read_vm(Vmid(7777), pve_node=PveNodeName("pve2"))
    again = lab.server.faults.add("api-595", path="/config", pve_node="pve2")
    with pytest.raises(HypervisorError):
        hypervisor.read_vm(Vmid(7777), pve_node=PveNodeName("pve2"))
    assert again.hits > 1
