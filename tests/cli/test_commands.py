"""What each command prints, where, and its exit code."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from bootstrap.cli.main import app
from bootstrap.inventory.describe.schema import schema
from bootstrap.model.access.rights import MissingPrivileges
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, Vmid
from bootstrap.ports import PveFacts
from bootstrap.records.vms.lock import LockRecord
from tests.cli.conftest import Run
from tests.fakes.world import FakeHypervisor, World
from tests.fakes.world.markers import marker_vm

UP = ("up", "--cluster", "demo", "--workers", "2")
MACHINES = ["demo-cp-1", "demo-workers-1", "demo-workers-2"]


def test_up_shows_the_plan_on_stderr_and_what_to_type_next_on_stdout(run: Run, world: World) -> None:
    result = run(*UP)
    assert result.exit_code == 0
    assert sorted(vm.name for vm in world.vms.values()) == MACHINES  # they are cloned beside each other
    lines = result.stdout.splitlines()
    assert lines[0].startswith("demo: 3 machines, all Ready, in ")
    assert lines[1].startswith("phases: fetch ")
    assert lines[2].startswith("slowest: demo-")
    assert lines[3] == "next: kubectl --context demo get nodes"
    rows = [line.split() for line in result.stderr.splitlines()]
    assert ["demo-workers-1", "worker", "2", "2", "GiB", "20", "GiB", "pve1", "7001", "create"] in rows
    assert "[   0.0s] demo-workers-1  clone template 9000 to 7001 on pve1 …" in result.stderr


def test_the_plan_fits_80_columns(run: Run) -> None:
    table = [line for line in run(*UP, "--dry-run").stdout.splitlines() if "pve1" in line or "MACHINE" in line]
    assert max(map(len, table)) <= 80


def test_up_again_changes_nothing_and_says_so(run: Run, world: World) -> None:
    run(*UP)
    before = list(world.journal)
    world.kubeconfigs.clear()
    result = run(*UP)
    assert (result.exit_code, result.stdout) == (0, "demo: 3 machines, all Ready; nothing to do\n")
    assert world.journal == before
    assert list(world.kubeconfigs) == ["demo"], "its entries are merged all the same"


@dataclass
class _Counting(FakeHypervisor):
    looks: int = 0

    def observe(self, *, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
        self.looks += 1
        return super().observe(cluster=cluster, vmids=vmids)


def test_up_with_nothing_to_do_looks_once_for_its_document_too(run: Run, world: World) -> None:
    run(*UP)
    hypervisor = _Counting(world)
    result = run(*UP, "-o", "json", ports=replace(world.ports, hypervisor=hypervisor))
    assert [machine["ready"] for machine in json.loads(result.stdout)["machines"]] == [True, True, True]
    assert hypervisor.looks == 1


def test_up_that_only_clears_a_dead_ones_lock_has_no_phases_to_tell(run: Run, world: World) -> None:
    run(*UP)
    record = LockRecord(
        cluster=ClusterName("demo"), who="me@here", pid=7, process="here/7", run="r", command="up", since="long ago"
    )
    world.vms[Vmid(7999)] = marker_vm(record)
    world.dead.add("here/7")
    first, *rest = run(*UP).stdout.splitlines()
    assert first.startswith("demo: 3 machines, all Ready, in ")
    assert rest == ["next: kubectl --context demo get nodes"]
    assert Vmid(7999) not in world.vms


def test_without_kubectl_up_says_what_works_already(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert run(*UP).stdout.splitlines()[-1] == (
        "next: homelab-k8s status --cluster demo --workers 2; to use the cluster, install kubectl "
        "(https://kubernetes.io/docs/tasks/tools/)"
    )


def test_a_dry_run_prints_the_plan_and_touches_nothing(run: Run, world: World) -> None:
    result = run(*UP, "--dry-run")
    assert result.exit_code == 0
    assert "   6. join: start the first server (sqlite)" in result.stdout.splitlines()
    assert "   6. join as agent" in result.stdout.splitlines()
    assert result.stdout.splitlines()[-1] == "dry run: nothing was changed"
    assert (world.journal, world.vms, world.state, world.kubeconfigs) == ([], {}, {}, {})


def test_a_verbose_dry_run_tells_what_each_step_waits_for(run: Run) -> None:
    lines = run(*UP, "--dry-run", "-v").stdout.splitlines()
    assert "   6. join: start the first server (sqlite)  [opens api_reachable]" in lines
    assert "   6. join as agent  [after api_reachable]" in lines


def test_a_dry_run_as_json_has_machines_lanes_and_notes(run: Run) -> None:
    plan = json.loads(run(*UP, "--dry-run", "-o", "json").stdout)
    assert list(plan) == ["command", "cluster", "machines", "lanes", "notes"]
    assert [machine["name"] for machine in plan["machines"]] == MACHINES
    lane = next(lane for lane in plan["lanes"] if lane["name"] == "demo-cp-1")
    assert lane["steps"][5] == {
        "title": "start the first server (sqlite)",
        "phase": "join",
        "needs": [],
        "opens": ["api_reachable"],
    }
    assert yaml.safe_load(run(*UP, "--dry-run", "-o", "yaml").stdout) == plan


def test_up_as_json_tells_the_machines_as_they_are_now(run: Run) -> None:
    result = json.loads(run(*UP, "-o", "json").stdout)
    assert list(result) == ["cluster", "changed", "machines", "took_s", "phases", "kubeconfig"]
    assert result["changed"] is True
    assert [(machine["name"], machine["address"], machine["ready"]) for machine in result["machines"]] == [
        ("demo-cp-1", "192.0.2.10", True),
        ("demo-workers-1", "192.0.2.11", True),
        ("demo-workers-2", "192.0.2.12", True),
    ]
    assert set(result["phases"]) >= {"clone", "boot", "join", "ready"}
    assert result["kubeconfig"].endswith(".kube/config")
    again = json.loads(run(*UP, "-o", "json").stdout)
    assert (again["changed"], again["took_s"], again["phases"]) == (False, 0.0, {})


@pytest.mark.parametrize("built", [False, True])
def test_a_kubeconfig_to_stdout_is_merged_nowhere(run: Run, world: World, built: bool) -> None:
    if built:
        run(*UP)
        world.kubeconfigs.clear()
    result = run(*UP, "--kubeconfig", "-")
    assert yaml.safe_load(result.stdout)["current-context"] == "demo"
    assert world.kubeconfigs == {}
    assert "demo: 3 machines, all Ready" in result.stderr


def test_a_kubeconfig_file_is_named_in_the_next_command(run: Run) -> None:
    result = run(*UP, "--kubeconfig", "my file")
    assert result.stdout.splitlines()[-1] == "next: kubectl --kubeconfig 'my file' --context demo get nodes"


def test_two_results_for_one_stdout_are_refused(run: Run, world: World) -> None:
    result = run(*UP, "--kubeconfig", "-", "-o", "json")
    assert (result.exit_code, result.stdout, world.journal) == (2, "", [])
    assert "error: --kubeconfig - and --output both print to stdout" in result.stderr


def test_a_failed_lane_is_told_with_the_way_on_and_the_log(run: Run, world: World, state: Path) -> None:
    world.fail_clone.add("demo-workers-1")
    result = run(*UP)
    assert (result.exit_code, result.stdout) == (1, "")
    log = next((state / "logs").glob("*-up.log"))
    assert result.stderr.splitlines()[-4:] == [
        "error: demo-workers-1: clone failed",
        "  clone failed: no space left",
        "→ `homelab-k8s up --cluster demo --workers 2` again continues from here",
        f"log: {log}",
    ]
    assert "Traceback" not in result.stderr
    assert "Traceback" in log.read_text()


def test_what_does_not_fit_exits_with_4(run: Run, world: World) -> None:
    result = run(*UP, "--worker-cores", "64")
    assert (result.exit_code, world.journal) == (4, [])


def test_kubeconfig_prints_it(run: Run) -> None:
    assert run("kubeconfig", "--cluster", "demo").exit_code == 1
    run(*UP)
    result = run("kubeconfig", "--cluster", "demo")
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["clusters"][0]["cluster"]["server"] == "https://192.0.2.10:6443"


def test_down_removes_nothing_when_nobody_can_be_asked(run: Run, world: World) -> None:
    run(*UP)
    result = run("down", "--cluster", "demo")
    assert result.exit_code == 2
    assert "demo-workers-1" in result.stderr
    assert "--yes" in result.stderr
    assert len(world.vms) == 3


def test_down_removes_all_and_then_finds_nothing(run: Run, world: World) -> None:
    run(*UP)
    result = run("down", "--cluster", "demo", "--yes")
    assert result.exit_code == 0
    assert result.stdout.startswith("demo: 3 machines removed in ")
    assert (world.vms, world.state, world.kubeconfigs) == ({}, {}, {})
    result = run("down", "--cluster", "demo", "--yes")
    assert (result.exit_code, result.stdout) == (0, "demo: no machines; nothing to do\n")


def test_down_as_json_and_its_dry_run(run: Run, world: World) -> None:
    run(*UP)
    plan = json.loads(run("down", "--cluster", "demo", "--dry-run", "-o", "json").stdout)
    assert [machine["action"] for machine in plan["machines"]] == ["destroy"] * 3
    assert len(world.vms) == 3
    result = json.loads(run("down", "--cluster", "demo", "--yes", "-o", "json").stdout)
    assert (result["changed"], result["removed"]) == (True, MACHINES)


def test_progress_as_json_leaves_nothing_else_on_stderr(run: Run, world: World) -> None:
    world.fail_clone.add("demo-workers-1")
    result = run(*UP, "--progress", "json")
    told = [json.loads(line) for line in result.stderr.splitlines()]
    assert (told[0]["event"], told[-2]["event"], told[-1]["event"]) == ("run_started", "run_finished", "error")
    assert {"name": "demo-cp-1", "steps": 7} in told[0]["lanes"]
    failed = next(event for event in told if event["event"] == "step_failed")
    assert failed["error"]["brief"] == "demo-workers-1: clone failed"
    assert told[-1]["exit_code"] == 1
    assert told[-1]["log"].endswith("-up.log")


def test_quiet_says_nothing_unless_it_fails(run: Run, world: World) -> None:
    assert run(*UP, "--progress", "quiet").stderr == ""
    world.missing = (MissingPrivileges(path="/vms", privileges=("VM.Clone",), remedy="pveum ..."),)
    result = run("up", "--cluster", "other", "--progress", "quiet")
    assert result.exit_code == 4
    assert result.stderr.startswith("error: the API token lacks privileges that `up` needs")


@pytest.mark.parametrize("command", [("status", "--progress", "quiet"), ("kubeconfig",), (*UP, "--progress", "quiet")])
def test_quiet_still_says_that_the_certificate_is_not_checked(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PROXMOX_VE_INSECURE", "true")
    said = run(*command).stderr
    assert said.startswith("warning: proxmox: https://192.0.2.1:8006: its certificate is NOT checked (insecure)")


def test_all_mistakes_of_an_inventory_come_at_once(run: Run, tmp_path: Path, world: World) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("cluster: Demo_1\nworkers: -1\nonboot: no\ncolour: red\n")
    result = run("up", "-i", str(file), "--control-planes", "2")
    assert (result.exit_code, world.journal) == (3, [])
    for said in ("5 problems", "line 1: cluster", "line 2: workers", "line 3: onboot", "line 4", "--control-planes"):
        assert said in result.stderr


def test_usage_errors_have_typers_text_and_exit_with_2(run: Run) -> None:
    for args, said in (
        (("up", "--nonsense"), "No such option: --nonsense"),
        (("up", "--workers", "three"), "Invalid value for '--workers'"),
        (("up", "--progress", "loud"), "Invalid value for '--progress'"),
        (("nonsense",), "No such command 'nonsense'"),
    ):
        result = run(*args)
        assert result.exit_code == 2
        assert said in result.stderr


def test_every_override_has_its_flag_on_up() -> None:
    from dataclasses import fields

    from bootstrap.inventory import Overrides, flag_of

    shown = CliRunner().invoke(app, ["up", "--help"], env={"COLUMNS": "200"}).stdout
    flags = [flag_of(field.name) for field in fields(Overrides) if field.name != "endpoint"]
    assert [flag for flag in flags if f"{flag} " not in shown and f"{flag}," not in shown] == []


def test_schema_is_the_inventorys_json_schema() -> None:
    printed = json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    assert printed == schema()
    jsonschema.Draft202012Validator.check_schema(printed)


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("homelab-k8s 0.")
