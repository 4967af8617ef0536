"""The image's initrd: busybox, the few modules that reach the root file system, and a short init."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
from pathlib import Path

from bootstrap.lab.guests.base import GuestError
from bootstrap.lab.template.layers import DATA, read_list


def make_initrd(tree: Path, *, work: Path, output: Path) -> None:
    """Write an initrd for the kernel in a tree.

    Args:
        tree: Holds `usr/lib/modules/VERSION` and `usr/bin/busybox`.
        work: Scratch directory.
        output: The compressed cpio archive to write.

    Raises:
        GuestError: A module is in neither the kernel nor its modules.
    """
    modules = next((tree / "usr/lib/modules").iterdir())
    stage = work / "initrd"
    (stage / "bin").mkdir(parents=True)
    (stage / "modules").mkdir()
    shutil.copy(tree / "usr/bin/busybox", stage / "bin/busybox")
    (stage / "bin/sh").symlink_to("busybox")
    shutil.copyfile(DATA / "image/init", stage / "init")
    (stage / "init").chmod(0o755)
    order = load_order(modules, read_list(DATA / "image/modules.txt"))
    for path in order:
        (stage / "modules" / _plain_name(path)).write_bytes(_unpacked(modules / path))
    names = "".join(f"{_plain_name(path)}\n" for path in order)
    (stage / "modules/order").write_text(names, encoding="ascii")
    output.write_bytes(gzip.compress(_archive(stage), compresslevel=6, mtime=0))


def load_order(modules: Path, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Files of these modules and their dependencies, in order of loading.

    Args:
        modules: A kernel's module directory with `modules.dep` and `modules.builtin`.
        wanted: Module names.

    Raises:
        GuestError: A name is unknown to this kernel.
    """
    lines = (modules / "modules.dep").read_text(encoding="ascii").splitlines()
    needs = {path: deps.split() for path, _, deps in (line.partition(":") for line in lines)}
    by_name = {_module_name(path): path for path in needs}
    builtin = {_module_name(line) for line in (modules / "modules.builtin").read_text("ascii").splitlines()}
    order: dict[str, None] = {}
    for name in wanted:
        if name in builtin:
            continue
        if name not in by_name:
            raise GuestError(f"the kernel in {modules.name} has no module {name}")
        # modules.dep lists the whole chain, the nearest first (modules.dep(5)).
        for path in (*reversed(needs[by_name[name]]), by_name[name]):
            order.setdefault(path)
    return tuple(order)


def _module_name(path: str) -> str:
    return Path(path).name.split(".", 1)[0].replace("-", "_")


def _plain_name(path: str) -> str:
    return f"{_module_name(path)}.ko"


def _unpacked(path: Path) -> bytes:
    """A module's object code; Debian compresses modules since trixie."""
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()


def _archive(stage: Path) -> bytes:
    """The directory as a cpio archive of the kernel's format."""
    names = sorted(str(path.relative_to(stage)) for path in stage.rglob("*"))
    done = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc", "-R", "+0:+0"],
        input="".join(f"{name}\n" for name in names).encode(),
        cwd=stage,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise GuestError(f"cpio: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
