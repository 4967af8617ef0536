"""In what a machine's k3s runs with other settings than the inventory's, and what becomes of that. Pure.

The truth is what k3s tells of its own process (`KubeNode.args`, docs/adr/0017): read with the nodes, never stale. It
says nothing of secrets, nor of who has set what; for that the settings files of some machines are read
(`to_look_into`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Final

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.guest_settings import GuestSettings, Settings
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, RecordState, Role
from bootstrap.model.observed import KubeNode, Observed
from bootstrap.planning.dual_stack import PODS, SERVICES
from bootstrap.planning.k3s_config import machine_config
from bootstrap.planning.k3s_settings import OMITTED, SECRET, merged, parse_args, settings_of
from bootstrap.planning.machines import Standing

FIXED: Final[Mapping[str, tuple[str, str]]] = {
    "cluster-cidr": ("k3s.cluster_cidr", str(PODS)),
    "service-cidr": ("k3s.service_cidr", str(SERVICES)),
    "flannel-ipv6-masq": ("flannel-ipv6-masq", "false"),
    "secrets-encryption": ("secrets-encryption", "false"),
}
"""What k3s does not change in a cluster that is there, each with its name in the inventory and k3s's default: nodes
keep their pod ranges and services their addresses, and all servers have to agree (k3s: `CriticalControlArgs`)."""

NAMES: Final[Mapping[str, str]] = {
    "tls-san": "k3s.tls_san",
    "disable": "k3s.disable",
    "etcd-snapshot-schedule-cron": "backup.schedule",
    "etcd-snapshot-retention": "backup.retention",
    "node-label": "labels",
    "node-taint": "taints",
    "server": "the address it joins by",
    **{key: name for key, (name, _) in FIXED.items()},
}
"""What settings are called in the inventory; of the bucket's it follows from their own."""

_BUCKET = "etcd-s3"
_OURS: Final = frozenset(NAMES)
_PLACE: Final = frozenset({"node-name", "node-ip", "cluster-init", "server"})
"""What is a machine's own and no setting of the inventory; of `server` see `_joins_elsewhere`."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A setting that is to become another.

    Attributes:
        key: k3s's name of it.
        have, want: Its values, sorted; of secrets none that mean anything.
    """

    key: str
    have: tuple[str, ...]
    want: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the inventory calls it."""
        if self.key.startswith(_BUCKET):
            return f"backup.s3{self.key.removeprefix(_BUCKET).replace('-', '.', 1).replace('-', '_')}"
        return NAMES.get(self.key, self.key)

    @property
    def way(self) -> str:
        """From what to what; never a secret."""
        if self.key in SECRET:
            return "another one" if self.have and self.want else "none -> one" if self.want else "one -> none"
        return f"{_shown(self.have)} -> {_shown(self.want)}"

    def __str__(self) -> str:
        """As in `k3s.disable: none -> traefik`."""
        return f"{self.name}: {self.way}"


def _shown(values: Sequence[str]) -> str:
    return ", ".join(values) or "none"


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What differs on one machine.

    Attributes:
        changes: What a restart with the inventory's settings changes; empty where nothing does.
        stale_labels, stale_taints: What our settings gave its node and no longer do.
        conflicts: Settings of ours that a file of the user's overrules, a line each.
        pending: Settings were written that its k3s was not restarted with.
    """

    standing: Standing
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
        return f"settings: {'; '.join(map(str, self.changes))}" if self.changes else "settings: to be restarted with"


def to_look_into(spec: ClusterSpec, observed: Observed, all_standings: Sequence[Standing]) -> tuple[MachineName, ...]:
    """Machines whose settings files are needed: those that differ, and those with secrets, which nobody tells of."""
    found = (_drift(spec, observed, standing, None) for standing in _comparable(spec, all_standings))
    return tuple(
        drift.standing.machine.name
        for drift in found
        if drift.changes or SECRET & set(_wanted(spec, drift.standing.machine, _node(drift.standing)))
    )


def drifts(spec: ClusterSpec, observed: Observed, all_standings: Sequence[Standing]) -> tuple[Drift, ...]:
    """What differs, machine by machine; those that work must be done about first are left out."""
    looked = {each.machine: each for each in observed.settings}
    found = (
        _drift(spec, observed, standing, looked.get(standing.machine.name))
        for standing in _comparable(spec, all_standings)
    )
    return tuple(drift for drift in found if drift.restarts or drift.conflicts)


def check_fixed(spec: ClusterSpec, observed: Observed, all_standings: Sequence[Standing]) -> None:
    """Refuse to change what k3s cannot change in a cluster that is there.

    Raises:
        PreflightError: Nothing was touched.
    """
    lines = fixed_notes(drifts(spec, observed, all_standings))
    if lines:
        raise PreflightError(
            f"the inventory of {spec.name} has settings that k3s cannot change in a cluster; nothing was touched",
            details="\n".join(lines),
            resolution="put the old values back into the inventory, or let all be made anew: `homelab-k8s rebuild`",
        )


def fixed_notes(found: Sequence[Drift]) -> tuple[str, ...]:
    """One line for each setting that the inventory has otherwise and that nobody can change."""
    told = {
        f"{change.name} is {_shown(change.have or (FIXED[change.key][1],))}, and the inventory says "
        f"{_shown(change.want or (FIXED[change.key][1],))}: k3s cannot change that in a cluster"
        for drift in found
        for change in drift.changes
        if change.key in FIXED
    }
    return tuple(sorted(told))


def notes_on_settings(spec: ClusterSpec, observed: Observed, all_standings: Sequence[Standing]) -> tuple[str, ...]:
    """One line for each difference, with the machines that have it and what fixes it."""
    found = drifts(spec, observed, all_standings)
    machines: dict[str, list[MachineName]] = {}
    for drift in found:
        for change in drift.changes:
            if change.key not in FIXED:
                machines.setdefault(str(change), []).append(drift.standing.machine.name)
        if drift.pending and not drift.changes:
            machines.setdefault("settings were written, and k3s was not restarted", []).append(
                drift.standing.machine.name
            )
    lines = (
        f"{what} ({', '.join(names)}): `homelab-k8s up` restarts k3s there, one machine at a time"
        for what, names in machines.items()
    )
    undo = "put the old value back into the inventory, or: `homelab-k8s rebuild`"
    fixed = (f"{line}; {undo}" for line in fixed_notes(found))
    return (*lines, *fixed, *left_notes(spec, observed, found))


def _vip_notes(spec: ClusterSpec, observed: Observed) -> Iterator[str]:
    """That keepalived is left where the VIP was taken out of the inventory: kubeconfigs may still name it."""
    if spec.vip is not None:
        return
    urls = {url for node in observed.kube_nodes or () for url in parse_args(node.args or ()).get("server", ())}
    for address in sorted(former_vips(spec, observed) & {joins_by(url) for url in urls}):
        yield (
            f"the VIP {address} is no longer in the inventory, and keepalived on the servers goes on serving it; once "
            "nobody uses it, on each server: `sudo systemctl disable --now keepalived`"
        )


def left_notes(spec: ClusterSpec, observed: Observed, found: Sequence[Drift]) -> tuple[str, ...]:
    """One line for each setting of ours that a file of the user's overrules, and for a VIP that is left: what stays."""
    return (*(line for drift in found for line in drift.conflicts), *_vip_notes(spec, observed))


def _comparable(spec: ClusterSpec, all_standings: Sequence[Standing]) -> Iterator[Standing]:
    """Machines in the cluster that nothing keeps from being told apart; others get their settings as they join."""
    for standing in all_standings if spec.states_settings else ():
        vm, kube_node = standing.vm, standing.kube_node
        if vm is None or vm.idle or standing.held or kube_node is None or not kube_node.ready:
            continue
        if vm.record is None or vm.record.state is not RecordState.MADE:
            continue
        if kube_node.args is not None and kube_node.address is not None:
            yield standing


def _node(standing: Standing) -> KubeNode:
    if standing.kube_node is None:  # cannot be: see _comparable
        raise AssertionError(standing)
    return standing.kube_node


def _drift(spec: ClusterSpec, observed: Observed, standing: Standing, files: GuestSettings | None) -> Drift:
    kube_node = _node(standing)
    running, wanted = parse_args(kube_node.args or ()), _wanted(spec, standing.machine, kube_node)
    others = files.others if files else ()
    # Where nobody has looked no secret differs: k3s shows none.
    effective = {key: values for key, values in merged(wanted, others).items() if files or key not in SECRET}
    changes = [
        *_changes(kube_node, running, effective, wanted),
        *(_written(files, wanted, others_set=_others_set(files)) if files else ()),
        *_joins_elsewhere(spec, observed, standing, running),
    ]
    by_key = {change.key: change for change in reversed(changes)}
    labels, taints = by_key.get("node-label"), by_key.get("node-taint")
    return Drift(
        standing=standing,
        changes=tuple(by_key[key] for key in sorted(by_key)),
        stale_labels=_pairs(labels) if labels else (),
        stale_taints=tuple(each for each in taints.have if each not in taints.want) if taints else (),
        conflicts=tuple(_conflicts(standing, files, wanted)) if files else (),
        pending=files is not None and files.pending,
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
    etcd = "etcd" in kube_node.roles
    config = machine_config(spec, machine, address=kube_node.address, etcd=etcd, join=None)
    return {key: values for key, values in settings_of(config).items() if key not in _PLACE}


def _changes(kube_node: KubeNode, running: Settings, effective: Settings, wanted: Settings) -> Iterator[Change]:
    """How a restart with the inventory's settings would change what runs."""
    own = set(running.get("node-ip", ("",))[0].split(",")) | {str(kube_node.address)}
    for key in sorted({*running, *effective, *wanted}):
        if key in SECRET or not (key in wanted or _is_ours(key)) or key in _PLACE:
            continue
        have, want = _sorted(running.get(key, ())), _sorted(effective.get(key, ()))
        if key == "tls-san":  # k3s adds them by itself, and they move with the machine
            have, want = (tuple(each for each in values if each not in own) for values in (have, want))
        if key in FIXED:
            default = (FIXED[key][1],)
            have, want = (values or default for values in (have, want))
        if have != want:
            yield Change(key=key, have=have, want=want)


def _is_ours(key: str) -> bool:
    return key in _OURS or key.startswith(_BUCKET)


def _sorted(values: Sequence[str]) -> tuple[str, ...]:
    """Their order means nothing in any setting of ours, nor do repetitions."""
    return tuple(sorted({value for value in values if value}))


def _written(files: GuestSettings, wanted: Settings, *, others_set: frozenset[str]) -> Iterator[Change]:
    """In what our own file on the machine differs, which a restart would bring: secrets, where nobody else tells."""
    for key in sorted(SECRET & {*files.ours, *wanted}):
        have, want = files.ours.get(key, ()), wanted.get(key, ())
        # A bucket's keys come from the environment: where they are not in there, nothing is known of them.
        unknown = not want and _BUCKET in wanted
        if have != want and not unknown and _is_ours(key) and key not in others_set:
            yield Change(key=key, have=(OMITTED,) * bool(have), want=(OMITTED,) * bool(want))


def _others_set(files: GuestSettings) -> frozenset[str]:
    """Keys that files of the user's replace."""
    return frozenset(key for file in files.others for key in file.settings or {} if not key.endswith("+"))


def _pairs(change: Change) -> tuple[tuple[str, str], ...]:
    """Labels that are to go: those whose key is not wanted any more, with the value that we gave them."""
    wanted = {each.partition("=")[0] for each in change.want}
    gone = (each.partition("=") for each in change.have)
    return tuple((key, value) for key, _, value in gone if key not in wanted)


def _joins_elsewhere(spec: ClusterSpec, observed: Observed, standing: Standing, running: Settings) -> Iterator[Change]:
    """An agent that reaches the cluster by another address than its VIP, or by a VIP that is no more.

    A server's `server` counts for its first start alone (k3s: `shouldBootstrapLoad`). Without a VIP an agent may name
    any server, be it one that is gone: it keeps a list of all of them.
    """
    url = next(iter(running.get("server", ())), "")
    if standing.machine.role is not Role.WORKER or not url:
        return
    if spec.vip is not None:
        wanted = f"https://{spec.vip.address}:6443"
        if url != wanted:
            yield Change(key="server", have=(url,), want=(wanted,))
    elif joins_by(url) in former_vips(spec, observed):
        yield Change(key="server", have=(url,), want=("a server's own",))


def joins_by(url: str) -> IPv4Address | None:
    """The address in `https://ADDRESS:6443`; None for anything else."""
    try:
        return IPv4Address(url.removeprefix("https://").rpartition(":")[0])
    except AddressValueError:
        return None


def former_vips(spec: ClusterSpec, observed: Observed) -> frozenset[IPv4Address]:
    """Addresses that servers' certificates are for, by their settings, and that are neither wanted nor a machine's."""
    machines = {kube_node.address for kube_node in observed.kube_nodes or ()}
    wanted = {*spec.k3s.tls_san, *((str(spec.vip.address),) if spec.vip else ())}
    found: set[IPv4Address] = set()
    for kube_node in observed.kube_nodes or ():
        if "control-plane" in kube_node.roles:
            texts = (each for each in parse_args(kube_node.args or ()).get("tls-san", ()) if each not in wanted)
            found |= {address for text in texts if (address := joins_by(f"https://{text}:6443")) is not None}
    return frozenset(found - machines)


def serves_vip(spec: ClusterSpec, observed: Observed) -> bool:
    """Whether a server may have the VIP: one runs with it in its settings, or none tells."""
    servers = [node for node in observed.kube_nodes or () if "control-plane" in node.roles and node.args is not None]
    vip = str(spec.vip.address) if spec.vip else ""
    return not servers or any(vip in parse_args(node.args or ()).get("tls-san", ()) for node in servers)


def _conflicts(standing: Standing, files: GuestSettings, wanted: Settings) -> Iterator[str]:
    name = standing.machine.name
    for file in files.others:
        if file.settings is None:
            yield f"{name}: {file.name} is no YAML that k3s can read: k3s does not start with it"
        for key in sorted(file.settings or ()):
            if key in wanted and _sorted((file.settings or {})[key]) != _sorted(wanted[key]):
                said = Change(key=key, have=(), want=()).name
                yield (
                    f"{name}: {file.name} sets {key}, so that {said} of the inventory does not count there: take it "
                    f"out of that file, or write `{key}+` to add to ours"
                )
