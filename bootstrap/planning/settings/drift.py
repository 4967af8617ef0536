"""In what the settings that a machine's k3s runs with differ from the inventory's. Pure.

The truth is what k3s reports of its own process (`KubeNode.args`, docs/adr/0017): read with the nodes, never stale. It
leaves out secrets, and does not say who has set what; for that the settings files of some machines are read
(`to_look_into`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Final

from bootstrap.advice import Advice
from bootstrap.k3s.config import machine_config
from bootstrap.k3s.hardening.cis import is_hardened
from bootstrap.k3s.pass_through.flags import SERVER_FLAGS
from bootstrap.k3s.registries import SETTING
from bootstrap.k3s.settings import OMITTED, SECRET, merged, parse_args, settings_of
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import GuestSettings, KubeNode, Settings
from bootstrap.planning.members.desired_machines import MachineState, Need
from bootstrap.planning.settings.change import BUCKET, FIXED, NAMES, Change
from bootstrap.planning.settings.environment import environment_changes, has_variables
from bootstrap.planning.settings.hardening import foreign_hardening, hardening_changes, told_together
from bootstrap.planning.settings.registries import foreign_registries, registries_changes

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


_PLACE: Final = frozenset({"node-name", "node-ip", "cluster-init", "server"})
"""What is a machine's own and no setting of the inventory; of `server` see `_joins_elsewhere`."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What differs on one machine.

    Attributes:
        changes: What a restart with the inventory's settings changes; empty where nothing does.
        stale_labels, stale_taints: What earlier settings gave its node and these no longer do.
        conflicts: The inventory's settings that a file of the user's overrides, a line each.
        pending: Settings were written, but its k3s was not restarted with them.
    """

    machine_state: MachineState
    changes: tuple[Change, ...] = ()
    stale_labels: tuple[tuple[str, str], ...] = ()
    stale_taints: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    pending: bool = False

    @property
    def name(self) -> MachineName:
        """The machine's."""
        return self.machine_state.name

    @property
    def is_server(self) -> bool:
        """Whether it is one of the control plane."""
        return self.machine_state.is_server

    @property
    def restarts(self) -> bool:
        """Whether k3s has to restart."""
        return bool(self.changes) or self.pending

    @property
    def reason(self) -> str:
        """Why, in a few words."""
        return f"settings: {'; '.join(map(str, self.changes)) or 'written, but k3s was not restarted with them'}"


def to_look_into(view: ClusterView) -> tuple[MachineName, ...]:
    """Machines whose settings files are read.

    They are those that differ, those on which a roll-out has begun and not ended, and those with secrets: k3s does not
    report them.
    """
    vip = view.spec.vip
    # Nothing but its files says how keepalived is set.
    keepalived = bool(view.observed.other_vips or (vip is not None and vip.router_id is not None))
    return tuple(
        each.name
        for each, kube_node in _comparable(view, view.states)
        if ((keepalived or is_hardened(view.spec)) and each.is_server)
        or kube_node.settings_pending
        or (SECRET | {SETTING}) & set(_wanted(view.spec, each.machine, kube_node))
        or has_variables(view.spec, kube_node)
        or _has_unknown(view.spec, each.machine, kube_node)
        or _drift(view, each, kube_node, None).changes
    )


def _has_unknown(spec: ClusterSpec, machine: MachineSpec, kube_node: KubeNode) -> bool:
    """Whether k3s runs with settings that may be the user's, or an earlier inventory's: its own file tells."""
    known = SECRET | _PLACE | _wanted(spec, machine, kube_node).keys()
    return any(key not in known and not _is_ours(key) for key in parse_args(kube_node.args or ()))


def drifts(view: ClusterView, all_states: Sequence[MachineState]) -> tuple[Drift, ...]:
    """What differs, machine by machine; machines that need something else first are left out."""
    looked = {each.machine: each for each in view.observed.settings}
    found = (_drift(view, each, kube_node, looked.get(each.name)) for each, kube_node in _comparable(view, all_states))
    return tuple(drift for drift in found if drift.restarts or drift.conflicts)


def _comparable(view: ClusterView, all_states: Sequence[MachineState]) -> Iterator[tuple[MachineState, KubeNode]]:
    """Machines that run in the cluster, with their nodes; others get their settings as they join."""
    for each in all_states if view.spec.states_settings else ():
        runs = each.made and not (each.leaving or each.held) and each.need in (None, Need.LABELS)
        if runs and each.kube_node is not None and _reports(each.kube_node):
            yield each, each.kube_node


def _reports(kube_node: KubeNode) -> bool:
    """Whether k3s has reported its settings and its address."""
    return kube_node.args is not None and kube_node.address is not None


def _drift(view: ClusterView, machine_state: MachineState, kube_node: KubeNode, files: GuestSettings | None) -> Drift:
    running, wanted = parse_args(kube_node.args or ()), _wanted(view.spec, machine_state.machine, kube_node)
    others, written = (files.others, files.ours) if files else ((), {})
    changes = [
        *_changes(kube_node, running, merged(wanted, others), {*wanted, *written}),
        *_joins_elsewhere(view, machine_state, running),
    ]
    if files is None:
        return _with_stale(Drift(machine_state=machine_state, changes=told_together(changes)))
    return _drift_from_files(view, machine_state, kube_node, files, changes)


def _drift_from_files(
    view: ClusterView, machine_state: MachineState, kube_node: KubeNode, files: GuestSettings, changes: list[Change]
) -> Drift:
    """What differs where the machine's files were read, too: with secrets, and with what the user set there."""
    wanted, written = _wanted(view.spec, machine_state.machine, kube_node), files.ours
    secrets = (
        *_secrets(files, wanted),
        *registries_changes(files, view.spec.k3s),
        *hardening_changes(files, view, machine_state.machine),
        *environment_changes(files, view.spec),
    )
    to_write = [
        *secrets,
        *_changes(kube_node, written, wanted, {*wanted, *written}),
        *_joins_elsewhere(view, machine_state, written),
    ]
    ignored = () if files.pending else tuple(_ignored(machine_state.machine, changes, to_write))
    changes = [change for change in changes if change not in ignored]
    conflicts = (
        *_conflicts(machine_state, files, wanted),
        *foreign_registries(files, view.spec.k3s),
        *foreign_hardening(files, view),
        *(_says_ignored(machine_state, each) for each in ignored),
    )
    if changes and not to_write and not files.pending:
        # Writing and restarting would not help: the user has changed a file since the start, or sets it another way.
        left = _beside_files(machine_state, changes)
        return Drift(machine_state=machine_state, conflicts=(*conflicts, left))
    by_key = {change.key: change for change in (*secrets, *changes)}
    return _with_stale(
        Drift(
            machine_state=machine_state,
            changes=told_together(tuple(by_key.values())),
            conflicts=conflicts,
            pending=files.pending,
        )
    )


def _is_ignored(machine: MachineSpec, change: Change) -> bool:
    """Whether k3s may pass over a setting that changes: a server does so with a key that it does not know."""
    return machine.role is Role.CONTROL_PLANE and change.key not in SERVER_FLAGS and not change.have


def _ignored(machine: MachineSpec, changes: Sequence[Change], to_write: Sequence[Change]) -> Iterator[Change]:
    """Settings that the machine's file has, and that k3s did not take."""
    return (change for change in changes if _is_ignored(machine, change) and change not in to_write)


def _says_ignored(machine_state: MachineState, change: Change) -> str:
    return (
        f"{machine_state.name}: k3s there does not know the setting {change.key} and ignores it: correct or remove it "
        "in the inventory"
    )


def _beside_files(machine_state: MachineState, changes: Sequence[Change]) -> str:
    name, unit = machine_state.name, machine_state.machine.role.unit
    return Advice(
        "{}: k3s runs with settings that differ from its files there ({}): "
        "`homelab-k8s ssh {} -- sudo systemctl restart {}`; if that changes nothing, the unit's command line "
        "sets them",
        name,
        "; ".join(map(str, told_together(changes))),
        name,
        unit,
    )


def _with_stale(drift: Drift) -> Drift:
    """With the labels and taints of its node that earlier settings gave it and that are no longer wanted."""
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
    """In what the settings that k3s reports differ from the inventory's with the user's files; empty if unreported."""
    if not _reports(kube_node):
        return ()
    wanted = _wanted(spec, machine, kube_node)
    running, effective = parse_args(kube_node.args or ()), merged(wanted, files.others)
    changes = _changes(kube_node, running, effective, {*wanted, *files.ours})
    return tuple(change for change in changes if not _is_ignored(machine, change))


def _wanted(spec: ClusterSpec, machine: MachineSpec, kube_node: KubeNode) -> Settings:
    """What the inventory has k3s run with on a machine."""
    if kube_node.address is None:  # cannot be: see `_reports`
        raise AssertionError(kube_node)
    config = machine_config(spec, machine, address=kube_node.address, etcd=has_etcd(kube_node), join=None)
    return {key: values for key, values in settings_of(config).items() if key not in _PLACE}


def has_etcd(kube_node: KubeNode) -> bool:
    """Whether a server keeps its data in etcd; a server that has just joined may not have the label yet."""
    return "etcd" in kube_node.roles or bool({"server", "cluster-init"} & set(parse_args(kube_node.args or ())))


def _changes(
    kube_node: KubeNode, running: Settings, effective: Settings, inventory: Collection[str]
) -> Iterator[Change]:
    """How a restart with the inventory's settings would change what runs.

    `inventory` has the keys that the inventory has, or had when the machine's file was written.
    """
    own = set(running.get("node-ip", ("",))[0].split(",")) | {str(kube_node.address)}
    keys = {key for key in (*running, *effective) if _is_ours(key)} | {*inventory}
    for key in sorted(keys - SECRET - _PLACE):
        have, want = (_comparable_values(key, settings.get(key, ()), own=own) for settings in (running, effective))
        if have != want:
            yield Change(key=key, have=have, want=want)


def _comparable_values(key: str, values: Sequence[str], *, own: Collection[str]) -> tuple[str, ...]:
    if key == "tls-san":  # k3s adds the machine's own, which change with it
        values = [value for value in values if value not in own]
    # Arguments of a component count in their order: of one that is given twice the last may win.
    found = _sorted(values) if _is_ours(key) else tuple(values)
    return found or (FIXED[key][1],) if key in FIXED else found


def _is_ours(key: str) -> bool:
    return key in NAMES or key.startswith(BUCKET)


def _sorted(values: Sequence[str]) -> tuple[str, ...]:
    """In none of these settings do order or repetitions mean anything."""
    return tuple(sorted({value for value in values if value}))


def _secrets(files: GuestSettings, wanted: Settings) -> Iterator[Change]:
    """In which secrets our own file on the machine differs; k3s does not report them."""
    replaced = {key for file in files.others for key in file.settings or {} if not key.endswith("+")}
    for key in sorted(SECRET & {*files.ours, *wanted} - replaced):
        have, want = files.ours.get(key, ()), wanted.get(key, ())
        # A bucket's keys come from the environment: without them there it is unknown whether they changed.
        unknown = not want and BUCKET in wanted
        if have != want and not unknown and _is_ours(key):
            yield Change(key=key, have=(OMITTED,) * bool(have), want=(OMITTED,) * bool(want))


def _pairs(change: Change) -> tuple[tuple[str, str], ...]:
    """Labels to remove: those whose key is no longer wanted, with the value that earlier settings gave them."""
    wanted = {each.partition("=")[0] for each in change.want}
    gone = (each.partition("=") for each in change.have)
    return tuple((key, value) for key, _, value in gone if key not in wanted)


def _joins_elsewhere(view: ClusterView, machine_state: MachineState, running: Settings) -> Iterator[Change]:
    """An agent that reaches the cluster by another address than its VIP, or by a former VIP.

    A server's `server` counts for its first start alone (k3s: `shouldBootstrapLoad`). Without a VIP an agent may name
    any server, even one that is gone: it keeps a list of all of them.
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
    return _address(url.removeprefix("https://").rpartition(":")[0])


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def former_vips(view: ClusterView) -> frozenset[IPv4Address]:
    """Earlier VIPs: addresses in servers' certificates, by their settings, or served by keepalived.

    None of them is wanted, or a machine's.
    """
    served = [each.vip for each in view.observed.settings]
    certified = [_address(text) for server in view.kube_servers for text in _tls_sans(server)]
    current = {None, *(each.address for each in view.kube_nodes.values()), *map(_address, view.spec.api_sans)}
    return frozenset(address for address in (*served, *certified) if address is not None and address not in current)


def _tls_sans(server: KubeNode) -> tuple[str, ...]:
    """The names and addresses that a server's certificate is for, by its settings."""
    return tuple(parse_args(server.args or ()).get("tls-san", ()))


def serves_vip(view: ClusterView) -> bool:
    """Whether a server may hold the VIP: one has it in its settings, or none has reported them."""
    servers = [server for server in view.kube_servers if server.args is not None]
    vip = str(view.spec.vip.address) if view.spec.vip else ""
    return not servers or any(vip in _tls_sans(server) for server in servers)


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
