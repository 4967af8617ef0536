"""The facade: one object per cluster that joins inventory, planner, runner and adapters.

    homelab = Homelab(load_inventory(Path("homelab-k8s.yaml"), environ=os.environ))
    plan = homelab.plan(Up())
    homelab.run(Up(), plan, sink=print)

Adapters are imported when they are first needed, so that `--help` does not pay for paramiko or kubernetes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bootstrap.events import EventSink, ignore
from bootstrap.k3s.pass_through.flags import notes_on_unknown

if TYPE_CHECKING:
    from bootstrap.commands.locked.carry_out import RunOptions
    from bootstrap.commands.verb import Verb
    from bootstrap.execution.report import Report
    from bootstrap.inventory import Inventory
    from bootstrap.model.cluster import ClusterSpec
    from bootstrap.planning.plan import Plan
    from bootstrap.ports import Ports

T = TypeVar("T")


class Homelab:
    """One cluster.

    Args:
        inventory: The cluster, and how Proxmox VE is reached.
        environ: For `$KUBECONFIG`, `$HOME` and the XDG directories.
        ports: Adapters to use instead of the real ones, for tests.
        stop: Set it to end a run early: running steps end cleanly, no other is started.
        on_warning: Is called with what is noticed on the way to machines, such as a jump host that is met for the first
            time; None: it is logged.
        on_secret: Is called with the cluster's secrets (a text may hold several) as they are read or made.
    """

    def __init__(
        self,
        inventory: Inventory,
        *,
        environ: Mapping[str, str] | None = None,
        ports: Ports | None = None,
        stop: threading.Event | None = None,
        on_secret: Callable[[str], None] | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self._inventory = inventory
        self._environ = dict(os.environ if environ is None else environ)
        self._on_secret = on_secret
        self._on_warning = on_warning
        self._ports = self._telling(ports) if ports is not None else None
        self.stop = stop or threading.Event()

    @property
    def inventory(self) -> Inventory:
        """The inventory."""
        return self._inventory

    @property
    def ports(self) -> Ports:
        """The adapters, connected on first use."""
        if self._ports is None:
            from bootstrap.adapters import connect_ports  # paramiko and kubernetes cost a second

            ports = connect_ports(self._inventory, environ=self._environ, stop=self.stop, on_warning=self._on_warning)
            self._ports = self._telling(ports)
        return self._ports

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is risky about the inventory itself; printed before anything else, every time."""
        endpoint = self._inventory.endpoint
        if not endpoint.tls.insecure:
            return ()
        return (f"{endpoint.url}: its certificate is NOT checked (insecure): anyone on the network can read the token",)

    @property
    def notes(self) -> tuple[str, ...]:
        """What in the inventory may be a mistake, and is passed on as it is."""
        return notes_on_unknown(self._inventory.spec)

    def plan(self, verb: Verb) -> Plan:
        """What a verb would do, such as `Up()` or `Scale(counts={"workers": 5})`. Touches nothing.

        Raises:
            PreflightError: It cannot be done; nothing was touched.
        """
        return verb.plan(self._inventory.spec, self.ports)

    def run(self, verb: Verb, plan: Plan, *, sink: EventSink = ignore, options: RunOptions | None = None) -> Report:
        """Carry out a plan that the same verb has made.

        Raises:
            ClusterBusyError: Another command runs on the cluster; nothing was touched.
            HomelabError: Something failed; the same verb again continues.
        """
        return verb.run(plan, self._inventory.spec, self.ports, sink=sink, options=self._options(options))

    def look(self, query: Callable[[ClusterSpec, Ports], T]) -> T:
        """The answer of a query of `bootstrap.commands`, such as `cluster_status`. Reads only."""
        return query(self._inventory.spec, self.ports)

    @property
    def snapshot_directory(self) -> Path:
        """Where snapshots that are fetched go unless the user says otherwise; `down` leaves it alone."""
        from bootstrap.adapters.local.state import default_state_root
        from bootstrap.commands.observing.local_snapshots import snapshot_directory

        return snapshot_directory(default_state_root(), self._inventory.spec.name)

    def _telling(self, ports: Ports) -> Ports:
        if self._on_secret is None:
            return ports
        from bootstrap.commands.locked.state_directory import telling_secrets

        return telling_secrets(ports, self._on_secret)

    def _options(self, options: RunOptions | None) -> RunOptions:
        from dataclasses import replace

        from bootstrap.commands.locked.carry_out import RunOptions

        return replace(options or RunOptions(), stop=self.stop)
