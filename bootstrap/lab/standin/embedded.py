"""What a program uses that runs servers and agents inside itself, such as the lab's simulated guests.

It loads the package once per server, since each server's `Life` is kept in it, as a process keeps its own.
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

__all__ = ["READY_DELAY_S", "REJECTED", "VERSION", "Fatal", "Options", "Resident", "Server", "adopt", "log", "log_line"]


def adopt(life: Life) -> None:
    """Have this copy of the package live by this life."""
    process.LIFE = life
