"""`adopt`: what is foreign is listed, asked about by the cluster's name, and signed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bootstrap.model.ids import Vmid
from tests.cli.conftest import Run
from tests.fakes.keys import unsealed
from tests.fakes.world import World

UP = ("up", "--cluster", "demo", "--workers", "1")
DEMO = ("--cluster", "demo")


@pytest.fixture
def foreign(run: Run, world: World) -> World:
    """A cluster that an earlier release made."""
    assert run(*UP).exit_code == 0
    for vm in world.vms.values():
        vm.description = unsealed(vm.description)
    world.journal.clear()
    return world


def test_up_status_and_down_name_the_command_that_takes_over(run: Run, foreign: World) -> None:
    assert (refused := run(*UP)).exit_code == 4
    assert "2 VMs claim to be machines of demo, but none is signed with its key; nothing was changed" in refused.stderr
    assert "`homelab-k8s adopt demo`" in refused.stderr
    assert (status := run("status", *DEMO)).exit_code == 1
    assert "if they are yours, `homelab-k8s adopt demo` takes them over" in " ".join(status.stdout.split())
    down = run("down", *DEMO, "--yes")
    assert down.exit_code == 0
    left = "demo: nothing was removed; 2 foreign VMs left: if they are yours: `homelab-k8s adopt demo`"
    assert down.stdout.startswith(left)
    assert "if they are yours, `homelab-k8s adopt demo` takes them over" in down.stderr
    row = next(line.split() for line in run("clusters").stdout.splitlines() if line.startswith("demo"))
    assert row == ["demo", "0", "0", "-,", "2", "foreign", "-", "-", "here"]
    assert foreign.journal == []
    assert len(foreign.vms) == 2


def test_a_neighbours_forgery_turns_no_status_red(run: Run, world: World) -> None:
    """Anyone who may write into the notes of any VM that our token sees ended everybody's `status` with 1."""
    assert run(*UP).exit_code == 0
    real = world.vm_named("demo-workers-1")
    assert real is not None
    forged = replace(real, vmid=Vmid(7300), name="demo-workers-9", smbios_uuid="forged", our_clone=False)
    forged.description = unsealed(real.description).replace('"vmid":7001', '"vmid":7300')
    forged.description = forged.description.replace("demo-workers-1", "demo-workers-9")
    world.vms[forged.vmid] = forged
    status = run("status", *DEMO)
    assert status.exit_code == 0, status.stdout
    told = " ".join(status.stdout.split())
    assert "note: 1 VM claims to be a machine of demo and is foreign, not signed with its key: demo-workers-9" in told
    assert "demo: 2 machines, all Ready" in told
    document = json.loads(run("status", *DEMO, "-o", "json").stdout)
    assert (document["problems"], len(document["notices"])) == ([], 1)
    assert "`homelab-k8s adopt demo`" in document["notices"][0]
    doctor = json.loads(run("doctor", *DEMO, "-o", "json").stdout)
    (check,) = [check for check in doctor["checks"] if check["name"] == "cluster"]
    assert check["verdict"] == "ok"
    assert "demo-workers-9" in check["says"]


def test_a_machine_of_ours_that_has_lost_its_signature_is_a_problem_still(run: Run, world: World) -> None:
    """A machine is missing; what claims to be one is told beside."""
    assert run(*UP).exit_code == 0
    worker = world.vm_named("demo-workers-1")
    assert worker is not None
    worker.description = unsealed(worker.description)
    status = run("status", *DEMO)
    assert status.exit_code == 1
    told = " ".join(status.stdout.split())
    assert "VM missing: `homelab-k8s up" in told
    assert "takes them over" in told


def test_what_is_to_be_signed_is_shown_and_asked_about(run: Run, foreign: World) -> None:
    dry = run("adopt", "demo", "--dry-run")
    assert dry.exit_code == 0, dry.stderr
    assert "adopt (a VM, made, up 0 min, not in a resource pool: its record has no signature)" in dry.stdout
    refused = run("adopt", "demo")
    assert refused.exit_code == 2
    assert (
        "This makes 2 VMs part of demo: they are logged in to, get its secrets and are removed with it."
        in refused.stderr
    )
    assert foreign.journal == []
    result = run("adopt", "demo", "--yes", "-o", "json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["cluster"], told["changed"], told["adopted"]) == ("demo", True, ["demo-cp-1", "demo-workers-1"])
    assert run("status", *DEMO).exit_code == 0
    again = run("adopt", "demo", "--yes")
    assert (again.exit_code, again.stdout) == (0, "demo: nothing to adopt\n")


def test_one_that_is_named_is_adopted_alone(run: Run, foreign: World) -> None:
    result = run("adopt", "demo", "--vmid", "7001", "--yes")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("demo: 1 record signed in ")
    assert run("adopt", "demo", "--vmid", "9", "--yes").exit_code == 4


def test_up_and_status_end_with_an_error_while_a_machine_refuses_our_key(run: Run, world: World) -> None:
    """`up` said "all Ready; nothing to do" and ended with 0."""
    assert run(*UP).exit_code == 0
    world.refuses_key.add("demo-workers-1")
    status = run("status", *DEMO)
    assert status.exit_code == 1
    assert "refuses our SSH key" in " ".join(status.stdout.split())
    refused = run(*UP)
    assert refused.exit_code == 1
    assert "nothing to do" not in refused.stdout
    assert refused.stdout.startswith("demo: 2 machines, all Ready, but 1 of them refuses our SSH key\n")
    assert "`homelab-k8s adopt demo`" in refused.stderr
    given = run("adopt", "demo", "--yes", "-o", "json")
    assert given.exit_code == 0, given.stderr
    told = json.loads(given.stdout)
    assert (told["changed"], told["adopted"], told["key_added"]) == (True, [], ["demo-workers-1"])
    assert run("status", *DEMO).exit_code == 0
    assert "nothing to do" in run(*UP).stdout


def test_what_is_done_about_the_key_is_in_the_question(run: Run, world: World) -> None:
    assert run(*UP).exit_code == 0
    world.refuses_key.add("demo-workers-1")
    asked = run("adopt", "demo")
    assert asked.exit_code == 2
    told = " ".join(asked.stderr.split())
    assert "On 1 machine, if our SSH key is refused there, the guest agent adds it to authorized_keys" in told
    assert not [call for call in world.journal if call.startswith("write")]
    assert run("adopt", "demo", "--yes").stdout.startswith("demo: SSH key added to 1 machine in ")
