"""Handlers of the steps that bring the cluster's data back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bootstrap.errors import HomelabError, KubeUnreachableError, ScriptError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.scripts import parse_lines, run_script
from bootstrap.execution.handlers.k3s.join import CLUSTER, gain_access, install, put_right, writes
from bootstrap.execution.handlers.k3s.upgrade import await_etcd
from bootstrap.execution.k3s.identity import put_passwords
from bootstrap.execution.k3s.kube_retries import once_it_answers
from bootstrap.execution.k3s.service import await_api, start_unit
from bootstrap.execution.run_facts import ClusterAccess
from bootstrap.inventory.regular import read_regular_text
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.planning.day2_steps import RejoinServer, RestoreSnapshot, StopK3s
from bootstrap.ports import GuestScript, GuestShell
from bootstrap.records.snapshot_note import NOTE, SQLITE, TOKEN, SnapshotNote, made_s, parse_note
from bootstrap.records.state.state_items import OLD_TOKENS
from bootstrap.records.state.state_items import TOKEN as TOKEN_ITEM
from bootstrap.records.state.token_history import (
    ClusterTokens,
    check_token,
    parse_old_tokens,
    render_old_tokens,
    short_form,
    token_at,
    with_old_token,
)

SENT = "snapshot.in"
"""What restore.sh finds a snapshot from here as."""


def stop_k3s(step: StopK3s, _lane: str, context: RunContext) -> Done:
    """Have k3s stopped; a server's data is marked as given up, so that nothing starts it by mistake."""
    shell = context.findings.shells.need(step.machine.name)
    mark = "1" if step.machine.role is Role.CONTROL_PLANE else "0"
    env = (("UNIT", step.machine.role.unit), ("MARK", mark))
    lines = parse_lines(shell.run(GuestScript(name="stop-k3s.sh", env=env), timeout_s=context.timeouts.server_s))
    return Done(changed=lines.get("changed") == ["1"])


def restore_snapshot(step: RestoreSnapshot, lane: str, context: RunContext) -> Done:
    """Have the server serve the snapshot's data, with the token and the CAs that belong to it.

    It first serves alone, without its kubelet, and sqlite's data as sqlite: `cluster-init` beside a state.db has k3s
    make new CAs and keys before it has read those in the data, and no Secret can be read with them (1.36, seen). In
    that while the nodes are put right, which tell of the machines as they were.
    """
    machine = step.machine
    shell = context.findings.shells.need(machine.name)
    source = step.source if isinstance(step.source, Path) else None
    name = source.name if source else str(step.source)
    note = _note_beside(source)
    token = _token_of(source, name, note, context)
    etcd = not name.endswith(SQLITE)
    tokens = ClusterTokens(server=token, agent=context.agent_token)
    install(machine, shell, context, tokens=tokens, etcd=etcd, join=None, alone=True)
    if source is not None:
        shell.upload(source, name=SENT)
    place = "sent" if source else "s3" if step.s3 else "disk"
    script = GuestScript(
        name="restore.sh",
        env=(("NAME", name), ("FROM", place), ("FOLDER", step.folder), ("CA", note.ca if note else "")),
        secret_files=(("restore-token", f"{token}\n"),),
    )
    shell.run(script, timeout_s=context.timeouts.server_s)
    _keep_token(token, context)
    context.findings.restored.put(machine.name, True)
    _serve(machine, shell, lane, context, restart=False)
    access = gain_access(machine, shell, context)
    if access.agent_token:
        # The agents' token stays what it is, whatever the data has: until it has it too, no start but ours succeeds.
        put_passwords(shell, token, lane=lane, context=context)
    note_text = _tidy(access, machine, shell, lane, context)
    moves = not etcd and context.spec.control_plane.count > 1
    install(machine, shell, context, tokens=tokens, etcd=etcd or moves, join=None)
    _serve(machine, shell, lane, context, restart=True)
    if moves:
        await_etcd(machine, lane, context)
    return Done(note=note_text)


def _serve(machine: MachineSpec, shell: GuestShell, lane: str, context: RunContext, *, restart: bool) -> None:
    starting = start_unit(machine, shell, lane, context, restart=restart, timeout_s=context.timeouts.server_s)
    await_api(machine, shell, lane, context, starting=starting)


def _note_beside(source: Path | None) -> SnapshotNote | None:
    path = source.with_name(source.name + NOTE) if source else None
    return parse_note(_text_of(path)) if path is not None and path.is_file() else None


def _text_of(path: Path) -> str:
    """A file beside a snapshot. Raises HomelabError."""
    try:
        return read_regular_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise HomelabError(
            f"{path} cannot be read", details=str(error), resolution="make it readable, or remove it"
        ) from error


def _token_of(source: Path | None, name: str, note: SnapshotNote | None, context: RunContext) -> str:
    """The short token of the snapshot's time: beside it, else the one that we know counted then."""
    beside = source.with_name(source.name + TOKEN) if source else None
    if beside is not None and beside.is_file():
        return short_form(check_token(_text_of(beside), source=str(beside)))
    state, cluster = context.ports.state, context.spec.name
    before = parse_old_tokens(state.read(cluster, OLD_TOKENS) or "")
    now = state.read(cluster, TOKEN_ITEM) or context.token
    token = token_at(note.made_s if note else made_s(name), now=now, before=before)
    if not token:
        raise HomelabError(
            f"the token for the snapshot {name} is not on this computer",
            details="it encrypts the cluster's certificates and keys in the snapshot",
            resolution=f"put it into {name}{TOKEN} next to the snapshot, on one line",
        )
    return check_token(token, source="the state directory")


def _keep_token(token: str, context: RunContext) -> None:
    """Where the snapshot's token is an older one, the one that counted until now belongs to newer snapshots."""
    state, cluster = context.ports.state, context.spec.name
    now = short_form(state.read(cluster, TOKEN_ITEM) or "")
    if now and now != token:
        before = parse_old_tokens(state.read(cluster, OLD_TOKENS) or "")
        after = with_old_token(before, now, until_s=context.ports.processes.unix_s())
        state.write(cluster, OLD_TOKENS, render_old_tokens(after))


def _tidy(access: ClusterAccess, machine: MachineSpec, shell: GuestShell, lane: str, context: RunContext) -> str:
    """Make the old nodes' list true again: passwords and addresses that have changed since, machines that are no more.

    The server's own node stays: deleting it would take the only member out of etcd.
    """
    ours = {place.machine for place in context.findings.places.values()}
    _forget_passwords(sorted(ours), shell, lane, context)
    kube = writes(lane, context)
    put_right(machine, lane, context)
    listed = once_it_answers(access.kube.kube_nodes, what="Kubernetes to list its nodes", lane=lane, context=context)
    gone = sorted(kube_node.name for kube_node in listed if kube_node.name not in ours)
    for name in gone:
        kube.delete_kube_node(name)
    return f"removed the nodes {', '.join(gone)}, which have no machine" if gone else ""


def _forget_passwords(names: Sequence[str], shell: GuestShell, lane: str, context: RunContext) -> None:
    def act() -> None:
        try:
            run_script(shell, "forget-passwords.sh", context, NODES=" ".join(names))
        except ScriptError as error:  # kubectl on the server says no more than whether it could
            raise KubeUnreachableError(error.brief, details=error.details) from error

    once_it_answers(act, what="Kubernetes to delete the nodes' passwords", lane=lane, context=context)


def rejoin_server(step: RejoinServer, lane: str, context: RunContext) -> Done:
    """Have a stopped server in the restored cluster, with the data of that alone."""
    machine = step.machine
    shell = context.findings.shells.need(machine.name)
    access = context.findings.access.need(CLUSTER)
    _join_settings(machine, shell, access, context)
    run_script(shell, "rejoin.sh", context)
    put_right(machine, lane, context)
    context.findings.restored.put(machine.name, True)
    start_unit(machine, shell, lane, context, restart=False, timeout_s=context.timeouts.server_s)
    return Done()


def _join_settings(machine: MachineSpec, shell: GuestShell, access: ClusterAccess, context: RunContext) -> None:
    """First, since a server without its data and without another to join would begin a cluster of its own."""
    join = context.spec.vip.address if context.spec.vip else access.address
    install(machine, shell, context, tokens=access.tokens, etcd=False, join=join)
