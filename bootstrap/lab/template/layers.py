"""Layers of the template: files, masked and enabled units, copied over a root."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

DATA = Path(__file__).parent / "data"
"""The recipe: package lists and one folder per layer (`common`, `container`, `qemu`)."""


def read_list(path: Path) -> tuple[str, ...]:
    """The lines of a list file without comments and blanks."""
    lines = (line.split("#", 1)[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line)


def apply_layer(name: str, *, root: Path) -> None:
    """Copy one layer over a root file system, or into an empty directory for an overlay.

    Args:
        name: Folder under `DATA`.
        root: The root file system; missing directories are made.
    """
    layer = DATA / name
    for source in sorted(path for path in (layer / "files").rglob("*") if path.is_file()):
        _copy_plain(source, root / source.relative_to(layer / "files"))
    units = root / "etc/systemd/system"
    for unit in read_list(layer / "masks.txt"):
        _link(units / unit, "/dev/null")
    for line in read_list(layer / "wants.txt"):
        unit, target = line.split()
        where = "/etc" if (units / unit).exists() else "/usr/lib"
        _link(units / f"{target}.wants" / unit, f"{where}/systemd/system/{unit}")


def recipe_hash(*parts: str, also: str = "") -> str:
    """A short hash of parts of the recipe, file names included.

    Args:
        parts: Files or folders under `DATA`.
        also: Other inputs of the result, such as the Debian suite.
    """
    digest = hashlib.sha256(also.encode())
    for part in sorted(parts):
        for path in sorted([DATA / part, *(DATA / part).rglob("*")]):
            if path.is_file():
                digest.update(f"\0{path.relative_to(DATA)}\0{path.stat().st_mode & 0o100}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def make_guest_dir(path: Path) -> None:
    """Make a directory and its parents as a guest has them (0755), whatever the umask here is."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)


def _copy_plain(source: Path, target: Path) -> None:
    """Copy contents and the executable bit only: a checkout's umask must not reach the guests."""
    make_guest_dir(target.parent)
    shutil.copyfile(source, target)
    target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def _link(path: Path, target: str) -> None:
    make_guest_dir(path.parent)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
