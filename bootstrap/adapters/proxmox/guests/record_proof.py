"""Whether records can be trusted, with evidence that only Proxmox VE has: tasks and resource pools."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.reachable_nodes import from_online
from bootstrap.adapters.proxmox.client.upid import parse_upid
from bootstrap.adapters.proxmox.guests.cloning import Cloning
from bootstrap.errors import PermissionDeniedError
from bootstrap.model.ids import ClusterName, PveNodeName, Vmid
from bootstrap.model.machine import CloneAsked
from bootstrap.model.observed import TemplateFacts, VmRecord
from bootstrap.model.reading import Reading, each
from bootstrap.ports import RecordKeys
from bootstrap.proxmox.reading import answers, configs
from bootstrap.records.vms.proof import Evidence, doubt_about
from bootstrap.records.vms.seal import Bearer
from bootstrap.records.vms.template import doubt_about_template

_CLOCKS_APART_S = 300
"""How far the local clock and a Proxmox node's may differ when a clone request's task is looked for."""
_LISTED = 1000
"""Tasks asked for; Proxmox VE's default is 50."""
_ENDS = frozenset({"qmcreate", "qmrestore", "qmdestroy"})
"""Types of tasks after which a VMID is free, or another VM's."""
_STARTS = frozenset({"qmstart", "hastart", "qmtemplate"})
"""Types of tasks after which a VM is no longer just the result of a clone request."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A Proxmox task: its type, who started it, and when.

    Attributes:
        order: Unix seconds, and of those of one second the Proxmox node's own ticks.
    """

    kind: str
    who: str
    order: tuple[int, int]


class Proof:
    """Decides for each VM whether its record can be trusted; safe to use from many threads.

    Args:
        api: The Proxmox VE API.
        keys: Check seals.
        pools: The resource pool that a cluster's machines have to be in.
        cloning: Knows the clones that this process has asked for.
    """

    def __init__(self, api: Api, *, keys: RecordKeys, pools: Mapping[ClusterName, str], cloning: Cloning) -> None:
        self._api = api
        self._keys = keys
        self._pools = pools
        self._cloning = cloning
        self._guard = threading.Lock()
        self._members: dict[tuple[Vmid, str | None], str] = {}
        self._evidence = Evidence(
            key=keys.find, lock_keys=keys.locks, is_our_clone=self._is_our_clone, resource_pool=pools.get
        )

    def of(self, vm: VmRecord) -> VmRecord:
        """The VM with the doubt about its record; its resource pool is known, or does not matter."""
        return replace(vm, doubt=doubt_about(vm, self._evidence))

    def of_one(self, vm: VmRecord) -> VmRecord:
        """The same for a VM that was read alone: its resource pool is looked up where it matters."""
        return self.of(replace(vm, resource_pool=self._pool_of(vm)))

    def of_template(self, facts: TemplateFacts, config: configs.Config) -> TemplateFacts:
        """A template's facts; what it is made of counts only where its record can be trusted."""
        description = configs.setting(config, "description")
        if not facts.recipe or not self.doubt_about_template(facts.vmid, facts.name, description, config):
            return facts
        claims = f"{facts.image} with k3s {facts.k3s}"
        return replace(facts, image="", k3s="", recipe="", recipe_version=0, packages=(), made=0, claims=claims)

    def doubt_about_template(self, vmid: Vmid, name: str, description: str, config: configs.Config) -> str:
        """Why the record of a template, or of its builder, cannot be trusted; empty where it can."""
        bearer = Bearer(vmid=vmid, name=name, identity=configs.smbios_uuid(config) or "")
        return doubt_about_template(description, bearer=bearer, keys=self._keys.templates())

    def with_pools(self, vms: tuple[VmRecord, ...], resources: Iterable[Reading]) -> tuple[VmRecord, ...]:
        """VMs with their resource pools, by the rows of `/cluster/resources`.

        Pools come from the user configuration at each request, without a lag (`PVE/API2/Cluster.pm`).
        """
        pairs = each(resources, _pool_of, answers.note)
        pool_of = dict(pair for pair in pairs if pair is not None)
        found = tuple(replace(vm, resource_pool=pool_of.get(vm.vmid)) for vm in vms)
        with self._guard:
            self._members.update({(vm.vmid, vm.identity): vm.resource_pool for vm in found if vm.resource_pool})
        return found

    def _pool_of(self, vm: VmRecord) -> str | None:
        """A VM's resource pool: asked for once, and only where its cluster must be in one."""
        if vm.record is None or vm.record.cluster not in self._pools:
            return None
        with self._guard:
            known = self._members.get((vm.vmid, vm.identity))
        if known is not None:
            return known
        what = f"ask which resource pool VM {vm.vmid} is in"
        rows = self._api.read("cluster/resources", what=what, type="vm").items()
        return self.with_pools((vm,), rows)[0].resource_pool

    def _is_our_clone(self, vm: VmRecord) -> bool:
        """Whether a task of this token has cloned it, by the task lists of the reachable Proxmox nodes.

        A clone's task names its template (`PVE/API2/Qemu.pm`, clone_vm), so it is identified by its start, which is
        after the last VM of that VMID was removed or created otherwise. A VM that was started since is no longer just a
        clone. A token without Sys.Audit sees only its own tasks, which include the tool's.
        """
        cloned = vm.record.cloned if vm.record else None
        if cloned is None:
            return False
        if self._cloning.was_asked_for(vm.description):
            return True
        about = list(self._tasks(vm.vmid, None))
        vacant = max(_orders(about, _ENDS), default=(0, 0))
        cloned_at = min(self._clonings(cloned, since=vacant), default=None)
        return cloned_at is not None and all(order <= cloned_at for order in _orders(about, _STARTS))

    def _clonings(self, cloned: CloneAsked, *, since: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """When tasks of this token cloned a template: after `since`, and about when the record says."""
        for task in self._tasks(cloned.template, "qmclone"):
            near = abs(task.order[0] - cloned.asked_s) <= _CLOCKS_APART_S
            if near and task.order > since and task.who == self._api.token:
                yield task.order

    def _tasks(self, vmid: Vmid, kind: str | None) -> Iterator[_Task]:
        """The tasks of a VM, also running ones, on all reachable Proxmox nodes."""
        wanted: dict[str, str | int] = {"vmid": vmid, "source": "all", "limit": _LISTED}
        if kind is not None:
            wanted["typefilter"] = kind

        def listed(pve_node: PveNodeName) -> list[_Task]:
            try:
                found = self._api.read(f"nodes/{pve_node}/tasks", what=f"list the tasks of {pve_node}", **wanted)
            except PermissionDeniedError as error:
                logger.info("%s", error)
                return []
            return list(answers.rows(found, _task))

        return from_online(self._api, listed)


def _orders(tasks: Iterable[_Task], kinds: frozenset[str]) -> Iterator[tuple[int, int]]:
    """When tasks of some types began."""
    return (task.order for task in tasks if task.kind in kinds)


def _task(row: Reading) -> _Task:
    """A row of a list of tasks, which names user and token apart (`PVE/API2/Tasks.pm`, convert_token_task)."""
    user, token = row.at("user").text(), row.at("tokenid")
    upid = parse_upid(row.at("upid").text())
    if upid is None:
        raise row.at("upid").wrong("a UPID")
    return _Task(
        kind=row.at("type").text(),
        who=user if token.absent else f"{user}!{token.text()}",
        order=(upid.start_s, upid.ticks),
    )


def _pool_of(row: Reading) -> tuple[Vmid, str] | None:
    """A guest's vmid and resource pool; None for other things, and where it is in none."""
    if row.at("vmid").absent or row.at("pool").absent:
        return None
    return answers.vmid(row.at("vmid")), row.at("pool").text()
