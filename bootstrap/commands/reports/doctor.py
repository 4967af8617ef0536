"""`doctor`: checks what `up` needs, and what a cluster needs to stay healthy. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

from bootstrap.advice import Advice, joined
from bootstrap.commands.locked.marker import read_lock, why_no_lock
from bootstrap.commands.observing.guests import server_guests, visit_all
from bootstrap.commands.observing.ip_conflicts import with_conflicts
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.preflight import (
    api_name_notes,
    check_state_room,
    check_vip,
    check_way,
    missing_key,
    rights_for_up,
)
from bootstrap.commands.observing.privileges import hides_vms, missing_pool, pool_remedy
from bootstrap.commands.observing.settings import with_settings
from bootstrap.commands.observing.versions import choose_version
from bootstrap.commands.reports.status import status_of
from bootstrap.errors import HomelabError, few_lines
from bootstrap.k3s.hardening.cis import is_hardened
from bootstrap.k3s.kubeconfig.build import API_PORT
from bootstrap.k3s.worker_token import worker_token
from bootstrap.model.access.endpoint import PveEndpoint
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName
from bootstrap.model.machine import MachineKind
from bootstrap.model.words import count
from bootstrap.planning.capacity.address_ranges import has_ranges, skipped_address_notes
from bootstrap.planning.checks import doctor as checks
from bootstrap.planning.checks import runtime as checks_live
from bootstrap.planning.checks.clone_notes import gateway_note
from bootstrap.planning.checks.doctor import Check, Verdict, failed, ok, refused, skipped, warning
from bootstrap.planning.checks.drift import unfinished_notes
from bootstrap.planning.checks.hardening import HARDENING_CHECKS
from bootstrap.planning.checks.hardening import Look as HardeningLook
from bootstrap.planning.checks.security import check_logins, check_token
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.members.foreign import all_foreign, foreign_notes
from bootstrap.planning.plan import Action, Plan
from bootstrap.planning.templates.planned import check_planned, with_planned
from bootstrap.planning.verbs.up import plan_up
from bootstrap.planning.view import ClusterView
from bootstrap.ports import EndpointFacts, Ports
from bootstrap.records.vms.lock import lock_vmid

VMS = "vms"
"""That the token may see VMs (VM.Audit): without, checks would answer wrongly, since lists are empty, not refused."""
LOST_KEY = Advice("`homelab-k8s up --dry-run` shows how to restore it")
DOCTOR_FORMAT = 1
"""Version of the JSON form; it grows when a key changes its meaning or goes."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All checks, in order."""

    cluster: ClusterName
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of all checks: failed, warning or ok."""
        found = {check.verdict for check in self.checks}
        return next((verdict for verdict in (Verdict.FAILED, Verdict.WARNING) if verdict in found), Verdict.OK)


def diagnose(spec: ClusterSpec, endpoint: PveEndpoint, ports: Ports) -> Diagnosis:
    """Make every check; one that needs another that failed is skipped with that cause. Reads only."""
    return Diagnosis(cluster=spec.name, checks=_Doctor(spec, endpoint, ports).run())


class _Doctor:
    """The checks, and what they learn from one another."""

    def __init__(self, spec: ClusterSpec, endpoint: PveEndpoint, ports: Ports) -> None:
        self._spec = spec
        self._endpoint = endpoint
        self._ports = ports
        self._done: dict[str, Check] = {}
        self._causes: dict[str, str] = {}

    def run(self) -> tuple[Check, ...]:
        for name, needs, look in self._table():
            self._done[name] = self._check(name, needs, look)
            if self._done[name].verdict is Verdict.FAILED:
                self._causes[name] = name
        return tuple(self._done.values())

    def _table(self) -> Iterator[tuple[str, tuple[str, ...], Callable[[], Check]]]:
        """Every check: its name, the earlier checks that it needs, and the function that makes it."""
        yield "endpoint", (), self._endpoint_answers
        yield "tls", ("endpoint",), self._tls
        yield "token", ("tls",), self._token
        yield "quorum", ("token",), lambda: checks.check_quorum(self._view.observed)
        yield "version", ("token",), self._version
        if self._spec.placement.resource_pool:
            yield "pool", ("token",), self._pool
        yield "privileges", ("token", "pool"), self._privileges
        yield "kvm", ("token",), lambda: checks.check_kvm(self._view)
        yield "template", ("token", VMS), self._template
        yield "storage", ("template",), lambda: checks.check_storages(self._foreseen)
        yield "bridges", ("template",), lambda: checks.check_bridges(self._foreseen)
        if any(pool.kind is MachineKind.LXC for pool in self._spec.pools):
            yield "containers", ("token",), lambda: checks.check_containers(self._view)
        yield "capacity", ("template", "containers"), lambda: checks.check_capacity(self._view, self._plan)
        yield "addresses", ("capacity",), self._addresses
        if self._spec.api_name:
            yield "api-name", ("token",), self._api_name
        yield "ssh-key", (), lambda: ok(self._ports.shells.check())
        if not self._ports.ways.direct:
            yield "jump", (), self._jump
        yield "k3s", (), self._k3s
        yield "state", (), self._state
        yield "lock", ("token", VMS), self._lock
        yield "cluster", ("token", VMS, "jump"), self._cluster
        yield "spread", ("token", VMS), lambda: checks_live.check_spread(self._view)
        yield "machines", ("token", VMS, "jump"), self._machines
        yield "logins", ("token", VMS, "jump"), lambda: check_logins(self._spec.ssh.host_keys, self._guests)
        yield "clocks", ("endpoint",), self._clocks
        yield "pve-certificate", ("endpoint",), self._pve_certificate
        yield "api-certificate", ("token", VMS, "jump"), self._api_certificate
        yield "etcd-disk", ("token", VMS, "jump"), self._etcd_disk
        yield "worker-token", ("token", VMS), lambda: checks_live.check_worker_token(worker_token(self._view.observed))
        if is_hardened(self._spec):
            for name, look in HARDENING_CHECKS.items():
                yield name, ("token", VMS), partial(self._hardening, look)

    def _hardening(self, look: HardeningLook) -> Check:
        if not self._view.states or self._view.observed.kube_nodes is None:
            return skipped("the cluster does not answer")
        return look(self._view, {each.machine: each.hardening for each in self._guests if each.hardening is not None})

    def _check(self, name: str, needs: tuple[str, ...], look: Callable[[], Check]) -> Check:
        lacking = next((need for need in needs if need in self._causes), None)
        if lacking is not None:
            cause = self._causes[name] = self._causes[lacking]
            blind = lacking == VMS
            found = skipped("this token may not see VMs (VM.Audit)" if blind else f"needs {cause}, which failed")
        else:
            try:
                found = look()
            except HomelabError as error:
                found = refused(error)
        return replace(found, name=name)

    @cached_property
    def _seen(self) -> EndpointFacts:
        return self._ports.probes.endpoint(self._endpoint)

    @cached_property
    def _view(self) -> ClusterView:
        """The cluster with existing sizes."""
        view = with_existing_sizes(observe_cluster(self._spec, self._ports, patient=False))
        return with_settings(view, self._ports)

    @cached_property
    def _foreseen(self) -> ClusterView:
        """With the templates that `up` would build."""
        return replace(self._view, observed=with_planned(self._view))

    @cached_property
    def _plan(self) -> Plan:
        return plan_up(self._foreseen, version="")

    @cached_property
    def _guests(self) -> tuple[checks_live.GuestSeen, ...]:
        return visit_all(self._view, self._ports, etcd=bool(self._view.etcd_members))

    def _endpoint_answers(self) -> Check:
        self._seen  # noqa: B018 - looked at here for the first time
        return ok(f"{self._endpoint.url} answers")

    def _tls(self) -> Check:
        certificate = self._seen.certificate
        facts = (("fingerprint", certificate.fingerprint),)
        pin = (
            f'pin it in the inventory, as proxmox.tls.fingerprint: "{certificate.fingerprint}", '
            "after comparing it with the output of `pvenode cert info` on the Proxmox node"
        )
        if self._endpoint.tls.insecure:
            return warning("the certificate is NOT checked (insecure)", pin, facts=facts)
        shown = f"its fingerprint is {certificate.fingerprint}"
        if certificate.problem:
            says = f"the certificate is not to be trusted: {certificate.problem}\n{shown}"
            return failed(says, certificate.remedy or pin, facts=facts)
        return ok(f"the certificate is {certificate.trust}; {shown}", facts=facts)

    def _token(self) -> Check:
        self._view  # noqa: B018 - looked at here for the first time
        return check_token(self._endpoint.token, self._ports.hypervisor.held_privileges())

    @property
    def _token_accepted(self) -> bool:
        return self._done["token"].verdict in (Verdict.OK, Verdict.WARNING)

    def _version(self) -> Check:
        online = [facts.name for facts in self._view.observed.pve_nodes if facts.online]
        packages = {name: self._ports.hypervisor.package_versions(name) for name in online}
        return checks.check_version(self._view.observed, packages)

    def _pool(self) -> Check:
        name = self._spec.placement.resource_pool or ""
        if not self._ports.hypervisor.has_resource_pool(name):
            return failed(missing_pool(name), pool_remedy(name))
        return ok(f"the resource pool {name} is there")

    def _privileges(self) -> Check:
        missing = self._ports.hypervisor.missing_privileges(rights_for_up(self._view))
        if any(map(hides_vms, missing)):
            self._causes[VMS] = "privileges"
        if missing:
            return failed(
                "the token lacks\n" + "\n".join(map(str, missing)),
                "as root on a Proxmox node:\n" + "\n".join(lack.remedy for lack in missing),
            )
        return ok("the token has all that `up` and `down` need")

    def _template(self) -> Check:
        check_planned(self._view.spec, self._foreseen.observed)
        return checks.check_template(self._foreseen)

    def _addresses(self) -> Check:
        spec = self._view.spec
        check_vip(self._view, self._ports)
        if not has_ranges(spec):
            return skipped("machines get their addresses by DHCP")
        view = with_conflicts(self._foreseen, self._ports)
        # As `up` would give them out: an address in use is passed over.
        planned = plan_up(view, version="").machines
        new = [machine.spec for machine in planned if machine.action is Action.CREATE]
        found = checks_live.check_addresses(new, skipped_address_notes(new, view))
        lacking = gateway_note(spec)
        if lacking and found.verdict is Verdict.OK:
            return warning(f"{found.says}\n{lacking}", "add network.gateway, unless this is intended")
        return found

    def _api_name(self) -> Check:
        elsewhere = api_name_notes(self._view, self._ports)
        if elsewhere:
            return warning(elsewhere[0], "correct it in your DNS, or in /etc/hosts on this computer")
        return ok(f"{self._spec.api_name} leads to the API")

    def _k3s(self) -> Check:
        known = self._token_accepted
        k3s, artifacts = self._spec.k3s, self._ports.artifacts
        version = choose_version(self._view, self._ports) if known else artifacts.resolve(k3s)
        online = {facts.k3s_arch for facts in self._view.observed.pve_nodes if facts.online} if known else set()
        found = {artifacts.check(k3s, version=version, arch=arch) for arch in online or {"amd64"}}
        return ok(f"{version}: {'; '.join(sorted(found))}", facts=(("version", version),))

    def _state(self) -> Check:
        check_state_room(self._ports)
        return checks_live.check_state_room(self._ports.state.room_bytes())

    def _lock(self) -> Check:
        vmid = lock_vmid(self._spec.placement.vmids)
        marker = self._ports.markers.find(vmid)
        if marker is None:
            return ok("no run is in progress")
        doubt = why_no_lock(marker, self._ports)
        if doubt:
            told = f"VM {vmid} ({marker.name}) on {marker.pve_node}: {doubt}"
            return warning(told, Advice("`homelab-k8s adopt {}`, where no run is in progress", self._spec.name))
        record = read_lock(marker, self._ports)
        if record is None:
            self._plan  # noqa: B018 - what else has the marker's vmid is the plan's to refuse, with words of its own
            return warning(
                f"VM {vmid} ({marker.name}) uses the VMID of the marker VM",
                Advice("run `homelab-k8s doctor` again"),
            )
        if self._ports.processes.state(record.process) is False:
            return warning(f"left behind by {record}; that process has ended", "the next `up` or `down` removes it")
        return warning(f"held by {record}", "wait for it; if it crashed, the next `up` or `down` takes over")

    def _cluster(self) -> Check:
        ours = self._view.vms
        unfinished = unfinished_notes(self._view)
        if all_foreign(self._view):
            found = few_lines(foreign_notes(self._view))
            lost = missing_key(self._spec, self._ports)
            if lost is not None:
                return failed(Advice("there is no {}, the SSH key that signs its machines\n{}", lost, found), LOST_KEY)
            return failed(found, Advice("`homelab-k8s adopt {}`, where they are yours", self._spec.name))
        if not ours and unfinished:
            return warning(few_lines(unfinished), "remove the interrupted clones as described")
        if not ours and not self._view.unreachable.vms:
            return skipped(Advice("it does not exist yet; create it with `homelab-k8s up`"))
        status = status_of(self._view)
        if not status.healthy:
            return failed(few_lines(status.problems), Advice("`homelab-k8s up` repairs what it can"))
        said = f"{count(len(status.machines), 'machine')}, all Ready"
        return ok(joined("\n", (said, *status.notices)))

    def _machines(self) -> Check:
        if not self._guests:
            return skipped(
                "none is running with a known address; that the template's /etc/machine-id is empty, as it must be, "
                "shows only in machines made of it",
            )
        return checks_live.check_machines(self._guests)

    def _clocks(self) -> Check:
        guests = self._guests if self._token_accepted else ()
        return checks_live.check_clocks(self._seen.clock_s, guests)

    def _pve_certificate(self) -> Check:
        return checks_live.check_certificate(
            "Proxmox VE's certificate",
            days_left=self._seen.certificate.days_left,
            warn_days=checks_live.PVE_CERTIFICATE_DAYS,
            remedy="on the Proxmox node: systemctl status pve-daily-update (it renews the node's own certificate), or "
            "`pvenode acme cert renew`; a pinned fingerprint changes with it",
        )

    def _api_certificate(self) -> Check:
        servers = server_guests(self._view)
        if not servers:
            return skipped("no server is running with a known address")
        days = {each.name: self._ports.probes.certificate(each.address, API_PORT).days_left for each in servers}
        first = min(days, key=lambda name: days[name])
        return checks_live.check_certificate(
            f"the Kubernetes API's certificate of {first}",
            days_left=days[first],
            warn_days=checks_live.API_CERTIFICATE_DAYS,
            remedy=f"restart k3s on {first} (systemctl restart k3s): it renews what has fewer than 120 days left",
        )

    def _jump(self) -> Check:
        over = check_way(self._spec, self._ports)
        return ok(f"{over} forwards connections to machines" if over else "direct: no ProxyJump matches the machines")

    def _etcd_disk(self) -> Check:
        if not self._view.etcd_members:
            return skipped("no server with etcd is known to run (one server alone keeps its data in sqlite)")
        return checks_live.check_etcd_disks(self._guests)
