"""The log: k3s's own lines, and how the process ends."""

from __future__ import annotations

import json
import time
from typing import NoReturn

from . import process


def stamp(micro: bool = False, later_s: float = 0) -> str:
    now = time.time() + later_s
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    return f"{text}.{int(now % 1 * 1e6):06d}Z" if micro else f"{text}Z"


def log_line(level: str, message: str) -> str:
    """A line in the form of k3s's logger."""
    return f'time="{stamp()}" level={level} msg={json.dumps(message, ensure_ascii=False)}'


def log(level: str, message: str) -> None:
    """One line of the log."""
    process.LIFE.tell(log_line(level, message))


class Fatal(Exception):  # noqa: N818 - named for the log level it ends with
    """Ends the process as k3s ends it: one fatal line and exit code 1."""


def die(message: str) -> NoReturn:
    """End the whole process from any thread."""
    log("fatal", message)
    process.LIFE.end(1)
