"""Whether add-ons that can be there from a cluster's birth on only are there from it on. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bootstrap.addons import Addon, get_addon, library
from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.k3s.settings import parse_args
from bootstrap.model.observed import KubeNode

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


def check_births(view: ClusterView) -> bool:
    """Refuse an add-on that a living cluster cannot get or lose, by what its servers run with.

    Returns:
        Whether an add-on that counts from a birth on is there, as it should be.

    Raises:
        PreflightError: With the reason.
    """
    servers = [each for each in view.kube_nodes.values() if "control-plane" in each.roles and each.args is not None]
    if not servers:
        return False
    for addon in _added(view, servers):
        raise PreflightError(
            f"{view.spec.name} cannot get the add-on {addon.name} any more; nothing was changed",
            details=addon.birth,
            resolution=Advice(
                "take it out of manifests; or make a new cluster with it: `homelab-k8s rebuild` (volumes are not kept)"
            ),
        )
    for addon in _removed(view, servers):
        raise PreflightError(
            f"{view.spec.name} cannot lose the add-on {addon.name}; nothing was changed",
            details=addon.birth,
            resolution=Advice(
                "put it back into manifests; or make a new cluster without it: `homelab-k8s rebuild` (volumes are not "
                "kept)"
            ),
        )
    return any(addon is not None and bool(addon.birth) for addon in map(get_addon, view.spec.addons))


def _added(view: ClusterView, servers: list[KubeNode]) -> Iterator[Addon]:
    for name in view.spec.addons:
        addon = get_addon(name)
        if addon is not None and addon.birth and not all(_runs_with(each, addon) for each in servers):
            yield addon


def _removed(view: ClusterView, servers: list[KubeNode]) -> Iterator[Addon]:
    """Only where the inventory lists manifests: without the list it says nothing of add-ons.

    Where it has their settings itself, the user has something else in their place.
    """
    if view.spec.manifests is None:
        return
    for addon in library().values():
        own = set(addon.needs.disable_components) <= set(view.spec.k3s.disable_components)
        if addon.birth and not own and any(_runs_with(each, addon) for each in servers):
            yield addon


def _runs_with(server: KubeNode, addon: Addon) -> bool:
    """Whether a server's k3s was started with all that the add-on needs of it."""
    running = parse_args(server.args or ())
    wanted = [(key, value) for key, values in addon.needs.agent_config for value in values]
    components = all(running.get(f"disable-{name}") == ("true",) for name in addon.needs.disable_components)
    return components and all(value in running.get(key, ()) for key, value in wanted)
