"""Sends each step to its handler."""

from __future__ import annotations

from typing import assert_never

from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.handlers import adopt as adopting_steps
from bootstrap.execution.handlers import backup as backup_steps
from bootstrap.execution.handlers import cluster as cluster_steps
from bootstrap.execution.handlers import decommission as leaving_steps
from bootstrap.execution.handlers import guests as guest_steps
from bootstrap.execution.handlers import identity as identity_steps
from bootstrap.execution.handlers import k3s as k3s_steps
from bootstrap.execution.handlers import settings as settings_steps
from bootstrap.execution.handlers import snapshots as snapshot_steps
from bootstrap.execution.handlers import templates as template_steps
from bootstrap.execution.handlers import upgrade as upgrade_steps
from bootstrap.execution.handlers import vip as vip_steps
from bootstrap.execution.handlers import vms as vm_steps
from bootstrap.planning.day2_steps import (
    AdoptVm,
    ApplySettings,
    AwaitVersion,
    ConfigureVip,
    DeleteKubeNode,
    Drain,
    KeepingStep,
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
    TemplateStep,
    UploadSeed,
)


def perform(step: Step, lane: str, context: RunContext) -> Done:  # noqa: C901 - one case per kind of step
    """Carry out one step.

    Raises:
        HomelabError: It failed.
    """
    match step:
        case FetchK3s():
            return guest_steps.fetch_k3s(step, lane, context)
        case CloneVm() | CreateContainer():
            return vm_steps.make_vm(step, lane, context)
        case ConfigureVm():
            return vm_steps.configure_vm(step, lane, context)
        case StartVm():
            return vm_steps.start_vm(step, lane, context)
        case AwaitGuest():
            return guest_steps.await_guest(step, lane, context)
        case PrepareGuest():
            return guest_steps.prepare_guest(step, lane, context)
        case InitServer():
            return k3s_steps.init_server(step, lane, context)
        case JoinServer():
            return k3s_steps.join_server(step, lane, context)
        case JoinAgent():
            return k3s_steps.join_agent(step, lane, context)
        case AwaitReady():
            return k3s_steps.await_ready(step, lane, context)
        case WriteKubeconfig():
            return cluster_steps.write_kubeconfig(step, lane, context)
        case StopVm():
            return vm_steps.stop_vm(step, lane, context)
        case DestroyVm():
            return vm_steps.destroy_vm(step, lane, context)
        case ForgetCluster():
            return cluster_steps.forget_cluster(step, lane, context)
        case _:
            return _keep(step, lane, context)


def _keep(step: KeepingStep | TemplateStep, lane: str, context: RunContext) -> Done:  # noqa: C901 - one case per kind of step
    match step:
        case AdoptVm():
            return adopting_steps.adopt_vm(step, lane, context)
        case RestoreMarks():
            return vm_steps.restore_marks(step, lane, context)
        case MarkLeaving():
            return leaving_steps.mark_leaving(step, lane, context)
        case Reclaim():
            return leaving_steps.reclaim(step, lane, context)
        case Drain():
            return leaving_steps.drain(step, lane, context)
        case Uncordon():
            return leaving_steps.uncordon(step, lane, context)
        case DeleteKubeNode():
            return leaving_steps.delete_kube_node(step, lane, context)
        case RetireServer():
            return leaving_steps.retire_server(step, lane, context)
        case UpgradeK3s():
            return upgrade_steps.upgrade_k3s(step, lane, context)
        case AwaitVersion():
            return upgrade_steps.await_version(step, lane, context)
        case ApplySettings():
            return settings_steps.apply_settings(step, lane, context)
        case MigrateToEtcd():
            return upgrade_steps.migrate_to_etcd(step, lane, context)
        case ConfigureVip():
            return vip_steps.configure_vip(step, lane, context)
        case SpreadVip():
            return vip_steps.spread_vip(step, lane, context)
        case RemoveVip():
            return vip_steps.remove_vip(step, lane, context)
        case TakeSnapshot():
            return snapshot_steps.take_snapshot(step, lane, context)
        case StopK3s():
            return backup_steps.stop_k3s(step, lane, context)
        case RestoreSnapshot():
            return backup_steps.restore_snapshot(step, lane, context)
        case RejoinServer():
            return backup_steps.rejoin_server(step, lane, context)
        case RotateToken():
            return identity_steps.rotate_token(step, lane, context)
        case RenewToken():
            return identity_steps.renew_token(step, lane, context)
        case SavePasswords():
            return identity_steps.save_passwords(step, lane, context)
        case SaveIdentity():
            return identity_steps.save_identity(step, lane, context)
        case NoteRebuild():
            return cluster_steps.note_rebuild(step, lane, context)
        case _:
            return _make_template(step, lane, context)


def _make_template(step: TemplateStep, lane: str, context: RunContext) -> Done:  # noqa: C901 - one case per kind of step
    match step:
        case AdoptTemplate():
            return adopting_steps.adopt_template(step, lane, context)
        case FetchImage():
            return template_steps.fetch_image(step, lane, context)
        case UploadSeed():
            return template_steps.upload_seed(step, lane, context)
        case MakeBuilder():
            return template_steps.make_builder(step, lane, context)
        case StartBuilder():
            return template_steps.start_builder(step, lane, context)
        case AwaitBuilder():
            return template_steps.await_builder(step, lane, context)
        case BakeGuest():
            return template_steps.bake_guest(step, lane, context)
        case CleanGuest():
            return template_steps.clean_guest(step, lane, context)
        case SealTemplate():
            return template_steps.seal_template(step, lane, context)
        case RemoveIsos():
            return template_steps.remove_isos(step, lane, context)
        case RemoveTemplate():
            return template_steps.remove_template(step, lane, context)
        case _:
            assert_never(step)
