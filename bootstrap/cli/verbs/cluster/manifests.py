"""`homelab-k8s manifests diff` and `homelab-k8s manifests apply`: the inventory's Kubernetes objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.cli.asking.confirm import Question
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, Common, Target
from bootstrap.cli.running.command_session import Ended, working
from bootstrap.cli.running.usage import subcommands
from bootstrap.cli.text import manifests as text
from bootstrap.cli.text import tables

if TYPE_CHECKING:
    from bootstrap.planning.plan import Plan

DIFFERS = 5
"""The exit code of `diff` where something differs: 1 is a failure, as everywhere."""
_MOST = 5

app = subcommands("Compare and apply the Kubernetes objects of the inventory.")


@app.callback()
def manifests() -> None:
    """Compare and apply the Kubernetes objects that the inventory lists under `manifests:`."""


@app.command("diff", short_help="Show what `manifests apply` would change.")
@with_options
def diff(*, target: Target, common: Common) -> None:
    """Show what `manifests apply` would change, field by field; the values of Secrets are masked.

    Exit code 0 if nothing differs, 5 if something does.
    """
    with working("manifests", target, common) as work:
        from bootstrap.commands.manifests.looking import manifests_diff

        seen = work.look(lambda: work.homelab.look(manifests_diff))
        cluster = work.homelab.inventory.spec.name
        work.result(lambda: text.diff_text(cluster, seen), lambda: text.diff_document(cluster, seen))
        if seen.changes:
            raise typer.Exit(DIFFERS)


@app.command("apply", short_help="Apply the objects, and prune those taken from the list.")
@with_options
def apply(
    *,
    force_conflicts: Annotated[
        bool,
        typer.Option("--force-conflicts", help="Take over fields that others manage (as in kubectl apply)."),
    ] = False,
    target: Target,
    acting: Acting,
) -> None:
    """Apply the objects with server-side apply, wait until they are ready, and prune those taken from the list.

    Namespaces, volumes and other objects that hold data are deleted only after a question.
    """
    with working("manifests", target, acting.common) as work:
        from bootstrap.commands.manifests.apply import ApplyTheManifests

        ended = work.act(ApplyTheManifests(force=force_conflicts), acting, question=_question)
        if ended is not None:
            from bootstrap.commands.manifests.deploy_key import new_deploy_key

            ran, spec = ended.report is not None, work.homelab.inventory.spec
            key = new_deploy_key(ended.plan, spec, work.homelab.ports) if ran else None
            lines = text.key_lines(key)
            work.result(lambda: "\n".join([_closing(ended), *lines]), lambda: ended.document(**_facts(ended)))


@app.command("deploy-key", short_help="Print the public deploy key of `gitops`.")
@with_options
def deploy_key(*, target: Target, common: Common) -> None:
    """Print the public half of the deploy key with which the cluster reads the repository of `gitops`.

    It is made if there is none, so that it can be pasted into the Git host before the cluster exists.
    """
    with working("manifests", target, common) as work:
        from bootstrap.commands.manifests.deploy_key import needed_deploy_key
        from bootstrap.events import Told

        key = work.look(lambda: work.homelab.look(needed_deploy_key))
        work.session.sink(Told(message=f"add it as a deploy key, with read access: {key.page}"))
        work.result(
            lambda: key.line,
            lambda: {"repository": key.repository, "deploy_key": key.line, "page": key.page},
        )


def _question(plan: Plan) -> Question | None:
    from bootstrap.commands.manifests.apply import lost_by
    from bootstrap.errors import some_of

    lost = list(lost_by(plan))
    if not lost:
        return None
    return Question(f"This deletes {some_of(lost, _MOST)}; data in them is lost for good.")


def _closing(ended: Ended) -> str:
    plan, report = ended.plan, ended.report
    total = plan.seen.manifests.total if plan.seen is not None and plan.seen.manifests is not None else 0
    if report is None:
        return f"{plan.cluster}: {total} objects of the manifests; nothing to do"
    return f"{plan.cluster}: the manifests are applied ({_words(ended)}), in {tables.seconds(report.took_s)}"


def _words(ended: Ended) -> str:
    parts = [f"{len(names)} {what.partition('_')[0]}" for what, names in _facts(ended).items() if names]
    return ", ".join(parts) or "nothing changed"


def _facts(ended: Ended) -> dict[str, list[str]]:
    """The objects that the plan created, changed and pruned."""
    from bootstrap.planning.manifests.steps import ApplyManifests
    from bootstrap.planning.plan import steps_of

    words = {"created": "create", "changed_objects": "change", "pruned": "prune"}
    changes = [each for step in steps_of(ended.plan, ApplyManifests) for each in step.changes]
    return {word: [str(each.id) for each in changes if each.change == kind] for word, kind in words.items()}
