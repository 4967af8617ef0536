"""Effects of the scripts that turn a guest into a template."""

from __future__ import annotations

from bootstrap.lab.simulated.machine.calls import Call, Effect, Outcome
from bootstrap.lab.simulated.machine.machine import AUTHORIZED_KEYS, HOST_KEY
from bootstrap.lab.simulated.scripts.installing import put_binary, put_images
from bootstrap.lab.simulated.scripts.system import ASKED

_PUT = {
    "bake-sysctl.conf": "/etc/sysctl.d/90-homelab-k8s.conf",
    "bake-modules.conf": "/etc/modules-load.d/homelab-k8s.conf",
    "bake-cloud.cfg": "/etc/cloud/cloud.cfg.d/99-homelab-k8s.cfg",
}
_OWN = (HOST_KEY, f"{HOST_KEY}.pub", "/etc/machine-id", "/sys/class/dmi/id/product_uuid")


async def bake(call: Call) -> Outcome:
    """bake.sh; the image already has all packages."""
    (call.directory / "proxies").unlink(missing_ok=True)
    problem, changed = put_binary(call)
    if problem:
        return Outcome(1, err=f"{problem}\n")
    changed = put_images(call) or changed
    for name, target in _PUT.items():
        changed = call.guest.disk.put(call.directory / name, target) or changed
    return Outcome(out=f"changed={int(changed)}\n")


async def clean(call: Call) -> Outcome:
    """clean.sh: after it no login works until the next boot."""
    guest = call.guest
    for name in _OWN:
        guest.disk.path(name).unlink(missing_ok=True)
    (guest.disk.home(guest.user) / AUTHORIZED_KEYS).unlink(missing_ok=True)
    guest.disk.path(ASKED).unlink(missing_ok=True)
    for path in call.directory.iterdir():
        path.unlink()
    return Outcome(out="cleaned=1\n")


EFFECTS: dict[str, Effect] = {"bake.sh": bake, "clean.sh": clean}
