"""`down`: all that is ours goes, and nothing else."""

from __future__ import annotations

from bootstrap.commands.run import RunOptions, run_plan
from bootstrap.events import EventSink, Warned
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import Observed
from bootstrap.planning.down import plan_down
from bootstrap.planning.plan import Plan
from bootstrap.ports import Ports


def prepare_down(spec: ClusterSpec, ports: Ports) -> Plan:
    """See what is ours, half-made machines too. Touches nothing."""
    facts = ports.hypervisor.observe(cluster=spec.name, vmids=spec.placement.vmids)
    observed = Observed(
        version=facts.version,
        pve_nodes=facts.pve_nodes,
        templates=facts.templates,
        vms=facts.vms,
        used_vmids=facts.used_vmids,
    )
    has_traces = any(ports.state.read(spec.name, item) is not None for item in ("token", "kubeconfig"))
    return plan_down(spec, observed, has_traces=has_traces)


def run_down(plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
    """Carry a plan out; identity is checked again before each stop and each delete.

    Raises:
        HomelabError: Something could not be removed; `down` again continues.
    """
    for note in plan.notes:
        sink(Warned(subject=spec.name, message=note))
    report = run_plan(plan, spec, ports, token="", sink=sink, options=options)
    report.raise_failures()
    return report
