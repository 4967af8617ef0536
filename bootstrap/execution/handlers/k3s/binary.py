"""Handlers of the steps that bring a release of k3s here, and to a machine."""

from __future__ import annotations

from bootstrap.execution.context import Done, RunContext
from bootstrap.k3s.versions import is_newer
from bootstrap.planning.steps import FetchK3s, PrepareGuest
from bootstrap.ports import Artifact, GuestShell


def fetch_k3s(step: FetchK3s, context: RunContext) -> Done:
    """Fetch the release, if it is not here yet."""
    artifact = fetched(step.version, step.arch, context)
    return Done(changed=False, note=f"{artifact.version}, sha256 {artifact.sha256[:12]}")


def fetched(version: str, arch: str, context: RunContext) -> Artifact:
    """A release, fetched unless it was in this run; a machine may be of another architecture than was thought."""
    known = context.findings.artifacts.get((version, arch))
    if known is not None:
        return known
    artifact = context.ports.artifacts.fetch(context.spec.k3s, version=version, arch=arch)
    return context.findings.artifacts.put((version, arch), artifact)


def prepare_guest(step: PrepareGuest, context: RunContext) -> Done:
    """Send the k3s binary to the guest, beside the scripts, unless the very same is installed already.

    A guest whose k3s runs keeps its binary, whatever that is: changing it is an upgrade's business. So does one whose
    binary is newer than what is wanted: its data is of that version, and an older one must not be put over it.
    """
    facts = context.guest(step.machine)
    if facts.runs_k3s:
        return Done(changed=False)
    # Without a unit it was never installed here: the binary came with the template, and no data is of its version.
    if facts.active_state and is_newer(facts.k3s_version, step.version):
        context.warn(
            f"{step.machine} keeps k3s {facts.k3s_version}: its data is of that version, and {step.version} is older; "
            f"set `k3s: {{version: {facts.k3s_version}}}` into the inventory"
        )
        return Done(changed=False, note=f"keeps {facts.k3s_version}, which is newer")
    artifact = context.findings.prepared.put(step.machine, fetched(step.version, facts.arch, context))
    if facts.k3s_sha256 == artifact.sha256:
        return Done(changed=False)
    return Done(note=send_k3s(artifact, context.shell(step.machine)))


def send_k3s(artifact: Artifact, shell: GuestShell) -> str:
    """Put binary and images beside the scripts on a guest; how much that was, in a few words."""
    for image in artifact.images:
        shell.upload(image, name=f"images/{image.name}")
    shell.upload(artifact.binary, name="k3s.bin")
    sent = sum(path.stat().st_size for path in (artifact.binary, *artifact.images))
    return f"{sent / 2**20:.0f} MiB"
