"""Has a machine's guest agent add our public key to its `authorized_keys`; for machines that refuse it over SSH."""

from __future__ import annotations

import re
from collections.abc import Callable

from bootstrap.errors import GuestSetupError, HomelabError, HypervisorError
from bootstrap.model.observed import VmRecord
from bootstrap.ports import GUEST_FILE_MAX, Hypervisor

_USERS = "/etc/passwd"
_HOME = re.compile(r"/[!-~]{0,255}")


def add_key(vm: VmRecord, *, user: str, public_key: str, hypervisor: Hypervisor) -> str:
    """Append a public key to what stands in a user's `authorized_keys`; nothing else in it changes.

    The file has to be there: the guest agent would make it as root's and with a mode that sshd may refuse.

    Args:
        vm: A machine's VM, which runs.
        user: Who is to be logged in as.
        public_key: A line of `authorized_keys`.
        hypervisor: Where its guest agent is asked.

    Returns:
        The file's path in the guest.

    Raises:
        HypervisorError: The guest agent cannot be asked, may not, or cannot read or write the file.
        GuestSetupError: The file is of a kind that is not touched, or is not as it was written; `details` says what
            it held where that may be lost.
    """

    def read(path: str) -> str:
        return hypervisor.read_guest_file(vm.vmid, pve_node=vm.pve_node, path=path)

    path = f"{_home(read(_USERS), vm, user)}/.ssh/authorized_keys"
    there = read(path)
    wanted = f"{there}{'' if there.endswith(chr(10)) or not there else chr(10)}{public_key}\n"
    if public_key.split()[:2] in [line.split()[:2] for line in there.splitlines()]:
        raise GuestSetupError(f"{path} of {vm.name} holds the key already, and sshd refuses it")
    if not wanted.isascii() or len(wanted) > GUEST_FILE_MAX:
        # Proxmox VE hands other bytes on as other ones, so that they could not be put back.
        raise GuestSetupError(f"{path} of {vm.name} is no ASCII text of at most {GUEST_FILE_MAX} characters")
    try:
        hypervisor.write_guest_file(vm.vmid, pve_node=vm.pve_node, path=path, content=wanted)
        if read(path) == wanted:
            return path
        why = "it reads differently now"
    except HomelabError as error:
        if _is_as_before(read, path, there):
            raise
        why = str(error)
    raise GuestSetupError(f"{path} of {vm.name} may be damaged: {why}", details=f"it held:\n{there}")


def _is_as_before(read: Callable[[str], str], path: str, there: str) -> bool:
    try:
        return read(path) == there
    except HypervisorError:
        return False


def _home(passwd: str, vm: VmRecord, user: str) -> str:
    """A user's home directory, by the machine's /etc/passwd."""
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[0] == user and _HOME.fullmatch(fields[5]):
            return fields[5].rstrip("/")
    raise GuestSetupError(f"{vm.name} has no user {user} in {_USERS}")
