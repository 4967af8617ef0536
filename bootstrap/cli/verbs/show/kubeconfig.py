"""`kubeconfig`: the administrator's, and those of others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.advice import Advice, joined
from bootstrap.cli.completing import namespace_names, user_names, words
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Common, Lab, OutputForm, Target
from bootstrap.cli.running.command_session import Work, working
from bootstrap.cli.text.documents import Document, Output
from bootstrap.cli.text.tables import render_table
from bootstrap.cli.views.choose import Progress
from bootstrap.errors import HomelabError, UsageError
from bootstrap.events import Warned
from bootstrap.model.access.users import UserBinding, UserGroup
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.commands.access.users import Asked, Issued

USERS_FORMAT = 1
"""Version of the JSON form of the list; it grows when a key changes its meaning or goes."""
_HEADINGS = ("USER", "GROUP", "NAMESPACE", "EXPIRES (UTC)", "NAME IN KUBERNETES")


@with_options
def kubeconfig(
    *,
    target: Target,
    switch: Annotated[
        bool,
        typer.Option("--switch", help="Print no secret; make the cluster kubectl's current context."),
    ] = False,
    tunnel: Annotated[
        bool, typer.Option("--tunnel", help="Print one for the local port that the command tunnel opens.")
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="With --tunnel: that port.")
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="NAME", autocompletion=user_names, help="Issue a kubeconfig to another user."),
    ] = None,
    group: Annotated[
        str,
        typer.Option(
            "--group",
            metavar="GROUP",
            autocompletion=words("admin", "cluster-admin", "edit", "view"),
            help="With --user: view, edit, admin or cluster-admin.",
        ),
    ] = UserGroup.VIEW.value,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", metavar="NAME", autocompletion=namespace_names, help="With --user: only in this namespace."
        ),
    ] = None,
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="With --user: valid for so long, such as 30m, 8h or 7d.")
    ] = "8h",
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="With --user: write it to a new file (mode 0600), not to stdout."),
    ] = None,
    list_users: Annotated[bool, typer.Option("--list-users", help="List issued kubeconfigs.")] = False,
    revoke: Annotated[
        str | None,
        typer.Option(
            "--revoke", metavar="NAME", autocompletion=user_names, help="Take the rights of all kubeconfigs of a user."
        ),
    ] = None,
    lab: Lab = False,
    output: OutputForm = Output.TEXT,
) -> None:
    """Print the admin kubeconfig (a secret); or with --user issue one to another user, which expires.

    Kubernetes cannot revoke certificates: --revoke removes what a kubeconfig may do, not its login.
    """
    modes = [("--switch", switch), ("--tunnel", tunnel), ("--user", user is not None), ("--list-users", list_users),
             ("--revoke", revoke is not None)]  # fmt: skip
    named = [name for name, given in modes if given]
    progress = Progress.QUIET if user is None else Progress.PLAIN
    with working("kubeconfig", target, Common(lab=lab, progress=progress, output=output)) as work:
        if len(named) > 1:
            raise UsageError(f"{' and '.join(named)} do not go together")
        if user is None and (to is not None or namespace is not None):
            raise UsageError("--namespace and --to go with --user")
        if port is not None and not tunnel:
            raise UsageError("--port is for --tunnel")
        if user is not None:
            _issue(work, _asked(user, group, namespace, expires), to)
        elif list_users:
            _list(work)
        elif revoke is not None:
            _revoke(work, revoke)
        elif tunnel:
            _for_tunnel(work, port)
        else:
            _own(work, switch=switch)


def _own(work: Work, *, switch: bool) -> None:
    from bootstrap.commands.access.kubeconfig import merge_kubeconfig, needed_kubeconfig
    from bootstrap.commands.access.tunnel import api_over
    from bootstrap.execution.context import KubeconfigTarget

    cluster, ports = work.homelab.inventory.spec.name, work.homelab.ports
    text = needed_kubeconfig(cluster, ports)
    over = work.homelab.look(api_over)
    if over:
        note = Advice(
            "the cluster is reached only over {}: `homelab-k8s kubectl -- get nodes` goes that way; for other "
            "programs keep `homelab-k8s tunnel` open and use `homelab-k8s kubeconfig --tunnel`",
            over,
        )
        work.session.sink(Warned(subject=cluster, message=note, danger=True))
    merged = merge_kubeconfig(cluster, ports, KubeconfigTarget(switch=True)) if switch else None
    if merged is None:
        work.session.result(text)
        return
    lines = [*merged.notes, f"current-context is {merged.context}, in {merged.path}"]
    work.session.result("".join(f"{line}\n" for line in lines), fit=True)


def _for_tunnel(work: Work, port: int | None) -> None:
    from bootstrap.commands.access.kubeconfig import needed_kubeconfig
    from bootstrap.commands.access.tunnel import usual_port
    from bootstrap.k3s.kubeconfig.build import through_tunnel

    cluster = work.homelab.inventory.spec.name
    text = needed_kubeconfig(cluster, work.homelab.ports)
    work.session.result(through_tunnel(text, port or usual_port(cluster)))


def _asked(user: str, group: str, namespace: str | None, expires: str) -> Asked:
    """The options as values. Raises UsageError with all problems."""
    from bootstrap.commands.access.users import Asked
    from bootstrap.k3s.kubeconfig.users import is_namespace, parse_expiry, user_problem

    problems = [f"--user {user}: {why}"] if (why := user_problem(user)) else []
    expires_s = 0
    if group.startswith("system:"):
        problems.append(f"--group {group}: a certificate in a group of Kubernetes' own could never be taken back")
    elif group not in tuple(UserGroup):
        problems.append(f"--group {group}: write one of {', '.join(UserGroup)}")
    if namespace is not None and not is_namespace(namespace):
        problems.append(f"--namespace {namespace}: that is no name of a namespace")
    try:
        expires_s = parse_expiry(expires)
    except ValueError as error:
        problems.append(f"--expires {expires}: {error}")
    if problems:
        raise UsageError("no kubeconfig was issued", details="\n".join(problems))
    return Asked(user=user, group=UserGroup(group), namespace=namespace, expires_s=expires_s)


def _issue(work: Work, asked: Asked, to: Path | None) -> None:
    from bootstrap.commands.access.tunnel import api_over
    from bootstrap.commands.access.users import issue

    with _new_file(to) as write:
        issued = issue(asked, work.homelab.inventory.spec, work.homelab.ports)
        if write is not None:
            write(issued.kubeconfig)
    over = work.homelab.look(api_over)
    way = [f"this computer reaches the cluster only over {over}; the user needs a way of their own"] if over else []
    told = [*_issued_lines(issued), *way, *([f"written to {to}"] if to is not None else [])]
    if to is None:
        for line in told:
            work.session.view.text(work.session.advise(line))
        work.session.result(issued.kubeconfig)
    else:
        work.result(lambda: work.session.advise(joined("\n", told)), lambda: _binding_document(issued.binding))


def _issued_lines(issued: Issued) -> Iterator[str]:
    binding = issued.binding
    yield f"{binding.user}: {_rights(binding)} until {_time(binding)} UTC"
    if issued.shorter:
        yield "that is earlier than asked: the cluster signs for no longer (cluster-signing-duration)"
    if issued.others:
        yield Advice(
            "{} has {} besides; `homelab-k8s kubeconfig --revoke {}` takes the rights of all",
            binding.user,
            count(issued.others, "valid kubeconfig"),
            binding.user,
        )


@contextlib.contextmanager
def _new_file(path: Path | None) -> Iterator[Callable[[str], None] | None]:
    """A new file for the user alone, made before anything is issued; removed where that fails.

    Raises:
        HomelabError: There is one already, or it cannot be made.
    """
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise HomelabError(
            f"{path} exists and was not overwritten", resolution="name another file, or remove that one first"
        ) from None
    except OSError as error:
        raise HomelabError(f"cannot write {path}", details=str(error)) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        try:
            yield lambda text: print(text, end="", file=file, flush=True)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _list(work: Work) -> None:
    from bootstrap.commands.access.users import list_users

    found = list_users(work.homelab.inventory.spec, work.homelab.ports)
    work.result(lambda: users_text(found, work), lambda: users_document(found))


def users_text(found: Sequence[UserBinding], work: Work) -> str:
    """A table of issued kubeconfigs, or that there is none."""
    if not found:
        return work.session.advise(Advice("no kubeconfig was issued; `homelab-k8s kubeconfig --user NAME` issues one"))
    rows = [(each.user, each.group, each.namespace or "all", _expires(each), each.subject) for each in found]
    return render_table(_HEADINGS, rows, width=work.width, drop=("NAME IN KUBERNETES",))


def users_document(found: Sequence[UserBinding]) -> Document:
    """The list for programs."""
    return {"format": USERS_FORMAT, "users": [_binding_document(each) for each in found]}


def _binding_document(binding: UserBinding) -> Document:
    return {
        "user": binding.user,
        "group": binding.group,
        "namespace": binding.namespace,
        "expires": binding.expires.isoformat() if binding.expires else None,
        "subject": binding.subject,
    }


def _revoke(work: Work, user: str) -> None:
    from bootstrap.commands.access.users import revoke

    gone = revoke(user, work.homelab.inventory.spec, work.homelab.ports)
    work.result(lambda: "\n".join(_revoked_lines(user, gone)), lambda: users_document(gone))


def _revoked_lines(user: str, gone: Sequence[UserBinding]) -> Iterator[str]:
    from bootstrap.commands.access.users import has_expired

    for each in gone:
        yield f"{user}: no longer has {_rights(each)}"
    valid = [each for each in gone if not has_expired(each)]
    if valid:
        last = max(valid, key=lambda each: each.expires.timestamp() if each.expires else float("inf"))
        yield (
            f"Kubernetes cannot revoke certificates: until {_time(last)} UTC {user} can still log in, with no more "
            "rights than every user has (API versions, its own name). What others gave to "
            f"{', '.join(each.subject for each in valid)} or to all users stays."
        )


def _rights(binding: UserBinding) -> str:
    where = f"in the namespace {binding.namespace}" if binding.namespace else "in all namespaces"
    return f"{binding.group} {where}"


def _time(binding: UserBinding) -> str:
    return f"{binding.expires:%Y-%m-%d %H:%M}" if binding.expires else "an unknown time"


def _expires(binding: UserBinding) -> str:
    from bootstrap.commands.access.users import has_expired

    return f"{_time(binding)}{', expired' if has_expired(binding) else ''}"
