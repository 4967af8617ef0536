"""The effects of put-manifests.sh and drop-manifests.sh."""

from __future__ import annotations

from bootstrap.lab.simulated.machine import k3s
from bootstrap.lab.simulated.machine.calls import Call, Effect, Outcome

FOLDER = f"{k3s.SERVER_DATA}/manifests"
_NAMES = "homelab-k8s-*.yaml"


async def put_manifests(call: Call) -> Outcome:
    """put-manifests.sh."""
    disk, sent = call.guest.disk, {each.name: each for each in call.directory.glob(_NAMES)}
    try:
        if disk.path(f"{k3s.SERVER_DATA}/db").exists():
            return Outcome(out="changed=0\n")
        changed = False
        for there in disk.path(FOLDER).glob(_NAMES):
            if there.name not in sent:
                there.unlink()
                changed = True
        for name, file in sent.items():
            changed = disk.put(file, f"{FOLDER}/{name}") or changed
            disk.path(f"{FOLDER}/{name}").chmod(0o600)
        return Outcome(out=f"changed={int(changed)}\n")
    finally:
        for file in sent.values():
            file.unlink(missing_ok=True)


async def drop_manifests(call: Call) -> Outcome:
    """drop-manifests.sh."""
    files = [call.guest.disk.path(f"{FOLDER}/homelab-k8s-{name}.yaml") for name in call.env["NAMES"].split()]
    there = [file for file in files if file.exists()]
    for file in there:
        file.unlink()
    return Outcome(out=f"changed={int(bool(there))}\n")


EFFECTS: dict[str, Effect] = {"put-manifests.sh": put_manifests, "drop-manifests.sh": drop_manifests}
"""The scripts of this module, by file name."""
