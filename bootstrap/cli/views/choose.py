"""Chooses the view of a run."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TextIO

from bootstrap.cli.views.base import View


class Progress(StrEnum):
    """Style of the progress output."""

    AUTO = "auto"
    TTY = "tty"
    PLAIN = "plain"
    JSON = "json"
    QUIET = "quiet"


def choose(progress: Progress, *, is_tty: bool, environ: Mapping[str, str]) -> Progress:
    """The style for `auto`: live on a capable terminal, plain lines elsewhere and under CI."""
    if progress is not Progress.AUTO:
        return progress
    capable = is_tty and environ.get("TERM", "dumb") not in ("dumb", "") and not environ.get("CI")
    return Progress.TTY if capable else Progress.PLAIN


def make_view(progress: Progress, *, stream: TextIO, environ: Mapping[str, str]) -> View:
    """The view for a stream.

    Args:
        progress: `--progress`.
        stream: stderr.
        environ: For `NO_COLOR` (any value but the empty one), `TERM` and `CI`.
    """
    colour = stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
    match choose(progress, is_tty=stream.isatty(), environ=environ):
        case Progress.TTY:
            from bootstrap.cli.views.tty import TtyView  # Rich costs a tenth of a second

            return TtyView(stream, colour=not environ.get("NO_COLOR"))
        case Progress.JSON:
            from bootstrap.cli.views.lines import JsonView

            return JsonView(stream)
        case Progress.QUIET:
            from bootstrap.cli.views.lines import QuietView

            return QuietView(stream, colour=colour)
        case _:
            from bootstrap.cli.views.lines import PlainView

            return PlainView(stream, colour=colour)
