"""In what a machine's registries.yaml differs from the inventory's, by its checksum alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap.k3s.registries import FOREIGN, REGISTRIES, SETTING, has_registries, registries_checksum
from bootstrap.k3s.settings import OMITTED
from bootstrap.model.cluster import K3sSpec
from bootstrap.model.observed import GuestSettings
from bootstrap.planning.settings.change import Change


def registries_changes(files: GuestSettings, k3s: K3sSpec) -> Iterator[Change]:
    """The change of our file, if there is one; nothing where another's file is in its place."""
    have, want = files.registries, registries_checksum(k3s)
    if have not in (want, FOREIGN):
        yield Change(key=SETTING, have=(OMITTED,) * bool(have), want=(OMITTED,) * bool(want))


def foreign_registries(files: GuestSettings, k3s: K3sSpec) -> tuple[str, ...]:
    """A line where another's file is in the place of ours."""
    if files.registries != FOREIGN or not has_registries(k3s):
        return ()
    line = (
        f"{files.machine}: {REGISTRIES} was not written by this program, so that k3s.registries of the inventory has "
        "no effect there"
    )
    return (line,)
