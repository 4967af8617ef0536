"""`homelab-k8s clusters`: all clusters in a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Common, Source
from bootstrap.cli.running.command_session import working
from bootstrap.cli.text.documents import Document
from bootstrap.cli.text.tables import render_table

if TYPE_CHECKING:
    from bootstrap.commands.reports.clusters import ClusterSummary

_DROP = ("KUBECONFIG", "VMIDS", "PVE NODES")
_HEADINGS = ("CLUSTER", "CONTROL PLANE", "WORKERS", "RUNNING", "VMIDS", "PVE NODES", "KUBECONFIG")


@with_options
def clusters(*, source: Source, common: Common) -> None:
    """List the clusters on this Proxmox VE, and those this computer has a kubeconfig or token for."""
    with working("clusters", source, common) as work:
        from bootstrap.commands.reports.clusters import all_clusters

        found = work.look(lambda: all_clusters(work.homelab.ports))
        work.result(
            lambda: clusters_text(found, work.session.advise, width=work.width), lambda: clusters_document(found)
        )


def clusters_text(found: Sequence[ClusterSummary], advise: Callable[[str], str] = str, *, width: int = 0) -> str:
    """A table of clusters, or that there is none."""
    if not found:
        return advise(Advice("no cluster found; create one with `homelab-k8s up`"))
    return render_table(_HEADINGS, [_cells(cluster) for cluster in found], width=width, drop=_DROP)


def _cells(cluster: ClusterSummary) -> tuple[str, ...]:
    running = f"{cluster.running} of {cluster.machines}" if cluster.machines else "-"
    notes = [f"{cluster.out_of_sight} unreachable"] if cluster.out_of_sight else []
    notes += [f"{cluster.foreign} foreign"] if cluster.foreign else []
    notes += ["in use"] if cluster.at_work else []
    return (
        cluster.name,
        str(cluster.control_plane),
        str(cluster.workers),
        ", ".join([running, *notes]),
        f"{cluster.vmids[0]}-{cluster.vmids[1]}" if cluster.vmids else "-",
        ", ".join(cluster.pve_nodes) or "-",
        "here" if cluster.kubeconfig else "-",
    )


def clusters_document(found: Sequence[ClusterSummary]) -> Document:
    """The clusters; `format` grows when a key changes its meaning or goes."""
    from bootstrap.commands.reports.clusters import CLUSTERS_FORMAT

    return {
        "format": CLUSTERS_FORMAT,
        "clusters": [
            {
                "name": cluster.name,
                "control_plane": cluster.control_plane,
                "workers": cluster.workers,
                "running": cluster.running,
                "out_of_sight": cluster.out_of_sight,
                "foreign": cluster.foreign,
                "vmids": list(cluster.vmids) if cluster.vmids else None,
                "pve_nodes": list(cluster.pve_nodes),
                "at_work": cluster.at_work,
                "known_here": cluster.known,
                "kubeconfig": cluster.kubeconfig,
            }
            for cluster in found
        ],
    }
