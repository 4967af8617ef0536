"""Upkeep without anybody there: when it may change machines, which k3s it takes, how long things are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from bootstrap.model.settings.secrets import StoredSecret

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MIN = 24 * 60
KEPT_BACKUPS = 7
KEPT_TEMPLATES = 2


class UpgradePolicy(StrEnum):
    """Which k3s releases are taken."""

    PATCH = "patch"
    """Those of the minor version that runs."""
    MINOR = "minor"
    """The channel's, also of a later minor version."""
    NEVER = "never"


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of some days, by the clock on the wall; it may last over midnight.

    Only the wall's clock counts, so a day on which the clock is changed is a day like others: a window in the hour that
    is left out does not open, and one in the hour that comes twice opens twice.

    Attributes:
        days: On which it begins, 0 for Monday as in `datetime.weekday`.
        begin_min: Minutes after midnight.
        end_min: Likewise; not later than the beginning: on the next day.
    """

    days: frozenset[int]
    begin_min: int
    end_min: int

    def is_open(self, at: datetime) -> bool:
        """Whether it is open at a local time."""
        minute, today = at.hour * 60 + at.minute, at.weekday()
        if self.begin_min < self.end_min:
            return today in self.days and self.begin_min <= minute < self.end_min
        yesterday = (today - 1) % len(DAYS)
        return (today in self.days and minute >= self.begin_min) or (yesterday in self.days and minute < self.end_min)

    def __str__(self) -> str:
        """As in the inventory: `Sun 02:00-05:00`."""
        days = "" if len(self.days) == len(DAYS) else ",".join(DAYS[day] for day in sorted(self.days)) + " "
        return f"{days}{clock_text(self.begin_min)}-{clock_text(self.end_min)}"


def clock_text(minute: int) -> str:
    """Minutes after midnight as `02:00`."""
    return "{:02}:{:02}".format(*divmod(minute, 60))


@dataclass(frozen=True, kw_only=True)
class MaintainSpec:
    """What `maintain` does.

    Attributes:
        window: When machines may be changed; None for always.
        upgrade: Which k3s releases are taken.
        renew_machines: Whether templates are rebuilt, and machines of older ones replaced.
        template_max_age_days: From which age on a template is rebuilt of the same image; None for none.
        keep_templates: How many templates of an image stay on a Proxmox node.
        backup_to: A local directory that snapshots are fetched to, or None.
        keep_backups: How many snapshots stay wherever they go.
        delete_emptydir_data: Whether drains may lose emptyDir volumes.
        notify: Where the URLs of notices are stored.
    """

    window: Window | None = None
    upgrade: UpgradePolicy = UpgradePolicy.PATCH
    renew_machines: bool = True
    template_max_age_days: int | None = None
    keep_templates: int = KEPT_TEMPLATES
    backup_to: Path | None = None
    keep_backups: int = KEPT_BACKUPS
    delete_emptydir_data: bool = False
    notify: tuple[StoredSecret, ...] = ()
