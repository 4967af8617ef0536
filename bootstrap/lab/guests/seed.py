"""A NoCloud seed as files, and as the CD-ROM that Proxmox makes of them."""

from __future__ import annotations

import io
from pathlib import Path

import pycdlib

from bootstrap.lab.guests.base import NoCloudSeed


def seed_files(seed: NoCloudSeed) -> dict[str, str]:
    """The seed's files under NoCloud's names."""
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


def read_seed_iso(data: bytes) -> NoCloudSeed | None:
    """The seed in an ISO image that cloud-init would accept (labelled `cidata`, with Joliet names); else None."""
    iso = pycdlib.PyCdlib()
    try:
        iso.open_fp(io.BytesIO(data))
    except pycdlib.pycdlibexception.PyCdlibException:
        return None
    try:
        if iso.pvd.volume_identifier.decode().strip().lower() != "cidata":
            return None
        meta, user, network = (_text(iso, name) for name in ("meta-data", "user-data", "network-config"))
    except pycdlib.pycdlibexception.PyCdlibException:
        return None  # without meta-data or user-data it is no seed
    finally:
        iso.close()
    return NoCloudSeed(meta_data=meta, user_data=user, network_config=network)


def _text(iso: pycdlib.PyCdlib, name: str) -> str:
    file = io.BytesIO()
    iso.get_file_from_iso_fp(file, joliet_path=f"/{name}")
    return file.getvalue().decode()
