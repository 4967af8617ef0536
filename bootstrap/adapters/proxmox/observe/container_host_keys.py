"""SSH host keys of containers: the Proxmox node creates them, and their fingerprints are in the task's log.

pve-container, PVE::LXC::Setup, rewrite_ssh_host_keys: ssh-keygen runs on the Proxmox node, and the task has two lines a
key, `Creating SSH host key 'ssh_host_ed25519_key' - this may take some time ...` and `done: SHA256:... root@NAME`. None
where the template has no /etc/ssh. Observed with pve-container 6.1.10 of Proxmox VE 9.2.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.upid import UPID
from bootstrap.adapters.proxmox.guests.registry import GuestAt
from bootstrap.errors import PermissionDeniedError, UnreadableAnswerError
from bootstrap.model.ids import Vmid
from bootstrap.model.reading import Reading
from bootstrap.proxmox.reading import answers

_KIND = "vzcreate"
_TASKS = 50
_LINES = 5000
_DONE = re.compile(r"done: (SHA256:[A-Za-z0-9+/]{43}) root@\S+\s*")


def from_creation_log(api: Api, guest: GuestAt) -> str | None:
    """The fingerprint of a container's ed25519 host key, from the log of the task that created it.

    A token sees the tasks that it has started; others' with Sys.Audit on the Proxmox node.

    Returns:
        `SHA256:...`, or None: another token or another node created it, the log is gone, or has no such line.

    Raises:
        HypervisorError: Proxmox VE cannot be asked.
    """
    vmid = guest.vmid
    what = f"find the host key of the container {vmid} in the log of the task that made it"
    path = f"nodes/{guest.pve_node}/tasks"
    try:
        listing = api.read(path, what=what, vmid=vmid, typefilter=_KIND, source="all", limit=_TASKS)
        upid = next((upid for upid in answers.rows(listing, lambda row: _made(row, vmid)) if upid), None)
        if upid is None:
            return None
        log = api.read(f"{path}/{upid}/log", what=what, limit=_LINES)
        return fingerprint(list(answers.rows(log, lambda row: row.at("t").text(""))))
    except (PermissionDeniedError, UnreadableAnswerError):
        # UnreadableAnswerError: for a missing log, Proxmox VE 8 answers with one row that is no list.
        return None


def fingerprint(log: Sequence[str]) -> str | None:
    """The ed25519 key's fingerprint in the log of a task that made a container, or None."""
    for making, done in itertools.pairwise(log):
        found = _DONE.fullmatch(done)
        if found and making.startswith("Creating SSH host key 'ssh_host_ed25519_key'"):
            return found[1]
    return None


def _made(row: Reading, vmid: Vmid) -> str | None:
    """The task of a row of the list, the newest first, if it created the container."""
    ended_well = row.at("status").text("") == "OK" or row.at("status").text("").startswith("WARNINGS")
    about = (row.at("type").text(""), row.at("id").text(""))
    return row.at("upid").word(UPID, "a task's id") if ended_well and about == (_KIND, str(vmid)) else None
