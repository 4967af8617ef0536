"""The facade: one object per cluster that joins inventory, planner, runner and adapters.

    homelab = Homelab(load_inventory(Path("homelab-k8s.yaml"), environ=os.environ))
    plan = homelab.plan_up()
    homelab.up(plan, sink=print)

Adapters are imported when they are first needed, so that `--help` does not pay for paramiko or kubernetes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.events import EventSink, ignore

if TYPE_CHECKING:
    from bootstrap.commands.backup import BackupOptions
    from bootstrap.commands.clusters import ClusterSummary
    from bootstrap.commands.doctor import Diagnosis
    from bootstrap.commands.locked.carry_out import RunOptions
    from bootstrap.commands.rebuild import RebuildOptions
    from bootstrap.commands.remote_access import Answer, Login, LogsOptions
    from bootstrap.commands.restore import RestoreOptions
    from bootstrap.commands.scale import ScaleOptions
    from bootstrap.commands.snapshots import SnapshotList
    from bootstrap.commands.status import ClusterStatus
    from bootstrap.commands.upgrade import UpgradeOptions
    from bootstrap.execution.report import Report
    from bootstrap.inventory import Inventory
    from bootstrap.model.ids import MachineName, PoolName, Vmid
    from bootstrap.model.workloads import Pod
    from bootstrap.planning.plan import Plan
    from bootstrap.planning.templates.build import BuildOptions
    from bootstrap.planning.verbs.rebalance import Respread
    from bootstrap.planning.verbs.replace import Replacing
    from bootstrap.ports import MergedKubeconfig, Ports
    from bootstrap.records.template import TemplateVm


class Homelab:
    """One cluster.

    Args:
        inventory: What is wanted, and how Proxmox VE is reached.
        environ: For `$KUBECONFIG`, `$HOME` and the XDG directories.
        ports: Other adapters than the real ones, for tests.
        stop: Set it to end a run early: running steps end cleanly, the rest is not started.
        on_secret: Hears the cluster's secrets (a text may hold several) as they are read or made, so as to mask them.
    """

    def __init__(
        self,
        inventory: Inventory,
        *,
        environ: Mapping[str, str] | None = None,
        ports: Ports | None = None,
        stop: threading.Event | None = None,
        on_secret: Callable[[str], None] | None = None,
    ) -> None:
        self._inventory = inventory
        self._environ = dict(os.environ if environ is None else environ)
        self._on_secret = on_secret
        self._ports = self._telling(ports) if ports is not None else None
        self.stop = stop or threading.Event()

    @property
    def inventory(self) -> Inventory:
        """The inventory."""
        return self._inventory

    @property
    def ports(self) -> Ports:
        """The adapters, connected on first use."""
        if self._ports is None:
            from bootstrap.adapters import connect_ports  # paramiko and kubernetes cost a second

            self._ports = self._telling(connect_ports(self._inventory, environ=self._environ, stop=self.stop))
        return self._ports

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is risky about the inventory itself; to be said before anything else, every time."""
        endpoint = self._inventory.endpoint
        if not endpoint.tls.insecure:
            return ()
        return (f"{endpoint.url}: its certificate is NOT checked (insecure): anybody in between can read the token",)

    def plan_up(self, *, replace_unreachable: Sequence[MachineName] = ()) -> Plan:
        """What `up` would do. Touches nothing.

        Args:
            replace_unreachable: Machines on Proxmox nodes that cannot be asked, which the user declares lost: each
                gets a successor, and its VM is removed once its Proxmox node is back.

        Raises:
            PreflightError: It cannot be done; nothing was touched.
        """
        from bootstrap.commands.up import prepare_up

        return prepare_up(self._inventory.spec, self.ports, replace_unreachable=replace_unreachable)

    def up(
        self,
        plan: Plan,
        *,
        replace_unreachable: Sequence[MachineName] = (),
        sink: EventSink = ignore,
        options: RunOptions | None = None,
    ) -> Report:
        """Carry out a plan of `plan_up`, made with the same `replace_unreachable`.

        Raises:
            HomelabError: Something failed; `up` again continues.
        """
        from bootstrap.commands.up import run_up

        return run_up(
            plan,
            self._inventory.spec,
            self.ports,
            sink=sink,
            options=self._options(options),
            replace_unreachable=replace_unreachable,
        )

    def plan_down(self) -> Plan:
        """What `down` would remove. Touches nothing."""
        from bootstrap.commands.down import prepare_down

        return prepare_down(self._inventory.spec, self.ports)

    def down(self, plan: Plan, *, sink: EventSink = ignore, options: RunOptions | None = None) -> Report:
        """Carry out a plan of `plan_down`; what is not ours stays.

        Raises:
            HomelabError: Something could not be removed; `down` again continues.
        """
        from bootstrap.commands.down import run_down

        return run_down(plan, self._inventory.spec, self.ports, sink=sink, options=self._options(options))

    def plan_scale(self, verb_options: ScaleOptions) -> Plan:
        """What `scale` would do. Touches nothing. Raises PreflightError where it cannot be done."""
        from bootstrap.commands.scale import prepare_scale

        return prepare_scale(self._inventory.spec, self.ports, verb_options)

    def scale(
        self, plan: Plan, verb_options: ScaleOptions, *, sink: EventSink = ignore, options: RunOptions | None = None
    ) -> Report:
        """Carry out a plan of `plan_scale`.

        Raises:
            HomelabError: Something failed; `scale` again continues.
        """
        from bootstrap.commands.scale import run_scale

        return run_scale(
            plan, self._inventory.spec, self.ports, verb_options, sink=sink, options=self._options(options)
        )

    def pods_losing_data(self, plan: Plan) -> tuple[Pod, ...]:
        """Pods whose emptyDir volumes a plan's drains would lose, and which its rules do not give up. Reads only."""
        from bootstrap.commands.observing.draining import pods_losing_data

        return pods_losing_data(plan, self._inventory.spec, self.ports)

    def plan_replace(self, verb_options: Replacing) -> Plan:
        """What `replace` would do. Touches nothing. Raises PreflightError where it cannot be done."""
        from bootstrap.commands.replace import prepare_replace

        return prepare_replace(self._inventory.spec, self.ports, verb_options)

    def replace(
        self, plan: Plan, verb_options: Replacing, *, sink: EventSink = ignore, options: RunOptions | None = None
    ) -> Report:
        """Carry out a plan of `plan_replace`.

        Raises:
            HomelabError: Something failed; `replace` again continues.
        """
        from bootstrap.commands.replace import run_replace

        return run_replace(
            plan, self._inventory.spec, self.ports, verb_options, sink=sink, options=self._options(options)
        )

    def plan_rebuild(self, verb_options: RebuildOptions) -> Plan:
        """What `rebuild` would do. Touches nothing. Raises PreflightError where it cannot be done."""
        from bootstrap.commands.rebuild import prepare_rebuild

        return prepare_rebuild(self._inventory.spec, self.ports, verb_options)

    def rebuild(
        self, plan: Plan, verb_options: RebuildOptions, *, sink: EventSink = ignore, options: RunOptions | None = None
    ) -> Report:
        """Carry out a plan of `plan_rebuild`.

        Raises:
            HomelabError: Something failed; `rebuild` again continues.
        """
        from bootstrap.commands.rebuild import run_rebuild

        return run_rebuild(
            plan, self._inventory.spec, self.ports, verb_options, sink=sink, options=self._options(options)
        )

    def plan_upgrade(self, verb_options: UpgradeOptions) -> Plan:
        """What `upgrade` would do: the ladder, and each machine's turn. Touches nothing.

        Raises:
            PreflightError: It cannot be done.
            ArtifactError: A release on the way is not to be had.
        """
        from bootstrap.commands.upgrade import prepare_upgrade

        return prepare_upgrade(self._inventory.spec, self.ports, verb_options)

    def upgrade(
        self, plan: Plan, verb_options: UpgradeOptions, *, sink: EventSink = ignore, options: RunOptions | None = None
    ) -> Report:
        """Carry out a plan of `plan_upgrade`.

        Raises:
            HomelabError: Something failed; `upgrade` again continues.
        """
        from bootstrap.commands.upgrade import run_upgrade

        return run_upgrade(
            plan, self._inventory.spec, self.ports, verb_options, sink=sink, options=self._options(options)
        )

    def plan_backup(self, verb_options: BackupOptions) -> Plan:
        """What `backup` would do. Touches nothing. Raises PreflightError where it cannot be done."""
        from bootstrap.commands.backup import prepare_backup

        return prepare_backup(self._inventory.spec, self.ports, verb_options)

    def backup(
        self, plan: Plan, verb_options: BackupOptions, *, sink: EventSink = ignore, options: RunOptions | None = None
    ) -> Report:
        """Carry out a plan of `plan_backup`. Raises HomelabError where it failed."""
        from bootstrap.commands.backup import run_backup

        return run_backup(
            plan, self._inventory.spec, self.ports, verb_options, sink=sink, options=self._options(options)
        )

    def snapshots(self) -> SnapshotList:
        """Every snapshot of the cluster: on servers, in the bucket, and fetched to this computer. Reads only."""
        from bootstrap.commands.snapshots import list_snapshots

        return list_snapshots(self._inventory.spec, self.ports, directory=self.snapshot_directory)

    def plan_restore(self, verb_options: RestoreOptions) -> Plan:
        """What `restore` would do. Touches nothing. Raises PreflightError where it cannot be done."""
        from bootstrap.commands.restore import prepare_restore

        return prepare_restore(self._inventory.spec, self.ports, verb_options)

    def restore(
        self, plan: Plan, verb_options: RestoreOptions, *, sink: EventSink = ignore, options: RunOptions | None = None
    ) -> Report:
        """Carry out a plan of `plan_restore`: what the cluster knows now is lost.

        Raises:
            HomelabError: It failed; the API may be away until `restore` is run again.
        """
        from bootstrap.commands.restore import run_restore

        return run_restore(
            plan, self._inventory.spec, self.ports, verb_options, sink=sink, options=self._options(options)
        )

    def plan_rotate_token(self) -> Plan:
        """What `rotate token` would do. Touches nothing. Raises PreflightError where it cannot be done."""
        from bootstrap.commands.rotate import prepare_rotate

        return prepare_rotate(self._inventory.spec, self.ports)

    def rotate_token(self, plan: Plan, *, sink: EventSink = ignore, options: RunOptions | None = None) -> Report:
        """Carry out a plan of `plan_rotate_token`.

        Raises:
            HomelabError: A machine did not come back; `rotate token` again finishes what was begun.
        """
        from bootstrap.commands.rotate import run_rotate

        return run_rotate(plan, self._inventory.spec, self.ports, sink=sink, options=self._options(options))

    def templates(self) -> tuple[TemplateVm, ...]:
        """The templates that this tool has made, and builds under way. Reads only."""
        from bootstrap.commands.template import list_templates

        return list_templates(self.ports)

    def plan_template(self, verb_options: BuildOptions) -> Plan:
        """What `template build` would do. Touches nothing. Raises PreflightError where it cannot be done."""
        from bootstrap.commands.template import prepare_build

        return prepare_build(self._inventory.spec, self.ports, verb_options)

    def build_template(
        self, plan: Plan, verb_options: BuildOptions, *, sink: EventSink = ignore, options: RunOptions | None = None
    ) -> Report:
        """Carry out a plan of `plan_template`. Raises HomelabError where it failed; the same again continues."""
        from bootstrap.commands.template import run_build

        return run_build(
            plan, self._inventory.spec, self.ports, verb_options, sink=sink, options=self._options(options)
        )

    def plan_prune_templates(self) -> Plan:
        """Which templates nobody needs. Touches nothing."""
        from bootstrap.commands.template import prepare_prune

        return prepare_prune(self._inventory.spec, self.ports)

    def prune_templates(self, plan: Plan, *, sink: EventSink = ignore, options: RunOptions | None = None) -> Report:
        """Carry out a plan of `plan_prune_templates`. Raises HomelabError where something could not be removed."""
        from bootstrap.commands.template import run_prune

        return run_prune(plan, self._inventory.spec, self.ports, sink=sink, options=self._options(options))

    @property
    def snapshot_directory(self) -> Path:
        """Where snapshots that are fetched go unless the user says otherwise; `down` leaves it alone."""
        from bootstrap.adapters.local.state import default_state_root
        from bootstrap.commands.observing.local_snapshots import snapshot_directory

        return snapshot_directory(default_state_root(), self._inventory.spec.name)

    def status(self) -> ClusterStatus:
        """Machines and Kubernetes nodes side by side. Reads only."""
        from bootstrap.commands.status import cluster_status

        return cluster_status(self._inventory.spec, self.ports)

    def plan_adopt(self, vmids: Sequence[Vmid] = ()) -> Plan:
        """What says it is the cluster's and is not signed with its key. Touches nothing.

        Args:
            vmids: Which of them; empty for all.

        Raises:
            PreflightError: One of `vmids` is none of them.
        """
        from bootstrap.commands.adopt import prepare_adopt

        return prepare_adopt(self._inventory.spec, self.ports, vmids=vmids)

    def adopt(self, plan: Plan, *, sink: EventSink = ignore, options: RunOptions | None = None) -> Report:
        """Carry out a plan of `plan_adopt`. Raises HomelabError where a VM has changed since it was shown."""
        from bootstrap.commands.adopt import run_adopt

        return run_adopt(plan, self._inventory.spec, self.ports, sink=sink, options=self._options(options))

    def plan_rebalance(self) -> Respread:
        """Which machines a re-spread over the Proxmox nodes would move. Reads only.

        Raises:
            PreflightError: There is no template that machines could be made of.
        """
        from bootstrap.commands.rebalance import prepare_rebalance

        return prepare_rebalance(self._inventory.spec, self.ports)

    def clusters(self) -> tuple[ClusterSummary, ...]:
        """All clusters of this Proxmox VE, and those that this computer knows. Reads only."""
        from bootstrap.commands.clusters import all_clusters

        return all_clusters(self.ports)

    def login_to(self, machine: str) -> Login:
        """How to log in to a machine with OpenSSH; its host key is written where ssh looks for it.

        Raises:
            HomelabError: There is no such machine, or it cannot be reached.
        """
        from bootstrap.commands.remote_access import login_to

        return login_to(machine, self._inventory.spec, self.ports)

    def run_everywhere(
        self,
        command: str,
        *,
        pool: PoolName | None = None,
        machines: Sequence[str] = (),
        timeout_s: float = 300.0,
        tell: Callable[[Answer], None] = lambda _answer: None,
    ) -> tuple[Answer, ...]:
        """Run a command line on machines at once, as the login user; one that fails is no exception.

        Args:
            command: For the user's shell there.
            pool: The machines of a pool; with no names either, all machines.
            machines: These.
            timeout_s: For each machine.
            tell: Hears each answer as it comes.
        """
        from bootstrap.commands.remote_access import run_everywhere

        return run_everywhere(
            command, self._inventory.spec, self.ports, pool=pool, names=machines, timeout_s=timeout_s, tell=tell
        )

    def journal(self, machine: str, verb_options: LogsOptions) -> str:
        """Lines of a machine's journal. Raises HomelabError where they cannot be read."""
        from bootstrap.commands.remote_access import read_journal

        return read_journal(machine, self._inventory.spec, self.ports, verb_options)

    def journal_ssh(self, machine: str, verb_options: LogsOptions) -> tuple[str, ...]:
        """The ssh command line that shows a machine's journal, and stays where the wish says so."""
        from bootstrap.commands.remote_access import journal_command

        name, command = journal_command(machine, self._inventory.spec, self.ports, verb_options)
        return self.login_to(name).ssh(command)

    def doctor(self) -> Diagnosis:
        """What `up` needs, and how the cluster is, check by check. Reads only; a failed check is no exception."""
        from bootstrap.commands.doctor import diagnose

        return diagnose(self._inventory.spec, self._inventory.endpoint, self.ports)

    def kubeconfig(self) -> str:
        """The administrator's kubeconfig, as YAML text; a secret.

        Raises:
            HomelabError: There is none here, or it is none of ours.
        """
        from bootstrap.commands.kubeconfig import needed_kubeconfig

        return needed_kubeconfig(self._inventory.spec.name, self.ports)

    def merge_kubeconfig(self, path: Path | None = None, *, switch: bool = False) -> MergedKubeconfig | None:
        """Have our entries in a kubeconfig file (None: the user's); where, or None while there is no cluster.

        With `switch`, our context becomes the current one in any case.
        """
        from bootstrap.commands.kubeconfig import merge_kubeconfig

        return merge_kubeconfig(self._inventory.spec.name, self.ports, path=path, switch=switch)

    def _telling(self, ports: Ports) -> Ports:
        if self._on_secret is None:
            return ports
        from bootstrap.commands.locked.state_directory import telling_secrets

        return telling_secrets(ports, self._on_secret)

    def _options(self, options: RunOptions | None) -> RunOptions:
        from dataclasses import replace

        from bootstrap.commands.locked.carry_out import RunOptions

        return replace(options or RunOptions(), stop=self.stop)
