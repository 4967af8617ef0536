"""put-manifests.sh and drop-manifests.sh run for real."""

from __future__ import annotations

import pytest

from tests.adapters.test_guest_scripts import Machine, lines, needs_root

pytestmark = needs_root

SERVER = "/var/lib/rancher/k3s/server"
CNI, CCM, USERS = (f"{SERVER}/manifests/{name}.yaml" for name in ("homelab-k8s-cni", "homelab-k8s-ccm", "mine"))


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(tmp_path_factory.mktemp("guest"))


def put(machine: Machine, **files: str) -> list[tuple[str, str]]:
    told = lines(
        machine.run("put-manifests.sh", files=[(f"homelab-k8s-{name}.yaml", text) for name, text in files.items()])
    )
    assert not list(machine.beside.glob("homelab-k8s-*")), "what may be secret is gone"
    return told


def test_a_fresh_server_gets_exactly_what_was_sent(machine: Machine) -> None:
    machine.put_file(USERS, "the user's")
    assert put(machine) == [("changed", "0")]
    assert put(machine, cni="a", ccm="b") == [("changed", "1")]
    assert (machine.path(CNI).read_text(), machine.path(CCM).read_text()) == ("a", "b")
    assert machine.path(CNI).stat().st_mode & 0o777 == 0o600
    assert put(machine, cni="a", ccm="b") == [("changed", "0")]
    assert put(machine, ccm="c") == [("changed", "1")]
    assert (machine.path(CNI).exists(), machine.path(CCM).read_text()) == (False, "c")
    assert sorted(each.name for each in machine.path(f"{SERVER}/manifests").iterdir()) == [
        "homelab-k8s-ccm.yaml",
        "mine.yaml",
    ]


def test_what_is_dropped_leaves_the_folder_and_nothing_else(machine: Machine) -> None:
    put(machine, cni="a", ccm="b")
    machine.put_file(USERS, "the user's")
    assert lines(machine.run("drop-manifests.sh", NAMES="ccm gone")) == [("changed", "1")]
    assert [machine.path(each).exists() for each in (CNI, CCM, USERS)] == [True, False, True]
    assert lines(machine.run("drop-manifests.sh", NAMES="ccm gone")) == [("changed", "0")]


def test_modes_and_links_are_set_right(machine: Machine) -> None:
    put(machine, cni="a")
    machine.path(CNI).chmod(0o644)
    assert put(machine, cni="a") == [("changed", "1")]
    machine.put_file(f"{SERVER}/elsewhere", "a")
    machine.path(CNI).unlink()
    machine.path(CNI).symlink_to(f"{SERVER}/elsewhere")
    assert put(machine, cni="a") == [("changed", "1")]
    assert not machine.path(CNI).is_symlink()


def test_a_server_with_data_keeps_what_it_has(machine: Machine) -> None:
    put(machine, cni="a")
    machine.put_file(f"{SERVER}/db/state.db", "")
    assert put(machine, cni="b", ccm="c") == [("changed", "0")]
    assert (machine.path(CNI).read_text(), machine.path(CCM).exists()) == ("a", False)
