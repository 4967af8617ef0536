"""Handlers of the steps that concern the cluster as a whole, here on the user's machine."""

from __future__ import annotations

from pathlib import Path

from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.k3s_steps import CLUSTER
from bootstrap.planning.steps import ForgetCluster, WriteKubeconfig

KUBECONFIG_PATH = "kubeconfig-path"
"""State item: the file our entries were merged into, so that `down` finds them there again."""


def write_kubeconfig(step: WriteKubeconfig, _lane: str, context: RunContext) -> Done:
    """Have our entries in the kubeconfig the user wants them in."""
    access = context.findings.access.need(CLUSTER)
    if not context.kubeconfig.merge:
        return Done(changed=False)
    path = context.ports.kubeconfigs.merge(access.kubeconfig, name=step.cluster, path=context.kubeconfig.path)
    context.ports.state.write(step.cluster, KUBECONFIG_PATH, str(path.absolute()))
    return Done(note=str(path))


def forget_cluster(step: ForgetCluster, _lane: str, context: RunContext) -> Done:
    """Have our kubeconfig entries and the state directory's items gone."""
    known = context.ports.state.read(step.cluster, KUBECONFIG_PATH)
    path = context.kubeconfig.path or (Path(known) if known else None)
    removed_from = context.ports.kubeconfigs.remove(name=step.cluster, path=path)
    forgotten = context.ports.state.forget(step.cluster)
    return Done(changed=bool(removed_from or forgotten), note=str(removed_from or ""))
