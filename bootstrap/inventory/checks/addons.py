"""Checks of add-ons in `manifests`: their values, their secrets, and that they fit the cluster."""

from __future__ import annotations

from bootstrap.addons import secret_keys
from bootstrap.inventory.files import Places
from bootstrap.inventory.keys.applied.manifests import ManifestKeys, addon_findings, addons_of, read_addon_secret
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.model.access.endpoint import PveEndpoint


def check_addons(root: Root, places: Places, problems: Problems) -> None:
    """Add a problem for each value that is wrong by itself, and each secret that cannot be read."""
    entries = root.applied or ()
    for where, found in addon_findings(entries, None):
        problems.add(where, found.message, found.hint)
    for entry in addons_of(entries):
        _check_secrets(entry, places, problems)


def check_addons_fit(root: Root, places: Places, endpoint: PveEndpoint, problems: Problems) -> None:
    """Add a problem for each add-on that does not fit the cluster; the inventory has no other problems."""
    entries = root.applied
    if not entries:
        return
    for where, found in addon_findings(entries, root.facts(places, endpoint)):
        problems.add(where, found.message, found.hint)


def _check_secrets(entry: ManifestKeys, places: Places, problems: Problems) -> None:
    for key, source in secret_keys(entry.addon or "", entry.given_values):
        if len(source) != 1:
            continue  # noted already
        try:
            read_addon_secret(source, places)
        except RefusedError as refused:
            problems.add(entry.place(f"values.{key}"), refused.message, refused.hint)
