"""From options to a `Homelab`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.cli.running.session import Session
from bootstrap.events import Warned

if TYPE_CHECKING:
    from bootstrap.cli.options import Guests
    from bootstrap.homelab import Homelab
    from bootstrap.inventory import Inventory, Overrides


def open_homelab(
    session: Session,
    *,
    inventory: Path | None,
    overrides: Overrides,
    lab: bool,
    start_lab: bool = False,
    guests: Guests | None = None,
) -> Homelab:
    """Load the inventory, from the lab where that is asked for.

    Args:
        session: Learns the token's secret, so as to mask it.
        inventory: `--inventory`.
        overrides: What the other flags say.
        lab: Whether the running lab's endpoint and template replace those of the inventory.
        start_lab: Whether the lab is started where none runs.
        guests: What kind of guests the lab has; None takes what there is.

    Raises:
        InventoryError: With all problems.
        HomelabError: No lab runs, or it cannot be started.
    """
    from bootstrap.homelab import Homelab
    from bootstrap.inventory import load_inventory

    if lab:
        from bootstrap.cli.verbs.setup.lab import LAB_INVENTORY, lab_overrides

        overrides, lab_fit = lab_overrides(session, overrides, start=start_lab, guests=guests)
        loaded = load_inventory(inventory or LAB_INVENTORY, environ=lab_fit.environ(os.environ), overrides=overrides)
        loaded = lab_fit.fit(loaded)
    else:
        loaded = load_inventory(inventory, environ=os.environ, overrides=overrides)
    _mask_secrets(session, loaded)
    homelab = Homelab(loaded, ports=session.ports, stop=session.stop, on_secret=session.masker.add_words)
    for warning in homelab.warnings:
        session.sink(Warned(subject="proxmox", message=warning, danger=True))
    return homelab


def _mask_secrets(session: Session, loaded: Inventory) -> None:
    """Have the secrets of an inventory masked."""
    session.masker.add(loaded.endpoint.token.secret)
    bucket = loaded.spec.backup.s3
    if bucket is not None:
        session.masker.add(bucket.access_key)
        session.masker.add(bucket.secret_key)
