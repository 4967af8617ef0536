"""Machines that refuse our SSH key: the texts, and how they are given the key without a login. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from bootstrap.advice import Advice
from bootstrap.errors import HomelabError
from bootstrap.model.ids import ClusterName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.words import count
from bootstrap.planning.view import ClusterView


def authorizing_command(vmid: Vmid, *, kind: MachineKind, user: str, public_key: str) -> str:
    """The command with which root on the machine's Proxmox node has a public key accepted: the guest agent writes it.

    Args:
        vmid: The machine's.
        kind: Containers have no guest agent and need none.
        user: Who logs in there; has logged in with some key before, so that the directory is there.
        public_key: An `authorized_keys` line.
    """
    line = shlex.quote(f"echo {shlex.quote(public_key)} >>~{user}/.ssh/authorized_keys")
    tool = "pct exec" if kind is MachineKind.LXC else "qm guest exec"
    return f"{tool} {vmid} -- sh -c {line}"


def refusing_lines(view: ClusterView) -> Iterator[str]:
    """One line for each machine that refused our SSH key, with the commands that fix it."""
    for name in view.observed.refusing:
        vm = view.vm_of.get(name)
        way = Advice("`homelab-k8s adopt {}` has its guest agent add the key", view.spec.name)
        if vm is not None and not vm.is_server:
            way = Advice("{}, or `homelab-k8s replace {}`", way, name)
        yield Advice("{}: refuses our SSH key, so that nothing on it can be changed: {}", name, way)


def not_maintained(cluster: ClusterName, command: str, machines: int) -> HomelabError:
    """The error of a command with nothing left to do but machines that refused our SSH key."""
    who = f"{count(machines, 'machine')} refuse{'s' * (machines == 1)}"
    return HomelabError(
        f"{command} of {cluster} is not complete: {who} our SSH key",
        resolution=Advice("`homelab-k8s adopt {}`", cluster),
    )
