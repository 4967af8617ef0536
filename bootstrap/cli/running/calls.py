"""What `-v` shows: each call of an API, each command and file over SSH, one line when it has ended, without secrets.

The adapters tell them to loggers below `bootstrap.calls`; they are in the run's debug log in any case.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from bootstrap.cli.running.masking import Masker

LOGGER = "bootstrap.calls"
VERBOSE = "homelab-k8s.verbose"
"""Where Typer's context says that it was asked for."""
_MOST = 500
"""Characters of a call that are shown."""


class ShownCalls(logging.Handler):
    """Hands calls on while it is open.

    Args:
        masker: Knows the secrets, also those that are found later.
        show: Takes a line, in whichever thread made the call.
    """

    def __init__(self, masker: Masker, show: Callable[[str], None]) -> None:
        super().__init__()
        self._masker = masker
        self._show = show

    def open(self) -> None:
        """Show them from now on."""
        logging.getLogger(LOGGER).addHandler(self)

    def close(self) -> None:
        """Show no more."""
        logging.getLogger(LOGGER).removeHandler(self)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Show one."""
        # Masked before it is cut: of half a secret nothing is known.
        text = self._masker.all(record.getMessage())
        try:
            self._show(text if len(text) <= _MOST else f"{text[: _MOST - 1]}…")
        except (OSError, ValueError):  # ValueError: the stream is closed
            logging.getLogger(LOGGER).removeHandler(self)  # nobody reads stderr any more; the work goes on
