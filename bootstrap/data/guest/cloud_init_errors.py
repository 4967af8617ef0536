"""Tells how cloud-init went: `status=...`, then its errors and warnings, a line each.

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


def main() -> None:
    """Print the outcome; stages repeat each other's errors, so each text is told once."""
    errors: list[str] = []
    warnings: list[str] = []
    degraded = False
    result, status = load(sys.argv[1]), load(sys.argv[2])
    for stage in [result, status, *(part for part in status.values() if isinstance(part, dict))]:
        errors.extend(str(error) for error in stage.get("errors") or ())
        for level, texts in (stage.get("recoverable_errors") or {}).items():
            # cloud-init counts mere deprecations too; they degrade nothing.
            degraded = degraded or (level in SERIOUS and bool(texts))
            warnings.extend(f"{level}: {text}" for text in texts)
    outcome = "error" if errors else "degraded" if degraded else "done"
    lines = [("status", outcome)]
    lines += [("error", text) for text in dict.fromkeys(errors)]
    lines += [("warning", text) for text in dict.fromkeys(warnings)]
    for key, text in lines:
        sys.stdout.write(f"{key}={' '.join(text.split())}\n")


main()
