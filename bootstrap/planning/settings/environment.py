"""In which variables of k3s's unit a machine differs from the inventory, by their checksums alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap.k3s.environment import MARKER, environment_checksums
from bootstrap.k3s.settings import OMITTED
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import GuestSettings, KubeNode
from bootstrap.planning.settings.change import VARIABLE, Change


def has_variables(spec: ClusterSpec, kube_node: KubeNode) -> bool:
    """Whether a machine is to have variables of the inventory, or its k3s has started with some."""
    return bool(spec.k3s.environment) or MARKER in (kube_node.env or ())


def environment_changes(files: GuestSettings, spec: ClusterSpec) -> Iterator[Change]:
    """A change for each variable that is missing, other than the inventory's, or no longer in it."""
    have: dict[str, tuple[str, ...]] = {}
    for name, checksum in files.environment:
        have[name] = (*have.get(name, ()), checksum)
    want = environment_checksums(spec)
    for name in sorted({*have, *want} - {MARKER}):
        if have.get(name, ()) != ((want[name],) if name in want else ()):
            yield Change(key=VARIABLE + name, have=(OMITTED,) * (name in have), want=(OMITTED,) * (name in want))
