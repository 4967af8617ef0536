"""What `-v` shows: each API call, command and file transfer, as one line when it has ended, without secrets.

The adapters log them to loggers below `bootstrap.calls`; the debug log always has them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from bootstrap.cli.running.masking import Masker

LOGGER = "bootstrap.calls"
VERBOSE = "homelab-k8s.verbose"
"""The key for `-v` in Typer's context."""
_MOST = 500
"""Characters of a call that are shown."""


class ShownCalls(logging.Handler):
    """Passes calls on while it is open.

    Args:
        masker: Knows the secrets, also those found later.
        show: Called with a line, in the thread that made the call.
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
        # Masked before it is cut: half a secret would not be recognized.
        text = self._masker.all(record.getMessage())
        try:
            self._show(text if len(text) <= _MOST else f"{text[: _MOST - 1]}…")
        except (OSError, ValueError):  # ValueError: the stream is closed
            logging.getLogger(LOGGER).removeHandler(self)  # stderr is closed; the work goes on
