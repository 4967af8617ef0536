"""Installs k3s on a simulated guest, for install-k3s.sh and bake.sh."""

from __future__ import annotations

from bootstrap.lab.simulated.disk import sha256_of
from bootstrap.lab.simulated.machine import k3s
from bootstrap.lab.simulated.machine.calls import Call

IMAGES = "/var/lib/rancher/k3s/agent/images"


def put_binary(call: Call) -> tuple[str, bool]:
    """Install the uploaded binary; returns an error and whether anything changed."""
    guest, sent, wanted = call.guest, call.directory / "k3s.bin", call.env["SHA256"]
    target = guest.disk.path(k3s.BINARY)
    if target.is_file() and sha256_of(target) == wanted:
        return "", False
    if not sent.is_file():
        return f"the k3s binary was not sent and {k3s.BINARY} is not the one wanted ({wanted})", False
    found = sha256_of(sent)
    if found != wanted:
        return f"the k3s binary arrived damaged: sha256 is {found}, not {wanted}", False
    target.parent.mkdir(parents=True, exist_ok=True)
    sent.replace(target)
    guest.disk.blobs.share(target)
    return "", True


def put_images(call: Call) -> bool:
    """Move uploaded air-gap archives to k3s's directory; returns whether there were any."""
    images = sorted((call.directory / "images").glob("*"))
    for image in images:
        target = call.guest.disk.path(f"{IMAGES}/{image.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        image.replace(target)
        call.guest.disk.blobs.share(target)
    return bool(images)
