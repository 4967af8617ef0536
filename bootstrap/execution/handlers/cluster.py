"""Handlers of the steps that concern the cluster as a whole, here on the user's machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bootstrap.errors import HomelabError
from bootstrap.events import Told
from bootstrap.execution.context import Done, KubeconfigTarget, RunContext
from bootstrap.execution.handlers.k3s import CLUSTER
from bootstrap.k3s.kubeconfig.build import server_of
from bootstrap.k3s.kubeconfig.entries import marks_of, parse_marks, render_marks
from bootstrap.model.ids import ClusterName
from bootstrap.planning.day2_steps import NoteRebuild
from bootstrap.planning.steps import ForgetCluster, WriteKubeconfig
from bootstrap.ports import MergedKubeconfig, Ports

KUBECONFIG_PATH = "kubeconfig-path"
"""State item: the files our entries were merged into, a line each, so that `down` finds them there again."""

KUBECONFIG_SERVER = "kubeconfig-server"
"""State item: the server that our entries were last written with."""

KUBECONFIG_MARKS = "kubeconfig-marks"
"""State item: what our entries are known by, also those of before the cluster got other CAs."""

REBUILD_NOTE = "rebuild"
"""State item: a rebuild that is under way."""

KEPT_WITH_THE_LOCK = ("id_ed25519", "id_ed25519.pub", "record-key")
"""State items that stay until the lock is given back: its marker is signed with them, also that of a run that died."""


def write_kubeconfig(step: WriteKubeconfig, _lane: str, context: RunContext) -> Done:
    """Have our entries in the kubeconfig the user wants them in."""
    access = context.findings.access.need(CLUSTER)
    if not context.kubeconfig.merge:
        return Done(changed=False)
    merged = merge_entries(access.kubeconfig, step.cluster, context.ports, target=context.kubeconfig)
    for note in merged.notes:
        context.emit(Told(message=note))
    return Done(note=str(merged.path))


def merge_entries(kubeconfig: str, cluster: ClusterName, ports: Ports, *, target: KubeconfigTarget) -> MergedKubeconfig:
    """Merge our entries into a file, remember which, and renew those that are in files we merged into before."""
    known = note_marks(cluster, ports, kubeconfig)
    merged = ports.kubeconfigs.merge(kubeconfig, name=cluster, path=target.path, known=known, switch=target.switch)
    here = merged.path.absolute()
    further = [path for path in _noted_paths(cluster, ports) if path != here]
    ports.state.write(cluster, KUBECONFIG_PATH, "\n".join(map(str, (here, *further))))
    notes = [note for path in further for note in _renewed(kubeconfig, cluster, ports, path=path, known=known)]
    ports.state.write(cluster, KUBECONFIG_SERVER, server_of(kubeconfig))
    return replace(merged, notes=(*merged.notes, *notes))


def note_marks(cluster: ClusterName, ports: Ports, kubeconfig: str | None = None) -> frozenset[str]:
    """Remember what our entries are known by, also when the cluster has other CAs; all that is known.

    Args:
        cluster: The cluster.
        ports: For the state directory.
        kubeconfig: One of ours besides that of the state directory.
    """
    before = parse_marks(ports.state.read(cluster, KUBECONFIG_MARKS))
    marks = before | marks_of(ports.state.read(cluster, "kubeconfig")) | marks_of(kubeconfig)
    if marks != before:
        ports.state.write(cluster, KUBECONFIG_MARKS, render_marks(marks))
    return marks


def _renewed(
    kubeconfig: str, cluster: ClusterName, ports: Ports, *, path: Path, known: frozenset[str]
) -> tuple[str, ...]:
    """Renew our entries in a file, where they are in it; what to tell."""
    try:
        ports.kubeconfigs.merge(kubeconfig, name=cluster, path=path, known=known, create=False)
    except HomelabError as error:
        return (f"its entries of this cluster were not updated: {error.brief}",)
    return ()


def _noted_paths(cluster: ClusterName, ports: Ports) -> list[Path]:
    return [Path(line) for line in (ports.state.read(cluster, KUBECONFIG_PATH) or "").splitlines() if line]


def note_rebuild(step: NoteRebuild, _lane: str, context: RunContext) -> Done:
    """Have the note of a rebuild in the state directory."""
    context.ports.state.write(step.cluster, REBUILD_NOTE, step.note)
    return Done()


def forget_cluster(step: ForgetCluster, _lane: str, context: RunContext) -> Done:
    """Have our kubeconfig entries and the state directory's items gone, but for what the lock is signed with."""
    cluster, ports = step.cluster, context.ports
    given = [context.kubeconfig.path] if context.kubeconfig.path is not None else []
    marks = parse_marks(ports.state.read(cluster, KUBECONFIG_MARKS)) | marks_of(ports.state.read(cluster, "kubeconfig"))
    removed = ports.kubeconfigs.remove(name=cluster, paths=[*given, *_noted_paths(cluster, ports)], known=marks)
    for note in removed.notes:
        context.emit(Told(message=note))
    forgotten = ports.state.forget(cluster, keep=KEPT_WITH_THE_LOCK)
    return Done(changed=bool(removed.paths or forgotten), note=", ".join(map(str, removed.paths)))
