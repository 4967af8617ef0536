"""Tells how cloud-init went: `status=...`, then its errors and warnings, a line each.

Runs on guests, by cloud-init's own Python, so it keeps to old syntax and the standard library.
Arguments: result.json, status.json. Their shape: cloud-init's documentation, "CLI status" and "Exported errors".
"""  # noqa: INP001

import json
import sys

SERIOUS = ("WARNING", "ERROR", "CRITICAL")


def load(path):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """The `v1` part of a file, empty where there is none."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return json.load(file).get("v1") or {}
    except FileNotFoundError:
        return {}


def main():  # type: ignore[no-untyped-def] # noqa: ANN201
    """Print the outcome; stages repeat each other's errors, so each text is told once."""
    errors, warnings, degraded = [], [], False
    result, status = load(sys.argv[1]), load(sys.argv[2])
    for stage in [result, status, *(part for part in status.values() if isinstance(part, dict))]:
        errors.extend(str(error) for error in stage.get("errors") or ())
        for level, texts in (stage.get("recoverable_errors") or {}).items():
            # cloud-init counts mere deprecations too; they degrade nothing.
            degraded = degraded or (level in SERIOUS and bool(texts))
            warnings.extend("{}: {}".format(level, text) for text in texts)  # noqa: UP032
    outcome = "error" if errors else "degraded" if degraded else "done"
    lines = [("status", outcome)]
    lines += [("error", text) for text in dict.fromkeys(errors)]
    lines += [("warning", text) for text in dict.fromkeys(warnings)]
    for key, text in lines:
        sys.stdout.write("{}={}\n".format(key, " ".join(text.split())))


main()
