"""Makes a directory laid out as a k3s release is, with the stand-in in place of the binaries.

python -m bootstrap.lab.standin_release DIR [VERSION]
python -m bootstrap.lab.standin_release DIR --versions VERSION...    # each into DIR/VERSION
"""

from __future__ import annotations

import hashlib
import io
import marshal
import runpy
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from functools import cache
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

PACKAGE = Path(__file__).with_name("standin")
INTERPRETER = b"#!/usr/bin/python3 -I\n"
BUILT = "standin/built.py"
"""Not compressed: as in k3s's own binary, the version can be read in the file."""
MAIN = "import sys\n\nfrom standin.__main__ import main\n\nsys.exit(main())\n"
_BUILT = runpy.run_path(str(PACKAGE / "built.py"))
DEFAULT_VERSION = str(_BUILT["VERSION"])
DEFAULT_READY_DELAY_S = float(_BUILT["READY_DELAY_S"])
BINARY_NAMES = {"amd64": "k3s", "arm64": "k3s-arm64"}


def make_artifacts(
    directory: Path,
    *,
    version: str = DEFAULT_VERSION,
    arch: Iterable[str] = ("amd64", "arm64"),
    images: bool = False,
    ready_delay_s: float = DEFAULT_READY_DELAY_S,
    pace: float = 0,
) -> Path:
    """Write the files of one release.

    Args:
        directory: Target; created if missing.
        version: What `k3s --version` and the nodes say, such as `v1.33.3+k3s1`.
        arch: Which architectures; each binary refuses to run on another.
        images: Whether to add `k3s-airgap-images-ARCH.tar` too: valid tar files without an image.
        ready_delay_s: How long a node is NotReady after it has registered.
        pace: How slow its starts are: 1 takes as long as k3s does (7 to 30 s), 0 no longer than it needs.

    Returns:
        The directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in arch:
        files = {BINARY_NAMES[name]: render_program(version=version, arch=name, ready_delay_s=ready_delay_s, pace=pace)}
        if images:
            files[f"k3s-airgap-images-{name}.tar"] = empty_images()
        for file_name, data in files.items():
            (directory / file_name).write_bytes(data)
        (directory / BINARY_NAMES[name]).chmod(0o755)
        lines = [f"{hashlib.sha256(data).hexdigest()}  {file_name}\n" for file_name, data in sorted(files.items())]
        (directory / f"sha256sum-{name}.txt").write_text("".join(lines))
    return directory


@cache
def render_program(*, version: str, arch: str, ready_delay_s: float = DEFAULT_READY_DELAY_S, pace: float = 0) -> bytes:
    """The package as one executable: a zip archive that starts with the line for its interpreter.

    Two renderings of one source are equal, so that their checksums are. Each module is also there in compiled form: a
    start takes half as long. `zipapp` of the standard library makes the same, but with the times of the files and their
    source alone.
    """
    buffer = io.BytesIO()
    buffer.write(INTERPRETER)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        files = program_files(version=version, arch=arch, ready_delay_s=ready_delay_s, pace=pace)
        for name, text in sorted(files.items()):
            if name == BUILT:
                archive.writestr(zipfile.ZipInfo(name), text)
                continue
            for member, data in ((name, text.encode()), (f"{name}c", compiled(name, text))):
                if data:
                    archive.writestr(zipfile.ZipInfo(member), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@cache
def compiled(name: str, text: str) -> bytes:
    """A module's `.pyc`, valid whatever the source's time (PEP 552); a Python of another version takes the source.

    Empty where it cannot be rendered the same twice: code of Python 3.14 has slices, which need marshal's version 5.
    """
    unchecked = (1).to_bytes(4, "little")
    code = compile(text, name, "exec", dont_inherit=True)
    # Later versions of marshal mark shared objects, which vary, and two renderings would differ.
    try:
        return MAGIC_NUMBER + unchecked + source_hash(text.encode()) + marshal.dumps(code, 2)
    except ValueError:
        return b""


def program_files(*, version: str, arch: str, ready_delay_s: float, pace: float) -> dict[str, str]:
    """What is in the archive, by name. The module `built` says what this build is."""
    built = {"VERSION": version, "BUILT_FOR": arch, "PACE": pace, "READY_DELAY_S": ready_delay_s}
    files = {path.relative_to(PACKAGE.parent).as_posix(): path.read_text() for path in PACKAGE.rglob("*.py")}
    files[BUILT] = "".join(f"{name} = {value!r}\n" for name, value in built.items())
    return files | {"__main__.py": MAIN}


def empty_images() -> bytes:
    """A tar file with an empty image manifest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        content = b"[]"
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def main(words: list[str]) -> int:
    """The command line; returns the exit code."""
    if len(words) > 2 and words[1] == "--versions":
        for version in words[2:]:
            make_artifacts(Path(words[0]) / version, version=version)
    elif len(words) in (1, 2) and not any(word.startswith("-") for word in words):
        make_artifacts(Path(words[0]), version=words[1] if len(words) == 2 else DEFAULT_VERSION)
    else:
        sys.stderr.write(__doc__ or "")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
