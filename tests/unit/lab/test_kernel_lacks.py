"""What a machine lacks for a real k3s in container guests, told with the remedy; and its cgroup hierarchies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.lab.guests.host.hierarchies import CgroupLayout, LegacyHierarchy, parse_layout
from bootstrap.lab.guests.host.kernel import KernelFacts, describe, lacks, why_no_guests

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
HYBRID = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755",
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct",
    "33 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,clone_children",
    "34 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "35 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids",
    "36 31 0:36 / /elsewhere/pids rw - cgroup cgroup rw,pids",
    "37 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
    "38 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
    "40 23 0:40 / /proc rw - proc proc rw",
)
ALL = "cpuset cpu io memory hugetlb pids rdma"
GOOD = KernelFacts(
    layout=parse_layout([V2], offered=ALL),
    delegated=True,
    tried={"overlay": "ok", "vxlan": "ok", "br_netfilter": "ok"},
    inotify=128,
    inotify_writable=True,
    memory_mib=4096,
)


def test_a_hybrid_machine_has_its_controllers_in_v1_each_hierarchy_once() -> None:
    layout = parse_layout(HYBRID, offered="hugetlb")
    assert layout.unified == Path("/sys/fs/cgroup/unified")
    assert [one.mount.name for one in layout.legacy] == ["cpu,cpuacct", "cpuset", "memory", "pids", "systemd"]
    assert layout.legacy[0].controllers == {"cpu", "cpuacct"}
    assert layout.legacy[1].controllers == {"cpuset"}
    assert (layout.version, layout.missing()) == ("v1", ())


def test_a_machine_that_is_all_v2_has_what_its_root_offers() -> None:
    assert parse_layout([V2], offered=ALL).missing() == ()
    assert parse_layout([V2], offered="hugetlb memory").missing() == ("cpu", "cpuset", "pids")
    assert parse_layout([V2], offered="").version == "v2"


def test_nothing_is_missing_on_a_good_machine() -> None:
    assert lacks(GOOD) == ()
    assert describe(GOOD) == "cgroup v2 (cpu, cpuset, memory, pids), overlay, vxlan, br_netfilter, 4096 MiB free"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (replace(GOOD, layout=parse_layout([V2], offered="memory pids")), "cpu, cpuset (cgroup v2)"),
        (
            replace(
                GOOD, layout=CgroupLayout(unified=Path("/u"), legacy=(LegacyHierarchy(
                    mount=Path("/c"), controllers=frozenset({"cpu"})),)),
            ),
            "cpuset, memory, pids (cgroup v1)",
        ),
        (replace(GOOD, delegated=False), "cannot be passed on to guests"),
        (replace(GOOD, tried={"br_netfilter": "missing"}), "no br_netfilter (missing): modprobe br_netfilter"),
        (replace(GOOD, tried={"overlay": "mount: wrong fs type"}), "HOMELAB_K8S_LAB_DIR"),
        (replace(GOOD, tried={"namespaces": "not permitted"}), "no namespaces (not permitted)"),
        (replace(GOOD, inotify_writable=False), "128 inotify instances"),
        (replace(GOOD, memory_mib=700), "700 MiB of free memory"),
    ],
)  # fmt: skip
def test_what_is_missing_is_told(facts: KernelFacts, words: str) -> None:
    (told,) = lacks(facts)
    assert words in told


def test_enough_inotify_instances_need_not_be_raised() -> None:
    assert lacks(replace(GOOD, inotify=1024, inotify_writable=False)) == ()


def test_without_overlays_in_the_labs_directory_no_guest_runs_and_the_remedy_is_told() -> None:
    said = why_no_guests(replace(GOOD, tried={"overlay": "wrong fs type"}))
    assert said is not None
    assert "wrong fs type" in said
    assert "HOMELAB_K8S_LAB_DIR" in said
    assert why_no_guests(replace(GOOD, tried={"vxlan": "missing"})) is None
