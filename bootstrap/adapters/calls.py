"""Logs one line for each finished call to Proxmox VE, Kubernetes and a machine's SSH, for `-v` and the log.

Never its content: it has keys, passwords and files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Call:
    """A call in progress.

    Attributes:
        status: How it ended: an HTTP status, an exit status; where nothing sets it, `ok` or the error's name.
    """

    status: int | str = ""


@contextmanager
def calling(service: str, what: str) -> Iterator[Call]:
    """Log a call when it ends.

    Args:
        service: `proxmox`, `kubernetes`, `ssh`.
        what: Method and path, or machine and command.

    Handlers of loggers below `bootstrap.calls` must mask the lines; they come from any thread.
    """
    logger = logging.getLogger(f"bootstrap.calls.{service}")
    call = Call()
    began_s = time.monotonic()
    failed = ""
    try:
        yield call
    except BaseException as error:
        failed = type(error).__name__
        raise
    finally:
        logger.debug("%s %s -> %s (%.2f s)", service, what, call.status or failed or "ok", time.monotonic() - began_s)
