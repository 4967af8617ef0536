"""Sends each step to its handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.handlers.cluster import identity, kubeconfig, manifests, restore, snapshots, vip
from bootstrap.execution.handlers.k3s import binary, decommission, join, settings, upgrade
from bootstrap.execution.handlers.machines import adopt, guests, hooks, keys, system, templates, vms
from bootstrap.planning import day2_steps, steps
from bootstrap.planning.manifests.steps import ApplyManifests
from bootstrap.planning.steps import Step
from bootstrap.planning.templates import steps as template_steps

_Handler = Callable[[Any, RunContext], Done]

HANDLERS: Final[Mapping[type[Step], _Handler]] = {
    steps.FetchK3s: binary.fetch_k3s,
    steps.CloneVm: vms.make_vm,
    steps.CreateContainer: vms.make_vm,
    steps.ConfigureVm: vms.configure_vm,
    steps.StartVm: vms.start_vm,
    steps.AwaitGuest: guests.await_guest,
    steps.PrepareGuest: binary.prepare_guest,
    steps.InitServer: join.init_server,
    steps.JoinServer: join.join_server,
    steps.JoinAgent: join.join_agent,
    steps.AwaitReady: join.await_ready,
    steps.WriteKubeconfig: kubeconfig.write_kubeconfig,
    steps.StopVm: vms.stop_vm,
    steps.DestroyVm: vms.destroy_vm,
    steps.ForgetCluster: kubeconfig.forget_cluster,
    day2_steps.AdoptVm: adopt.adopt_vm,
    day2_steps.AuthorizeKey: keys.authorize_key,
    day2_steps.RestoreMarks: vms.restore_marks,
    day2_steps.MarkLeaving: decommission.mark_leaving,
    day2_steps.Reclaim: decommission.reclaim,
    day2_steps.Drain: decommission.drain,
    day2_steps.Uncordon: decommission.uncordon,
    day2_steps.DeleteKubeNode: decommission.delete_kube_node,
    day2_steps.RetireServer: decommission.retire_server,
    day2_steps.UpgradeK3s: upgrade.upgrade_k3s,
    day2_steps.AwaitVersion: upgrade.await_version,
    day2_steps.ApplySettings: settings.apply_settings,
    day2_steps.PrepareSystem: system.prepare_system,
    day2_steps.RunHooks: hooks.run_hooks,
    day2_steps.MigrateToEtcd: upgrade.migrate_to_etcd,
    day2_steps.ConfigureVip: vip.configure_vip,
    day2_steps.SpreadVip: vip.spread_vip,
    day2_steps.RemoveVip: vip.remove_vip,
    day2_steps.TakeSnapshot: snapshots.take_snapshot,
    day2_steps.StopK3s: restore.stop_k3s,
    day2_steps.RestoreSnapshot: restore.restore_snapshot,
    day2_steps.RejoinServer: restore.rejoin_server,
    day2_steps.RotateToken: identity.rotate_token,
    day2_steps.RenewToken: identity.renew_token,
    day2_steps.SavePasswords: identity.save_passwords,
    day2_steps.SaveIdentity: identity.save_identity,
    day2_steps.NoteRebuild: kubeconfig.note_rebuild,
    ApplyManifests: manifests.apply_manifests,
    template_steps.AdoptTemplate: adopt.adopt_template,
    template_steps.FetchImage: templates.fetch_image,
    template_steps.UploadSeed: templates.upload_seed,
    template_steps.MakeBuilder: templates.make_builder,
    template_steps.StartBuilder: templates.start_builder,
    template_steps.AwaitBuilder: templates.await_builder,
    template_steps.BakeGuest: templates.bake_guest,
    template_steps.CleanGuest: templates.clean_guest,
    template_steps.SealTemplate: templates.seal_template,
    template_steps.RemoveIsos: templates.remove_isos,
    template_steps.RemoveTemplate: templates.remove_template,
}
"""What carries out each kind of step. A test checks that none is missing and that each handler takes its kind."""


def perform(step: Step, context: RunContext) -> Done:
    """Carry out one step.

    Raises:
        HomelabError: It failed.
    """
    return HANDLERS[type(step)](step, context)
