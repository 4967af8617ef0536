"""What it saves a machine to have k3s in its template: power-on to Ready, with and without."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from benchmarks.labs import INVENTORY, Lab, lab
from benchmarks.table import Table
from bootstrap.lab.guests.choose import why_not
from bootstrap.lab.options import LabOptions
from bootstrap.reporting.run import RecordedRun
from tests.e2e.images import served_image

TITLE = "k3s in the template"
IMAGES_MIB = 200
"""Size of the air-gap images that stand in for k3s's: those of v1.33 are about as large."""
ROUNDS = 3

_HEADINGS = ("guests", "template", "power-on to Ready s", "of which sending k3s s", "build s", "repeat")
_NOTE = (
    f"One server, the median of {ROUNDS}, on QEMU one run; the artifact directory holds the k3s stand-in and "
    f"{IMAGES_MIB} MiB in place of the air-gap images. The client and the machine share this computer: over a network, "
    "sending takes longer."
)


def baked(name: str, *, guests: str, rounds: int = ROUNDS) -> list[Table]:
    """The same machine of the lab's own template, and of one that `template build` made."""
    reason = why_not(guests)
    repeat = f"`.venv/bin/python -m benchmarks {name}`"
    if reason is not None:
        return [Table(title=TITLE, headings=_HEADINGS, rows=((guests, f"left out: {reason}", "", "", "", repeat),))]
    with lab(LabOptions(guests=guests, port=0)) as running:
        _add_images(running.home / "k3s")
        directory = running.home / "www"
        directory.mkdir()
        with served_image(directory) as url:
            plain = _median(running, "debian-12-k3s", rounds)
            built = running.homelab("template", "build", "--lab", "--image", url, "--progress", "quiet")
            ready = _median(running, "tag:homelab-k8s-template", rounds)
    rows = (
        (guests, "without k3s", f"{plain[0]:.1f}", f"{plain[1]:.1f}", "", repeat),
        (guests, "with k3s", f"{ready[0]:.1f}", f"{ready[1]:.1f}", f"{built.wall_s:.0f}", repeat),
    )
    return [Table(title=TITLE, headings=_HEADINGS, rows=rows, notes=(_NOTE,))]


def _median(running: Lab, template: str, rounds: int) -> tuple[float, float]:
    """Power-on to Ready and the time of sending k3s, in seconds."""
    found = []
    for _ in range(rounds):
        running.homelab(
            *("up", "--lab", "-i", str(INVENTORY), "--workers", "0", "--template", template, "--progress", "quiet")
        )
        found.append(_times(running.newest_run()))
        running.down()
    return sorted(found)[len(found) // 2]


def _times(run: RecordedRun) -> tuple[float, float]:
    (lane,) = {bar.lane for bar in run.bars if bar.phase == "start"}
    bars = [bar for bar in run.bars if bar.lane == lane]
    began_s = next(bar.began_s for bar in bars if bar.phase == "start")
    sending_s = sum(bar.took_s for bar in bars if bar.phase == "install")
    return max(bar.ended_s for bar in bars) - began_s, sending_s


def _add_images(artifacts: Path) -> None:
    """Random bytes in place of the images, listed with their checksum."""
    data = os.urandom(1024 * 1024) * IMAGES_MIB
    file = artifacts / "k3s-airgap-images-amd64.tar.zst"
    file.write_bytes(data)
    sums = artifacts / "sha256sum-amd64.txt"
    sums.write_text(f"{sums.read_text()}{hashlib.sha256(data).hexdigest()}  {file.name}\n")
