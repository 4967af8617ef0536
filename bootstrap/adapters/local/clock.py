"""The real clock."""

from __future__ import annotations

import time


class SystemClock:
    """Time as the machine counts it; implements `bootstrap.ports.Clock`."""

    def now_s(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Pause the calling thread."""
        time.sleep(seconds)
