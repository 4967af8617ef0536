"""NoCloud ISO images: what cloud-init reads from a CD-ROM labelled `cidata`."""

from __future__ import annotations

import io
from collections.abc import Mapping

from bootstrap.adapters.local.guest_files import guest_file
from bootstrap.ports.templates import SeedRequest

_AGENT = "seed-agent.sh"
_AGENT_PATH = "/run/homelab-k8s-seed-agent.sh"


def seed_iso(seed: SeedRequest) -> bytes:
    """The NoCloud ISO of a template's builder VM."""
    import yaml

    files = {
        "meta-data": yaml.safe_dump({"instance-id": seed.instance, "local-hostname": seed.hostname}),
        "user-data": "#cloud-config\n" + yaml.safe_dump(_user_data(seed), sort_keys=False),
        "network-config": yaml.safe_dump(_network(seed), sort_keys=False),
    }
    return nocloud_iso(files)


def _user_data(seed: SeedRequest) -> dict[str, object]:
    return {
        "hostname": seed.hostname,
        "manage_etc_hosts": True,  # else sudo complains about a name it cannot resolve
        "user": {"name": seed.user},
        "users": ["default"],
        "ssh_authorized_keys": [seed.public_key.strip()],
        "package_update": False,
        "package_upgrade": False,  # packages stay as in the image, which its checksum fixes
        "write_files": [{"path": _AGENT_PATH, "permissions": "0700", "content": guest_file(_AGENT).decode()}],
        "runcmd": [["sh", _AGENT_PATH]],
    }


def _network(seed: SeedRequest) -> dict[str, object]:
    """Version 1 with the card's MAC address, as Proxmox VE writes it: every renderer supports that."""
    subnet: dict[str, object] = {"type": "dhcp4"}
    if seed.address is not None:
        subnet = {"type": "static", "address": str(seed.address.ip), "netmask": str(seed.address.netmask)}
        if seed.gateway is not None:
            subnet["gateway"] = str(seed.gateway)
    card = {"type": "physical", "name": "eth0", "mac_address": seed.mac.lower(), "subnets": [subnet]}
    servers = {"type": "nameserver", "address": [str(server) for server in seed.dns]}
    return {"version": 1, "config": [card, servers] if seed.dns else [card]}


def nocloud_iso(files: Mapping[str, str]) -> bytes:
    """An ISO 9660 image with Joliet and Rock Ridge names, since ISO's own cannot be `user-data`.

    Args:
        files: `user-data`, `meta-data` and `network-config`, as texts.
    """
    import pycdlib  # only here: no other command needs it

    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for name, text in sorted(files.items()):
        data = text.encode()
        plain = f"/{name.replace('-', '_').upper()}.;1"
        iso.add_fp(io.BytesIO(data), len(data), iso_path=plain, rr_name=name, joliet_path=f"/{name}")
    image = io.BytesIO()
    iso.write_fp(image)
    iso.close()
    return image.getvalue()
