"""How a machine that knows another SSH key is given ours, without logging in to it. Pure."""

from __future__ import annotations

import shlex

from bootstrap.model.ids import Vmid
from bootstrap.model.machine import MachineKind


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
