"""What the lab sets for k3s in a container guest depends on the machine, and goes when it is not needed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

from bootstrap.lab.guests.containers.k3s_settings import k3s_settings, write_k3s_settings

ALL = ("CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE")


def test_a_machine_with_cgroup_v2_and_all_capabilities_needs_nothing() -> None:
    assert not any(k3s_settings(cgroups="v2", capabilities=ALL).values())


def test_on_cgroup_v1_the_kubelet_is_told_to_start() -> None:
    ((name, text),) = [(n, t) for n, t in k3s_settings(cgroups="v1", capabilities=ALL).items() if t]
    assert name.endswith("/kubelet.conf.d/10-lab.conf")
    assert yaml.safe_load(text)["failCgroupV1"] is False


def test_without_the_capability_containerd_leaves_oom_scores_as_they_are() -> None:
    ((name, text),) = [(n, t) for n, t in k3s_settings(cgroups="v2", capabilities=ALL[:2]).items() if t]
    assert name.endswith("/config-v3.toml.d/10-lab.toml")
    assert tomllib.loads(text)["plugins"]["io.containerd.cri.v1.runtime"] == {"restrict_oom_score_adj": True}


def test_a_disk_from_another_machine_loses_what_this_one_does_not_need(tmp_path: Path) -> None:
    write_k3s_settings(tmp_path, k3s_settings(cgroups="v1", capabilities=()))
    assert len([path for path in tmp_path.rglob("10-lab.*") if path.is_file()]) == 2
    write_k3s_settings(tmp_path, k3s_settings(cgroups="v2", capabilities=ALL))
    assert not list(tmp_path.rglob("10-lab.*"))
