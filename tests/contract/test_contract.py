"""Does a host answer as Proxmox VE 8.4.21 and 9.2.11 did, whose answers were recorded?

Each case of `cases/*.yaml` is one request with what was answered. The lab, in both its versions, and a real host pass
the same ones. A case with `differs` is one the lab is known not to meet; it fails when the lab starts to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.differences import Answer, compared
from tests.contract.hosts import Host
from tests.contract.lab_host import LAB_VERSIONS, Labs
from tests.contract.real_host import PREFIX
from tests.contract.running import changes_something, run_case
from tests.contract.versions import Case, for_version, is_asked

# States that on a real host only a shell of the host, or luck, can make.
LAB_ONLY = ("locked", "held")
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['title']}")
    for path in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    # Those that ask one guest's agent come together, so that it need not run longer than it takes.
    for case in sorted(yaml.safe_load(path.read_text()), key=lambda case: case.get("vm") == "agent")
]


def lab_cases() -> Iterator[Any]:
    for pve_version, version in LAB_VERSIONS.items():
        for param in CASES:
            whole: Any = param.values[0]
            if not is_asked(whole, version):
                continue
            case = for_version(whole, version)
            marks: list[pytest.MarkDecorator] = []
            if "differs" in case:
                marks = [pytest.mark.xfail(strict=True, raises=AssertionError, reason=case["differs"])]
            yield pytest.param(case, pve_version, id=f"{version[0]}.{version[1]} {param.id}", marks=marks)


def real_cases() -> list[Any]:
    """All cases, or one skipped test that says why there are none."""
    reason = "no real Proxmox VE host: PROXMOX_VE_ENDPOINT is not set"
    if os.environ.get("PROXMOX_VE_ENDPOINT"):
        if "PYTEST_XDIST_WORKER" not in os.environ:
            return CASES
        reason = "a real host has one range of ids: run tests/contract with -n 0"
    no_host = pytest.mark.skip(reason=reason)
    return [pytest.param({"title": "all cases"}, id="all cases", marks=[no_host])]


@pytest.mark.parametrize(("case", "pve_version"), list(lab_cases()))
def test_the_lab_answers_as_proxmox(case: Case, pve_version: int, labs: Labs) -> None:
    lab = labs.of_version(pve_version)
    reason = lab.why_it_cannot(case.get("needs", ""))
    if reason:
        pytest.skip(reason)
    run_case(case, lab)


@pytest.mark.parametrize("case", real_cases())
def test_a_real_host_answers_as_recorded(case: Case, real: Host, labs: Labs, differences: list[str]) -> None:
    reason = why_not_asked(case, real)
    if reason:
        pytest.skip(reason)
    told = run_case(for_version(case, real.version), real)
    lab = labs.of_version(8 if real.version < (9,) else 9)
    asked = for_version(case, lab.version)
    if is_asked(case, lab.version) and "differs" not in asked and not lab.why_it_cannot(asked.get("needs", "")):
        differences += how_the_lab_differs(asked, told, real, lab)


def how_the_lab_differs(case: Case, told: list[Answer], real: Host, lab: Host) -> list[str]:
    """Lines for the report; a case that the lab fails is one."""
    own = real.names["template_fields"] ^ lab.names["template_fields"]
    try:
        return compared(case["title"], told, run_case(case, lab), own=own)
    except AssertionError as error:
        first = (str(error) or "an assertion fails").splitlines()[0]
        return [f"{case['title']}: the lab fails this case: {first}"]


def why_not_asked(case: Case, real: Host) -> str:
    """Why a real host is not asked a case; empty where it is."""
    role = case.get("as", "admin")
    if role not in ("nobody", *real.tokens):
        return f"no token for {role!r}: {PREFIX}VMIDS is not set"
    if case.get("vm") in LAB_ONLY:
        return "only the lab can be brought into this state from outside"
    if changes_something(case) and not real.vmids:
        return f"makes or changes VMs: {PREFIX}VMIDS is not set"
    if not is_asked(case, real.version):
        return "asks another version of Proxmox VE"
    return real.why_it_cannot(case.get("needs", ""))


def test_there_are_as_many_cases_as_are_worth_the_name() -> None:
    assert len({param.id for param in CASES}) == len(CASES) >= 120
