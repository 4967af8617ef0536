"""What the drains of a plan would lose, found before anything is touched."""

from __future__ import annotations

from bootstrap.commands.observing.observe import ask_servers, observe_cluster
from bootstrap.errors import KubernetesError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import Pod
from bootstrap.planning.day2_steps import Drain
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.ports import KubeApi, Ports


def pods_losing_data(plan: Plan, spec: ClusterSpec, ports: Ports) -> tuple[Pod, ...]:
    """Pods on the machines to be drained that would lose an emptyDir volume, unless the user allows it. Reads only.

    Empty where the API does not answer: the run meets that again and says what to do.
    """
    names = [step.machine for step in steps_of(plan, Drain) if not step.delete_local_data]
    if not names:
        return ()

    def ask(kube: KubeApi) -> tuple[Pod, ...]:
        return tuple(pod for name in dict.fromkeys(names) for pod in kube.pods(on=name) if pod.loses_data)

    try:
        return ask_servers(observe_cluster(spec, ports, patient=False), ports, ask=ask)
    except KubernetesError:
        return ()
