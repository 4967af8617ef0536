"""Handler of the step that applies manifests."""

from __future__ import annotations

from importlib.metadata import version

from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.manifests.applying import Applying, Result
from bootstrap.execution.manifests.gathering import gather
from bootstrap.model.words import count
from bootstrap.planning.manifests.plan import kept_note
from bootstrap.planning.manifests.steps import ApplyManifests


def apply_manifests(step: ApplyManifests, context: RunContext) -> Done:
    """Apply the objects as their files are now; they were read before, so that none is wrong."""
    manifests = gather(context.spec.manifests or (), context.ports.manifests)
    applying = Applying(
        context=context, version=version("homelab-k8s"), force=step.force, confirmed=frozenset(step.confirmed)
    )
    result = applying.run(manifests)
    if result.kept:
        context.warn(kept_note(result.kept))
    return Done(changed=bool(result.applied or result.pruned), note=_note(result))


def _note(result: Result) -> str:
    parts = [(len(result.applied), "applied"), (len(result.pruned), "pruned")]
    return ", ".join(f"{count(number, 'object')} {what}" for number, what in parts if number)
