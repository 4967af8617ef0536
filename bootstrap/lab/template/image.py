"""The template's disk image for virtual machines: its root file system, a kernel, an initrd and GRUB."""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bootstrap.lab.guests.base import GuestError
from bootstrap.lab.template.cache import building, cache_dir, locked
from bootstrap.lab.template.contain import run_contained
from bootstrap.lab.template.initrd import make_initrd
from bootstrap.lab.template.layers import DATA, apply_layer, read_list, recipe_hash
from bootstrap.lab.template.root import RECIPE, ensure_root, silent
from bootstrap.lab.template.sources import debian_sources, debian_suite

GRUB_DIR = Path("/usr/lib/grub/i386-pc")
"""GRUB's modules, from the Debian package grub-pc-bin."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A template's files for virtual machines, all in one directory of the cache.

    Attributes:
        directory: The directory.
        disk: qcow2 image that boots from a BIOS.
        kernel, initrd: What the disk boots, for starting it without the disk.
    """

    directory: Path

    @property
    def disk(self) -> Path:
        """The qcow2 below all machines' disks."""
        return self.directory / "disk.qcow2"

    @property
    def kernel(self) -> Path:
        """The kernel."""
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The initrd."""
        return self.directory / "initrd.img"


def ensure_image(say: Callable[[str], None] = silent) -> Image:
    """The template's disk image, built first when the cache has none of this recipe. Blocks.

    Args:
        say: Told in a few lines what is going on.

    Raises:
        GuestError: It cannot be built; the text has the failing tool's words.
    """
    if platform.machine() != "x86_64":
        raise GuestError(f"the lab's virtual machines are x86_64 only; this machine is {platform.machine()}")
    suite = debian_suite()
    cache = cache_dir()
    image = Image(directory=cache / f"image-{suite}-{recipe_hash(*RECIPE, 'qemu', 'image', also=suite)}")
    if image.directory.is_dir():
        return image
    root = ensure_root(say)
    with locked(cache) as lock:
        if image.directory.is_dir():
            return image
        began = time.monotonic()
        say("building the virtual machines' disk image")
        with building(cache, image.directory) as target:
            _build(target, root=root, suite=suite, lock=lock)
        say(f"disk image built in {time.monotonic() - began:.0f} s: {image.disk}")
    return image


def _build(target: Path, *, root: Path, suite: str, lock: int) -> None:
    work = target / "work"
    work.mkdir()
    _unpack(work, root=root, suite=suite, lock=lock)
    tree = work / "tree"
    kernel = next((tree / "boot").glob("vmlinuz-*"))
    shutil.copyfile(kernel, target / "vmlinuz")
    make_initrd(tree, work=work, output=target / "initrd.img")
    (tree / "usr/bin/busybox").unlink()

    shutil.rmtree(tree / "boot")
    (tree / "boot/grub").mkdir(parents=True)
    shutil.copyfile(target / "vmlinuz", tree / "boot/vmlinuz")
    shutil.copyfile(target / "initrd.img", tree / "boot/initrd.img")
    shutil.copyfile(DATA / "image/grub.cfg", tree / "boot/grub/grub.cfg")
    apply_layer("qemu", root=tree)
    run_contained(
        ["/bin/sh", str(DATA / "image/make-image.sh")],
        held=lock,
        env={
            "LOWER_DIRS": f"{tree}:{root}",
            "WORK": str(work),
            "IMAGE": str(target / "disk.qcow2"),
            "GRUB_DIR": str(GRUB_DIR),
        },
    )
    shutil.rmtree(work)


def _unpack(work: Path, *, root: Path, suite: str, lock: int) -> None:
    """Fetch kernel and busybox, and put them where a merged /usr wants them."""
    with tempfile.NamedTemporaryFile("w", suffix=".list") as sources:
        sources.write(debian_sources(suite))
        sources.flush()
        run_contained(
            ["/bin/sh", str(DATA / "image/unpack-kernel.sh")],
            held=lock,
            env={
                "ROOT": str(root),
                "SOURCES": sources.name,
                "WORK": str(work),
                "PACKAGES": " ".join(read_list(DATA / "image/packages.txt")),
            },
        )
    tree = work / "tree"
    tree.chmod(0o755)
    for name in ("lib", "bin"):  # in the root these are links into /usr, and a directory would hide them
        if (tree / name).is_dir():
            shutil.copytree(tree / name, tree / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(tree / name)
    version = next((tree / "usr/lib/modules").iterdir()).name
    run_contained(["depmod", "--basedir", str(tree / "usr"), version], held=lock)
