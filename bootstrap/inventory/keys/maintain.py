"""The inventory's `maintain:` section: upkeep without anybody there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from bootstrap.inventory.files import Places
from bootstrap.inventory.problems import shown
from bootstrap.inventory.secret_keys import SecretKeys
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import ListOf
from bootstrap.inventory.values.scalars import Boolean, Integer, RefusedError, Text, choice_of
from bootstrap.inventory.values.section import Key, Section, fill
from bootstrap.model.settings.maintain import DAYS, MaintainSpec, UpgradePolicy, Window

_MAINTAIN: Final = MaintainSpec()
_DAY: Final = f"(?:{'|'.join(DAYS)})"
_DAYS: Final = rf"{_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*"
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"


def _window(text: str) -> Window:
    *days, times = text.split()
    begin, end = map(_minutes, times.split("-"))
    if begin == end:
        raise RefusedError(f"{shown(text)} begins and ends at the same time", "leave window out for always")
    chosen = {day for part in days for each in part.split(",") for day in _days(each)}
    return Window(days=frozenset(chosen or range(len(DAYS))), begin_min=begin, end_min=end)


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def _days(text: str) -> Iterator[int]:
    """The days of `Sun`, or of `Fri-Mon`, which lasts over the week's end."""
    first, _, last = text.partition("-")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    for day in range(begin, end + 1 if begin <= end else end + 1 + len(DAYS)):
        yield day % len(DAYS)


def _window_hint(text: str) -> str:
    short = re.compile(r"\b(mon|tue|wed|thu|fri|sat|sun)[a-z]*", re.IGNORECASE)
    meant = short.sub(lambda found: found[1].capitalize(), text.replace("24:00", "00:00"))
    meant = re.sub(r"(?<![0-9:])([0-9]):", r"0\1:", re.sub(r"\s*([-,])\s*", r"\1", meant))
    return f"write {meant}" if meant != text and re.fullmatch(WINDOW_FORM, meant) else ""


WINDOW_FORM: Final = rf"(?:{_DAYS} )?{_TIME}-{_TIME}"
WINDOW: Final = Text(
    label="days and times such as Sun 02:00-05:00, Mon-Fri,Sun 23:00-04:00 or 02:00-05:00",
    pattern=WINDOW_FORM,
    parse=_window,
    explain=_window_hint,
    loose=True,
)


class NotifyKeys(
    SecretKeys, refusal=("URLs of notices hold secrets, which do not belong in this file", SecretKeys.refusal[1])
):
    """Where the URL of a notice comes from, as apprise writes it: `ntfys://...`, `mailtos://...`, `slack://...`."""

    env = Key(kind=forms.ENV_NAME, example="NTFY_URL", doc="Environment variable.")

    def stored(self) -> tuple[object, ...]:
        """What makes it another one than the others in the list."""
        return (self.env, self.file, self.keyring, self.command)


class MaintainKeys(Section):
    """Upkeep by `maintain`, usually from a timer."""

    window = Key(
        kind=WINDOW,
        default_doc="always",
        example="Sun 02:00-05:00",
        doc="When machines may be changed, in local time; outside of it `maintain` only backs up.",
    )
    upgrade = Key(
        kind=choice_of(UpgradePolicy),
        default=_MAINTAIN.upgrade.value,
        example="minor",
        doc="Which k3s releases of the channel are taken: those of the running minor version, all, or none.",
    )
    renew_machines = Key(
        kind=Boolean(),
        default=_MAINTAIN.renew_machines,
        example=False,
        doc="Rebuild the template when its image or age says so, and replace machines of older ones, one at a time.",
    )
    template_max_age_days = Key(
        kind=Integer(minimum=1, maximum=3650),
        default_doc="none: only a new image counts",
        example=90,
        doc="Age from which a template is rebuilt even from the same image.",
    )
    keep_templates = Key(
        kind=Integer(minimum=1, maximum=100),
        default=_MAINTAIN.keep_templates,
        example=3,
        doc="How many templates of an image are kept on each Proxmox node, in addition to those in use.",
    )
    backup_to = Key(
        kind=forms.FILE,
        default_doc="none",
        example="~/backups",
        doc="Local directory that each snapshot is downloaded to, in a folder named after the cluster.",
    )
    keep_backups = Key(
        kind=Integer(minimum=1, maximum=1000),
        default=_MAINTAIN.keep_backups,
        example=14,
        doc="How many snapshots of `maintain` are kept: on each server, in the bucket and in backup_to.",
    )
    delete_emptydir_data = Key(
        kind=Boolean(),
        default=_MAINTAIN.delete_emptydir_data,
        example=True,
        doc="Also evict pods that use emptyDir volumes; their data is lost. Otherwise `maintain` stops before them.",
    )
    notify = Key(
        kind=ListOf(item=NotifyKeys, same=NotifyKeys.stored, what="place"),
        default_doc="none",
        example=[{"env": "NTFY_URL"}],
        doc="Notices when something was done, or something is wrong; needs the extra `notify`.",
    )

    def make(self, places: Places) -> MaintainSpec:
        """What `maintain` does."""
        return fill(MaintainSpec, self, places=places, notify=tuple(each.make(places) for each in self.notify or ()))
