"""Text for the page."""

from __future__ import annotations

from html import escape

from bootstrap.model.visible import visible


def html_text(text: str) -> str:
    """Any text as HTML: escaped, without control and bidirectional characters."""
    return escape(visible(text))
