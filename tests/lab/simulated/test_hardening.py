"""A hardened cluster on simulated guests, checked by doctor; and users with own kubeconfigs."""

from __future__ import annotations

from contextlib import closing

import pytest

from bootstrap.adapters.kube import KubernetesApis
from bootstrap.errors import KubernetesError
from bootstrap.model.ids import MachineName
from tests.e2e.homes import Home
from tests.lab.simulated.test_registries import on_disks, starts, up

PLAIN = """
cluster: lab
control_plane: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
workers: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
"""
CIS = f"{PLAIN}hardening: cis\nk3s: {{server_config: {{kube-apiserver-arg: [event-ttl=2h]}}}}\n"
POINTS = ("kernel", "kubelet", "api-server", "controllers", "pod-security", "audit-log", "secrets", "file-modes")


def points(home: Home) -> dict[str, str]:
    found = home.run("doctor", "--lab", "-i", "cluster.yaml", "-o", "json", expect=None).json["checks"]
    return {each["name"]: each["verdict"] for each in found if each["name"].startswith("cis-")}


def test_a_living_cluster_is_hardened_and_each_point_is_checked(home: Home) -> None:
    up(home, PLAIN, "")
    assert "hardening: none -> cis" in up(home, CIS, "")
    assert list(on_disks(home, "psa.yaml")) == list(on_disks(home, "audit.log")) == ["lab-cp-1"]
    assert "event-ttl=2h" in starts(home)["lab-cp-1"]
    assert points(home) == {**{f"cis-{name}": "ok" for name in POINTS}, "cis-policies": "skipped"}

    # A kubelet would end over this kernel, and an API server without that file.
    next((home.directory / "state").rglob("sys/kernel/panic")).write_text("0")
    (admission,) = (home.directory / "state").rglob("server/psa.yaml")
    admission.unlink()
    (admission.parent / "audit.yaml").chmod(0o644)
    failing = {name for name, verdict in points(home).items() if verdict == "failed"}
    assert failing == {"cis-file-modes", "cis-kernel", "cis-pod-security"}
    assert "hardening: other files -> cis" in up(home, CIS, "")
    assert admission.exists()


def test_a_user_may_do_what_the_group_may_until_it_is_taken_back(home: Home) -> None:
    shared = ("kubeconfig", "--lab", "-i", "cluster.yaml")
    issued = home.run(*shared, "--user", "ann", "--expires", "1h")
    assert "ann: view in all namespaces until" in issued.err
    with closing(KubernetesApis().connect(issued.out)) as ann:
        assert ann.pods(on=MachineName("lab-cp-1")) is not None
        with pytest.raises(KubernetesError, match="403"):
            ann.users.bindings()  # not a viewer's
        home.run(*shared, "--revoke", "ann")
        with pytest.raises(KubernetesError, match="403"):
            ann.pods(on=MachineName("lab-cp-1"))
        assert ann.ready(), "its certificate still logs in"
