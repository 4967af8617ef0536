"""The debug log of each run: `homelab-k8s/logs/<time>-<command>.log` in the XDG state directory, mode 0600."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from bootstrap.cli.running.masking import Masker, MaskingFormatter
from bootstrap.errors import HomelabError

KEPT = 20
"""Logs kept of each command, so that a `status` run every minute does not push out the `up` that failed."""

# Libraries' own levels. proxmoxer logs the bodies of requests, passwords included, at INFO.
_LEVELS = {
    "bootstrap": logging.DEBUG,
    "paramiko": logging.INFO,
    "urllib3": logging.INFO,
    "fabric": logging.INFO,
    "kubernetes": logging.INFO,
    "proxmoxer": logging.WARNING,
    "py.warnings": logging.WARNING,
}


class _LogHandler(logging.StreamHandler[TextIO]):
    """Writes to a file; on a full disk it neither stops the run nor writes a traceback over the terminal."""

    def __init__(self, stream: TextIO, lost: Callable[[BaseException | None], None]) -> None:
        super().__init__(stream)
        self._lost = lost

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Note why a record could not be written."""
        del record
        self._lost(sys.exc_info()[1])


class RunLog:
    """The log of a run. `path` is None if it cannot be written, `problem` says why; `lost` says why it is incomplete.

    Args:
        directory: For all logs; created if it is missing.
        command: `up`, `lab-start`, ...
        masker: Knows the secrets.
    """

    def __init__(self, directory: Path, command: str, masker: Masker) -> None:
        self.path: Path | None = None
        self.problem = ""
        self.lost = ""
        self._handler: logging.Handler = logging.NullHandler()
        self._before: dict[str, int] = {}
        try:
            self.path, descriptor = _create(directory, command)
            _prune(directory, command)
        except (OSError, HomelabError) as error:
            self.problem = f"cannot write a debug log: {error}"
        else:
            self._handler = _LogHandler(os.fdopen(descriptor, "w", encoding="utf-8", errors="replace"), self._on_lost)
        self._handler.setFormatter(MaskingFormatter(masker))

    def open(self) -> None:
        """Start to take records."""
        # On the root logger even as a NullHandler: logging's handler of last resort would write to the terminal.
        logging.getLogger().addHandler(self._handler)
        for name, level in _LEVELS.items():
            logger = logging.getLogger(name)
            self._before[name] = logger.level
            logger.setLevel(level)
        logging.captureWarnings(True)
        logger = logging.getLogger("bootstrap.cli")
        logger.debug("%s, Python %s on %s", _version(), platform.python_version(), platform.platform())
        logger.debug("%s", " ".join(["homelab-k8s", *sys.argv[1:]]))

    def close(self) -> None:
        """Take no more records."""
        logging.captureWarnings(False)
        for name, level in self._before.items():
            logging.getLogger(name).setLevel(level)
        logging.getLogger().removeHandler(self._handler)
        with contextlib.suppress(OSError):  # the disk is full, which is noted in `lost`
            self._handler.close()
            if isinstance(self._handler, logging.StreamHandler):
                self._handler.stream.close()

    def _on_lost(self, error: BaseException | None) -> None:
        self.lost = f"the debug log is incomplete: {error}"


def log_directory() -> Path:
    """`homelab-k8s/logs` in the user's state directory."""
    from bootstrap.adapters.local.state import default_state_root

    return default_state_root() / "logs"


def _create(directory: Path, command: str) -> tuple[Path, int]:
    from bootstrap.adapters.local.files import check_own, ensure_private_directory

    check_own(directory.parent, directory)
    ensure_private_directory(directory)
    began = time.strftime("%Y%m%d-%H%M%S")
    number = 0
    while True:
        suffix = f".{number}" if number else ""
        path = directory / f"{began}{suffix}-{command}.log"
        try:
            return path, os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        except FileExistsError:  # a run of the same second
            number += 1


def _prune(directory: Path, command: str) -> None:
    # "*-up.log" would also match another command that ends in "-up"; the time has no dash after its first one.
    ours = [path for path in directory.glob(f"*-{command}.log") if path.name.split("-", 2)[2] == f"{command}.log"]
    for path in sorted(ours, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        path.unlink(missing_ok=True)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"homelab-k8s {version('homelab-k8s')}"
    except PackageNotFoundError:
        return "homelab-k8s (not installed)"
