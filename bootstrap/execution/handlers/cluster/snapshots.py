"""The handler of the step that saves the cluster's data: on a server, in the bucket, here; and old ones go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.errors import GuestError, HomelabError, KubernetesError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.scripts import Lines
from bootstrap.execution.k3s.sidecar_files import place_for, put_in_place, write_beside
from bootstrap.execution.k3s.snapshot_names import keep_names
from bootstrap.k3s.config import render_bucket
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Snapshot
from bootstrap.planning.day2_steps import TakeSnapshot, Upload
from bootstrap.planning.settings.snapshot_retention import folder_of, surplus, surplus_here
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

CHECK_BUCKET = Advice(
    "check the bucket's endpoint, keys and rights (backup.s3 in the inventory), then `homelab-k8s backup --to s3`"
)


def take_snapshot(step: TakeSnapshot, context: RunContext) -> Done:
    """Take a snapshot on the server, and put it into the bucket and a directory here where asked."""
    told = context.run(
        step.machine,
        "snapshot.sh",
        timeout_s=context.timeouts.server_s,
        files=_bucket_file(step, context),
        NAME=step.name,
        NODE=str(step.machine),
        FETCH="1" if step.to is not None else "0",
        BUCKET=step.upload.value,
    ).lines
    note = _note(told, step, context)
    keep_names([note.name], context.spec.name, context.ports, further=True)
    place = note.name
    if step.to is not None:
        place = str(_fetch(step.machine, step.to, note, context))
        context.run(step.machine, "drop-snapshot-copy.sh")
    _tell_trouble(step, note.name, told, context)
    _drop_surplus(step, note.name, context, in_bucket_too=told.get("bucket") == ["sent"])
    if step.to is not None and step.keep_here is not None:
        _drop_here(step.to, step.name, step.keep_here, context)
    return Done(note=place)


def _bucket_file(step: TakeSnapshot, context: RunContext) -> dict[str, str]:
    """The bucket's settings; none where the server is to go by its own, since the keys are not known here."""
    if step.upload is Upload.NO or (step.upload is Upload.TRY and not has_keys(context.spec)):
        return {}
    return {"snapshot.yaml": render_bucket(needed_bucket(context.spec), step.machine)}


def _note(told: Lines, step: TakeSnapshot, context: RunContext) -> SnapshotNote:
    one = {key: values[0] for key, values in told.items()}
    try:
        return parse_taken(one, prefix=step.name, server=step.machine, cluster=context.spec.name)
    except ValueError as error:
        raise GuestError(f"{step.machine}: snapshot.sh did not report its snapshot", details=str(error)) from error


def _fetch(machine: MachineName, directory: Path, note: SnapshotNote, context: RunContext) -> Path:
    """The snapshot comes last: where it is, the files that belong to it are, too."""
    target = place_for(directory, note)
    write_beside(target, TOKEN, f"{context.access.token}\n")
    write_beside(target, NOTE, render_note(note))
    part = target.with_name(f".{target.name}.fetched")
    try:
        context.shell(machine).download(COPY, target=part)
        put_in_place(part, target, note)
    finally:
        part.unlink(missing_ok=True)
    return target


def _tell_trouble(step: TakeSnapshot, name: str, told: Lines, context: RunContext) -> None:
    """Fail, or warn where it was only tried, if the snapshot did not get into the bucket."""
    if told.get("bucket") != ["failed"]:
        return
    reason = _reason(name, context) or told.one("bucket_problem")
    s3 = context.spec.backup.s3
    bucket = f"the bucket {s3.bucket}" if s3 is not None else "its bucket"
    if step.upload is Upload.MUST:
        raise GuestError(
            f"{step.machine}: the snapshot {name} is on this server, but not in {bucket}",
            details=reason,
            resolution=CHECK_BUCKET,
        )
    problem = Advice("{} is on this server, but not in {}: {}; {}", name, bucket, reason, CHECK_BUCKET)
    context.warn(problem, subject=step.machine)


def _reason(name: str, context: RunContext) -> str:
    """What k3s wrote into its record of the upload; empty where it wrote none, or the API does not answer."""
    return next((each.problem for each in _records(context) if each.name == name and each.problem), "")


def _records(context: RunContext) -> tuple[Snapshot, ...]:
    try:
        return context.kube.snapshots()
    except KubernetesError:
        return ()


def _drop_surplus(step: TakeSnapshot, name: str, context: RunContext, *, in_bucket_too: bool) -> None:
    """Remove all but the newest `keep` of this kind and server, by their names. A failure is only a warning."""
    if step.keep is None:
        return
    try:
        surplus_here = surplus(name, list(_on_disk(step, context)), keep=step.keep, cluster=context.spec.name)
        surplus_there = surplus(name, _in_bucket(context), keep=step.keep, cluster=context.spec.name)
        gone = dict.fromkeys([*surplus_here, *(surplus_there if in_bucket_too else ())])
        if not gone:
            return
        context.run(
            step.machine,
            "drop-snapshots.sh",
            files=_bucket_file(step, context) if in_bucket_too else None,
            NAMES=" ".join(gone),
            BUCKET="yes" if in_bucket_too else "no",
        )
    except HomelabError as error:
        problem = f"old snapshots could not be removed: {error}; the next one tries again"
        context.warn(problem, subject=step.machine)


def _drop_here(directory: Path, kind: str, keep: int, context: RunContext) -> None:
    """Remove all but the newest fetched ones of a kind, of all servers. A failure is only a warning."""
    try:
        names = [path.name for path in directory.iterdir() if path.is_file()]
        for name in surplus_here(kind, names, keep=keep, cluster=context.spec.name):
            for ending in ("", NOTE, TOKEN):
                (directory / f"{name}{ending}").unlink(missing_ok=True)
    except OSError as error:
        context.warn(f"old snapshots in {directory} could not be removed: {error}; the next backup tries again")


def _on_disk(step: TakeSnapshot, context: RunContext) -> Iterable[str]:
    told = context.run(step.machine, "list-snapshots.sh").lines.get("snapshot", [])
    listed = (parse_on_disk(line, step.machine) for line in told)
    return (each.name for each in listed if each is not None)


def _in_bucket(context: RunContext) -> list[str]:
    """Names in the folder that new ones go to."""
    s3 = context.spec.backup.s3
    if s3 is None:
        return []
    return [
        each.name for each in _records(context) if in_bucket(each) and not each.problem and folder_of(each) == s3.folder
    ]
