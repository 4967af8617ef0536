"""What add-ons need of machines and of k3s, joined, and put into the cluster's specification. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bootstrap.addons.format import Needs
from bootstrap.addons.library import get_addon
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import K3sSettings, NodePool, Role


def needs_of(names: Iterable[str]) -> Needs:
    """What several add-ons need together; unknown ones need nothing."""
    needs = Needs()
    for addon in map(get_addon, names):
        if addon is None:
            continue
        more = addon.needs
        needs = Needs(
            system=needs.system.with_more(more.system),
            disable=_both(needs.disable, more.disable),
            disable_components=_both(needs.disable_components, more.disable_components),
            agent_config=_settings(needs.agent_config, more.agent_config),
            server_config=_settings(needs.server_config, more.server_config),
        )
    return needs


def with_needs(spec: ClusterSpec, needs: Needs) -> ClusterSpec:
    """The specification with what add-ons need besides what the user wants; what the user said comes last, and wins."""
    k3s = replace(
        spec.k3s,
        disable=_both(spec.k3s.disable, needs.disable),
        disable_components=_both(spec.k3s.disable_components, needs.disable_components),
        agent_config=_settings(needs.agent_config, spec.k3s.agent_config),
        server_config=_settings(needs.server_config, _kept(spec.k3s.server_config, needs.agent_config)),
    )
    for_servers = _settings(needs.agent_config, needs.server_config)

    def pool(each: NodePool) -> NodePool:
        asked = for_servers if each.role is Role.CONTROL_PLANE else needs.agent_config
        return replace(each, k3s_settings=_kept(each.k3s_settings, asked))

    return replace(spec, k3s=k3s, system=needs.system.with_more(spec.system)).with_pools(pool)


def _kept(settings: K3sSettings, asked: K3sSettings) -> K3sSettings:
    """A later layer of settings, which replaces keys of those before it, with what is asked for in these keys."""
    wanted = tuple((key, values) for key, values in asked if key in dict(settings))
    return _settings(wanted, settings)


def _both(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _settings(first: K3sSettings, second: K3sSettings) -> K3sSettings:
    """Both, where a key that both have gets the values of both."""
    joined = {key: list(values) for key, values in first}
    for key, values in second:
        own = joined.setdefault(key, [])
        own += [value for value in values if value not in own]
    return tuple((key, tuple(values)) for key, values in joined.items())
