"""What passes is retried, what does not is not; nothing is done twice; a wait can be ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import (
    AuthenticationError,
    DeadlineError,
    HypervisorError,
    InterruptedRunError,
    PermissionDeniedError,
    TaskFailedError,
    TransientError,
)
from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, Vmid
from tests.adapters.proxmox.pve_lab import NAME, PVE1, VM, VMIDS, Lab, Relay, clone_request, token

LOCKED = "can't lock file '/var/lock/qemu-server/lock-7001.conf' - got timeout"
DEMO = ClusterName("demo")


@pytest.fixture
def relayed(lab: Lab, relay: Relay) -> ProxmoxHypervisor:
    """A connection through the relay, warmed up."""
    hypervisor = lab.connect(url=f"https://127.0.0.1:{relay.port}")
    hypervisor.observe(cluster=DEMO, vmids=VMIDS)
    return hypervisor


def test_a_request_that_waited_for_a_lock_in_vain_is_tried_again(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    lab.hold_lock(vm, until=lambda: lab.requests("PUT", "/config") > 2)
    hypervisor.configure(vm, pve_node=PVE1, settings={"cores": 2})
    assert lab.requests("PUT", "/config") == 3
    assert hypervisor.read_vm(vm, pve_node=PVE1).cores == 2


def test_a_task_that_waited_for_a_lock_in_vain_is_tried_again(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    lab.hold_lock(vm, until=lambda: "exitstatus" in lab.pve.tasklog[-1] and lab.pve.tasklog[-1]["type"] == "qmstart")
    hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    exits = [task["exitstatus"] for task in lab.pve.tasklog if task["type"] == "qmstart"]
    assert exits == [LOCKED, "OK"]


def test_a_lock_that_stays_is_told_after_a_while(lab: Lab, vm: Vmid) -> None:
    lab.server.run(lab.pve.hold_config_lock(vm, None))
    hypervisor = lab.connect_to(lab.endpoint, retry_for_s=0.5)
    with pytest.raises(TransientError, match="got timeout") as raised:
        hypervisor.configure(vm, pve_node=PVE1, settings={"cores": 2})
    assert "holds the lock" in raised.value.resolution


def test_a_task_that_ran_and_failed_is_not_tried_again(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    lab.end_next_task("qmstart", "start failed: org.freedesktop.DBus.Error.NoReply - got timeout")
    with pytest.raises(TaskFailedError):
        hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert [task["type"] for task in lab.pve.tasklog].count("qmstart") == 1


def test_warnings_of_a_task_are_passed_on_and_are_no_failure(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    lab.end_next_task("qmstart", "WARNINGS: 1", log=("generating ISO", "WARN: no efidisk configured"), works=True)
    hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.warnings == ["start VM 7001 (demo-cp-1) on pve1: WARN: no efidisk configured"]
    assert hypervisor.read_vm(vm, pve_node=PVE1).running


@pytest.mark.parametrize(
    ("status", "message"),
    [(595, "Connection refused"), (596, "Broken pipe"), (503, "Service Unavailable"), (500, LOCKED)],
)
def test_a_request_that_fails_in_a_way_that_passes_is_tried_again(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid, status: int, message: str
) -> None:
    lab.pve.fail("GET", f"/qemu/{vm}/config", status, message, times=2)
    assert hypervisor.read_vm(vm, pve_node=PVE1).name == NAME


def test_lost_quorum_is_waited_for_and_then_told(lab: Lab) -> None:
    lab.pve.lose_quorum()
    hypervisor = lab.connect_to(lab.endpoint, retry_for_s=0.3)
    with pytest.raises(TransientError, match="Permission denied") as raised:
        hypervisor.clone(clone_request(), warn=lab.warnings.append)
    assert "pvecm status" in raised.value.resolution


def test_a_flaky_network_is_outlived(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    hypervisor.observe(cluster=DEMO, vmids=VMIDS)
    lab.pve.flaky_network(drop_rate=0.2, seed=7)
    for number in range(3):
        name = MachineName(f"demo-{number}")
        request = clone_request(vmid=Vmid(7100 + number), name=name, description=f"d{number}")
        hypervisor.clone(request, warn=lab.warnings.append)
        hypervisor.configure(request.vmid, pve_node=PVE1, settings={"cores": 2})
        hypervisor.start(request.vmid, pve_node=PVE1, warn=lab.warnings.append)
    assert [lab.pve.vm(7100 + number).status for number in range(3)] == ["running"] * 3


def test_a_clone_whose_answer_is_lost_is_found_and_not_made_twice(lab: Lab, relayed: ProxmoxHypervisor) -> None:
    lost = lab.server.faults.add("answer-lost", path="/clone", times=1)
    relayed.clone(clone_request(), warn=lab.warnings.append)
    assert lost.hits == 1
    assert lab.pve.vm(VM).config["name"] == NAME
    assert lab.requests("POST", "/clone") == 1


def test_a_clone_whose_answer_is_lost_is_known_even_if_it_shows_late(lab: Lab, relayed: ProxmoxHypervisor) -> None:
    """Looked for in vain at first, it then seems that somebody else has the vmid."""
    lab.pve.fail("GET", f"/qemu/{VM}/config", 500, "Configuration file '7001.conf' does not exist", times=1)
    lab.server.faults.add("answer-lost", path="/clone", times=1)
    relayed.clone(clone_request(), warn=lab.warnings.append)
    assert lab.requests("POST", "/clone") == 2
    assert lab.pve.vm(VM).config["name"] == NAME


def test_a_clone_to_another_node_whose_answer_is_lost_is_found(lab: Lab, relayed: ProxmoxHypervisor) -> None:
    lab.pve.add_node("pve2")
    lab.pve.storages["local"]["shared"] = 1
    lab.server.faults.add("answer-lost", path="/clone", times=1)
    relayed.clone(clone_request(pve_node=PveNodeName("pve2")), warn=lab.warnings.append)
    assert lab.pve.vm(VM).node == "pve2"
    assert lab.requests("POST", "/clone") == 1


def test_a_clone_whose_request_is_lost_is_asked_for_again(lab: Lab, relayed: ProxmoxHypervisor) -> None:
    lost = lab.server.faults.add("api-reset", path="/clone", times=1)
    relayed.clone(clone_request(), warn=lab.warnings.append)
    assert lost.hits == 1
    assert lab.pve.vm(VM).config["name"] == NAME


def test_a_clone_whose_answer_is_lost_is_not_confused_with_a_strangers_vm(lab: Lab, relayed: ProxmoxHypervisor) -> None:
    asked = lab.pve.resolve

    def meanwhile(request: Any, *args: Any) -> Any:
        if request.path.endswith("/clone") and lab.pve.vm(VM) is None:
            lab.pve.add_vm(VM, "stranger", node="pve1", config={"description": "mine", "name": "stranger"})
        return asked(request, *args)

    lab.pve.resolve = meanwhile
    lab.server.faults.add("answer-lost", path="/clone", times=1)
    with pytest.raises(HypervisorError, match="already exists"):
        relayed.clone(clone_request(), warn=lab.warnings.append)
    assert lab.pve.vm(VM).config["description"] == "mine"


@pytest.mark.parametrize("verb", ["start", "stop", "shutdown", "destroy", "grow_disk"])
def test_other_requests_whose_answer_is_lost_are_repeated(
    lab: Lab, relayed: ProxmoxHypervisor, relay: Relay, vm: Vmid, verb: str
) -> None:
    warn = lab.warnings.append
    if verb in ("stop", "shutdown"):
        relayed.start(vm, pve_node=PVE1, warn=warn)
    calls: dict[str, Callable[[], None]] = {
        "start": lambda: relayed.start(vm, pve_node=PVE1, warn=warn),
        "stop": lambda: relayed.stop(vm, pve_node=PVE1, warn=warn),
        "shutdown": lambda: relayed.shutdown(vm, pve_node=PVE1, timeout_s=5, warn=warn),
        "destroy": lambda: relayed.destroy(vm, pve_node=PVE1, warn=warn),
        "grow_disk": lambda: relayed.grow_disk(vm, pve_node=PVE1, disk="scsi0", size_gib=9, warn=warn),
    }
    relay.lose = "answer"
    calls[verb]()
    assert relay.lose == ""


def test_many_tasks_are_watched_through_few_listings(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    requests = [clone_request(vmid=Vmid(7100 + number), name=MachineName(f"demo-{number}")) for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda request: hypervisor.clone(request, warn=lab.warnings.append), requests))
        for request in requests:
            lab.pve.vm(request.vmid).start_secs = 40  # 0.8 s here
        began_s = time.monotonic()
        before = lab.requests("GET", "/tasks")
        list(pool.map(lambda one: hypervisor.start(one.vmid, pve_node=PVE1, warn=lab.warnings.append), requests))
    waited_s = time.monotonic() - began_s
    assert 1 <= lab.requests("GET", "/tasks") - before <= waited_s / 0.1 + 1
    assert lab.requests("GET", "/status") == 0


def test_a_task_that_the_listing_does_not_show_is_asked_for(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    lab.pve.tasklog = _Forgetful()
    hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert hypervisor.read_vm(vm, pve_node=PVE1).running


class _Forgetful(list[object]):
    """A task log that keeps nothing."""

    def append(self, _item: object) -> None:
        self[:] = []


def test_a_task_that_takes_too_long_is_given_up(lab: Lab, vm: Vmid) -> None:
    lab.pve.vm(vm).start_secs = 500
    hypervisor = lab.connect_to(lab.endpoint, task_timeout_s=0.4)
    with pytest.raises(DeadlineError, match=r"the Proxmox task to start VM 7001") as raised:
        hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert "UPID:pve1:" in raised.value.resolution


def test_an_interrupt_ends_the_wait_for_a_task_and_leaves_the_task_alone(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    lab.pve.vm(vm).start_secs = 5000  # 100 s here
    threading.Timer(0.3, lab.stop.set).start()
    began_s = time.monotonic()
    with pytest.raises(InterruptedRunError):
        hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert time.monotonic() - began_s < 60
    assert lab.pve.tasklog[-1]["status"] == "running"


def test_an_interrupt_ends_retries(lab: Lab, vm: Vmid) -> None:
    lab.server.run(lab.pve.hold_config_lock(vm, None))
    hypervisor = lab.connect_to(lab.endpoint, retry_for_s=60.0)
    threading.Timer(0.3, lab.stop.set).start()
    with pytest.raises(InterruptedRunError):
        hypervisor.configure(vm, pve_node=PVE1, settings={"cores": 2})


@pytest.mark.parametrize("text", ["homelab@pve!lab=wrong", "homelab@pve!nobody=x", "nobody@nowhere!x=y"])
def test_a_refused_token_is_told_by_its_id(lab: Lab, text: str) -> None:
    with pytest.raises(AuthenticationError) as raised:
        lab.connect(token=token(text)).observe(cluster=DEMO, vmids=VMIDS)
    assert raised.value.brief == f"Proxmox VE refuses the API token {text.partition('=')[0]}"
    assert raised.value.details == "401 Authentication failed!"
    assert raised.value.exit_code == 4


def test_an_address_where_nothing_listens_is_told_at_once(lab: Lab) -> None:
    with pytest.raises(HypervisorError, match=r"cannot reach Proxmox VE at 127.0.0.1:1: .*refused"):
        lab.connect(url="https://127.0.0.1:1").observe(cluster=DEMO, vmids=VMIDS)


def test_a_server_that_goes_away_is_told_as_transient(lab: Lab, relay: Relay, relayed: ProxmoxHypervisor) -> None:
    relay.close()
    with pytest.raises(TransientError, match=r"127\.0\.0\.1"):
        relayed.observe(cluster=DEMO, vmids=VMIDS)


@pytest.mark.parametrize("url", ["http://pve:8006", "pve:8006", "https://", "https://pve:notaport", ""])
def test_an_endpoint_that_is_no_https_url_is_refused_before_anything_is_sent(lab: Lab, url: str) -> None:
    with pytest.raises(AuthenticationError, match="not an https URL"):
        lab.connect(url=url)


def test_what_is_no_proxmox_is_told_as_such(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.pve.fail("GET", "/nodes", 200, "<html>welcome</html>", html=True)
    with pytest.raises(AuthenticationError, match="not a Proxmox VE API"):
        hypervisor.observe(cluster=DEMO, vmids=VMIDS)


def test_a_missing_right_is_told_with_its_path_and_the_command_that_grants_it(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    lab.grant_only(("/", "VM.Audit Sys.Audit"))
    with pytest.raises(PermissionDeniedError) as raised:
        hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    error = raised.value
    assert error.brief == (
        "the API token homelab@pve!lab may not start VM 7001 (demo-cp-1) on pve1: it lacks VM.PowerMgmt on /vms/7001"
    )
    assert "Permission check failed (/vms/7001, VM.PowerMgmt)" in error.details
    assert 'pveum role modify homelab-k8s --append 1 --privs "VM.PowerMgmt"' in error.resolution
    assert (
        "pveum acl modify /vms --roles homelab-k8s --users homelab@pve --tokens 'homelab@pve!lab'" in error.resolution
    )


def test_a_clone_without_the_right_to_its_vmid_is_told_with_the_right_that_lacks(
    lab: Lab, hypervisor: ProxmoxHypervisor
) -> None:
    """Proxmox VE says no more than `Permission check failed` there."""
    lab.grant_only(("/", "VM.Audit VM.Clone Datastore.AllocateSpace SDN.Use"))
    with pytest.raises(PermissionDeniedError, match=r"lacks VM.Allocate on /vms"):
        hypervisor.clone(clone_request(), warn=lab.warnings.append)


def test_a_right_that_lacks_only_in_the_task_is_told_alike(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    lab.end_next_task("resize", "403 Permission check failed (/storage/local, Datastore.AllocateSpace)")
    with pytest.raises(PermissionDeniedError, match=r"lacks Datastore.AllocateSpace on /storage/local"):
        hypervisor.grow_disk(vm, pve_node=PVE1, disk="scsi0", size_gib=9, warn=lab.warnings.append)


def test_neither_secret_nor_key_reaches_a_log_or_an_error(lab: Lab, vm: Vmid, caplog: pytest.LogCaptureFixture) -> None:
    secret, key, password = lab.info.token_secret, "AAAAC3NzaC1lZDI1NTE5AAAA", "hunter2hunter2"
    with caplog.at_level("DEBUG"), caplog.at_level("DEBUG", "proxmoxer.core"):
        hypervisor = lab.connect()
        settings: dict[str, str | int] = {"sshkeys": f"ssh-ed25519 {key} me", "cipassword": password}
        hypervisor.configure(vm, pve_node=PVE1, settings=settings)
        hypervisor.read_vm(vm, pve_node=PVE1)
        lab.pve.fail("GET", "/version", 500, f"somebody echoed {secret}")
        with pytest.raises(HypervisorError) as raised:
            hypervisor.observe(cluster=DEMO, vmids=VMIDS)
    assert "PUT /nodes/pve1/qemu/7001/config" in caplog.text
    assert raised.value.details == "somebody echoed ***"
    for hidden in (secret, key, password):
        assert hidden not in caplog.text
    assert secret not in repr(lab.endpoint) + repr(hypervisor)


def test_each_request_is_told_as_a_call(hypervisor: ProxmoxHypervisor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="bootstrap.calls"):
        hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS)
    told = [record.getMessage() for record in caplog.records if record.name == "bootstrap.calls.proxmox"]
    assert any(each.startswith("proxmox GET /nodes -> 200 (") for each in told), told
