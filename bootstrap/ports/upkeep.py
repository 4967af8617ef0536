"""What upkeep without anybody there needs of this computer: a timer, and a way to send notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Notices(Protocol):
    """Sends notices to people: by push, mail or chat."""

    def why_not(self) -> str:
        """Why none can be sent from here, with what to do; empty where they can."""
        ...

    def send(self, url: str, *, title: str, text: str) -> str:
        """Send one.

        Args:
            url: Where to, as apprise writes it; a secret.
            title: One line.
            text: The rest, several lines.

        Returns:
            Why it was not delivered; empty where it was.
        """
        ...


class Timers(Protocol):
    """Systemd's units on this computer."""

    def why_not(self) -> str:
        """Why there are no timers here, in a few words; empty where there are."""
        ...

    def directory(self, *, system: bool) -> Path:
        """Where the units of the user are, or those of the system."""
        ...

    def install(self, units: Mapping[str, str], *, timer: str, system: bool) -> None:
        """Write units, those of earlier are replaced, and start the timer among them.

        Raises:
            HomelabError: They cannot be written, or systemd refuses them.
        """
        ...

    def remove(self, units: Sequence[str], *, timer: str, system: bool) -> tuple[Path, ...]:
        """Stop the timer and remove the units; the files that were there.

        Raises:
            HomelabError: They cannot be removed, or systemd refuses.
        """
        ...
