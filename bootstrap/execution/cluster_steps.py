"""Handlers of the steps that concern the cluster as a whole, here on the user's machine."""

from __future__ import annotations

from pathlib import Path

from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.k3s_steps import CLUSTER
from bootstrap.model.ids import ClusterName
from bootstrap.planning.keeping_steps import NoteRebuild
from bootstrap.planning.steps import ForgetCluster, WriteKubeconfig
from bootstrap.ports import Ports

KUBECONFIG_PATH = "kubeconfig-path"
"""State item: the file our entries were merged into, so that `down` finds them there again."""

REBUILD_NOTE = "rebuild"
"""State item: a rebuild that is under way."""

KEPT_WITH_THE_LOCK = ("id_ed25519", "id_ed25519.pub", "record-key")
"""State items that stay until the lock is given back: its marker is signed with them, also that of a run that died."""


def write_kubeconfig(step: WriteKubeconfig, _lane: str, context: RunContext) -> Done:
    """Have our entries in the kubeconfig the user wants them in."""
    access = context.findings.access.need(CLUSTER)
    if not context.kubeconfig.merge:
        return Done(changed=False)
    path = merge_entries(access.kubeconfig, step.cluster, context.ports, path=context.kubeconfig.path)
    return Done(note=str(path))


def merge_entries(kubeconfig: str, cluster: ClusterName, ports: Ports, *, path: Path | None) -> Path:
    """Merge our entries into a file (None: the user's) and remember which."""
    merged = ports.kubeconfigs.merge(kubeconfig, name=cluster, path=path)
    ports.state.write(cluster, KUBECONFIG_PATH, str(merged.absolute()))
    return merged


def note_rebuild(step: NoteRebuild, _lane: str, context: RunContext) -> Done:
    """Have the note of a rebuild in the state directory."""
    context.ports.state.write(step.cluster, REBUILD_NOTE, step.note)
    return Done()


def forget_cluster(step: ForgetCluster, _lane: str, context: RunContext) -> Done:
    """Have our kubeconfig entries and the state directory's items gone, but for what the lock is signed with."""
    known = context.ports.state.read(step.cluster, KUBECONFIG_PATH)
    path = context.kubeconfig.path or (Path(known) if known else None)
    removed_from = context.ports.kubeconfigs.remove(name=step.cluster, path=path)
    forgotten = context.ports.state.forget(step.cluster, keep=KEPT_WITH_THE_LOCK)
    return Done(changed=bool(removed_from or forgotten), note=str(removed_from or ""))
