"""Whether KVM works here: a `/dev/kvm` that opens is no proof, a kernel that reaches user space is.

On nested or paravirtual hosts KVM may run a guest kernel's code in software emulation, a hundred times
slower than QEMU's own. So the lab's kernel must reach the first line of its init within a few seconds.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from bootstrap.lab.guests.tools import tool_path
from bootstrap.lab.template.image import Image

PROBE_TIMEOUT_S = 10.0
"""Time for a kernel to boot to its init; with KVM that works it needs less than one second."""

_DEVICE = Path("/dev/kvm")


def accelerator(image: Image) -> str:
    """`kvm` if it really runs a kernel, else `tcg`. Blocks for up to `PROBE_TIMEOUT_S` once.

    The result is stored beside the image, per kernel of this machine.
    """
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    note = image.directory / f"accelerator-{platform.release()}"
    if note.exists():
        return note.read_text(encoding="ascii").strip()
    answer = "kvm" if boots(image, accel="kvm", timeout_s=PROBE_TIMEOUT_S) else "tcg"
    note.write_text(f"{answer}\n", encoding="ascii")
    return answer


def boots(image: Image, *, accel: str, timeout_s: float) -> bool:
    """Whether the image's kernel reaches user space in time with an accelerator."""
    command = [
        *(tool_path("qemu-system-x86_64"), "-machine", "pc", "-accel", accel, "-cpu", "qemu64", "-m", "256"),
        *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
        *("-append", "console=ttyS0 quiet panic=-1 lab.probe "),
    ]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return False
    return b"lab-probe: user space" in done.stdout
