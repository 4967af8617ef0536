"""The marker VM that says who holds the lock: read, and signed where an earlier release left it unsigned."""

from __future__ import annotations

from bootstrap.model.cluster import ClusterSpec
from bootstrap.ports import Marker, Ports
from bootstrap.records.vms.lock import (
    LockRecord,
    doubt_about_lock,
    lock_vmid,
    marker_name,
    marker_tags,
    parse_lock,
    render_lock,
)
from bootstrap.records.vms.seal import Bearer


def why_no_lock(marker: Marker, ports: Ports) -> str:
    """Why a VM that claims to be a marker is not trusted; empty if it is, and if it claims nothing of the kind."""
    bearer = Bearer(vmid=marker.vmid, name=marker.name, identity=marker.smbios_uuid)
    return doubt_about_lock(marker.description, bearer=bearer, drives=marker.drives, keys=ports.keys.locks)


def read_lock(marker: Marker, ports: Ports) -> LockRecord | None:
    """The holder of a lock, by a marker that is trusted; None where the VM is no marker."""
    return None if why_no_lock(marker, ports) else parse_lock(marker.description)


def adopt_lock(spec: ClusterSpec, ports: Ports) -> bool:
    """Sign a marker that an earlier release left; whether there was one.

    The lock is not released by that: the run that takes it next watches whether its holder is alive.
    """
    marker = ports.markers.find(lock_vmid(spec.placement.vmids))
    if marker is None or not is_unsigned_lock(marker, spec, ports):
        return False
    record = parse_lock(marker.description)
    if record is None:
        return False
    bearer = Bearer(vmid=marker.vmid, name=marker.name, identity=marker.smbios_uuid)
    text = render_lock(record, key=ports.keys.need(spec.name), bearer=bearer)
    return ports.markers.rewrite(marker, name=marker.name, description=text, tags=marker_tags(spec.name))


def is_unsigned_lock(marker: Marker, spec: ClusterSpec, ports: Ports) -> bool:
    """Whether a VM claims to be the cluster's marker, and only lacks the signature."""
    record = parse_lock(marker.description)
    return (
        record is not None
        and record.cluster == spec.name
        and marker.name == marker_name(spec.name)
        and bool(marker.smbios_uuid)
        and not marker.drives
        and bool(why_no_lock(marker, ports))
    )
