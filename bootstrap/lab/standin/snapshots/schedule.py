"""When scheduled snapshots are due."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from ..logs import Fatal

NAMED = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0"}
LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def cron_field(text: str, low: int, high: int) -> set[int]:
    """The values of one field of a schedule."""
    values: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\*|\d+)(?:-(\d+))?(?:/(\d+))?", part)
        if not found:
            raise Fatal(f"failed to parse the snapshot schedule: {text!r}")
        first = low if found[1] == "*" else int(found[1])
        last = high if found[1] == "*" or (found[3] and not found[2]) else int(found[2] or first)
        values |= set(range(first, last + 1, int(found[3] or 1)))
    return values


@dataclass(frozen=True)
class Cron:
    """A schedule of five fields, in local time."""

    minutes: set[int]
    hours: set[int]
    days: set[int]
    months: set[int]
    weekdays: set[int]
    either: bool
    """Whether one of day and weekday is enough, since both are restricted."""

    def includes(self, now: time.struct_time) -> bool:
        on_day, on_weekday = now.tm_mday in self.days, (now.tm_wday + 1) % 7 in self.weekdays
        is_day = on_day or on_weekday if self.either else on_day and on_weekday
        return now.tm_min in self.minutes and now.tm_hour in self.hours and now.tm_mon in self.months and is_day


def parse_cron(schedule: str) -> Cron:
    fields = NAMED.get(schedule, schedule).split()
    if len(fields) != len(LIMITS):
        raise Fatal(f"failed to parse the snapshot schedule: {schedule!r}")
    minutes, hours, days, months, weekdays = (
        cron_field(field, *limits) for field, limits in zip(fields, LIMITS, strict=True)
    )
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    return Cron(minutes, hours, days, months, {day % 7 for day in weekdays}, either)


def cron_next(schedule: str, after: float) -> float:
    """The next time of a schedule, in seconds since 1970. Five fields in local time, or `@every DURATION`."""
    every = re.fullmatch(r"@every (\d+)(s|m|h)", schedule)
    if every:
        return after + int(every[1]) * {"s": 1, "m": 60, "h": 3600}[every[2]]
    cron, at = parse_cron(schedule), after - after % 60
    for _ in range(366 * 24 * 60 * 5):
        at += 60
        if cron.includes(time.localtime(at)):
            return at
    raise Fatal(f"the snapshot schedule never matches: {schedule!r}")
