"""Verdicts of `doctor` on a hardened cluster, one for each part of k3s's CIS guide. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Final

from bootstrap.advice import Advice
from bootstrap.errors import few_lines
from bootstrap.k3s.hardening.cis import (
    ADMISSION,
    API_SERVER,
    AUDIT_LOG,
    AUDIT_POLICY,
    CONTROLLERS,
    KERNEL,
    KUBELET,
    PROTECT,
    guide_arguments,
    overridden,
    protects_kernel,
)
from bootstrap.k3s.hardening.files import hardening_checksum
from bootstrap.k3s.settings import parse_args
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Settings
from bootstrap.model.settings.hardening import GuestHardening
from bootstrap.model.words import count
from bootstrap.planning.checks.doctor import Check, failed, ok, skipped, warning
from bootstrap.planning.members.desired_machines import MachineState

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView

Guests = Mapping[MachineName, GuestHardening]
Look = Callable[["ClusterView", Guests], Check]

_UP: Final = Advice("`homelab-k8s up` applies it")
_UNASKED: Final = "no machine could be asked"


def check_kernel(view: ClusterView, guests: Guests) -> Check:
    """Whether the kernel has the values that the kubelet asks for."""
    own = [each for each in view.states if protects_kernel(view.spec, each.machine)]
    asked = [guests[each.name] for each in own if each.name in guests]
    wrong = [
        f"{guest.machine}: {name} is {value}, not {KERNEL[name]}"
        for guest in asked
        for name, value in guest.sysctls
        if KERNEL.get(name, value) != value
    ]
    if wrong:
        return failed(few_lines(wrong), _UP)
    return ok(f"{_of(asked, own, 'machine')}: as the kubelet asks for it") if asked else skipped(_UNASKED)


def check_kubelet(view: ClusterView, _guests: Guests) -> Check:
    """Whether the kubelets run with the guide's arguments and do not set the kernel themselves."""
    unprotected = [
        f"{each.name}: {PROTECT} is off"
        for each, running in _reporting(view)
        if protects_kernel(view.spec, each.machine) and running.get(PROTECT) != ("true",)
    ]
    return _check_arguments(view, KUBELET, unprotected)


def check_api_server(view: ClusterView, _guests: Guests) -> Check:
    """Whether the API servers run with the guide's arguments."""
    return _check_arguments(view, API_SERVER)


def check_controllers(view: ClusterView, _guests: Guests) -> Check:
    """Whether the controllers run with the guide's arguments."""
    return _check_arguments(view, CONTROLLERS)


def _check_arguments(view: ClusterView, key: str, more: Sequence[str] = ()) -> Check:
    wanting = [
        (each, running, wanted)
        for each, running in _reporting(view)
        if (wanted := guide_arguments(view.spec, each.machine).get(key))
    ]
    lacking = [
        f"{each.name}: {_short(argument)} is not set"
        for each, running, wanted in wanting
        for argument in wanted
        if argument not in running.get(key, ())
    ]
    # Where the inventory says otherwise on purpose, `up` changes nothing.
    own = list(dict.fromkeys(_own(view, key)))
    wrong = [*lacking, *(line for line in more if not own)]
    if wrong:
        return failed(few_lines(wrong), _UP)
    if own:
        return warning(few_lines(own), "remove it from the inventory, unless it is meant")
    if not wanting:
        return skipped("no machine reports its settings")
    return ok(f"{_of(wanting, wanting, 'machine')}: the guide's arguments are set")


def _own(view: ClusterView, key: str) -> Iterator[str]:
    keys = (key, PROTECT) if key == KUBELET else (key,)
    for each in view.states:
        for name, guides, users in overridden(view.spec, each.machine):
            if name in keys:
                yield f"{name} {_short(users)} of the inventory takes the place of {_short(guides)}"


def _short(argument: str) -> str:
    name, _, value = argument.partition("=")
    return argument if len(value) <= 60 else f"{name}={value[:50]}..."


def _of(asked: Sized, all_: Sized, noun: str) -> str:
    """How many, and whether some could not be asked."""
    missing = len(all_) - len(asked)
    return count(len(asked), noun) + (f" ({missing} could not be asked)" if missing else "")


def _reporting(view: ClusterView) -> Iterator[tuple[MachineState, Settings]]:
    for each in view.states:
        if each.kube_node is not None and each.kube_node.args is not None:
            yield each, parse_args(each.kube_node.args)


def check_pod_security(view: ClusterView, _guests: Guests) -> Check:
    """Whether the servers have the admission configuration and the audit policy, and no other can change them."""
    servers = {each.name: each.machine for each in view.states if each.is_server}
    seen = {each.machine: each.hardening for each in view.observed.settings if each.machine in servers}
    wrong = [
        f"{name}: {ADMISSION} or {AUDIT_POLICY} is missing, changed or open to others"
        for name, found in seen.items()
        if found != hardening_checksum(view.spec, servers[name])
    ]
    if wrong:
        return failed(few_lines(wrong), _UP)
    return (
        ok(f"{_of(seen, servers, 'server')}: Pod Security (restricted, but in kube-system) and audit policy")
        if seen
        else skipped(_UNASKED)
    )


def check_audit_log(view: ClusterView, guests: Guests) -> Check:
    """Whether the API servers write an audit log."""
    asked = [guests[each.name] for each in view.states if each.is_server and each.name in guests]
    silent = [f"{each.machine}: there is no {AUDIT_LOG}" for each in asked if not each.audited]
    if silent:
        return failed(few_lines(silent), _UP)
    servers = [each for each in view.states if each.is_server]
    return ok(f"{_of(asked, servers, 'server')}: {AUDIT_LOG}") if asked else skipped(_UNASKED)


def check_secrets(view: ClusterView, _guests: Guests) -> Check:
    """Whether Secrets are encrypted in the datastore."""
    servers = [(each, running) for each, running in _reporting(view) if each.is_server]
    plain = [
        f"{each.name}: secrets-encryption is off"
        for each, running in servers
        if running.get("secrets-encryption") != ("true",)
    ]
    if plain:
        return failed(few_lines(plain), Advice("it is on from a cluster's birth alone: `homelab-k8s rebuild`"))
    return ok("Secrets are encrypted in the datastore") if servers else skipped("no server reports its settings")


def check_file_modes(_view: ClusterView, guests: Guests) -> Check:
    """Whether k3s's files are root's alone."""
    loose = [f"{each.machine}: {path} is {mode}" for each in guests.values() for path, mode in each.loose]
    if loose:
        return failed(
            few_lines(loose),
            "on that machine: chown root:root and chmod 600 (directories: 700); for k3s.yaml take "
            "write-kubeconfig-mode out of the inventory",
        )
    files = sum(each.checked for each in guests.values())
    return ok(f"{files} files of {count(len(guests), 'machine')} are root's alone") if guests else skipped(_UNASKED)


def check_network_policies(_view: ClusterView, _guests: Guests) -> Check:
    """NetworkPolicies are the user's."""
    return skipped("NetworkPolicies are yours to write: one for each namespace (docs/hardening.md has a start)")


HARDENING_CHECKS: Final[Mapping[str, Look]] = {
    "cis-kernel": check_kernel,
    "cis-kubelet": check_kubelet,
    "cis-api-server": check_api_server,
    "cis-controllers": check_controllers,
    "cis-pod-security": check_pod_security,
    "cis-audit-log": check_audit_log,
    "cis-secrets": check_secrets,
    "cis-file-modes": check_file_modes,
    "cis-policies": check_network_policies,
}
"""The checks, by name."""
