"""`homelab-k8s status`: the state of the cluster, once or until Ctrl-C."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Common, ControlPlanes, Lab, ProgressForm, Target, Workers
from bootstrap.cli.running.command_session import Work, working
from bootstrap.cli.text import documents
from bootstrap.cli.text.documents import Document, Output
from bootstrap.cli.text.status import status_text
from bootstrap.cli.text.wrapping import fitted
from bootstrap.cli.views.choose import Progress
from bootstrap.errors import HomelabError, InventoryError
from bootstrap.model.visible import visible, visible_json

if TYPE_CHECKING:
    from bootstrap.commands.reports.status_values import ClusterStatus

UNHEALTHY = 1
WATCH_EVERY_S = 2.0
_CLEAR, _HOME, _TO_LINE_END, _TO_END = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"


class StatusOutput(StrEnum):
    """The form of a status."""

    TEXT = "text"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


_FOR_PEOPLE = (StatusOutput.TEXT, StatusOutput.WIDE)


@with_options
def status(
    *,
    target: Target,
    workers: Workers = None,
    control_planes: ControlPlanes = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every 2 seconds until Ctrl-C.")] = False,
    lab: Lab = False,
    progress: ProgressForm = Progress.AUTO,
    output: Annotated[
        StatusOutput, typer.Option("--output", "-o", help="Output format; wide also shows sizes.")
    ] = StatusOutput.TEXT,
) -> None:
    """Show machines, Kubernetes nodes and Proxmox nodes, and how to fix each problem.

    Exit code 0 if all is well, 1 if there are problems.
    """
    from bootstrap.inventory import Overrides

    overrides = Overrides(cluster=target.cluster, workers=workers, control_planes=control_planes)
    with working("status", target, Common(lab=lab, progress=progress), overrides=overrides) as work:
        from bootstrap.commands.reports.status import cluster_status

        found = work.look(lambda: work.homelab.look(cluster_status))
        if watch:
            _watch(work, found, output)
        else:
            work.session.result(_rendered(work, found, output), fit=output in _FOR_PEOPLE)
            if not found.healthy:
                raise typer.Exit(UNHEALTHY)


def _rendered(work: Work, found: ClusterStatus, output: StatusOutput, *, watched: bool = False) -> str:
    if output in _FOR_PEOPLE:
        return status_text(found, wide=output is StatusOutput.WIDE, width=work.width, advise=work.session.advise)
    document = documents.status_document(found)
    for key in ("problems", "notices"):
        document[key] = list(map(work.session.advise, document[key]))
    return _document(document, output, watched=watched)


def _document(document: Document, output: StatusOutput, *, watched: bool) -> str:
    """The document; with `--watch`, JSON takes one line, so that a program can read line by line."""
    if watched and output is StatusOutput.JSON:
        return visible_json(json.dumps(document, ensure_ascii=False))
    return documents.render(document, Output(output.value))


def _watch(work: Work, found: ClusterStatus, output: StatusOutput) -> None:
    """Show the status until Ctrl-C. A state that cannot be read is reported, and read again later."""
    shown = ""
    redraws = sys.stdout.isatty() and output in _FOR_PEOPLE
    text = _rendered(work, found, output, watched=True)
    try:
        while True:
            if redraws:
                work.session.result(_screen(text, first=not shown), drawn=True)
            elif text != shown:
                work.session.result(_appended(text, output), fit=output in _FOR_PEOPLE)
            shown = text
            work.session.stop.wait(WATCH_EVERY_S)
            text = _next(work, output)
    except KeyboardInterrupt:
        if redraws:
            work.session.result("")


def _next(work: Work, output: StatusOutput) -> str:
    from bootstrap.commands.reports.status import cluster_status

    try:
        return _rendered(work, work.homelab.look(cluster_status), output, watched=True)
    except InventoryError:
        raise
    except HomelabError as error:
        if output in _FOR_PEOPLE:
            return f"cannot read the state: {error}"
        return _document({"error": str(error)}, output, watched=True)


def _screen(text: str, *, first: bool) -> str:
    """A text that replaces all that the terminal shows, without flicker."""
    size = shutil.get_terminal_size()
    rows = fitted(visible(text), size.columns).splitlines()
    lines = [f"every {WATCH_EVERY_S:.0f} s, Ctrl-C ends; {_now()}", "", *rows]
    room = size.lines - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], f"... and {len(lines) - room + 1} more lines"]
    body = "\n".join(f"{line[: size.columns]}{_TO_LINE_END}" for line in lines)
    return f"{_CLEAR if first else ''}{_HOME}{body}{_TO_END}\n"


def _appended(text: str, output: StatusOutput) -> str:
    match output:
        case StatusOutput.JSON:
            return text
        case StatusOutput.YAML:
            return f"---\n{text}"
        case _:
            return f"{_now()}\n{text}\n"


def _now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
