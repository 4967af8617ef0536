"""Whether the API token may do what a command is about to do: asked before anything is touched."""

from __future__ import annotations

from bootstrap.errors import PermissionDeniedError, PreflightError
from bootstrap.model.words import count
from bootstrap.ports import Ports, RightsNeeded


def check_rights(ports: Ports, rights: RightsNeeded, *, what: str) -> None:
    """Refuse early what the token's missing rights would break halfway.

    Raises:
        PreflightError: With the commands that give the token what it lacks.
    """
    try:
        missing = ports.hypervisor.missing_privileges(rights)
    except PermissionDeniedError:
        return  # a token that may not even ask about itself: each step tells what it lacks
    if missing:
        raise PreflightError(
            f"the API token lacks privileges that {what} needs, on {count(len(missing), 'path')}",
            details="\n".join(map(str, missing)),
            resolution="as root on a Proxmox node:\n" + "\n".join(lack.remedy for lack in missing),
        )
