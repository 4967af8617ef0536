"""`homelab-k8s maintain`: upkeep without anybody there, and the timer that starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.cli.asking.confirm import Question, confirm
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, Target
from bootstrap.cli.running.command_session import Work, run_options, working
from bootstrap.cli.running.runs import check_trace
from bootstrap.cli.text import maintain as text
from bootstrap.cli.text import units
from bootstrap.cli.text.documents import Output
from bootstrap.errors import ClusterBusyError, HomelabError, InterruptedRunError, PreflightError, UsageError
from bootstrap.events import Warned

if TYPE_CHECKING:
    from bootstrap.commands.verbs.maintain import Ended, Maintain
    from bootstrap.planning.verbs.maintain import Upkeep

_MOST_ASKED = 10


@with_options
def maintain(
    *,
    now: Annotated[bool, typer.Option("--now", help="Ignore the window of the inventory.")] = False,
    install: Annotated[
        bool, typer.Option("--install", help="Write and start a systemd timer that runs this daily.")
    ] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Stop and remove that timer.")] = False,
    system: Annotated[
        bool, typer.Option("--system", help="With --install or --uninstall: a timer of the system; needs root.")
    ] = False,
    target: Target,
    acting: Acting,
) -> None:
    """Back up, take new k3s releases, renew the template and machines, prune; stop at what is not healthy.

    Looks first: if `status` or `doctor` find a problem, nothing is changed (exit code 4). Machines are upgraded and
    replaced one at a time, inside the window of the inventory's `maintain` section.
    """
    if install and uninstall:
        raise typer.BadParameter("pass either --install or --uninstall")
    if system and not (install or uninstall):
        raise typer.BadParameter("--system belongs to --install or --uninstall")
    with working("maintain", target, acting.common) as work:
        if install or uninstall:
            _change_timer(work, target, acting, install=install, system=system)
        else:
            _maintain(work, acting, now=now)


def _maintain(work: Work, acting: Acting, *, now: bool) -> None:
    from bootstrap.commands.verbs.maintain import Maintain

    check_trace(acting.trace)
    cluster, verb = work.homelab.inventory.spec.name, Maintain(endpoint=work.homelab.inventory.endpoint, any_time=now)
    if acting.dry_run:
        upkeep = work.look(lambda: work.homelab.look(verb.look))
        work.result(lambda: text.foreseen_text(cluster, upkeep), lambda: text.foreseen_document(cluster, upkeep))
        return
    urls = _urls(work)
    done: list[Ended] = []
    try:
        upkeep = _run(work, acting, verb, done)
    except (UsageError, InterruptedRunError, ClusterBusyError):
        raise
    except HomelabError as error:
        _notify(work, urls, f"{cluster}: upkeep stopped", text.failure_text(error, done, work.session.advise))
        raise
    if text.changes(done):
        _notify(work, urls, f"{cluster}: upkeep done", text.done_text(cluster, done, upkeep))
    work.result(lambda: text.done_text(cluster, done, upkeep), lambda: text.done_document(cluster, done, upkeep))


def _run(work: Work, acting: Acting, verb: Maintain, done: list[Ended]) -> Upkeep:
    """Look, ask, and do it."""
    from dataclasses import replace

    spec, ports = work.homelab.inventory.spec, work.homelab.ports
    upkeep = work.look(lambda: work.homelab.look(verb.look))
    if upkeep.changes and not acting.yes:
        from bootstrap.errors import some_of
        from bootstrap.planning.plan import Plan

        planned = Plan(command="maintain", cluster=spec.name, machines=(), lanes=(), vmids=spec.placement.vmids)
        confirm(planned, Question(f"This will {some_of(upkeep.tasks, _MOST_ASKED)}."))
    with work.session.running(trace=acting.trace):
        options = replace(run_options(acting.timeout), stop=work.session.stop)
        return verb.run(upkeep, spec, ports, sink=work.session.sink, options=options, on_end=done.append)


def _urls(work: Work) -> list[str]:
    """The URLs of notices; one that cannot be read is a warning, since the upkeep matters more."""
    from bootstrap.inventory.files import Places
    from bootstrap.inventory.secret_sources import read_secret_line
    from bootstrap.inventory.values.scalars import RefusedError

    inventory = work.inventory_file
    places = Places(base=inventory.absolute().parent if inventory is not None else Path.cwd(), environ=os.environ)
    urls = []
    for number, stored in enumerate(work.homelab.inventory.spec.maintain.notify):
        try:
            url = read_secret_line(places, stored)
        except RefusedError as refused:
            said = "; ".join(filter(None, (refused.message, refused.hint)))
            _warn(work, f"no notices to maintain.notify[{number}]: {said}")
            continue
        work.session.masker.add(url)
        for part in _parts(url):
            work.session.masker.add(part)
        urls.append(url)
    if urls and (lack := work.homelab.ports.notices.why_not()):
        _warn(work, lack)
        return []
    return urls


def _parts(url: str) -> list[str]:
    """What of a URL may be a secret by itself: user, password, topic, tokens."""
    import re
    from urllib.parse import unquote

    rest = url.partition("://")[2]
    parts = [part for part in re.split(r"[/:@?&=,]", rest) if not re.fullmatch(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+", part)]
    return [form for part in parts for form in (part, unquote(part))]


def _notify(work: Work, urls: list[str], title: str, body: str) -> None:
    """Send notices; one that is not delivered is a warning."""
    masker = work.session.masker
    told = masker.all(body)
    for number, url in enumerate(urls, start=1):
        problem = work.homelab.ports.notices.send(url, title=f"homelab-k8s: {title}", text=told)
        if problem:
            _warn(work, f"notice {number} of {len(urls)} was not delivered: {masker.all(problem)}")


def _warn(work: Work, message: str) -> None:
    work.session.sink(Warned(subject="notices", message=message))


def _change_timer(work: Work, target: Target, acting: Acting, *, install: bool, system: bool) -> None:
    timers, cluster = work.homelab.ports.timers, work.homelab.inventory.spec.name
    lack = timers.why_not()
    if lack:
        raise PreflightError(
            f"{lack}: no timer can be installed",
            resolution=f"have cron run it daily: add this line with `crontab -e`\n"
            f"{units.cron_line(_command(work, target, acting), at=_daily_at(work))}",
        )
    name = units.unit_name(cluster)
    if install:
        _install(work, target, acting, timer=f"{name}.timer", system=system)
        return
    names = [f"{name}.timer", f"{name}.service"]
    gone = () if acting.dry_run else timers.remove(names, timer=names[0], system=system)
    said = f"removed {', '.join(map(str, gone))}" if gone else "nothing to remove"
    work.result(lambda: f"{cluster}: {said}", lambda: {"cluster": cluster, "removed": list(map(str, gone))})


def _install(work: Work, target: Target, acting: Acting, *, timer: str, system: bool) -> None:
    """Show the units, then write them and start the timer."""
    cluster, timers = work.homelab.inventory.spec.name, work.homelab.ports.timers
    rendered = _units(work, target, acting, system=system)
    directory = timers.directory(system=system)
    shown = "\n".join(f"# {directory / name}\n{content}" for name, content in rendered.items())
    if work.output is Output.TEXT:
        work.session.result(shown)
    if not acting.dry_run:
        timers.install(rendered, timer=timer, system=system)
    secrets = units.secrets_file(cluster, system=system)
    closing = [
        f"{cluster}: {timer} {'would be' if acting.dry_run else 'is'} installed and started",
        f"secrets that the inventory takes from the environment go into {secrets}, as NAME=value lines, mode 0600",
    ]
    if not system:
        closing.append("to have it run while you are not logged in: loginctl enable-linger")
    paths = [str(directory / name) for name in rendered]
    work.result(lambda: "\n".join(closing), lambda: {"cluster": cluster, "timer": timer, "units": paths})


def _units(work: Work, target: Target, acting: Acting, *, system: bool) -> dict[str, str]:
    inventory = work.inventory_file
    return units.render_units(
        work.homelab.inventory.spec.name,
        _command(work, target, acting),
        at=_daily_at(work),
        user=_user() if system else None,
        environ=os.environ,
        directory=str((inventory.absolute() if inventory is not None else Path.cwd() / "lab").parent),
    )


def _command(work: Work, target: Target, acting: Acting) -> list[str]:
    """What a timer runs: this command, with the inventory by its absolute path."""
    inventory = work.inventory_file
    if inventory is None and not acting.common.lab:
        raise UsageError("a timer needs an inventory file", resolution="pass it with -i FILE")
    arguments = ["maintain", "--yes", "--progress", "plain"]
    if inventory is not None:
        arguments += ["--inventory", str(inventory.absolute())]
    arguments += ["--cluster", target.cluster] if target.cluster else []
    arguments += ["--lab"] if acting.common.lab else []
    return [*_program(), *arguments]


def _daily_at(work: Work) -> str:
    from bootstrap.model.settings.maintain import clock_text

    window = work.homelab.inventory.spec.maintain.window
    return clock_text(window.begin_min) if window is not None else units.DEFAULT_TIME


def _program() -> list[str]:
    """This program by its absolute path."""
    beside = Path(sys.executable).absolute().with_name("homelab-k8s")
    return [str(beside)] if beside.is_file() else [str(Path(sys.executable).absolute()), "-m", "bootstrap"]


def _user() -> str:
    """Whose state directory and SSH keys the system's service uses: the user before sudo."""
    import getpass

    return os.environ.get("SUDO_USER") or getpass.getuser()
