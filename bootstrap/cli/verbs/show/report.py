"""`homelab-k8s report`: a recorded run as an HTML page."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bootstrap.cli.completing import run_names
from bootstrap.cli.running.runs import find_recording, read_recording, runs_directory, write_output
from bootstrap.cli.running.session import Session
from bootstrap.cli.views.choose import Progress

STDOUT = "-"


class Open(StrEnum):
    """Whether to open the page in a browser."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            autocompletion=run_names,
            help="Recorded run: its name, the start of its name, or a file. Default: the newest.",
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Output file; default: RUN.html, - for stdout.")
    ] = None,
    show: Annotated[Open, typer.Option("--open", help="Open the report in a browser; auto: if there is a desktop.")] = (
        Open.AUTO
    ),
) -> None:
    """Write an HTML report of a recorded run: each machine's steps over time, waits and the critical path."""
    with Session("report", progress=Progress.QUIET) as session:
        from bootstrap.reporting.page import render_page

        recording = find_recording(run, runs_directory())
        page = render_page(read_recording(recording))
        if output == STDOUT:
            session.result(page)
            return
        path = Path(output) if output else Path(f"{recording.stem}.html")
        write_output(path, page)
        session.result(str(path))
        if show is Open.YES or (show is Open.AUTO and _has_desktop()):
            _browse(path.absolute().as_uri(), session.environment())


def _browse(url: str, environment: dict[str, str]) -> None:
    """Open a page in a browser. A browser keeps its environment and passes it on, so it gets no secrets."""
    import subprocess

    code = "import sys, webbrowser; webbrowser.open(sys.argv[1])"
    # Isolated, so that no module is imported from the current directory.
    subprocess.run([sys.executable, "-I", "-c", code, url], env=environment, check=False)


def _has_desktop() -> bool:
    """Whether a user sits at a graphical session of this machine."""
    graphical = sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return graphical and sys.stdout.isatty() and not os.environ.get("SSH_CONNECTION")
