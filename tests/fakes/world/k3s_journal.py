"""What k3s writes while it does not come up: a good start's lines first, then its complaint, again and again."""

from __future__ import annotations

import re

from tests.fakes.k3s_failures import GOOD_START

EVERY_S = 6.0
"""From one try to the next: RestartSec=5s and a second of life, or an agent's own pause."""
_ENDS = re.compile(r"level=fatal|Shutdown request received: |^E\d{4} ")


def ends(said: str) -> bool:
    """Whether k3s ends with these words; else it tries again in the same run."""
    return bool(_ENDS.search(said))


def journal(said: str, *, after_s: float) -> str:
    """What `journal.sh` prints of a unit that was started so long ago."""
    if not said:
        return "\n".join(["-- run a0 goes on", *GOOD_START])
    number, age_s = divmod(after_s, EVERY_S)
    if not ends(said):
        return "\n".join(["-- run a0 goes on", *GOOD_START, *[said] * (int(number) + 1)])
    runs = []
    if number:
        runs.append([f"-- run a{int(number) - 1} ended", *GOOD_START, said])
    over = age_s >= 1.0
    runs.append([f"-- run a{int(number)} {'ended' if over else 'goes on'}", *GOOD_START, *([said] if over else [])])
    return "\n".join(line for run in runs[-2:] for line in run)


def state(said: str, *, after_s: float) -> tuple[str, int]:
    """systemd's SubState and NRestarts of such a unit."""
    if not ends(said):
        return "start", 0
    return ("auto-restart" if after_s % EVERY_S >= 1.0 else "start"), int(after_s // EVERY_S)
