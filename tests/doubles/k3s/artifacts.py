"""Makes a directory laid out as a k3s release is, with the stand-in in place of the binaries.

python tests/doubles/k3s/artifacts.py DIR [VERSION]
python tests/doubles/k3s/artifacts.py DIR --versions VERSION...    # each into DIR/VERSION
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

PROGRAM = Path(__file__).with_name("k3s.py")
DEFAULT_VERSION = "v1.33.3+k3s1"
DEFAULT_READY_DELAY_S = 0.7
BINARY_NAMES = {"amd64": "k3s", "arm64": "k3s-arm64"}


def make_artifacts(
    directory: Path,
    *,
    version: str = DEFAULT_VERSION,
    arch: Iterable[str] = ("amd64", "arm64"),
    images: bool = False,
    ready_delay_s: float = DEFAULT_READY_DELAY_S,
) -> Path:
    """Write the files of one release.

    Args:
        directory: Where to; made if it is not there.
        version: What `k3s --version` and the nodes say, such as `v1.33.3+k3s1`.
        arch: Which architectures; each binary refuses to run on another.
        images: Whether to add `k3s-airgap-images-ARCH.tar` too: true tar files that hold no image.
        ready_delay_s: How long a node is NotReady after it has registered.

    Returns:
        The directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in arch:
        files = {BINARY_NAMES[name]: render_program(version=version, arch=name, ready_delay_s=ready_delay_s)}
        if images:
            files[f"k3s-airgap-images-{name}.tar"] = empty_images()
        for file_name, data in files.items():
            (directory / file_name).write_bytes(data)
        (directory / BINARY_NAMES[name]).chmod(0o755)
        lines = [f"{hashlib.sha256(data).hexdigest()}  {file_name}\n" for file_name, data in sorted(files.items())]
        (directory / f"sha256sum-{name}.txt").write_text("".join(lines))
    return directory


def render_program(*, version: str, arch: str, ready_delay_s: float = DEFAULT_READY_DELAY_S) -> bytes:
    """The program with its version, architecture and delay written in. Raises ValueError if their places are gone."""
    text = PROGRAM.read_text()
    for before, after in (
        (f'\nVERSION = "{DEFAULT_VERSION}"\n', f'\nVERSION = "{version}"\n'),
        ('\nBUILT_FOR = ""', f'\nBUILT_FOR = "{arch}"'),
        (f"\nREADY_DELAY_S = {DEFAULT_READY_DELAY_S} ", f"\nREADY_DELAY_S = {ready_delay_s} "),
    ):
        if text.count(before) != 1:
            raise ValueError(f"{PROGRAM} has no single line {before!r}")
        text = text.replace(before, after)
    return text.encode()


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
