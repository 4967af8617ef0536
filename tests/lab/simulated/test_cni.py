"""A CNI plugin other than flannel on simulated guests: put-manifests.sh's effect, and the whole by commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from bootstrap.lab.standin.manifests.charts import daemon_set
from tests.e2e.homes import Home
from tests.lab.simulated.running import Guests

CLUSTER = """
cluster: lab
control_plane: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
workers: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
network: {cni: %s}
"""
KUBECTL = Path(sys.executable).with_name("kubectl")
LACK = "lab-cp-1, lab-workers-1: not Ready: no CNI plugin runs there: install yours (network.cni is none)"


def test_what_the_script_does(guests: Guests) -> None:
    guest = guests.start(201)
    put = {"homelab-k8s-cni.yaml": "kind: HelmChart\n"}
    assert guest.run("put-manifests.sh") == {"changed": "0"}
    assert guest.run("put-manifests.sh", secret_files=put) == {"changed": "1"}
    assert guest.run("put-manifests.sh", secret_files=put) == {"changed": "0"}
    assert guest.run("put-manifests.sh") == {"changed": "1"}, "an earlier run's are removed"


def kubectl(home: Home, *words: str) -> str:
    done = subprocess.run([str(KUBECTL), *words], env=home.environ, capture_output=True, text=True, check=True)
    return done.stdout


def objects(home: Home, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kubectl(home, "get", kind, "-A", "-o", "json"))["items"]
    return found


def up(home: Home, cni: str, *, expect: int = 0) -> str:
    (home.directory / "cluster.yaml").write_text(CLUSTER % cni)
    done = home.run("up", "--lab", "-i", "cluster.yaml", "--yes", expect=expect)
    return done.out + done.err


def problems(home: Home) -> list[str]:
    found: list[str] = home.run("status", "--lab", "-i", "cluster.yaml", "-o", "json", expect=None).json["problems"]
    return found


def test_a_cluster_is_born_with_cilium_and_keeps_it(home: Home) -> None:
    up(home, "cilium")
    (chart,) = objects(home, "helmcharts")
    assert (chart["metadata"]["name"], chart["spec"]["bootstrap"]) == ("cilium", True)
    assert yaml.safe_load(chart["spec"]["valuesContent"])["k8sServicePort"] == 6444
    assert [each["metadata"]["name"] for each in objects(home, "addons")] == ["homelab-k8s-cni"]
    assert problems(home) == []
    assert "nothing to do" in up(home, "cilium")
    for other in ("flannel", "none"):
        assert "nothing was changed" in " ".join(up(home, other, expect=4).split())
    home.run("down", "--lab", "-i", "cluster.yaml", "--yes")


def test_with_none_up_ends_and_goes_on_once_the_users_plugin_runs(home: Home) -> None:
    said = up(home, "none")
    assert "nodes stay NotReady until you install a CNI plugin" in " ".join(said.split())
    assert problems(home) == [LACK]
    own = home.directory / "cni.yaml"
    own.write_text(yaml.safe_dump({"apiVersion": "apps/v1", "kind": "DaemonSet", **daemon_set("mine")}))
    kubectl(home, "apply", "--validate=false", "-n", "kube-system", "-f", str(own))
    kubectl(home, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
    assert "nothing to do" in up(home, "none")
    assert problems(home) == []
