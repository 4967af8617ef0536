"""A lab's cgroups in every hierarchy, on directories that stand for the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.lab.guests.host.cgroups import LAB_CGROUP, LabCgroups
from bootstrap.lab.guests.host.hierarchies import CgroupLayout, LegacyHierarchy


@pytest.fixture
def v2(tmp_path: Path) -> CgroupLayout:
    (tmp_path / "unified").mkdir()
    return CgroupLayout(
        unified=tmp_path / "unified", offered=frozenset({"cpu", "cpuset", "io", "memory", "pids", "misc"})
    )


@pytest.fixture
def hybrid(tmp_path: Path) -> CgroupLayout:
    for name in ("unified", "cpuset", "memory"):
        (tmp_path / name).mkdir()
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-1\n")
    (tmp_path / "cpuset/cpuset.mems").write_text("0\n")
    legacy = [LegacyHierarchy(mount=tmp_path / name, controllers=frozenset({name})) for name in ("cpuset", "memory")]
    return CgroupLayout(unified=tmp_path / "unified", legacy=tuple(legacy))


def test_on_v2_every_group_on_the_way_passes_the_controllers_on(v2: CgroupLayout, tmp_path: Path) -> None:
    (entered,) = LabCgroups("br", v2).make_with_controllers("201")
    guest = tmp_path / "unified" / LAB_CGROUP / "br" / "201"
    assert entered == guest / "launcher"
    for group in (guest, guest.parent, guest.parent.parent, tmp_path / "unified"):
        assert (group / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids +io"


def test_on_v2_without_controllers_a_guest_has_a_plain_group(tmp_path: Path) -> None:
    layout = CgroupLayout(unified=tmp_path, offered=frozenset({"hugetlb"}))
    assert LabCgroups("br", layout).make_with_controllers("201") == (tmp_path / LAB_CGROUP / "br" / "201",)


def test_on_a_hybrid_machine_a_guest_has_a_group_in_each_hierarchy_and_none_is_left(
    hybrid: CgroupLayout, tmp_path: Path
) -> None:
    cgroups = LabCgroups("br", hybrid)
    groups = cgroups.make_with_controllers("201")
    assert [group.relative_to(tmp_path).parts[0] for group in groups] == ["unified", "cpuset", "memory"]
    assert all(group.is_dir() for group in groups)
    (groups[2] / "kubepods/pod1").mkdir(parents=True)  # what a kubelet makes there
    assert cgroups.names() == ("201",)
    cgroups.remove("201")
    assert cgroups.names() == ()
    cgroups.make_with_controllers("202")
    assert cgroups.remove_all() == ("202",)
    assert not list(tmp_path.glob(f"*/{LAB_CGROUP}"))


def test_another_labs_groups_stay(hybrid: CgroupLayout, tmp_path: Path) -> None:
    other = LabCgroups("other", hybrid).make_with_controllers("301")
    cgroups = LabCgroups("br", hybrid)
    cgroups.make_with_controllers("201")
    cgroups.remove_all()
    assert all(group.is_dir() for group in other)
