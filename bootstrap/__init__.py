"""Turn Proxmox VE hosts into a k3s cluster.

The public names; each is imported when it is first used, so that `import bootstrap` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap import errors, events
    from bootstrap.commands.locked.carry_out import RunOptions
    from bootstrap.commands.reports.status_values import ClusterStatus, MachineStatus
    from bootstrap.errors import HomelabError
    from bootstrap.events import Event, EventSink
    from bootstrap.execution.context import KubeconfigTarget, Timeouts
    from bootstrap.execution.report import Report
    from bootstrap.homelab import Homelab
    from bootstrap.inventory import Inventory, Overrides, load_inventory
    from bootstrap.model.cluster import ClusterSpec
    from bootstrap.planning.plan import Plan
    from bootstrap.ports import Ports

__all__ = [
    "ClusterSpec",
    "ClusterStatus",
    "Event",
    "EventSink",
    "Homelab",
    "HomelabError",
    "Inventory",
    "KubeconfigTarget",
    "MachineStatus",
    "Overrides",
    "Plan",
    "Ports",
    "Report",
    "RunOptions",
    "Timeouts",
    "errors",
    "events",
    "load_inventory",
]

_MODULES = {
    "ClusterSpec": "bootstrap.model.cluster",
    "ClusterStatus": "bootstrap.commands.reports.status_values",
    "Event": "bootstrap.events",
    "EventSink": "bootstrap.events",
    "Homelab": "bootstrap.homelab",
    "HomelabError": "bootstrap.errors",
    "Inventory": "bootstrap.inventory",
    "KubeconfigTarget": "bootstrap.execution.context",
    "MachineStatus": "bootstrap.commands.reports.status_values",
    "Overrides": "bootstrap.inventory",
    "Plan": "bootstrap.planning.plan",
    "Ports": "bootstrap.ports",
    "Report": "bootstrap.execution.report",
    "RunOptions": "bootstrap.commands.locked.carry_out",
    "Timeouts": "bootstrap.execution.context",
    "load_inventory": "bootstrap.inventory",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name in ("errors", "events"):
        return import_module(f"bootstrap.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module 'bootstrap' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
