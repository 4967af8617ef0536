"""A clock whose time passes when somebody sleeps."""

from __future__ import annotations

import threading
import time


class SteppingClock:
    """Sleeping moves it on at once; threads share it."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._lock = threading.Lock()

    def now_s(self) -> float:
        with self._lock:
            return self._now_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now_s += seconds
        time.sleep(0)  # let other lanes run
