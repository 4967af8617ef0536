"""A workload with a PodDisruptionBudget, as manifests and as kubectl commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.homes import Home

LABELS = {"app": "web"}
REPLICAS = 5
"""Enough to have one on each machine of a small cluster."""
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "replicas": REPLICAS,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [{"name": "web", "image": "registry.invalid/web:1"}]},
        },
    },
}


def budget(minimum: int) -> dict[str, object]:
    """How many pods of the workload have to be there at any time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"minAvailable": minimum, "selector": {"matchLabels": LABELS}},
    }


def kubectl(home: Home, *arguments: str, kubeconfig: Path | None = None, given: object = None) -> str:
    """Run kubectl; `given` goes to its stdin as JSON. Raises CalledProcessError."""
    command = [str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(kubeconfig or home.kubeconfig)]
    text = json.dumps(given) if given is not None else None
    done = subprocess.run([*command, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def apply(home: Home, manifest: object) -> None:
    """Have an object as it is given."""
    kubectl(home, "apply", "--validate=false", "-f", "-", given=manifest)


def available(home: Home) -> int:
    """How many pods of the workload are Ready."""
    pods = json.loads(kubectl(home, "get", "pods", "-l", "app=web", "-o", "json"))["items"]
    return sum(
        any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", ()))
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
    )


PRECIOUS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "precious", "namespace": "default"}}
HIDDEN = {**PRECIOUS, "kind": "Secret", "data": {"word": "aGVsbG8="}}


def make_precious(home: Home) -> None:
    """Data that a backup is to bring back."""
    apply(home, PRECIOUS)
    apply(home, HIDDEN)


def has_precious(home: Home) -> bool:
    """Whether that data is there, and its Secret can be read with the keys that are there."""
    listed = json.loads(kubectl(home, "get", "configmaps,secrets", "-o", "json"))["items"]
    found = {(item["kind"], item["metadata"]["name"]): item for item in listed}
    secret = found.get(("Secret", "precious"))
    assert secret is None or secret["data"] == HIDDEN["data"]
    assert (secret is None) == (("ConfigMap", "precious") not in found)
    return secret is not None


def lose_precious(home: Home) -> None:
    """Delete that data."""
    kubectl(home, "delete", "configmap,secret", "precious")
    assert not has_precious(home)
