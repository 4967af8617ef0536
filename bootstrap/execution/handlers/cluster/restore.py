"""Handlers of the steps that bring the cluster's data back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap.errors import HomelabError, KubeUnreachableError, ScriptError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.handlers.cluster.identity import keep_old_token
from bootstrap.execution.handlers.k3s.join import correct_address, gain_access, install, install_to_join
from bootstrap.execution.handlers.k3s.upgrade import await_etcd
from bootstrap.execution.k3s.identity import put_passwords
from bootstrap.execution.k3s.kube_retries import KubeWrites, once_it_answers
from bootstrap.execution.k3s.service import await_api, start_unit
from bootstrap.inventory.regular import read_regular_text
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.planning.day2_steps import RejoinServer, RestoreSnapshot, StopK3s
from bootstrap.records.snapshot_note import NOTE, SQLITE, TOKEN, SnapshotNote, made_s, parse_note
from bootstrap.records.state.state_items import OLD_TOKENS
from bootstrap.records.state.state_items import TOKEN as TOKEN_ITEM
from bootstrap.records.state.token_history import ClusterTokens, check_token, parse_old_tokens, short_form, token_at

SENT = "snapshot.in"
"""What restore.sh finds a snapshot from here as."""


@dataclass(frozen=True)
class _Snapshot:
    """The snapshot of a step.

    Attributes:
        name: Its own.
        file: Where it is here; None where it is on the server or in the bucket.
        note: What lies beside it here.
    """

    name: str
    file: Path | None
    note: SnapshotNote | None

    @classmethod
    def of(cls, step: RestoreSnapshot) -> _Snapshot:
        if not isinstance(step.source, Path):
            return cls(str(step.source), None, None)
        text = _text_beside(step.source, NOTE)
        return cls(step.source.name, step.source, None if text is None else parse_note(text))

    @property
    def is_etcd(self) -> bool:
        return not self.name.endswith(SQLITE)

    def token(self, context: RunContext) -> str:
        """The short token of its time: beside it, else the one that we know counted then."""
        beside = _text_beside(self.file, TOKEN) if self.file else None
        if beside is not None:
            return short_form(check_token(beside, source=f"{self.file}{TOKEN}"))
        before = parse_old_tokens(context.read_item(OLD_TOKENS) or "")
        now = context.read_item(TOKEN_ITEM) or context.token
        token = token_at(self.note.made_s if self.note else made_s(self.name), now=now, before=before)
        if not token:
            raise HomelabError(
                f"the token for the snapshot {self.name} is not on this computer",
                details="it encrypts the cluster's certificates and keys in the snapshot",
                resolution=f"put it into {self.name}{TOKEN} next to the snapshot, on one line",
            )
        return check_token(token, source="the state directory")


def _text_beside(snapshot: Path, ending: str) -> str | None:
    """A file beside a snapshot, if there is one. Raises HomelabError."""
    path = snapshot.with_name(snapshot.name + ending)
    if not path.is_file():
        return None
    try:
        return read_regular_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise HomelabError(
            f"{path} cannot be read", details=str(error), resolution="make it readable, or remove it"
        ) from error


def stop_k3s(step: StopK3s, context: RunContext) -> Done:
    """Stop k3s; a server's data is marked as given up, so that nothing starts it by mistake."""
    mark = "1" if step.machine.role is Role.CONTROL_PLANE else "0"
    timeout_s, unit = context.timeouts.server_s, step.machine.role.unit
    lines = context.run(step.machine.name, "stop-k3s.sh", timeout_s=timeout_s, UNIT=unit, MARK=mark).lines
    return Done(changed=lines.flag("changed"))


def restore_snapshot(step: RestoreSnapshot, context: RunContext) -> Done:
    """Restore the snapshot's data on the server, with the token and the CAs that belong to it.

    It first serves alone, without its kubelet, and sqlite's data as sqlite: `cluster-init` beside a state.db has k3s
    make new CAs and keys before it has read those in the data, and no Secret can be read with them (1.36, seen).
    During that time the nodes are corrected, which show the machines as they were.
    """
    machine = step.machine
    snapshot = _Snapshot.of(step)
    token, etcd = snapshot.token(context), snapshot.is_etcd
    tokens = ClusterTokens(server=token, agent=context.agent_token)
    install(machine, context, tokens=tokens, etcd=etcd, join=None, alone=True)
    _put_back(step, snapshot, token, context)
    _keep_token(token, context)
    context.findings.restored.put(machine.name, True)
    _serve(machine, context, restart=False)
    if gain_access(machine, context).agent_token:
        # The agents' token stays what it is, whatever the data has: until it has it too, no start but ours succeeds.
        put_passwords(machine.name, token, context)
    note = _tidy(machine, context)
    moves = not etcd and context.spec.control_plane.count > 1
    install(machine, context, tokens=tokens, etcd=etcd or moves, join=None)
    _serve(machine, context, restart=True)
    if moves:
        await_etcd(machine, context)
    return Done(note=note)


def _put_back(step: RestoreSnapshot, snapshot: _Snapshot, token: str, context: RunContext) -> None:
    """Put the snapshot's data in the place of the server's."""
    if snapshot.file is not None:
        context.shell(step.machine.name).upload(snapshot.file, name=SENT)
    context.run(
        step.machine.name,
        "restore.sh",
        timeout_s=context.timeouts.server_s,
        files={"restore-token": f"{token}\n"},
        NAME=snapshot.name,
        FROM="sent" if snapshot.file else "s3" if step.s3 else "disk",
        FOLDER=step.folder,
        CA=snapshot.note.ca if snapshot.note else "",
    )


def _serve(machine: MachineSpec, context: RunContext, *, restart: bool) -> None:
    await_api(machine, context, starting=start_unit(machine, context, restart=restart))


def _keep_token(token: str, context: RunContext) -> None:
    """Where the snapshot's token is an older one, the one that counted until now belongs to newer snapshots."""
    now = short_form(context.read_item(TOKEN_ITEM) or "")
    if now and now != token:
        keep_old_token(now, context)


def _tidy(machine: MachineSpec, context: RunContext) -> str:
    """Make the old nodes' list true again: passwords and addresses that have changed since, machines that are no more.

    The server's own node stays: deleting it would take the only member out of etcd.
    """
    ours = {place.machine for place in context.findings.places.values()}
    _forget_passwords(machine, sorted(ours), context)
    correct_address(machine, context)
    listed = once_it_answers(context.kube.kube_nodes, what="Kubernetes to list its nodes", context=context)
    gone = sorted(kube_node.name for kube_node in listed if kube_node.name not in ours)
    for name in gone:
        KubeWrites(context).delete_kube_node(name)
    return f"removed the nodes {', '.join(gone)}, which have no machine" if gone else ""


def _forget_passwords(machine: MachineSpec, names: Sequence[str], context: RunContext) -> None:
    def act() -> None:
        try:
            context.run(machine.name, "forget-passwords.sh", NODES=" ".join(names))
        except ScriptError as error:  # kubectl on the server says no more than whether it could
            raise KubeUnreachableError(error.brief, details=error.details) from error

    once_it_answers(act, what="Kubernetes to delete the nodes' passwords", context=context)


def rejoin_server(step: RejoinServer, context: RunContext) -> Done:
    """Join a stopped server to the restored cluster, without its own data."""
    machine = step.machine
    # First: a server without its data and without another to join would begin a cluster of its own.
    install_to_join(machine, context)
    context.run(machine.name, "rejoin.sh")
    correct_address(machine, context)
    context.findings.restored.put(machine.name, True)
    start_unit(machine, context, restart=False)
    return Done()
