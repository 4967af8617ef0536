"""Writes whose results were recorded with Kubernetes' own code, and what the stand-in makes of them.

`applies.jsonl` has a sequence of writes to one Deployment in each line: what was sent, and then the error, the object
and its managers, as the field manager of apimachinery v1.36.3 (managedfieldstest, structured-merge-diff v6.3) answered
with the types of client-go. It holds objects as they are sent, without what Go adds to them.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from bootstrap.lab.standin.api.apply import applying
from bootstrap.lab.standin.api.apply.applying import Tracked
from bootstrap.lab.standin.api.types.types import ANY, of_kind
from bootstrap.lab.standin.failures import ApiError

Obj = dict[str, Any]
RECORDED = [json.loads(line) for line in Path(__file__).with_name("applies.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("steps", RECORDED, ids=range(len(RECORDED)))
def test_each_write_has_the_recorded_result(steps: list[Obj], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "filled", lambda _kind, obj: obj)
    monkeypatch.setattr(applying, "zero", lambda _kind: {})
    monkeypatch.setattr(applying, "without_nulls", lambda _kind, obj: obj)
    tracked = Tracked(of_kind("apps/v1", "Deployment") or ANY, "apps/v1", "apps/v1, Kind=Deployment")
    live: Obj | None = None
    for step in steps:
        sent, error = copy.deepcopy(step["sent"]), ""
        try:
            if step["op"] == "apply":
                live = tracked.apply(live, sent, step["manager"], force=step["force"])
            else:
                tracked.update(live, sent, step["manager"])
                live = sent
        except ApiError as refused:
            error = refused.message
        assert sorted(error.splitlines()) == sorted(step["error"].splitlines())
        assert live is not None
        entries = live["metadata"].get("managedFields", [])
        assert {f"{each['manager']} {each['operation']}": each["fieldsV1"] for each in entries} == step["managed"]
        meta = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
        assert {**live, "metadata": meta} == step["kept"]
