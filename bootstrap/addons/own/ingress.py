"""Settings of Traefik. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bootstrap.addons.facts import Facts
from bootstrap.addons.finding import Finding


def check_traefik(_values: Mapping[str, Any], facts: Facts) -> Iterator[Finding]:
    """There are no settings of what k3s leaves out."""
    if "traefik" in facts.disabled:
        message = "is left out of k3s by k3s.disable"
        yield Finding(path="addon", message=message, hint="take traefik out of k3s.disable, or this add-on")


def traefik_names(values: Mapping[str, Any], _facts: Facts) -> dict[str, Any]:
    """With `Local` a service keeps clients' addresses (Kubernetes documentation, external traffic policy)."""
    return {"traffic_policy": "Local" if values["client_addresses"] else "Cluster"}
