"""Handlers of the steps that concern the cluster as a whole, here on the user's machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bootstrap.errors import HomelabError
from bootstrap.events import Told
from bootstrap.execution.context import Done, KubeconfigTarget, RunContext
from bootstrap.k3s.kubeconfig.build import server_of
from bootstrap.k3s.kubeconfig.entries import marks_of
from bootstrap.model.ids import ClusterName
from bootstrap.planning.day2_steps import NoteRebuild
from bootstrap.planning.steps import ForgetCluster, WriteKubeconfig
from bootstrap.ports import MergedKubeconfig, Ports
from bootstrap.records.state.kubeconfigs import parse_marks, parse_paths, render_marks, render_paths
from bootstrap.records.state.state_items import (
    KEPT_WITH_THE_LOCK,
    KUBECONFIG,
    KUBECONFIG_MARKS,
    KUBECONFIG_PATH,
    KUBECONFIG_SERVER,
    REBUILD_NOTE,
)


def write_kubeconfig(step: WriteKubeconfig, context: RunContext) -> Done:
    """Merge our entries into the kubeconfig that the user has chosen."""
    if not context.kubeconfig.merge:
        return Done(changed=False)
    merged = merge_entries(context.access.kubeconfig, step.cluster, context.ports, target=context.kubeconfig)
    for note in merged.notes:
        context.emit(Told(message=note))
    return Done(note=str(merged.path))


def merge_entries(kubeconfig: str, cluster: ClusterName, ports: Ports, *, target: KubeconfigTarget) -> MergedKubeconfig:
    """Merge our entries into a file, remember which, and renew them in files we merged into before."""
    known = note_marks(cluster, ports, kubeconfig)
    merged = ports.kubeconfigs.merge(kubeconfig, name=cluster, path=target.path, known=known, switch=target.switch)
    here = merged.path.absolute()
    further = [path for path in _noted_paths(cluster, ports) if path != here]
    ports.state.write(cluster, KUBECONFIG_PATH, render_paths((here, *further)))
    notes = [note for path in further for note in _renewed(kubeconfig, cluster, ports, path=path, known=known)]
    ports.state.write(cluster, KUBECONFIG_SERVER, server_of(kubeconfig))
    return replace(merged, notes=(*merged.notes, *notes))


def note_marks(cluster: ClusterName, ports: Ports, kubeconfig: str | None = None) -> frozenset[str]:
    """Remember what our entries are known by, also when the cluster has other CAs; all that is known.

    Args:
        cluster: The cluster.
        ports: For the state directory.
        kubeconfig: The cluster's, besides that of the state directory.
    """
    before = parse_marks(ports.state.read(cluster, KUBECONFIG_MARKS))
    marks = before | marks_of(ports.state.read(cluster, KUBECONFIG)) | marks_of(kubeconfig)
    if marks != before:
        ports.state.write(cluster, KUBECONFIG_MARKS, render_marks(marks))
    return marks


def _renewed(
    kubeconfig: str, cluster: ClusterName, ports: Ports, *, path: Path, known: frozenset[str]
) -> tuple[str, ...]:
    """Renew our entries in a file, where they are in it; what to report."""
    try:
        ports.kubeconfigs.merge(kubeconfig, name=cluster, path=path, known=known, create=False)
    except HomelabError as error:
        return (f"its entries of this cluster were not updated: {error.brief}",)
    return ()


def _noted_paths(cluster: ClusterName, ports: Ports) -> tuple[Path, ...]:
    return parse_paths(ports.state.read(cluster, KUBECONFIG_PATH))


def note_rebuild(step: NoteRebuild, context: RunContext) -> Done:
    """Write the note of a rebuild into the state directory."""
    context.ports.state.write(step.cluster, REBUILD_NOTE, step.note)
    return Done()


def forget_cluster(step: ForgetCluster, context: RunContext) -> Done:
    """Remove our kubeconfig entries and the state directory's items, but for what the lock is signed with."""
    cluster, ports = step.cluster, context.ports
    given = [context.kubeconfig.path] if context.kubeconfig.path is not None else []
    marks = parse_marks(ports.state.read(cluster, KUBECONFIG_MARKS)) | marks_of(ports.state.read(cluster, KUBECONFIG))
    removed = ports.kubeconfigs.remove(name=cluster, paths=[*given, *_noted_paths(cluster, ports)], known=marks)
    for note in removed.notes:
        context.emit(Told(message=note))
    forgotten = ports.state.forget(cluster, keep=KEPT_WITH_THE_LOCK)
    return Done(changed=bool(removed.paths or forgotten), note=", ".join(map(str, removed.paths)))
