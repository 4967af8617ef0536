"""Secrets of a run reach neither the terminal, nor the log, the recording, the trace or the report page."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.errors import HypervisorError
from tests.cli.conftest import SECRET, Run
from tests.fakes.world import World

SAID = "level=fatal msg='secret-key=wJalrXUtnFEMIK7MDENG3bPxRfiCY rejected' Authorization: Bearer 4f5e6d7c8b9a"
ACCESS, KEY = "minio-admin", "correct-horse-battery"
INVENTORY = """\
cluster: demo
workers: {count: 0}
backup:
  s3: {endpoint: "minio.example:9000", bucket: k3s}
"""


@pytest.mark.parametrize("progress", ["plain", "json"])
def test_secrets_in_what_the_other_side_said_are_shown_and_kept_nowhere(
    run: Run, world: World, state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, progress: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    (tmp_path / "homelab-k8s.yaml").write_text(INVENTORY)
    told: list[str] = []

    def leak(call: str) -> None:
        if call.startswith("start demo-cp-1"):
            token = world.state["demo", "token"]
            told.append(token)
            raise HypervisorError(
                f"cannot start demo-cp-1 with {token}", details=f"{SAID}\n{ACCESS} {KEY} {SECRET}", resolution=KEY
            )

    world.on_call = leak
    result = run("up", "--trace", "trace.json", "--progress", progress)
    assert result.exit_code == 1
    assert run("report", "--output", "page.html", "--open", "no").exit_code == 0
    (token,) = told
    files = [path for path in [*state.rglob("*"), tmp_path / "trace.json", tmp_path / "page.html"] if path.is_file()]
    assert {path.suffix for path in files} >= {".log", ".jsonl", ".json", ".html"}
    texts = {str(path): path.read_text() for path in files} | {"the terminal": result.output}
    secrets = (token, ACCESS, KEY, SECRET, "wJalrXUtnFEMIK7MDENG3bPxRfiCY", "4f5e6d7c8b9a")
    assert [(where, secret) for where, text in texts.items() for secret in secrets if secret in text] == []
    assert "cannot start demo-cp-1 with ***" in result.output
