"""The inventory's settings in k3s's own keys, merged as k3s merges its files. Pure."""

from __future__ import annotations

from bootstrap.k3s.pass_through.flags import AGENT_FLAGS, FLAGS, SERVER_FLAGS, bare
from bootstrap.k3s.settings import merged
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import K3sSettings, MachineSpec, Role
from bootstrap.model.observed import SettingsFile

_AGENTS_ONLY = AGENT_FLAGS.keys() - SERVER_FLAGS.keys()


def pass_through(spec: ClusterSpec, machine: MachineSpec) -> dict[str, object]:
    """What a machine's config.yaml has of the user's own keys: of all machines, of servers, of its pool.

    As in k3s's files a later one replaces, and `key+` adds to the list. `k3s.agent_config` is for servers too, since
    they have a kubelet, but for what `k3s server` does not take.
    """
    is_server = machine.role is Role.CONTROL_PLANE
    layers = (spec.k3s.agent_config, spec.k3s.server_config if is_server else (), machine.k3s_settings)
    files = (SettingsFile(name="", settings=_taken(layer, is_server=is_server)) for layer in layers)
    return {key: _value(key, values) for key, values in merged({}, files).items() if values}


def _taken(layer: K3sSettings, *, is_server: bool) -> dict[str, tuple[str, ...]]:
    return {key: values for key, values in layer if not (is_server and bare(key) in _AGENTS_ONLY)}


def _value(key: str, values: tuple[str, ...]) -> object:
    """As YAML shows it best; k3s reads `true` and `"true"` alike."""
    if FLAGS.get(key) == "*" or len(values) > 1:
        return list(values)
    return {"true": True, "false": False}.get(values[0], values[0])


def with_pass_through(config: dict[str, object], spec: ClusterSpec, machine: MachineSpec) -> dict[str, object]:
    """A machine's settings with the user's; a list of ours, which it needs, is extended and never replaced."""
    found = dict(config)
    for key, value in pass_through(spec, machine).items():
        own = found.get(key)
        found[key] = [*own, *value] if isinstance(own, list) and isinstance(value, list) else value
    return found
