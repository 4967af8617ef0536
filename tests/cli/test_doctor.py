"""`doctor` as a user sees it: 80 columns, commands that can be copied, JSON, exit codes."""

from __future__ import annotations

import json

import yaml

from bootstrap.model.access.rights import MissingPrivileges
from tests.cli.conftest import Run
from tests.fakes.world import World

DOCTOR = ("doctor", "--cluster", "demo", "--workers", "2")
REMEDY = 'pveum role modify homelab-k8s --append 1 --privs "VM.Clone" && pveum acl modify /vms --roles homelab-k8s'


def test_each_check_is_a_paragraph_of_80_columns_and_the_last_line_the_sum(run: Run, world: World) -> None:
    world.endpoint = None
    result = run(*DOCTOR)
    assert result.exit_code == 4
    lines = result.stdout.splitlines()
    assert lines[0] == "failed   endpoint         cannot reach Proxmox VE at 192.0.2.1:8006"
    assert lines[1:3] == [f"{'':26}timed out", f"{'':26}→ check"]
    assert lines[3] == "skipped  tls              needs endpoint, which failed"
    assert lines[-1] == "demo: 3 ok, 0 warning, 1 failed, 21 skipped"
    assert max(map(len, lines)) <= 80
    assert world.journal == []


def test_all_well_is_exit_code_0(run: Run, world: World) -> None:
    assert run("up", "--cluster", "demo", "--workers", "2").exit_code == 0
    result = run(*DOCTOR)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "demo: 23 ok, 0 warning, 0 failed, 2 skipped"
    assert "reading https://192.0.2.1:8006 …" in result.stderr


def test_a_command_to_be_copied_is_on_a_line_of_its_own_however_long(run: Run, world: World) -> None:
    world.missing = (MissingPrivileges(path="/vms", privileges=("VM.Clone",), remedy=REMEDY),)
    lines = [line.strip() for line in run(*DOCTOR).stdout.splitlines()]
    assert REMEDY in lines
    assert "→ as root on a Proxmox node:" in lines


def test_as_json_each_check_has_its_verdict_remedy_and_facts(run: Run, world: World) -> None:
    world.write_s = 0.02
    run("up", "--cluster", "demo", "--control-planes", "3", "--workers", "0")
    result = run("doctor", "--cluster", "demo", "--workers", "0", "-o", "json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert list(found) == ["format", "cluster", "verdict", "checks"]
    assert (found["format"], found["cluster"], found["verdict"]) == (1, "demo", "warning")
    disk = next(check for check in found["checks"] if check["name"] == "etcd-disk")
    assert list(disk) == ["name", "verdict", "says", "remedy", "facts"]
    assert disk["facts"] == {"demo-cp-1": 20.0, "demo-cp-2": 20.0, "demo-cp-3": 20.0}
    assert disk["remedy"].startswith("move the servers' disks to an SSD")
    endpoint = found["checks"][0]
    assert (endpoint["name"], endpoint["remedy"], endpoint["facts"]) == ("endpoint", None, {})
    assert (
        yaml.safe_load(run("doctor", "--cluster", "demo", "--workers", "0", "-o", "yaml").stdout)["verdict"]
        == "warning"
    )
