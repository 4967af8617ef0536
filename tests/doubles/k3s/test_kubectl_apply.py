"""The real kubectl and server-side apply, on the stand-in and on a real Kubernetes (see raw_api)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.doubles.k3s.machines import KUBECTL, PATIENCE_S
from tests.doubles.k3s.raw_api import RawApi

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 0
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          image: example.org/web:1
"""
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: NAME\ndata:\n  a: '1'\n"


class Kubectl:
    """kubectl in the namespace of one test."""

    def __init__(self, kubeconfig: Path, namespace: str, folder: Path) -> None:
        self._start = [str(KUBECTL), "--kubeconfig", str(kubeconfig), "--namespace", namespace]
        self._environ = {**os.environ, "KUBECTL_APPLYSET": "true", "HOME": str(folder)}
        self.folder = folder

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._start, *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                              env=self._environ)  # fmt: skip

    def file(self, text: str) -> str:
        path = self.folder / "objects.yaml"
        path.write_text(text)
        return str(path)


@pytest.fixture
def kubectl(api: RawApi, api_config: Path, tmp_path: Path) -> Kubectl:
    return Kubectl(api_config, api.namespace, tmp_path)


def test_apply_diff_and_conflicts(api: RawApi, kubectl: Kubectl) -> None:
    web = kubectl.file(WEB)
    made = kubectl.run("apply", "--server-side", "-f", web)
    assert (made.returncode, made.stdout, made.stderr) == (0, "deployment.apps/web serverside-applied\n", "")
    # Until then its controller writes the status, maybe between the two reads of a diff.
    assert kubectl.run("rollout", "status", "deployment/web", "--timeout", "60s").returncode == 0
    same = kubectl.run("diff", "--server-side", "-f", web)
    assert (same.returncode, same.stdout) == (0, "")
    assert kubectl.run("scale", "deployment", "web", "--replicas", "2").stdout == "deployment.apps/web scaled\n"
    refused = kubectl.run("apply", "--server-side", "-f", web)
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        'error: Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: '
        ".spec.replicas\n"
    )
    forced = kubectl.run("apply", "--server-side", "--force-conflicts", "-f", web)
    assert forced.returncode == 0, forced.stderr
    other = kubectl.run("diff", "--server-side", "-f", kubectl.file(WEB.replace("web:1", "web:2")))
    assert other.returncode == 1
    shown = {line[0]: line.split()[-1] for line in other.stdout.splitlines() if " image: " in line}
    assert shown == {"-": "example.org/web:1", "+": "example.org/web:2"}


def test_client_side_apply_and_strict_validation(kubectl: Kubectl) -> None:
    made = kubectl.run("apply", "-f", kubectl.file(WEB))
    assert (made.returncode, made.stdout) == (0, "deployment.apps/web created\n"), made.stderr
    changed = kubectl.run("apply", "-f", kubectl.file(WEB.replace("web:1", "web:2")))
    assert changed.stdout == "deployment.apps/web configured\n", changed.stderr
    unknown = kubectl.run("apply", "-f", kubectl.file(WEB.replace("  replicas: 0", "  replicas: 0\n  replica: 1")))
    assert unknown.returncode == 1
    assert 'strict decoding error: unknown field "spec.replica"' in unknown.stderr


def test_an_applyset_prunes_what_left_the_list(api: RawApi, kubectl: Kubectl) -> None:
    words = ("apply", "--server-side", "--prune", "--applyset=set")
    both = "---\n".join(CONFIG.replace("NAME", name) for name in ("one", "two"))
    made = kubectl.run(*words, "-f", kubectl.file(both))
    assert made.returncode == 0, made.stderr
    assert api.get("v1 configmaps/two").code == 200
    pruned = kubectl.run(*words, "-f", kubectl.file(CONFIG.replace("NAME", "one")))
    assert pruned.returncode == 0, pruned.stderr
    assert "configmap/two pruned" in pruned.stdout
    assert api.get("v1 configmaps/two").code == 404
    assert api.get("v1 configmaps/one").code == 200
