"""A NoCloud seed as files, and as the CD-ROM that Proxmox makes of them."""

from __future__ import annotations

import io
from pathlib import Path

import pycdlib

from bootstrap.lab.guests.base import NoCloudSeed


def seed_files(seed: NoCloudSeed) -> dict[str, str]:
    """The seed's files under the names NoCloud reads them by."""
    return {
        "meta-data": seed.meta_data,
        "user-data": seed.user_data,
        "network-config": seed.network_config,
    }


def write_seed_iso(seed: NoCloudSeed, path: Path) -> None:
    """Write the seed as an ISO 9660 image labelled `cidata`, with Joliet and Rock Ridge names."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for name, text in seed_files(seed).items():
        data = text.encode()
        iso.add_fp(
            io.BytesIO(data),
            len(data),
            iso_path=f"/{name.replace('-', '_').upper()}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    iso.write(str(path))
    iso.close()
