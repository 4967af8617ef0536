"""A cluster is handed over to Flux, and taken back, against the stand-in's whole API; no repository is read here."""

from __future__ import annotations

import base64
import json
from typing import Any

from bootstrap.addons.gitops.keys import public_half
from tests.e2e.homes import Home

INVENTORY = """
cluster: lab
{applied}
control_plane: {{cores: 1, memory: 1GiB, disk: 8GiB}}
workers: 0
"""
GITOPS = "gitops: {controller: flux, url: 'git@github.com:me/home.git', path: clusters/lab}"
TARGET = ("--lab", "--inventory", "cluster.yaml")


def test_a_cluster_is_handed_over_and_taken_back(home: Home) -> None:
    have(home, GITOPS)
    built = home.run("up", *TARGET, "--progress", "plain")
    state = home.directory / "state/homelab-k8s/clusters/lab/deploy-key"
    key = state.read_text()
    assert state.stat().st_mode & 0o777 == 0o600
    assert f"\n  {public_half(key)} homelab-k8s-lab\n" in built.out
    assert "https://github.com/me/home/settings/keys" in built.out
    assert "nothing to do" in home.run("up", *TARGET).out
    assert state.read_text() == key

    secret = there(home, "secret")
    assert base64.b64decode(secret["data"]["identity"]).decode() == key
    source, applied = there(home, "gitrepository"), there(home, "kustomization")
    assert (source["spec"]["url"], source["spec"]["ref"]) == ("ssh://git@github.com/me/home.git", {"branch": "main"})
    assert (applied["spec"]["path"], applied["spec"]["deletionPolicy"]) == ("./clusters/lab", "Orphan")
    assert "not Ready" in home.run("status", *TARGET).out
    assert home.run("manifests", "deploy-key", *TARGET).out == f"{public_half(key)} homelab-k8s-lab\n"

    have(home, GITOPS.replace("clusters/lab", "clusters/new"))
    found = home.run("manifests", "diff", *TARGET, expect=5).out
    assert 'spec.path: "./clusters/lab" -> "./clusters/new"' in found
    have(home, "manifests: []")
    done = home.run("manifests", "apply", "--yes", *TARGET, "-o", "json").json
    assert done["pruned"] == [
        "Kustomization flux-system/flux-system", "GitRepository flux-system/flux-system", "HelmChart kube-system/flux",
        "Secret flux-system/flux-system",
    ]  # fmt: skip
    assert home.run("kubectl", *TARGET, "--", "get", "namespace", "flux-system", "-o", "name").code == 0
    logs = [path.read_text(errors="replace") for path in home.directory.rglob("*.log")]
    assert not any(key.splitlines()[1] in text for text in logs)


def have(home: Home, applied: str) -> None:
    """Write the inventory with this applied."""
    (home.directory / "cluster.yaml").write_text(INVENTORY.format(applied=applied))


def there(home: Home, kind: str) -> Any:
    """The object of a kind that is called flux-system, as the API has it."""
    asked = ("get", kind, "flux-system", "-n", "flux-system", "-o", "json")
    return json.loads(home.run("kubectl", *TARGET, "--", *asked).out)
