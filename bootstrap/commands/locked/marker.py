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
    """Why what says it is a marker is not to be believed; empty where it is, and where it says nothing of the kind."""
    bearer = Bearer(vmid=marker.vmid, name=marker.name, identity=marker.smbios_uuid)
    return doubt_about_lock(marker.description, bearer=bearer, drives=marker.drives, keys=ports.keys.locks)


def read_lock(marker: Marker, ports: Ports) -> LockRecord | None:
    """Who holds a lock, as its marker says beyond doubt; None where the VM is no marker."""
    return None if why_no_lock(marker, ports) else parse_lock(marker.description)


def adopt_lock(spec: ClusterSpec, ports: Ports) -> bool:
    """Sign the marker of a cluster that an earlier release left; whether there was one.

    It is not given away by that: who takes the lock next watches whether its holder lives.
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
    """Whether a VM says it is the cluster's marker, and lacks nothing but the signature."""
    record = parse_lock(marker.description)
    return (
        record is not None
        and record.cluster == spec.name
        and marker.name == marker_name(spec.name)
        and bool(marker.smbios_uuid)
        and not marker.drives
        and bool(why_no_lock(marker, ports))
    )
