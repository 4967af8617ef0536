"""A VM or container as one Proxmox node lists it, and its config: read into values, whatever stands in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bootstrap.errors import HypervisorError, UnreadableError
from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import VmRecord
from bootstrap.model.reading import Reading
from bootstrap.proxmox.reading import answers, configs, containers


@dataclass(frozen=True, kw_only=True)
class ListedGuest:
    """A VM or container.

    Attributes:
        kind: `qemu` or `lxc`.
        row: Its row in the list.
        config: None where it has vanished, or the token may not see it.
        clone_runs: As in `VmRecord`.
        problem: Why its Proxmox node could not be asked for the config.
    """

    kind: str
    pve_node: PveNodeName
    vmid: Vmid
    row: Reading
    config: Reading | None = None
    clone_runs: bool | None = None
    problem: HypervisorError | None = None

    @property
    def template(self) -> bool:
        """Whether it is a template."""
        return any(_is_set(told) for told in (self.row.at("template").value, self._settings.get("template")))

    @property
    def tags(self) -> frozenset[str]:
        """Its tags by the list."""
        return configs.tags(answers.blank(self.row.at("tags")))

    @property
    def record(self) -> VmRecord:
        """It as a value; of one of odd form only what names it."""
        try:
            return self._record()
        except UnreadableError as error:
            answers.note(error)
            return VmRecord(
                vmid=self.vmid,
                name=answers.blank(self.row.at("name")),
                pve_node=self.pve_node,
                running=self.row.at("status").value == "running",
                tags=self.tags,
                kind=MachineKind.VM if self.kind == "qemu" else MachineKind.LXC,
                problem=error.details,
            )

    def _record(self) -> VmRecord:
        config = replace(self.row, value={}) if self.config is None else self.config
        read = configs.vm_record if self.kind == "qemu" else containers.container_record
        return replace(read(config, row=self.row, pve_node=self.pve_node), clone_runs=self.clone_runs)

    @property
    def unfinished(self) -> bool:
        """Whether there is nothing of it but what Proxmox VE writes when a clone begins."""
        return self.kind == "qemu" and configs.unfinished(self._settings)

    def committed(self, pass_over: Callable[[UnreadableError], None]) -> tuple[int, int]:
        """Cores and bytes of memory that count: of one that runs, or will after the Proxmox node's next boot."""
        starts = self.row.at("status").value == "running" or _is_set(self._settings.get("onboot"))
        if self.template or not starts:
            return 0, 0
        try:
            cores = self.row.at("cpus").number(0, answers.MOST_CORES, default=0)
            return int(cores), self.row.at("maxmem").integer(0, answers.MOST_BYTES, default=0)
        except UnreadableError as error:
            pass_over(error)
            return 0, 0

    @property
    def _settings(self) -> Mapping[str, Any]:
        """The config, for what counts also where other things in it are of odd form."""
        value = self.config.value if self.config is not None else None
        return value if isinstance(value, dict) else {}


def _is_set(value: object) -> bool:
    return value in (1, "1")


def listed_guest(row: Reading, *, kind: str, pve_node: PveNodeName) -> ListedGuest:
    """A guest from its row. Raises UnreadableAnswerError where that has no vmid."""
    return ListedGuest(kind=kind, pve_node=pve_node, vmid=answers.vmid(row.at("vmid")), row=row)
