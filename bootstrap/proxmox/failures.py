"""What Proxmox VE says when it refuses, turned into the library's errors. Pure.

The texts are those of Proxmox VE 8.4, as recorded, and of 9's sources. Matching goes by text because the status
says nothing: nearly everything is a 500.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bootstrap.advice import Advice
from bootstrap.errors import (
    AgentForbidsError,
    AgentNotConfiguredError,
    AgentNotRunningError,
    AuthenticationError,
    HypervisorError,
    PermissionDeniedError,
    TaskFailedError,
    TransientError,
    VmidTakenError,
    VmNotFoundError,
)
from bootstrap.proxmox.rights.grants import Refusal, grant_remedy, parse_refusal
from bootstrap.proxmox.rights.tag_rights import tag_refusal, tag_remedy
from bootstrap.proxmox.task_logs import cause_line


class AnswerLostError(TransientError):
    """The request was sent and no answer came: it may or may not have been carried out."""


class PveNodeUnreachableError(TransientError):
    """The Proxmox node that the request is for does not answer its cluster; another one did.

    Attributes:
        silent_since_s: The clock's time of the first request that it did not answer, of those in a row.
    """

    silent_since_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A text Proxmox VE is known to use, what it means, what helps, and whether the same command again does."""

    text: re.Pattern[str]
    error: type[HypervisorError]
    resolution: str
    again_helps: bool = True


def _known(text: str, error: type[HypervisorError], resolution: str) -> _Known:
    return _Known(text=re.compile(text, re.DOTALL), error=error, resolution=resolution)


def _setting(text: str, resolution: str) -> _Known:
    """Host or settings do not allow it: something has to be changed first."""
    return _Known(text=re.compile(text), error=HypervisorError, resolution=resolution, again_helps=False)


NO_QUORUM = r"no quorum|'/etc/pve/[^']*'.* - Permission denied|'/etc/pve/[^']*' failed: Permission denied"
"""Without quorum pmxcfs allows no writes below /etc/pve, not even root's: seen on 9.2 for clones and config changes."""

QUORUM_REMEDY = (
    "the Proxmox cluster has no quorum, so nothing can be changed: `pvecm status` on a Proxmox node shows which "
    "Proxmox nodes are missing; bring them back, then run the command again"
)

_VM_NUMBER = re.compile(r"\b(VM|CT) (\d+)")

_EVERYWHERE = (
    _known(
        # On the same Proxmox node; on another one, where the file system of /etc/pve refuses a second config of a vmid;
        # and where an image of the vmid is left, as each kind of storage says it (pve-storage: alloc_image of
        # directories, Btrfs, LVM, ZFS and RBD).
        r"unable to create (?:VM|CT) \d+\b.*(?:already exists|File exists)|^(?:VM|CT) \d+ already exists"
        r"|close \(rename\) atomic file '/etc/pve/nodes/[^/]+/(?:qemu-server|lxc)/\d+\.conf' failed: File exists"
        r"|^clone failed: .*\b(?:vm|subvol)-\d+-.*(?:already exists|File exists)",
        VmidTakenError,
        "use another VMID; an unused image can be removed as root on the Proxmox node: "
        "pvesm list STORAGE --vmid VMID, then pvesm free VOLUME",
    ),
    _known(
        r"Configuration file '.+' does not exist|unable to find configuration file for VM",
        VmNotFoundError,
        "the VM was removed, or moved to another Proxmox node; run the command again",
    ),
    _known(
        # qemu-server's and the storages' locks (10 s each) and pmxcfs' cluster-wide ones. Who waits for a lock has
        # done nothing yet, so this is a dispatch that failed even where it is a task that says so.
        r"can't lock file '.+' - got timeout|got lock (?:request )?timeout",
        TransientError,
        "another task holds the lock; wait until it has ended (see Proxmox's task list), then run the command again",
    ),
    _known(NO_QUORUM, TransientError, QUORUM_REMEDY),
    _known(
        r"(?:VM|CT) is locked \(",
        HypervisorError,
        "wait for the task that locked it; if there is none, run `{unlock}` as root on the Proxmox node (no "
        "API token may)",
    ),
    _setting(
        r"KVM virtualisation configured, but not available",
        "the Proxmox node has no /dev/kvm: switch virtualisation (VT-x, AMD-V) on in its BIOS; where Proxmox VE is a "
        "VM itself, give that VM the CPU type `host` and nested virtualisation; or set `kvm: 0` on the template, which "
        "emulates the CPU and is very slow",
    ),
    _setting(
        r"No space left|quota|out of space|insufficient free space|not enough (?:free )?space",
        "free some space on the storage or raise its quota (`pvesm status` on the Proxmox node shows it), or name "
        "another storage in the inventory (proxmox.storage)",
    ),
    _setting(
        r"Invalid CPU topology|maxcpus must be",
        "the machine has more `vcpus` than cores, most often from its template: run `qm set VMID --delete vcpus` for "
        "the template and this VM",
    ),
    _setting(
        r"MAX \d+ vcpus allowed",
        "give the pool no more cores than the Proxmox node has CPUs (cores in the inventory)",
    ),
    _setting(
        r"only root can set '",
        "an API token cannot clone this: remove the setting from the template, or create the VM as root in Proxmox",
    ),
    _setting(
        r"download failed.*\b40[34]\b|\b404 Not Found|checksum mismatch: got",
        "check the image's URL and checksum (template.image and template.checksum in the inventory)",
    ),
    _setting(r"protection mode enabled", "remove the VM's protection flag first, if you want to delete it"),
    _known(
        r"^hostname lookup '.+' failed|no such cluster node",
        HypervisorError,
        "check the names of the Proxmox nodes in the inventory",
    ),
)

_AT_DISPATCH = (
    # Said of a request, nothing was done yet; said of a task, it is how that failed.
    _known(
        r"^got timeout\s*$",
        TransientError,
        "a lock is held, or the Proxmox node is overloaded: see its task list, then run the command again",
    ),
)

_AT_THE_GUEST_AGENT = (
    _known(
        r"No QEMU guest agent configured",
        AgentNotConfiguredError,
        "switch the template's guest agent on (`qm set VMID --agent enabled=1`) and install qemu-guest-agent in it",
    ),
    _known(
        # QEMU's qapi/qmp-dispatch.c; the second form is that of QEMU before 3.1.
        r"[Cc]ommand guest-\S+ has been disabled",
        AgentForbidsError,
        "allow it in the template's guest agent (guest-network-get-interfaces, guest-file-open, guest-file-read, "
        "guest-file-close): on RHEL, Rocky and Alma in the line FILTER_RPC_ARGS (before 9.4 BLOCK_RPCS or "
        "BLACKLIST_RPC) of /etc/sysconfig/qemu-ga, then `systemctl restart qemu-guest-agent`; where only files are "
        "refused, `ssh: {host_keys: accept-new}` in the inventory works without them",
    ),
    _known(
        r"guest agent is not running|^VM \d+ is not running|^VM \d+ (?:qmp|qga) command 'guest-|^Agent error",
        AgentNotRunningError,
        "",
    ),
)

_STATUS: Mapping[int, tuple[type[HypervisorError], str]] = {
    401: (
        AuthenticationError,
        "check the token's id (user@realm!name) and secret, and that it is neither disabled nor expired",
    ),
    408: (AnswerLostError, ""),
    429: (TransientError, ""),
    501: (HypervisorError, "this Proxmox VE does not support the call; version 8.0 or newer is required"),
    502: (AnswerLostError, "check the proxy before Proxmox VE"),
    503: (TransientError, "check the Proxmox node's services: systemctl status pveproxy pvedaemon"),
    504: (AnswerLostError, "check the proxy before Proxmox VE"),
    595: (PveNodeUnreachableError, "check that the Proxmox node is up: systemctl status pvedaemon pveproxy"),
    596: (AnswerLostError, "check the Proxmox node's services: systemctl status pvedaemon pveproxy"),
    597: (AnswerLostError, ""),
    599: (AnswerLostError, ""),
}


def from_status(  # noqa: D417 - status and reason are HTTP's
    *,
    status: int,
    reason: str,
    errors: Mapping[str, str],
    what: str,
    token: str,
    asked_for: tuple[str, ...] = (),
) -> HypervisorError:
    """The error for an HTTP answer that is none.

    Args:
        errors: Per-parameter texts of a 400.
        what: What was tried, as it reads after "cannot": `start VM 7001 (demo-cp-1) on pve1`.
        token: The token's id, `user@realm!name`.
        asked_for: What the request needs rights on, for a 403 that names nothing (`grants.likely_paths`).
    """
    # The parameters' own texts are the message: `Parameter verification failed.` names nothing.
    details = "\n".join([*(f"{name}: {text.strip()}" for name, text in errors.items()), f"{status} {reason}"])
    if status == 403:
        return _denied(reason, details=details, what=what, token=token, asked_for=asked_for)
    text = reason if status != 400 else " ".join(errors.values())
    known = _find(text, _EVERYWHERE + _AT_DISPATCH + _AT_THE_GUEST_AGENT)
    if known is not None:
        return _of(known, what, details=reason if status == 500 else details)
    kind, resolution = _STATUS.get(status, (HypervisorError, ""))
    brief = f"cannot {what}" if status != 401 else f"Proxmox VE refuses the API token {token}"
    error = kind(brief, details=reason if status == 500 else details, resolution=resolution)
    if status in (400, 501):
        error.again_helps = False  # a value that is refused now is refused the next time
    return error


def from_exit_status(*, exit_status: str, log: str, what: str, token: str) -> HypervisorError:
    """The error for a task that ended in anything but OK or WARNINGS; `log` is the end of its log."""
    if "Permission check failed" in exit_status:
        return _denied(exit_status, details=exit_status, what=what, token=token)
    lines = log.splitlines()
    cause = cause_line(lines, exit_status=exit_status)
    known = _find(exit_status, _EVERYWHERE)
    if known is not None and known.error is not HypervisorError:
        return _of(known, what, details=exit_status)
    known = known or _find_advice(cause)
    before = [line for line in lines if exit_status not in line and line.strip() != cause]
    # What counts comes first: errors are cited by their first line.
    details = "\n".join(dict.fromkeys([cause, exit_status, *before]))
    resolution = _advice(known, what) if known is not None else ""
    error = TaskFailedError(f"cannot {what}", exit_status=exit_status, details=details, resolution=resolution)
    error.again_helps = known is None or known.again_helps
    return error


def _of(known: _Known, what: str, *, details: str) -> HypervisorError:
    error = known.error(f"cannot {what}", details=details, resolution=_advice(known, what))
    error.again_helps = error.again_helps and known.again_helps
    return error


def _advice(known: _Known, what: str) -> str:
    """What helps, with the number of the VM or container that `what` names."""
    found = _VM_NUMBER.search(what)
    kind, vmid = found.groups() if found else ("VM", "VMID")
    unlock = f"{'pct' if kind == 'CT' else 'qm'} unlock {vmid}"
    return known.resolution.replace("{unlock}", unlock).replace("qm set VMID", f"qm set {vmid}")


def _find(text: str, table: tuple[_Known, ...]) -> _Known | None:
    return next((known for known in table if known.text.search(text)), None)


def _find_advice(cause: str) -> _Known | None:
    """What helps where a program in a task says this; what it says of locks and the like is no answer of the API."""
    known = _find(cause, _EVERYWHERE)
    return known if known is not None and known.error is HypervisorError else None


def _denied(
    text: str, *, details: str, what: str, token: str, asked_for: tuple[str, ...] = ()
) -> PermissionDeniedError:
    if asked_for and re.search(r"Permission check failed\s*$", text):
        return _denied_bare(asked_for, details=details, what=what, token=token)
    refusal = parse_refusal(text)
    brief = f"the API token {token} may not {what}"
    tag = tag_refusal(text)
    if tag is not None:
        return PermissionDeniedError(
            f"{brief}: it may not set or remove the tag {tag}", details=details, resolution=tag_remedy(tag)
        )
    if refusal is None:
        return PermissionDeniedError(brief, details=details, resolution="check the token's rights and the pool's name")
    lacking = ", ".join(refusal.privileges)
    return PermissionDeniedError(
        f"{brief}: it lacks {lacking} on {refusal.path}", details=details, resolution=grant_remedy(refusal, token=token)
    )


def _denied_bare(asked_for: tuple[str, ...], *, details: str, what: str, token: str) -> PermissionDeniedError:
    """A 403 without a path: an ACL entry on one of these, such as NoAccess, hides what the role gives elsewhere."""
    allocate = Refusal(path="/vms", privileges=("VM.Allocate",))
    grant = f"; or {grant_remedy(allocate, token=token)}" if asked_for[0].startswith("VM.Allocate") else ""
    return PermissionDeniedError(
        f"the API token {token} may not {what}: most likely it lacks {', or '.join(asked_for)}",
        details=details,
        resolution=Advice(
            "as root on a Proxmox node, look at `pveum acl list` for entries on {} with another role (NoAccess "
            "removes all rights there); `homelab-k8s doctor` lists all missing rights{}",
            ", ".join(each.rpartition(" ")[2] for each in asked_for),
            grant,
        ),
    )
