"""Opens the cluster that the options name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bootstrap.cli.running.session import Session
from bootstrap.events import Warned

if TYPE_CHECKING:
    from bootstrap.cli.options import Common, Guests, Source
    from bootstrap.homelab import Homelab
    from bootstrap.inventory import Inventory, Overrides


def open_homelab(
    session: Session, source: Source, common: Common, overrides: Overrides, *, start_lab: Guests | None
) -> Homelab:
    """Load the inventory; with `--lab`, the endpoint and template are those of the running lab.

    Args:
        session: Masks the inventory's secrets.
        source: `--inventory`.
        common: `--lab`.
        overrides: What the other flags say.
        start_lab: Start a lab with these guests if none is running; None starts none.

    Raises:
        InventoryError: With all problems.
        HomelabError: No lab is running, or it cannot be started.
    """
    from bootstrap.homelab import Homelab
    from bootstrap.inventory import load_inventory

    if common.lab:
        from bootstrap.cli.verbs.setup.lab import LAB_INVENTORY, lab_overrides

        overrides, lab_fit = lab_overrides(session, overrides, start=start_lab)
        environ = lab_fit.environ(os.environ)
        loaded = lab_fit.fit(load_inventory(source.inventory or LAB_INVENTORY, environ=environ, overrides=overrides))
    else:
        loaded = load_inventory(source.inventory, environ=os.environ, overrides=overrides)
    _mask_secrets(session, loaded)
    homelab = Homelab(
        loaded,
        ports=session.ports,
        stop=session.stop,
        on_secret=session.masker.add_words,
        on_warning=lambda message: session.sink(Warned(subject="ssh", message=message, danger=True)),
    )
    for warning in homelab.warnings:
        session.sink(Warned(subject="proxmox", message=warning, danger=True))
    for note in homelab.notes:
        session.sink(Warned(subject="k3s", message=note))
    return homelab


def _mask_secrets(session: Session, loaded: Inventory) -> None:
    """Mask the secrets of an inventory."""
    from bootstrap.manifests.values import ManifestObjects

    session.masker.add(loaded.endpoint.token.secret)
    bucket = loaded.spec.backup.s3
    if bucket is not None:
        session.masker.add(bucket.access_key)
        session.masker.add(bucket.secret_key)
    for secret in loaded.spec.k3s.environment.secrets:
        session.masker.add(secret)
    if loaded.spec.k3s.registries is not None:
        for secret in loaded.spec.k3s.registries.secrets:
            session.masker.add(secret)
    for source in loaded.spec.manifests or ():
        for secret in source.secrets if isinstance(source, ManifestObjects) else ():
            session.masker.add(secret)
    for system in (loaded.spec.system, *(pool.system for pool in loaded.spec.pools)):
        for secret in system.secrets:
            session.masker.add(secret)
