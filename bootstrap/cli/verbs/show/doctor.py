"""`homelab-k8s doctor`: checks what `up` needs, and the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Common, ControlPlanes, Target, Workers
from bootstrap.cli.running.command_session import working
from bootstrap.cli.text import documents
from bootstrap.cli.text.invocation import Invocation
from bootstrap.cli.text.wrapping import COMMANDS, wrapped

if TYPE_CHECKING:
    from bootstrap.commands.reports.doctor import Diagnosis
    from bootstrap.planning.checks.doctor import Check

FAILED = 4


@with_options
def doctor(
    *,
    target: Target,
    workers: Workers = None,
    control_planes: ControlPlanes = None,
    common: Common,
) -> None:
    """Check everything `up` needs, and the cluster if it exists. Exit code 0, or 4 if a check failed."""
    from bootstrap.inventory import Overrides
    from bootstrap.planning.checks.doctor import Verdict

    overrides = Overrides(cluster=target.cluster, workers=workers, control_planes=control_planes)
    with working("doctor", target, common, overrides=overrides) as work:
        from bootstrap.commands.reports.doctor import diagnose

        at = work.homelab.inventory
        found = _advising(
            work.look(lambda: diagnose(at.spec, at.endpoint, work.homelab.ports)),
            work.session.invocation,
        )
        work.result(lambda: diagnosis_text(found, width=work.width), lambda: documents.doctor_document(found))
        if found.verdict is Verdict.FAILED:
            raise typer.Exit(FAILED)


def _advising(diagnosis: Diagnosis, invocation: Invocation) -> Diagnosis:
    """The diagnosis with the commands in it completed."""
    return replace(
        diagnosis,
        checks=tuple(
            replace(
                check,
                says=invocation.complete(check.says),
                remedy=invocation.complete(check.remedy),
            )
            for check in diagnosis.checks
        ),
    )


def diagnosis_text(diagnosis: Diagnosis, *, width: int = 0) -> str:
    """A paragraph for each check, wrapped to a width (0: no limit) but for commands, and a summary."""
    margin = max(len(check.name) for check in diagnosis.checks) + 2
    lines = [line for check in diagnosis.checks for line in _lines(check, margin, width)]
    counts = Counter(str(check.verdict) for check in diagnosis.checks)
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("ok", "warning", "failed", "skipped"))
    return "\n".join([*lines, "", f"{diagnosis.cluster}: {summary}"])


def _lines(check: Check, margin: int, width: int) -> Iterator[str]:
    verdict = f"{check.verdict:<9}"
    start, indent = f"{verdict}{check.name:<{margin}}", " " * (len(verdict) + margin)
    for line in check.says.splitlines():
        yield wrapped(line, width=width, first=start, rest=indent)
        start = indent
    arrow = "→ "
    for line in check.remedy.splitlines():
        if line.startswith(COMMANDS):
            yield f"{' ' * len(verdict)}{line}"
        else:
            yield wrapped(line, width=width, first=indent + arrow, rest=indent + "  ")
        arrow = "  "
