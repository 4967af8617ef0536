"""Handler of the step that applies manifests."""

from __future__ import annotations

from importlib.metadata import version

from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.manifests.applying import Applying, Result
from bootstrap.execution.manifests.deploy_key import with_deploy_key
from bootstrap.execution.manifests.gathering import gather
from bootstrap.model.words import count
from bootstrap.planning.manifests.plan import kept_note
from bootstrap.planning.manifests.steps import ApplyManifests


def apply_manifests(step: ApplyManifests, context: RunContext) -> Done:
    """Apply the objects as their files are now; they were read before, so that none is wrong."""
    manifests = with_deploy_key(
        gather(context.spec.manifests or (), context.ports.manifests),
        context.spec,
        context.ports.state,
        context.kube.objects,
        keep=True,
    )
    applying = Applying(
        context=context, version=version("homelab-k8s"), force=step.force, confirmed=frozenset(step.confirmed)
    )
    result = applying.run(manifests)
    _drop_early(context)
    if result.kept:
        context.warn(kept_note(result.kept))
    return Done(changed=bool(result.applied or result.pruned), note=_note(result))


def _drop_early(context: RunContext) -> None:
    """Take early add-ons out of k3s's own folder: they are applied by us from now on, and k3s has only an old file.

    They lie on the server that was made first, by this very run: an API that was just born is reached through it.
    """
    early = {f"addon-{name}" for name in context.spec.addons}
    names = [each.name for each in context.spec.early_manifests if each.name in early]
    for machine in context.findings.shells.keys() if names else ():
        context.run(machine, "drop-manifests.sh", NAMES=" ".join(names))


def _note(result: Result) -> str:
    parts = [(len(result.applied), "applied"), (len(result.pruned), "pruned")]
    return ", ".join(f"{count(number, 'object')} {what}" for number, what in parts if number)
