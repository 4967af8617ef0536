"""In what a machine's k3s runs with other settings than the inventory's, and what becomes of that. Pure.

The truth is what k3s tells of its own process (`KubeNode.args`, docs/adr/0017): read with the nodes, never stale. It
says nothing of secrets, nor of who has set what; for that the settings files of some machines are read
(`to_look_into`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Final

from bootstrap.advice import Advice
from bootstrap.k3s.config import machine_config
from bootstrap.k3s.settings import OMITTED, SECRET, merged, parse_args, settings_of
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, RecordState, Role
from bootstrap.model.observed import GuestSettings, KubeNode, Settings
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.settings.change import BUCKET, FIXED, NAMES, Change

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


_OURS: Final = frozenset(NAMES)
_PLACE: Final = frozenset({"node-name", "node-ip", "cluster-init", "server"})
"""What is a machine's own and no setting of the inventory; of `server` see `_joins_elsewhere`."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What differs on one machine.

    Attributes:
        changes: What a restart with the inventory's settings changes; empty where nothing does.
        stale_labels, stale_taints: What our settings gave its node and no longer do.
        conflicts: Settings of ours that a file of the user's overrules, a line each.
        pending: Settings were written that its k3s was not restarted with.
    """

    machine_state: MachineState
    changes: tuple[Change, ...] = ()
    stale_labels: tuple[tuple[str, str], ...] = ()
    stale_taints: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    pending: bool = False

    @property
    def restarts(self) -> bool:
        """Whether k3s is to be restarted."""
        return bool(self.changes) or self.pending

    @property
    def reason(self) -> str:
        """Why, in a few words."""
        return f"settings: {'; '.join(map(str, self.changes)) or 'written, but k3s was not restarted with them'}"


def to_look_into(view: ClusterView, all_states: Sequence[MachineState]) -> tuple[MachineName, ...]:
    """Machines whose settings files are needed: those that differ, and those with secrets, which nobody tells of."""
    found = (_drift(view, machine_state, None) for machine_state in _comparable(view.spec, all_states))
    # Nobody else tells of keepalived's settings.
    keepalived = bool(view.observed.other_vips or (view.spec.vip is not None and view.spec.vip.router_id is not None))
    return tuple(
        drift.machine_state.name
        for drift in found
        if drift.changes
        or SECRET & set(_wanted(view.spec, drift.machine_state.machine, _node(drift.machine_state)))
        or (keepalived and drift.machine_state.is_server)
    )


def drifts(view: ClusterView, all_states: Sequence[MachineState]) -> tuple[Drift, ...]:
    """What differs, machine by machine; those that work must be done about first are left out."""
    looked = {each.machine: each for each in view.observed.settings}
    found = (
        _drift(view, machine_state, looked.get(machine_state.name))
        for machine_state in _comparable(view.spec, all_states)
    )
    return tuple(drift for drift in found if drift.restarts or drift.conflicts)


def _comparable(spec: ClusterSpec, all_states: Sequence[MachineState]) -> Iterator[MachineState]:
    """Machines in the cluster that nothing keeps from being told apart; others get their settings as they join."""
    for machine_state in all_states if spec.states_settings else ():
        vm, kube_node = machine_state.vm, machine_state.kube_node
        if vm is None or vm.idle or machine_state.held or kube_node is None or not kube_node.ready:
            continue
        if vm.record is None or vm.record.state is not RecordState.MADE:
            continue
        if kube_node.args is not None and kube_node.address is not None:
            yield machine_state


def _node(machine_state: MachineState) -> KubeNode:
    if machine_state.kube_node is None:  # cannot be: see _comparable
        raise AssertionError(machine_state)
    return machine_state.kube_node


def _drift(view: ClusterView, machine_state: MachineState, files: GuestSettings | None) -> Drift:
    kube_node = _node(machine_state)
    running, wanted = parse_args(kube_node.args or ()), _wanted(view.spec, machine_state.machine, kube_node)
    changes = [
        *_changes(kube_node, running, merged(wanted, files.others if files else ()), wanted),
        *_joins_elsewhere(view, machine_state, running),
    ]
    if files is None:
        return _with_stale(Drift(machine_state=machine_state, changes=tuple(changes)))
    conflicts = tuple(_conflicts(machine_state, files, wanted))
    to_write = [
        *_secrets(files, wanted),
        *_changes(kube_node, files.ours, wanted, wanted),
        *_joins_elsewhere(view, machine_state, files.ours),
    ]
    if changes and not to_write and not files.pending:
        # No restart by us would help: the user has changed a file of his since the start, or sets it another way.
        left = _beside_files(machine_state, changes)
        return Drift(machine_state=machine_state, conflicts=(*conflicts, left))
    by_key = {change.key: change for change in (*_secrets(files, wanted), *changes)}
    return _with_stale(
        Drift(
            machine_state=machine_state,
            changes=tuple(by_key[key] for key in sorted(by_key)),
            conflicts=conflicts,
            pending=files.pending,
        )
    )


def _beside_files(machine_state: MachineState, changes: Sequence[Change]) -> str:
    name, unit = machine_state.name, machine_state.machine.role.unit
    return Advice(
        "{}: k3s runs with settings that differ from its files there ({}): "
        "`homelab-k8s ssh {} -- sudo systemctl restart {}`; if that changes nothing, the unit's command line "
        "sets them",
        name,
        "; ".join(map(str, changes)),
        name,
        unit,
    )


def _with_stale(drift: Drift) -> Drift:
    """With the labels and taints that earlier settings gave its node."""
    by_key = {change.key: change for change in drift.changes}
    labels, taints = by_key.get("node-label"), by_key.get("node-taint")
    return replace(
        drift,
        stale_labels=_pairs(labels) if labels else (),
        stale_taints=tuple(each for each in taints.have if each not in taints.want) if taints else (),
    )


def runs_otherwise(
    spec: ClusterSpec, machine: MachineSpec, kube_node: KubeNode, files: GuestSettings
) -> tuple[Change, ...]:
    """How a machine's k3s, by its own word, runs otherwise than with the inventory's settings and the user's files."""
    if kube_node.args is None or kube_node.address is None:
        return ()
    wanted = _wanted(spec, machine, kube_node)
    return tuple(_changes(kube_node, parse_args(kube_node.args), merged(wanted, files.others), wanted))


def _wanted(spec: ClusterSpec, machine: MachineSpec, kube_node: KubeNode) -> Settings:
    """What the inventory has k3s run with on a machine."""
    if kube_node.address is None:  # cannot be: see _comparable
        raise AssertionError(kube_node)
    config = machine_config(spec, machine, address=kube_node.address, etcd=has_etcd(kube_node), join=None)
    return {key: values for key, values in settings_of(config).items() if key not in _PLACE}


def has_etcd(kube_node: KubeNode) -> bool:
    """Whether a server keeps its data in etcd; right after it has joined it may have no label that says so."""
    return "etcd" in kube_node.roles or bool({"server", "cluster-init"} & set(parse_args(kube_node.args or ())))


def _changes(kube_node: KubeNode, running: Settings, effective: Settings, wanted: Settings) -> Iterator[Change]:
    """How a restart with the inventory's settings would change what runs."""
    own = set(running.get("node-ip", ("",))[0].split(",")) | {str(kube_node.address)}
    for key in sorted({*running, *effective, *wanted}):
        if key in SECRET or not (key in wanted or _is_ours(key)) or key in _PLACE:
            continue
        have, want = _sorted(running.get(key, ())), _sorted(effective.get(key, ()))
        if key == "tls-san":  # k3s adds them by itself, and they move with the machine
            have, want = _without(own, have), _without(own, want)
        elif key in FIXED:
            have, want = have or (FIXED[key][1],), want or (FIXED[key][1],)
        if have != want:
            yield Change(key=key, have=have, want=want)


def _without(own: Collection[str], values: Iterable[str]) -> tuple[str, ...]:
    return tuple(value for value in values if value not in own)


def _is_ours(key: str) -> bool:
    return key in _OURS or key.startswith(BUCKET)


def _sorted(values: Sequence[str]) -> tuple[str, ...]:
    """Their order means nothing in any setting of ours, nor do repetitions."""
    return tuple(sorted({value for value in values if value}))


def _secrets(files: GuestSettings, wanted: Settings) -> Iterator[Change]:
    """In which secrets our own file on the machine differs; nobody else tells of them."""
    replaced = _others_set(files)
    for key in sorted(SECRET & {*files.ours, *wanted}):
        have, want = files.ours.get(key, ()), wanted.get(key, ())
        # A bucket's keys come from the environment: where they are not in there, nothing is known of them.
        unknown = not want and BUCKET in wanted
        if have != want and not unknown and _is_ours(key) and key not in replaced:
            yield Change(key=key, have=(OMITTED,) * bool(have), want=(OMITTED,) * bool(want))


def _others_set(files: GuestSettings) -> frozenset[str]:
    """Keys that files of the user's replace."""
    return frozenset(key for file in files.others for key in file.settings or {} if not key.endswith("+"))


def _pairs(change: Change) -> tuple[tuple[str, str], ...]:
    """Labels that are to go: those whose key is not wanted any more, with the value that we gave them."""
    wanted = {each.partition("=")[0] for each in change.want}
    gone = (each.partition("=") for each in change.have)
    return tuple((key, value) for key, _, value in gone if key not in wanted)


def _joins_elsewhere(view: ClusterView, machine_state: MachineState, running: Settings) -> Iterator[Change]:
    """An agent that reaches the cluster by another address than its VIP, or by a VIP that is no more.

    A server's `server` counts for its first start alone (k3s: `shouldBootstrapLoad`). Without a VIP an agent may name
    any server, be it one that is gone: it keeps a list of all of them.
    """
    url = next(iter(running.get("server", ())), "")
    if machine_state.machine.role is not Role.WORKER or not url:
        return
    if view.spec.vip is not None:
        wanted = f"https://{view.spec.vip.address}:6443"
        if url != wanted:
            yield Change(key="server", have=(url,), want=(wanted,))
    elif joins_by(url) in former_vips(view):
        yield Change(key="server", have=(url,), want=("a server's own",))


def joins_by(url: str) -> IPv4Address | None:
    """The address in `https://ADDRESS:6443`; None for anything else."""
    try:
        return IPv4Address(url.removeprefix("https://").rpartition(":")[0])
    except AddressValueError:
        return None


def former_vips(view: ClusterView) -> frozenset[IPv4Address]:
    """VIPs of before: addresses that servers' certificates are for, by their settings, or that keepalived serves.

    None that is wanted, or a machine's.
    """
    machines = {kube_node.address for kube_node in view.observed.kube_nodes or ()}
    wanted = set(view.spec.api_sans)
    found = {each.vip for each in view.observed.settings if each.vip is not None and str(each.vip) not in wanted}
    for server in view.kube_servers:
        texts = (each for each in parse_args(server.args or ()).get("tls-san", ()) if each not in wanted)
        found |= {address for text in texts if (address := joins_by(f"https://{text}:6443")) is not None}
    return frozenset(found - machines)


def serves_vip(view: ClusterView) -> bool:
    """Whether a server may have the VIP: one runs with it in its settings, or none tells."""
    servers = [server for server in view.kube_servers if server.args is not None]
    vip = str(view.spec.vip.address) if view.spec.vip else ""
    return not servers or any(vip in parse_args(server.args or ()).get("tls-san", ()) for server in servers)


def _conflicts(machine_state: MachineState, files: GuestSettings, wanted: Settings) -> Iterator[str]:
    name = machine_state.name
    for file in files.others:
        if file.settings is None:
            yield f"{name}: {file.name} is not valid YAML: k3s does not start with it"
        for key in sorted(file.settings or ()):
            if key in wanted and _sorted((file.settings or {})[key]) != _sorted(wanted[key]):
                said = Change(key=key, have=(), want=()).name
                yield (
                    f"{name}: {file.name} sets {key}, so that {said} of the inventory has no effect there: remove it "
                    f"from that file, or write `{key}+` to extend the inventory's"
                )
