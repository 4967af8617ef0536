"""The suite itself: what it removes on a host, what it sends, and what it makes of versions and differences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from bootstrap.lab.guest_memory import MemoryGuests
from bootstrap.lab.options import LabOptions
from bootstrap.lab.server import LabServer
from tests.contract.differences import compared, described
from tests.contract.hosts import MARK
from tests.contract.real_host import NotOursError, parse_vmids, real_host
from tests.contract.running import changes_something
from tests.contract.versions import for_version, is_asked, parse_version

CASES = {path.name: path.read_text() for path in (Path(__file__).parent / "cases").glob("*.yaml")}
RANGE = range(300, 308)
SOMEBODY_ELSES = 303


class Machine:
    """A host with a certificate of its own, which the suite meets as it meets a real one."""

    def __init__(self, server: LabServer, environ: Mapping[str, str]) -> None:
        self._server = server
        self.environ = environ

    def add_vm(self, vmid: int, description: str) -> None:
        self._server.pve.add_vm(vmid, f"vm-{vmid}", node="pve1", config={"description": description})

    def vmids(self) -> set[int]:
        return {vm.vmid for vm in self._server.pve.vms if vm.vmid in RANGE}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    server = LabServer(LabOptions(guests="none", port=0, time_scale=0), driver=MemoryGuests(), state_dir=tmp_path)
    with server as info:
        environ = {
            "PROXMOX_VE_ENDPOINT": info.endpoint,
            "PROXMOX_VE_API_TOKEN": info.root_token,
            "PROXMOX_VE_INSECURE": "1",
            "PROXMOX_VE_CONTRACT_VMIDS": f"{RANGE[0]}-{RANGE[-1]}",
        }
        yield Machine(server, environ)


def test_a_host_is_met_with_its_certificate_unchecked_and_left_as_it_was(machine: Machine) -> None:
    with real_host(machine.environ) as host:
        assert host.names["template"] == RANGE[0]
        assert host.version[0] == 9
        host.make("clone", RANGE[3])
        assert machine.vmids() == {RANGE[0], RANGE[3]}
    assert machine.vmids() == set()


def test_a_certificate_is_checked_unless_asked_otherwise(machine: Machine) -> None:
    environ = {key: value for key, value in machine.environ.items() if key != "PROXMOX_VE_INSECURE"}
    with pytest.raises(requests.exceptions.SSLError), real_host(environ):
        pass


def test_without_a_range_nothing_is_made(machine: Machine) -> None:
    environ = {key: value for key, value in machine.environ.items() if not key.endswith("_VMIDS")}
    with real_host(environ) as host:
        assert host.vmids == ()
        assert host.names["template"] == 9000
        assert host.tokens.keys() == {"admin"}
    assert machine.vmids() == set()


def test_a_killed_run_leaves_nothing_after_the_next_one(machine: Machine) -> None:
    killed = real_host(machine.environ)
    host = killed.__enter__()
    host.make("running", RANGE[2])
    host.json("PUT", f"/nodes/pve1/qemu/{RANGE[2]}/config", {"protection": 1})
    assert machine.vmids() == {RANGE[0], RANGE[2]}
    with real_host(machine.environ):
        assert machine.vmids() == {RANGE[0]}
    assert machine.vmids() == set()


@pytest.mark.parametrize("description", ["", "my data", f"not of the {MARK}"])
def test_what_has_no_mark_is_never_removed_and_keeps_the_suite_from_starting(
    machine: Machine, description: str
) -> None:
    machine.add_vm(RANGE[1], MARK)
    machine.add_vm(SOMEBODY_ELSES, description)
    with pytest.raises(NotOursError, match=f"VM {SOMEBODY_ELSES}"), real_host(machine.environ):
        pass
    assert machine.vmids() == {RANGE[1], SOMEBODY_ELSES}


def test_what_carries_the_mark_outside_of_the_range_stays(machine: Machine) -> None:
    machine.add_vm(400, MARK)
    with real_host(machine.environ) as host, pytest.raises(RuntimeError, match="not the suite's"):
        host.remove(400)
    assert not host.is_free(400)


@pytest.mark.parametrize("text", ["990000", "990000-990003", "x-y"])
def test_a_range_that_is_none_or_too_small_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"VMIDS|invalid literal"):
        parse_vmids(text)


def test_no_case_pins_a_line_of_perl_or_the_words_of_a_resolver() -> None:
    for name, text in CASES.items():
        assert not re.search(r"/perl5/|line \d", text), name
        assert "Name or service not known" not in text, name


def test_every_description_of_a_case_carries_the_mark() -> None:
    for name, text in CASES.items():
        for case in yaml.safe_load(text):
            for values in _sent(case):
                told = str(values.get("description", MARK))
                marked = told.startswith((MARK, "{mark}")) or told in ("{x8192}", "{x8193}")
                assert marked, f"{name}: {case['title']}"


def _sent(case: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for step in (case, *case.get("given", ())):
        yield step.get("with", {})
    if "raw" in case and "description" in case["raw"]["body"]:
        yield yaml.safe_load(case["raw"]["body"])


def test_the_newest_version_that_fits_is_laid_over_a_case() -> None:
    case = {"status": 500, "reason": "old", "versions": {"9.0": {"reason": "new"}, "9.10": {"reason": "newer"}}}
    assert for_version(case, parse_version("8.4.21"))["reason"] == "old"
    assert for_version(case, parse_version("9.2.11"))["reason"] == "new"
    assert for_version(case, parse_version("9.10.1-1"))["reason"] == "newer"
    assert for_version(case, parse_version("9.10"))["status"] == 500
    assert is_asked({"since": "9.0"}, (9, 0, 1))
    assert not is_asked({"since": "9.0"}, (8, 4, 21))
    assert not is_asked({"before": "9.0"}, (9, 0, 1))


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ({"get": "/version"}, False),
        ({"get": "/version", "then": [{"get": "/nodes"}]}, False),
        ({"get": "/version", "vm": "clone"}, True),
        ({"get": "/version", "given": [{"put": "/x"}]}, True),
        ({"get": "/version", "task_of": {"post": "/x"}}, True),
        ({"get": "/version", "then": [{"put": "/x"}]}, True),
        ({"delete": "/x"}, True),
    ],
)
def test_only_looks_are_sent_without_a_range(case: Mapping[str, Any], changes: bool) -> None:
    assert changes_something(case) is changes


def _reply(status: int, reason: str, body: str) -> requests.Response:
    reply = requests.Response()
    reply.status_code, reply.reason = status, reason
    reply._content = body.encode()
    return reply


def test_each_difference_is_one_line_without_the_hosts_own_names() -> None:
    names, others = {"vm": 990003, "node": "alpha"}, {"vm": 203, "node": "pve1"}
    real = [
        described("GET /a", _reply(200, "OK", '{"data": [{"vmid": 990003, "pid": 1}]}'), names),
        described("PUT /b", _reply(500, "VM 990003 on alpha", "{}"), names),
        described("PUT /c", _reply(400, "Parameter verification failed.", '{"errors": {"x": "no"}}'), names),
    ]
    lab = [
        described("GET /a", _reply(200, "OK", '{"data": [{"vmid": 203.5, "tags": "a"}]}'), others),
        described("PUT /b", _reply(500, "VM 203 on pve1", "{}"), others),
        described("PUT /c", _reply(200, "OK", '{"data": null}'), others),
    ]
    found = compared("title", real, lab)
    assert found[:2] == ["title: GET /a: only real: pid", "title: GET /a: only lab: tags"]
    assert not [line for line in found if "PUT /b" in line]
    assert [line.split(":")[2].split()[0] for line in found if "PUT /c" in line] == ["status", "reason", "errors"]
