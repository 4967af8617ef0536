"""What a machine tells of itself is checked before it is used: root there decides what our script prints."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from bootstrap.errors import UnreadableGuestError
from bootstrap.execution.guests.scripts import parse_facts

ADDRESS = IPv4Address("192.0.2.7")


def test_facts_are_read() -> None:
    told = "arch=arm64\nmachine_id=0123456789abcdef0123456789abcdef\nk3s_version=v1.36.3+k3s1\nrestarts=\n"
    facts = parse_facts(told, machine="m", address=ADDRESS)
    assert (facts.arch, facts.k3s_version, facts.restarts, facts.k3s_sha256) == ("arm64", "v1.36.3+k3s1", 0, "")


@pytest.mark.parametrize(
    "line",
    [
        "arch=../../../etc/cron.d/x",
        "arch=amd64/../x",
        "machine_id=\x1b[2J",
        "k3s_sha256=../x",
        "restarts=²",
        "restarts=" + "9" * 5000,
        "active_state=active; rm -rf",
    ],
)
def test_facts_of_odd_form_are_an_error_with_machine_field_and_value(line: str) -> None:
    with pytest.raises(UnreadableGuestError, match="cannot read the facts of demo-cp-1") as raised:
        parse_facts(line, machine="demo-cp-1", address=ADDRESS)
    assert raised.value.details.startswith(line.partition("=")[0] + " is ")
