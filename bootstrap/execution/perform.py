"""Sends each step to its handler."""

from __future__ import annotations

from typing import assert_never

from bootstrap.execution import cluster_steps, guest_steps, k3s_steps, vm_steps
from bootstrap.execution.context import Done, RunContext
from bootstrap.planning.steps import (
    AwaitGuest,
    AwaitReady,
    CloneVm,
    ConfigureVm,
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


def perform(step: Step, lane: str, context: RunContext) -> Done:  # noqa: C901 - one case per kind of step
    """Carry out one step.

    Raises:
        HomelabError: It failed.
    """
    match step:
        case FetchK3s():
            return guest_steps.fetch_k3s(step, lane, context)
        case CloneVm():
            return vm_steps.clone_vm(step, lane, context)
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
            assert_never(step)
