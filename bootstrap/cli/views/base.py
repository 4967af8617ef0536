"""What every view can do."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from bootstrap.errors import HomelabError
from bootstrap.events import Event


class View(Protocol):
    """Shows a run on stderr. Called on the main thread only, but for `call` and `stopping`."""

    def event(self, event: Event) -> None:
        """Show an event."""
        ...

    def text(self, text: str) -> None:
        """Show text for people, such as the plan; views for programs skip it."""
        ...

    def busy(self, what: str) -> AbstractContextManager[None]:
        """Show that something without events is in progress."""
        ...

    def call(self, line: str) -> None:
        """Show a call that has ended (`-v`); called in the thread that made it."""
        ...

    def error(self, error: HomelabError, *, log: str | None) -> None:
        """Show why the command failed, last of all."""
        ...

    def stopping(self) -> None:
        """Say that no more steps will start. Called in a signal handler: it takes no lock and writes at once."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was; safe to call twice."""
        ...


STOPPING = "stopping: waiting for running steps to finish, nothing new starts (press Ctrl-C again to quit at once)"
