"""When scheduled snapshots are due."""

from __future__ import annotations

import re
import time

from .telling import Fatal


def cron_field(text: str, low: int, high: int) -> set[int]:
    """The values of one field of a schedule."""
    values: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\*|\d+)(?:-(\d+))?(?:/(\d+))?", part)
        if not found:
            raise Fatal(f"failed to parse the schedule of snapshots: {text!r}")
        first = low if found[1] == "*" else int(found[1])
        last = high if found[1] == "*" or (found[3] and not found[2]) else int(found[2] or first)
        values |= set(range(first, last + 1, int(found[3] or 1)))
    return values


def cron_next(schedule: str, after: float) -> float:
    """When a schedule comes next, in seconds since 1970. Five fields in local time, or `@every DURATION`."""
    named = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0"}
    every = re.fullmatch(r"@every (\d+)(s|m|h)", schedule)
    if every:
        return after + int(every[1]) * {"s": 1, "m": 60, "h": 3600}[every[2]]
    fields = named.get(schedule, schedule).split()
    if len(fields) != 5:
        raise Fatal(f"failed to parse the schedule of snapshots: {schedule!r}")
    minutes, hours, days, months, weekdays = (
        cron_field(field, *limits)
        for field, limits in zip(fields, ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7)), strict=True)
    )
    either = fields[2][0] != "*" and fields[4][0] != "*"  # with both restricted, one of them is enough
    at = after - after % 60
    for _ in range(366 * 24 * 60 * 5):
        at += 60
        now = time.localtime(at)
        weekday = (now.tm_wday + 1) % 7
        on_weekday = weekday in weekdays or (weekday == 0 and 7 in weekdays)
        on_day = (now.tm_mday in days or on_weekday) if either else (now.tm_mday in days and on_weekday)
        if now.tm_min in minutes and now.tm_hour in hours and now.tm_mon in months and on_day:
            return at
    raise Fatal(f"the schedule of snapshots never comes: {schedule!r}")
