"""Prints how cloud-init went: `status=...`, then its errors and warnings, a line each.

Runs on guests, by the Python that cloud-init uses there (3.7 and up), so it keeps to the standard library.
Arguments: result.json, status.json. Their shape: cloud-init's documentation, "CLI status" and "Exported errors".
"""  # noqa: INP001

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SERIOUS = ("WARNING", "ERROR", "CRITICAL")


def load(path: str) -> dict[str, Any]:
    """The `v1` part of a file, empty where there is none."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return dict(content.get("v1") or {})


def stages(result: dict[str, Any], status: dict[str, Any]) -> list[dict[str, Any]]:
    """All parts that may hold errors: both files, and what the second says of each stage."""
    return [result, status, *(part for part in status.values() if isinstance(part, dict))]


def recoverable(stage: dict[str, Any]) -> list[tuple[str, str]]:
    """A stage's recoverable errors, each with its level."""
    levels = (stage.get("recoverable_errors") or {}).items()
    return [(level, text) for level, texts in levels for text in texts]


def outcome(errors: list[str], warnings: list[tuple[str, str]]) -> str:
    """How cloud-init ended; mere deprecations, which it counts as warnings, degrade nothing."""
    if errors:
        return "error"
    return "degraded" if any(level in SERIOUS for level, _ in warnings) else "done"


def main() -> None:
    """Print the outcome; stages repeat each other's errors, so each text is printed once."""
    found = stages(load(sys.argv[1]), load(sys.argv[2]))
    errors = [str(error) for stage in found for error in stage.get("errors") or ()]
    warnings = [each for stage in found for each in recoverable(stage)]
    lines = [("status", outcome(errors, warnings))]
    lines += [("error", text) for text in dict.fromkeys(errors)]
    lines += [("warning", text) for text in dict.fromkeys(f"{level}: {text}" for level, text in warnings)]
    for key, text in lines:
        sys.stdout.write(f"{key}={' '.join(text.split())}\n")


main()
