"""The log: k3s's own lines, and how the process ends."""

from __future__ import annotations

import json
import os
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


def klog_line(severity: str, place: str, message: str) -> str:
    """A line in the form of Kubernetes' logger; `severity` is I, W or E, `place` such as `server.go:209`."""
    now = time.time()
    day = time.strftime("%m%d %H:%M:%S", time.gmtime(now))
    return f"{severity}{day}.{int(now % 1 * 1e6):06d} {os.getpid():7d} {place}] {message}"


def log(level: str, message: str) -> None:
    """One line of the log."""
    process.LIFE.tell(log_line(level, message))


class Fatal(Exception):  # noqa: N818 - named for the log level it ends with
    """Ends the process as k3s does: one fatal line and exit code 1."""

    code = 1

    def line(self) -> str:
        """Its last line."""
        return log_line("fatal", str(self))


class Shutdown(Fatal):
    """Ends k3s because a part of it has ended: a line at level error, and exit code 0 (systemd says `protocol`)."""

    code = 0

    def line(self) -> str:
        return log_line("error", f"Shutdown request received: {json.dumps(str(self))}")


class KlogExit(Fatal):
    """Ends k3s from inside Kubernetes' own code: nothing but klog's line, which is the whole message."""

    def line(self) -> str:
        return str(self)


def end(error: Fatal) -> NoReturn:
    """End the whole process from any thread."""
    process.LIFE.tell(error.line())
    process.LIFE.end(error.code)


def die(message: str) -> NoReturn:
    """End the whole process from any thread, with a fatal line."""
    end(Fatal(message))
