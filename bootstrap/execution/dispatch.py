"""Sends each step to its handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.handlers import adopt as adopting_steps
from bootstrap.execution.handlers import backup as backup_steps
from bootstrap.execution.handlers import cluster as cluster_steps
from bootstrap.execution.handlers import decommission as leaving_steps
from bootstrap.execution.handlers import guests as guest_steps
from bootstrap.execution.handlers import identity as identity_steps
from bootstrap.execution.handlers import k3s as k3s_steps
from bootstrap.execution.handlers import keys as key_steps
from bootstrap.execution.handlers import settings as settings_steps
from bootstrap.execution.handlers import snapshots as snapshot_steps
from bootstrap.execution.handlers import templates as template_steps
from bootstrap.execution.handlers import upgrade as upgrade_steps
from bootstrap.execution.handlers import vip as vip_steps
from bootstrap.execution.handlers import vms as vm_steps
from bootstrap.planning.day2_steps import (
    AdoptVm,
    ApplySettings,
    AuthorizeKey,
    AwaitVersion,
    ConfigureVip,
    DeleteKubeNode,
    Drain,
    MarkLeaving,
    MigrateToEtcd,
    NoteRebuild,
    Reclaim,
    RejoinServer,
    RemoveVip,
    RenewToken,
    RestoreMarks,
    RestoreSnapshot,
    RetireServer,
    RotateToken,
    SaveIdentity,
    SavePasswords,
    SpreadVip,
    StopK3s,
    TakeSnapshot,
    Uncordon,
    UpgradeK3s,
)
from bootstrap.planning.steps import (
    AwaitGuest,
    AwaitReady,
    CloneVm,
    ConfigureVm,
    CreateContainer,
    DestroyVm,
    FetchK3s,
    ForgetCluster,
    InitServer,
    JoinAgent,
    JoinServer,
    PrepareGuest,
    StartVm,
    Step,
    StopVm,
    WriteKubeconfig,
)
from bootstrap.planning.templates.steps import (
    AdoptTemplate,
    AwaitBuilder,
    BakeGuest,
    CleanGuest,
    FetchImage,
    MakeBuilder,
    RemoveIsos,
    RemoveTemplate,
    SealTemplate,
    StartBuilder,
    UploadSeed,
)

_Handler = Callable[[Any, str, RunContext], Done]

HANDLERS: Final[Mapping[type[Step], _Handler]] = {
    FetchK3s: guest_steps.fetch_k3s,
    CloneVm: vm_steps.make_vm,
    CreateContainer: vm_steps.make_vm,
    ConfigureVm: vm_steps.configure_vm,
    StartVm: vm_steps.start_vm,
    AwaitGuest: guest_steps.await_guest,
    PrepareGuest: guest_steps.prepare_guest,
    InitServer: k3s_steps.init_server,
    JoinServer: k3s_steps.join_server,
    JoinAgent: k3s_steps.join_agent,
    AwaitReady: k3s_steps.await_ready,
    WriteKubeconfig: cluster_steps.write_kubeconfig,
    StopVm: vm_steps.stop_vm,
    DestroyVm: vm_steps.destroy_vm,
    ForgetCluster: cluster_steps.forget_cluster,
    AdoptVm: adopting_steps.adopt_vm,
    AuthorizeKey: key_steps.authorize_key,
    RestoreMarks: vm_steps.restore_marks,
    MarkLeaving: leaving_steps.mark_leaving,
    Reclaim: leaving_steps.reclaim,
    Drain: leaving_steps.drain,
    Uncordon: leaving_steps.uncordon,
    DeleteKubeNode: leaving_steps.delete_kube_node,
    RetireServer: leaving_steps.retire_server,
    UpgradeK3s: upgrade_steps.upgrade_k3s,
    AwaitVersion: upgrade_steps.await_version,
    ApplySettings: settings_steps.apply_settings,
    MigrateToEtcd: upgrade_steps.migrate_to_etcd,
    ConfigureVip: vip_steps.configure_vip,
    SpreadVip: vip_steps.spread_vip,
    RemoveVip: vip_steps.remove_vip,
    TakeSnapshot: snapshot_steps.take_snapshot,
    StopK3s: backup_steps.stop_k3s,
    RestoreSnapshot: backup_steps.restore_snapshot,
    RejoinServer: backup_steps.rejoin_server,
    RotateToken: identity_steps.rotate_token,
    RenewToken: identity_steps.renew_token,
    SavePasswords: identity_steps.save_passwords,
    SaveIdentity: identity_steps.save_identity,
    NoteRebuild: cluster_steps.note_rebuild,
    AdoptTemplate: adopting_steps.adopt_template,
    FetchImage: template_steps.fetch_image,
    UploadSeed: template_steps.upload_seed,
    MakeBuilder: template_steps.make_builder,
    StartBuilder: template_steps.start_builder,
    AwaitBuilder: template_steps.await_builder,
    BakeGuest: template_steps.bake_guest,
    CleanGuest: template_steps.clean_guest,
    SealTemplate: template_steps.seal_template,
    RemoveIsos: template_steps.remove_isos,
    RemoveTemplate: template_steps.remove_template,
}
"""What carries out each kind of step. A test checks that none is missing and that each handler takes its kind."""


def perform(step: Step, lane: str, context: RunContext) -> Done:
    """Carry out one step.

    Raises:
        HomelabError: It failed.
    """
    return HANDLERS[type(step)](step, lane, context)
