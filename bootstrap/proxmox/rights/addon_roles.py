"""The roles and tokens of add-ons that use Proxmox VE's API, as commands: each its own, with no right of ours. Pure.

Privileges are those that the projects' pages on installation name (sergelogvinov/proxmox-csi-plugin v0.19;
proxmox-cloud-controller-manager v0.13, without reading addresses from the guest agent).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bootstrap.proxmox.rights.role import Narrow, role_line, token_commands


@dataclass(frozen=True, kw_only=True)
class AddonRole:
    """What an add-on's token may do.

    Attributes:
        paths: Where. `/vms` becomes the pool's path, and `/storage` those of the storages, where these are named.
        env: The variable that its README has in an example.
    """

    role: str
    privileges: tuple[str, ...]
    paths: tuple[str, ...]
    user: str
    token: str
    env: str


ADDON_ROLES: Final[Mapping[str, AddonRole]] = {
    "proxmox-csi": AddonRole(
        role="CSI",
        privileges=(
            "VM.Audit",
            "VM.Config.Disk",
            "Datastore.Allocate",
            "Datastore.AllocateSpace",
            "Datastore.Audit",
        ),
        paths=("/vms", "/storage"),
        user="kubernetes-csi@pve",
        token="csi",  # noqa: S106 - a token's name
        env="PROXMOX_CSI_TOKEN",
    ),
    "proxmox-ccm": AddonRole(
        role="CCM",
        privileges=("VM.Audit", "Sys.Audit"),
        paths=("/",),
        user="kubernetes-ccm@pve",
        token="ccm",  # noqa: S106 - a token's name
        env="PROXMOX_CCM_TOKEN",
    ),
}
"""The token's ids are the defaults of `token_id` in their `addon.yaml`."""


def addon_role_commands(wanted: AddonRole, *, user: str, token: str, narrow: Narrow | None = None) -> tuple[str, ...]:
    """The `pveum` commands, a line each, as `role_commands`."""
    paths = [path for each in wanted.paths for path in _narrowed(each, narrow)]
    grants = [(path, wanted.role) for path in paths]
    return (role_line(wanted.role, wanted.privileges), *token_commands(grants, user=user, token=token))


def _narrowed(path: str, narrow: Narrow | None) -> tuple[str, ...]:
    if narrow is None:
        return (path,)
    storages = tuple(f"/storage/{name}" for name in narrow.storages)
    return {"/vms": (f"/pool/{narrow.pool}",), "/storage": storages or ("/storage",)}.get(path, (path,))
