"""Two VMs whose records name one machine of a cluster: it is unknown which of them is the machine."""

from __future__ import annotations

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError, few_lines
from bootstrap.planning.view import ClusterView


def twin_lines(view: ClusterView) -> tuple[str, ...]:
    """The one sentence on each machine that has several VMs: every command says it."""
    return tuple(
        f"{name} exists {_times(len(vms))}, as {' and '.join(f'vmid {vm.vmid} on {vm.pve_node}' for vm in vms)}: both "
        "are ignored; keep one, and stop and remove the other in Proxmox, or remove the line homelab-k8s-record "
        "from its notes"
        for name, vms in view.twins.items()
    )


def check_twins(view: ClusterView, names: frozenset[str] | None = None) -> None:
    """Refuse to act on machines of `names` (None: all) that have several VMs.

    Raises:
        PreflightError: One of them has; nothing was touched.
    """
    found = {name: vms for name, vms in view.twins.items() if names is None or name in names}
    if not found:
        return
    raise PreflightError(
        f"{', '.join(found)} of {view.spec.name} exists more than once; nothing was changed",
        details=few_lines(
            [f"{name}: vmid {vm.vmid} on {vm.pve_node}" for name, vms in found.items() for vm in vms],
        ),
        resolution=Advice(
            "keep one, and stop and remove the other in Proxmox, or remove the line homelab-k8s-record from its "
            "notes; `homelab-k8s down` removes all of them"
        ),
    )


def _times(number: int) -> str:
    return "twice" if number == 2 else f"{number} times"
