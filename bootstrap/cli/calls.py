"""What `-v` shows: each call of an API and each command over SSH, one line as it happens, without secrets.

The adapters tell them to the logger `bootstrap.calls`; they are in the run's debug log in any case.
"""

from __future__ import annotations

import json
import logging
from typing import TextIO

from bootstrap.cli.masking import Masker
from bootstrap.model.visible import visible_json, visible_line

LOGGER = "bootstrap.calls"
VERBOSE = "homelab-k8s.verbose"
"""Where Typer's context says that it was asked for."""
_MOST = 500
"""Characters of a call that are shown."""


class _OneLine(logging.Formatter):
    def __init__(self, masker: Masker, *, as_json: bool) -> None:
        super().__init__()
        self._masker = masker
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        # Masked before it is cut: of half a secret nothing is known.
        text = self._masker.all(record.getMessage())
        text = text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"
        if self._as_json:
            return visible_json(json.dumps({"event": "call", "message": text}, ensure_ascii=False))
        return f"  {visible_line(text)}"


class Calls:
    """Shows calls on a stream while it is open.

    Args:
        stream: stderr.
        masker: Knows the secrets, also those that are found later.
        as_json: Whether each is a JSON object.
    """

    def __init__(self, stream: TextIO, masker: Masker, *, as_json: bool = False) -> None:
        self._handler = logging.StreamHandler(stream)
        self._handler.setFormatter(_OneLine(masker, as_json=as_json))

    def open(self) -> None:
        """Show them from now on."""
        logging.getLogger(LOGGER).addHandler(self._handler)

    def close(self) -> None:
        """Show no more."""
        logging.getLogger(LOGGER).removeHandler(self._handler)
