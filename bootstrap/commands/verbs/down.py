"""`down`: all that is ours goes, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.advice import Advice
from bootstrap.commands.locked.carry_out import RunOptions, run_plan
from bootstrap.commands.locked.lock import ClusterLock
from bootstrap.commands.locked.unfinished import begin
from bootstrap.commands.observing.observe import observe_proxmox
from bootstrap.commands.observing.privileges import check_sight
from bootstrap.commands.verb import Verb
from bootstrap.errors import HomelabError, few_lines
from bootstrap.events import EventSink, LaneStatus, Warned
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.provision.unfinished import machines_to_remove
from bootstrap.planning.steps import ForgetCluster
from bootstrap.planning.verbs.down import plan_down
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.state.intention import Intention
from bootstrap.records.state.state_items import KUBECONFIG, TOKEN


@dataclass(frozen=True)
class Down(Verb):
    """`down`."""

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`: sees what is ours, machines whose creation was interrupted too."""
        observed = observe_proxmox(spec, ports)
        check_sight(spec, ports, observed.vms)
        return plan_down(ClusterView(spec, observed), has_traces=_has_traces(spec, ports))

    def run(self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
        """As `Verb.run`; identity is checked again before each stop and delete."""
        with ClusterLock(spec, ports, command="down", sink=sink, stop=options.stop, times=options.lock) as lock:
            fresh = self.plan(spec, ports)
            _check_complete(plan, fresh)
            _check_sight(plan, fresh)
            for note in plan.notes:
                sink(Warned(subject=spec.name, message=note))
            if plan.machines:
                begin(
                    "down", self.intention(plan, spec, ports), spec.name, ports
                )  # it goes with the rest of the state at the end
            report = run_plan(plan, spec, ports, token="", sink=sink, options=options)
            ended_well = not report.interrupted and not any(map(report.of, (LaneStatus.FAILED, LaneStatus.SKIPPED)))
            if steps_of(plan, ForgetCluster) and ended_well:
                lock.forget_at_the_end(lambda: ports.state.forget(spec.name))
        lock.check()
        report.raise_failures()
        return report

    def intention(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Intention:  # noqa: ARG002
        """What is removed."""
        return Intention(
            command="down", again="down", since=ports.processes.utc_text(), machines=machines_to_remove(plan)
        )


def _has_traces(spec: ClusterSpec, ports: Ports) -> bool:
    return any(ports.state.read(spec.name, item) is not None for item in (TOKEN, KUBECONFIG))


def _check_sight(plan: Plan, fresh: Plan) -> None:
    """Refuse a plan that forgets the state of machines that have gone out of sight since it was made."""
    if fresh.unreached and not plan.unreached:
        raise HomelabError(
            f"machines of {plan.cluster} became unreachable since the plan was made; nothing was removed",
            details=few_lines(fresh.unreached),
            resolution=Advice(
                "run `homelab-k8s down` again: it removes what can be reached, and keeps the state for the rest"
            ),
        )


def _check_complete(plan: Plan, fresh: Plan) -> None:
    """Refuse a plan that misses machines: what the user has seen and confirmed is all that may go."""
    planned = {machine.spec.name for machine in plan.machines}
    new = [machine.spec.name for machine in fresh.machines if machine.spec.name not in planned]
    if new:
        raise HomelabError(
            f"{plan.cluster} has new machines since the plan was made; nothing was removed",
            details=", ".join(new),
            resolution=Advice("run `homelab-k8s down` again to see and remove them, too"),
        )
