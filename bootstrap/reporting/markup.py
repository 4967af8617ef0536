"""Texts as a page shows them."""

from __future__ import annotations

from html import escape

from bootstrap.model.visible import visible


def html_text(text: str) -> str:
    """Anybody's text as HTML: no tag, no attribute's end, and nothing that hides or turns a line around."""
    return escape(visible(text))
