"""Does a host answer as a Proxmox VE 8.4.21 did, whose answers were recorded?

Each case of `cases/*.yaml` is one request with what was answered. The lab and a real host pass the same ones. A case
with `differs` is one the lab is known not to meet; it fails when the lab starts to.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.contract.hosts import Host
from tests.contract.lab_host import LabHost
from tests.contract.matching import difference, filled

# States that on a real host only a shell of the host, or luck, can make.
LAB_ONLY = ("locked", "held")
METHODS = ("get", "post", "put", "delete")
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['title']}")
    for path in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.safe_load(path.read_text())
]
Case = Mapping[str, Any]


def lab_cases() -> Iterator[Any]:
    for param in CASES:
        case: Any = param.values[0]
        marks: list[pytest.MarkDecorator] = []
        if "differs" in case:
            marks = [pytest.mark.xfail(strict=True, raises=AssertionError, reason=case["differs"])]
        yield pytest.param(case, id=param.id, marks=marks)


def real_cases() -> list[Any]:
    """All cases, or one skipped test that says why there are none."""
    if os.environ.get("PROXMOX_VE_ENDPOINT"):
        return CASES
    no_host = pytest.mark.skip(reason="no real Proxmox VE host: PROXMOX_VE_ENDPOINT is not set")
    return [pytest.param({}, id="all cases", marks=[no_host])]


@pytest.mark.parametrize("case", list(lab_cases()))
def test_the_lab_answers_as_proxmox(case: Case, lab_host: LabHost) -> None:
    run_case(case, lab_host)


@pytest.mark.parametrize("case", real_cases())
def test_a_real_host_answers_as_recorded(case: Case, real: Host) -> None:
    needed = [case.get("as", "admin")]
    if needed[0] not in ("nobody", *real.tokens):
        pytest.skip(f"no token for {needed[0]!r}: PROXMOX_VE_CONTRACT_NORIGHTS_TOKEN is not set")
    if case.get("vm") in LAB_ONLY:
        pytest.skip("only the lab can be brought into this state from outside")
    if changes_something(case) and not real.vmids:
        pytest.skip("makes or changes VMs: PROXMOX_VE_CONTRACT_VMIDS is not set")
    if case.get("pve", 0) and not real.json("GET", "/version")["version"].startswith(str(case["pve"])):
        pytest.skip(f"asks Proxmox VE {case['pve']}")
    run_case(case, real)


def test_there_are_as_many_cases_as_are_worth_the_name() -> None:
    assert len({param.id for param in CASES}) == len(CASES) >= 120


def changes_something(case: Case) -> bool:
    """Whether a case, or what it needs first, is more than a look."""
    return "vm" in case or "get" not in case or any("get" not in step for step in case.get("then", ()))


def run_case(case: Case, host: Host) -> None:
    """Make what the case needs, send its request, compare, and remove what was made."""
    names = dict(host.names)
    made = []
    if host.vmids:
        names["new"] = host.next_vmid()
        names["vm"] = host.next_vmid()
        made = [names["new"], names["vm"]]
    else:
        names["new"] = 987653
    try:
        if "vm" in case:
            host.make(case["vm"], names["vm"])
            config = host.json("GET", f"/nodes/{names['node']}/qemu/{names['vm']}/config")
            names["digest"] = config["digest"]
        for step in case.get("given", ()):
            method, path, values = request_of(filled(step, names))
            host.json(method, path, values)
        if "task_of" in case:
            method, path, values = request_of(filled(case["task_of"], names))
            names["upid"] = host.json(method, path, values)
        check(case, host, names)
        for step in case.get("then", ()):
            check({"as": "admin", **step}, host, names)
    finally:
        for vmid in made:
            host.remove(vmid)


def request_of(step: Case) -> tuple[str, str, Any]:
    method = next(name for name in METHODS if name in step)
    return method.upper(), step[method], step.get("with")


def send(case: Case, host: Host, names: Mapping[str, Any]) -> requests.Response:
    method, path, values = request_of(filled(case, names))
    headers: dict[str, str] = {}
    body: Any = None
    role = case.get("as", "admin")
    token = "" if role == "nobody" or "authorization" in case else host.tokens[role]
    if "token" in case:
        token = filled(case["token"], names)
    if "authorization" in case:
        headers["Authorization"] = case["authorization"]
    if "raw" in case:
        headers["Content-Type"] = case["raw"]["type"]
        body = case["raw"]["body"].encode()
    elif "form" in case:
        body = case["form"]
    elif method in ("POST", "PUT"):
        body, values = values, None
    return host.send(method, path, token=token, headers=headers, params=values, body=body)


def check(case: Case, host: Host, names: Mapping[str, Any]) -> None:
    asked_at = time.monotonic()
    reply = send(case, host, names)
    took_s = time.monotonic() - asked_at
    wanted = filled({key: value for key, value in case.items() if key not in METHODS}, names)
    said = f"{reply.status_code} {reply.reason}\n{reply.text}"
    assert reply.status_code == wanted.get("status", 200), said
    default = "Parameter verification failed." if "errors" in wanted else None
    if wanted.get("reason", default) is not None:
        assert difference(wanted.get("reason", default), reply.reason, where="reason") is None, said
    for name, value in wanted.get("headers", {}).items():
        assert reply.headers.get(name, "").lower() == value.lower(), dict(reply.headers)
    if "seconds" in wanted:
        assert took_s >= 0.95 * host.scale * wanted["seconds"]
    if wanted.get("empty"):
        assert reply.text == ""
    if "message" in wanted:
        assert reply.json()["message"] == wanted["message"]
    if "errors" in wanted:
        body = reply.json()
        assert body["errors"].keys() == wanted["errors"].keys(), said
        assert difference(wanted["errors"], body["errors"], where="errors") is None, said
    if reply.status_code == 200:
        check_body(wanted, reply.json())
    if "task" in wanted:
        check_task(wanted["task"], host, reply.json()["data"])


def check_body(wanted: Case, body: Mapping[str, Any]) -> None:
    data = body.get("data")
    if "data" in wanted:
        assert difference(wanted["data"], data, where="data") is None, difference(wanted["data"], data, where="data")
    if "beside" in wanted:
        assert difference(wanted["beside"], body) is None, body
    if "keys" in wanted:
        assert sorted(data or {}) == sorted(wanted["keys"])
    for name in wanted.get("absent", ()):
        assert name not in (data or {})
    items = data.get("result") if "result_some" in wanted and isinstance(data, dict) else data
    rows = items if isinstance(items, list) else []
    for name in ("some", "result_some"):
        if name in wanted:
            assert any(difference(wanted[name], row) is None for row in rows), json.dumps(rows, indent=1)
    if "none_of" in wanted:
        assert all(difference(wanted["none_of"], row) for row in rows), rows
    if "only_keys" in wanted:
        assert rows
        assert all(row.keys() <= set(wanted["only_keys"]) for row in rows), rows


def check_task(wanted: Case, host: Host, upid: str) -> None:
    ended = host.wait(upid)
    lines = [line["t"] for line in host.json("GET", f"/nodes/{ended['node']}/tasks/{upid}/log")]
    found = difference(wanted["exit"], ended["exitstatus"], where="exitstatus")
    assert found is None, f"{found}\n{lines}"
    assert ended["type"] == wanted.get("type", ended["type"])
    for line in wanted.get("log", ()):
        assert any(difference(line, had) is None for had in lines), lines
    assert lines[-1] == ("TASK OK" if ended["exitstatus"] == "OK" else f"TASK ERROR: {ended['exitstatus']}")
