"""The note of a command that removes or changes machines: written under the lock before its first change."""

from __future__ import annotations

from bootstrap.model.ids import ClusterName
from bootstrap.planning.provision.unfinished import is_unfinished
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.state.intention import Intention, parse_intention, render_intention
from bootstrap.records.state.state_items import NEXT_TOKEN, UNFINISHED

_TAKES_BACK = ("up", "rebuild")
"""Commands that are the opposite of a `down`, and end one that did not finish."""


def unfinished(view: ClusterView, ports: Ports) -> Intention | None:
    """The command that did not finish, if the view (with existing sizes) agrees with its note. Reads only."""
    cluster = view.spec.name
    noted = parse_intention(ports.state.read(cluster, UNFINISHED))
    if noted is None:
        return None
    if noted.command == "rotate":
        return noted if ports.state.read(cluster, NEXT_TOKEN) else None
    return noted if is_unfinished(noted, view) else None


def begin(command: str, intention: Intention | None, cluster: ClusterName, ports: Ports) -> None:
    """Note what is about to be done; the note of a `down` is removed once `up` begins."""
    if intention is not None:
        ports.state.write(cluster, UNFINISHED, render_intention(intention))
    elif command in _TAKES_BACK:
        noted = parse_intention(ports.state.read(cluster, UNFINISHED))
        if noted is not None and noted.command == "down":
            finish(cluster, ports)


def finish(cluster: ClusterName, ports: Ports) -> None:
    """Forget the note: the command has ended well."""
    if ports.state.read(cluster, UNFINISHED):
        ports.state.write(cluster, UNFINISHED, "")
