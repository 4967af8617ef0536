"""The handler of the step that saves the cluster's data: on a server, in the bucket, here; and old ones go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.errors import GuestError, HomelabError, KubernetesError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.scripts import parse_lines, run_script
from bootstrap.execution.handlers.k3s.join import CLUSTER
from bootstrap.execution.k3s.sidecar_files import place_for, put_in_place, write_beside
from bootstrap.k3s.config import render_bucket
from bootstrap.model.observed import Snapshot
from bootstrap.planning.day2_steps import TakeSnapshot, Upload
from bootstrap.planning.settings.snapshot_retention import folder_of, surplus
from bootstrap.ports import GuestScript, GuestShell
from bootstrap.records.snapshot_note import (
    NOTE,
    TOKEN,
    SnapshotNote,
    has_keys,
    in_bucket,
    needed_bucket,
    parse_on_disk,
    parse_taken,
    render_note,
)

COPY = "snapshot.out"
"""What snapshot.sh leaves for us to fetch."""

MEND = Advice(
    "check the bucket's endpoint, keys and rights (backup.s3 in the inventory), then `homelab-k8s backup --to s3`"
)

Lines = dict[str, list[str]]


def take_snapshot(step: TakeSnapshot, _lane: str, context: RunContext) -> Done:
    """Have a new snapshot on the server, in the bucket where asked, and in a directory here where asked."""
    shell = context.findings.shells.need(step.machine)
    script = GuestScript(
        name="snapshot.sh",
        env=(
            ("NAME", step.name),
            ("NODE", str(step.machine)),
            ("FETCH", "1" if step.to is not None else "0"),
            ("BUCKET", step.upload.value),
        ),
        secret_files=_bucket_file(step, context),
    )
    told = parse_lines(shell.run(script, timeout_s=context.timeouts.server_s))
    note = _note(told, step, context)
    place = note.name
    if step.to is not None:
        place = str(_fetch(shell, step.to, note, context))
        run_script(shell, "drop-snapshot-copy.sh", context)
    _tell_trouble(step, note.name, told, context)
    _drop_surplus(step, note.name, shell, context, in_bucket_too=told.get("bucket") == ["sent"])
    return Done(note=place)


def _bucket_file(step: TakeSnapshot, context: RunContext) -> tuple[tuple[str, str], ...]:
    """The bucket's settings; none where the server is to go by its own, since the keys are not known here."""
    if step.upload is Upload.NO or (step.upload is Upload.TRY and not has_keys(context.spec)):
        return ()
    return (("snapshot.yaml", render_bucket(needed_bucket(context.spec), step.machine)),)


def _note(told: Lines, step: TakeSnapshot, context: RunContext) -> SnapshotNote:
    one = {key: values[0] for key, values in told.items()}
    try:
        return parse_taken(one, prefix=step.name, server=step.machine, cluster=context.spec.name)
    except ValueError as error:
        raise GuestError(f"{step.machine}: snapshot.sh did not report its snapshot", details=str(error)) from error


def _fetch(shell: GuestShell, directory: Path, note: SnapshotNote, context: RunContext) -> Path:
    """The snapshot comes last: where it is, the files that belong to it are, too."""
    target = place_for(directory, note)
    token = context.findings.access.need(CLUSTER).token
    write_beside(target, TOKEN, f"{token}\n")
    write_beside(target, NOTE, render_note(note))
    part = target.with_name(f".{target.name}.fetched")
    try:
        shell.download(COPY, target=part)
        put_in_place(part, target, note)
    finally:
        part.unlink(missing_ok=True)
    return target


def _tell_trouble(step: TakeSnapshot, name: str, told: Lines, context: RunContext) -> None:
    """Fail, or warn where it was only tried, if the snapshot did not get into the bucket."""
    if told.get("bucket") != ["failed"]:
        return
    reason = _reason(name, context) or next(iter(told.get("bucket_problem", [])), "")
    s3 = context.spec.backup.s3
    bucket = f"the bucket {s3.bucket}" if s3 is not None else "its bucket"
    if step.upload is Upload.MUST:
        raise GuestError(
            f"{step.machine}: the snapshot {name} is on this server, but not in {bucket}",
            details=reason,
            resolution=MEND,
        )
    context.warn(step.machine)(Advice("{} is on this server, but not in {}: {}; {}", name, bucket, reason, MEND))


def _reason(name: str, context: RunContext) -> str:
    """What k3s wrote into its record of the upload; empty where it wrote none, or nobody tells."""
    return next((each.problem for each in _records(context) if each.name == name and each.problem), "")


def _records(context: RunContext) -> tuple[Snapshot, ...]:
    try:
        return context.findings.access.need(CLUSTER).kube.snapshots()
    except KubernetesError:
        return ()


def _drop_surplus(
    step: TakeSnapshot, name: str, shell: GuestShell, context: RunContext, *, in_bucket_too: bool
) -> None:
    """Have no more than `keep` of this kind and server, by their names alone. Trouble with that is a warning."""
    if step.keep is None:
        return
    try:
        there = list(_on_disk(step, shell, context))
        surplus_here = surplus(name, there, keep=step.keep, cluster=context.spec.name)
        surplus_there = surplus(name, _in_bucket(context), keep=step.keep, cluster=context.spec.name)
        gone = dict.fromkeys([*surplus_here, *(surplus_there if in_bucket_too else ())])
        if not gone:
            return
        script = GuestScript(
            name="drop-snapshots.sh",
            env=(("NAMES", " ".join(gone)), ("BUCKET", "yes" if in_bucket_too else "no")),
            secret_files=_bucket_file(step, context) if in_bucket_too else (),
        )
        shell.run(script, timeout_s=context.timeouts.script_s)
    except HomelabError as error:
        context.warn(step.machine)(f"old snapshots could not be removed: {error}; the next one tries again")


def _on_disk(step: TakeSnapshot, shell: GuestShell, context: RunContext) -> Iterable[str]:
    told = parse_lines(shell.run(GuestScript(name="list-snapshots.sh"), timeout_s=context.timeouts.script_s))
    listed = (parse_on_disk(line, step.machine) for line in told.get("snapshot", []))
    return (each.name for each in listed if each is not None)


def _in_bucket(context: RunContext) -> list[str]:
    """Names in the folder that new ones go to."""
    s3 = context.spec.backup.s3
    if s3 is None:
        return []
    return [
        each.name for each in _records(context) if in_bucket(each) and not each.problem and folder_of(each) == s3.folder
    ]
