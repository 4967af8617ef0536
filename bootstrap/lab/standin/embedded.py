"""The interface for programs that run servers and agents inside themselves, as the lab's simulated guests do. Such a
program loads the package once per server, since the package keeps the server's `Life`.
"""

from __future__ import annotations

from . import process
from .agent.resident import Resident
from .api.node_passwords import REJECTED
from .built import READY_DELAY_S, VERSION
from .logs import Fatal, log, log_line
from .process import Life
from .server.server import Server
from .settings.options import Options
from .snapshots.s3 import s3_settings

__all__ = [
    "READY_DELAY_S", "REJECTED", "VERSION", "Fatal", "Options", "Resident", "Server", "adopt", "log", "log_line",
    "s3_settings",
]  # fmt: skip


def adopt(life: Life) -> None:
    """Use this life in this copy of the package."""
    process.LIFE = life
