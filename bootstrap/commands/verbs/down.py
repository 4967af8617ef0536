"""`down`: removes all that is ours, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bootstrap.advice import Advice
from bootstrap.commands.observing.observe import observe_proxmox
from bootstrap.commands.observing.privileges import check_sight
from bootstrap.commands.verb import Verb
from bootstrap.errors import HomelabError, few_lines
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.checks.protection import check_cluster_removal
from bootstrap.planning.plan import Plan
from bootstrap.planning.provision.unfinished import machines_to_remove
from bootstrap.planning.verbs.down import plan_down
from bootstrap.ports import Ports
from bootstrap.records.state.intention import Intention
from bootstrap.records.state.state_items import KUBECONFIG, TOKEN


@dataclass(frozen=True)
class Down(Verb):
    """`down`; the identity of each machine is checked again before it is stopped and removed.

    Attributes:
        detach_disks: Disks of Kubernetes volumes are detached from the VMs that hold them; else these are not removed.
    """

    detach_disks: bool = False
    ends_others: ClassVar[bool] = False
    has_joins: ClassVar[bool] = False

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`: finds what is ours, machines whose creation was interrupted too."""
        check_cluster_removal(spec, command="down")
        view = observe_proxmox(spec, ports)
        check_sight(spec, ports, view.observed.vms)
        has_traces = any(ports.state.read(spec.name, item) is not None for item in (TOKEN, KUBECONFIG))
        return plan_down(view, has_traces=has_traces, detach_disks=self.detach_disks)

    def confirmed(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Plan:
        """The plan as shown, checked under the lock: each step looks again at whose VM it is about to remove.

        Raises:
            HomelabError: As `Verb.confirmed`; or machines became unreachable since, whose state would be forgotten.
        """
        fresh = super().confirmed(plan, spec, ports)
        if fresh.unreached and not plan.unreached:
            raise HomelabError(
                f"machines of {plan.cluster} became unreachable since the plan was made; nothing was removed",
                details=few_lines(fresh.unreached),
                resolution=Advice(
                    "run `homelab-k8s down` again: it removes what can be reached, and keeps the state for the rest"
                ),
            )
        return plan

    def intention(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Intention | None:
        """The machines to be removed; it goes with the rest of the state at the end."""
        if not plan.machines:
            return None
        return Intention(
            command="down", again="down", since=ports.processes.utc_text(), machines=machines_to_remove(plan)
        )
