"""The systemd units that start `maintain`: a service and a timer, as texts. They hold no secrets.

Sources: systemd.service(5), Command lines; systemd.unit(5), Specifiers; systemd.exec(5), Environment; systemd.time(7).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from bootstrap.errors import UsageError

DEFAULT_TIME: Final = "03:00"
KEPT_VARIABLES: Final = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "KUBECONFIG", "HOMELAB_K3S_ARTIFACTS")
"""What leads to files, and may be set in a shell alone. None of them is a secret."""


def unit_name(cluster: str) -> str:
    """The units' name without its ending."""
    return f"homelab-k8s-maintain-{cluster}"


def secrets_file(cluster: str, *, system: bool) -> str:
    """Where the service reads variables from, if the file is there; %E is the configuration directory."""
    return f"{'/etc' if system else '~/.config'}/homelab-k8s/{cluster}.env"


def render_units(
    cluster: str, command: Sequence[str], *, at: str, user: str | None, environ: Mapping[str, str], directory: str
) -> dict[str, str]:
    """The text of each unit, by its file's name.

    Args:
        cluster: The cluster.
        command: The program by its absolute path, and its arguments.
        at: The time of day, such as `02:00`.
        user: As whom the system's service runs; None for a unit of the user.
        environ: Variables; only `KEPT_VARIABLES` count.
        directory: Where the command runs.

    Raises:
        UsageError: A path cannot be written into a unit.
    """
    kept = [f"Environment={_word(f'{name}={environ[name]}')}\n" for name in KEPT_VARIABLES if environ.get(name)]
    network = "Wants=network-online.target\nAfter=network-online.target\n" if user is not None else ""
    service = (
        f"[Unit]\nDescription=Upkeep of the Kubernetes cluster {cluster}\n{network}\n"
        "[Service]\nType=oneshot\n"
        + (f"User={user}\n" if user is not None else "")
        + f"WorkingDirectory={_path(directory)}\n"
        + "".join(kept)
        + f"EnvironmentFile=-%E/homelab-k8s/{cluster}.env\n"
        + f"ExecStart={' '.join(map(_word, command))}\n"
    )
    timer = (
        f"[Unit]\nDescription=Daily upkeep of the Kubernetes cluster {cluster}\n\n"
        f"[Timer]\nOnCalendar=*-*-* {at}:00\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    name = unit_name(cluster)
    return {f"{name}.service": service, f"{name}.timer": timer}


def _word(text: str) -> str:
    """A word of a command line in quotes: `%` begins a specifier, `$` a variable."""
    escaped = _path(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'


def _path(text: str) -> str:
    if not text.isprintable():
        raise UsageError(f"{text!a} cannot be written into a systemd unit", resolution="rename it")
    return text.replace("%", "%%")


def cron_line(command: Sequence[str], *, at: str) -> str:
    """A line of a user's crontab(5), which runs a command daily; cron ends a command at an unescaped `%`.

    Args:
        command: Its words.
        at: The time, as `03:00`.
    """
    hour, _, minute = at.partition(":")
    return f"{int(minute)} {int(hour)} * * * {shlex.join(command)}".replace("%", "\\%")
