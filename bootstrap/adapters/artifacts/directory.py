"""An artifact directory: a release's files as they are, put there by the user; or several releases.

DIR/k3s  DIR/sha256sum-amd64.txt                     one release
DIR/v1.33.3+k3s1/k3s  DIR/v1.34.1+k3s1/k3s  ...      several, each in a directory called as its version
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import filterfalse
from pathlib import Path

from bootstrap.adapters.artifacts import layout
from bootstrap.adapters.artifacts.stated import stated_version
from bootstrap.errors import ArtifactError
from bootstrap.inventory.regular import read_regular_text
from bootstrap.k3s.versions import is_prerelease, is_release, parse_version
from bootstrap.ports import Artifact

TESTING = "testing"
"""k3s's channel of pre-releases."""

_MINOR = re.compile(r"v\d+\.\d+")


def version_of(path: Path, *, wanted: str | None, channel: str = "") -> str:
    """The version to use from an artifact directory.

    Of one release it is what a file `version` (or `VERSION`) in it says, else what its binary says in its bytes (it
    is never run), else `wanted`. Of several it is the wanted one, or the newest of the channel where that is a minor
    version (`v1.34`), else the newest; a pre-release only where it is wanted by name, or for the channel `testing`.

    Args:
        path: The directory.
        wanted: The inventory's `k3s.version`, or None.
        channel: The inventory's `k3s.channel`.

    Raises:
        ArtifactError: The version is unknown, or the directory does not have the wanted one.
    """
    if wanted is not None:
        layout.checked_version(wanted)
    _check_there(path)
    if not _subdirectories(path):
        return _version_of_one(path, wanted=wanted)
    there = releases(path)
    if wanted is None:
        return newest(path, minor=channel if _MINOR.fullmatch(channel) else None, untested=channel == TESTING)
    if wanted not in there:
        raise _not_there(path, wanted, there)
    return wanted


def newest(path: Path, *, minor: str | None, untested: bool = False) -> str:
    """The newest release in an artifact directory.

    Args:
        path: The directory.
        minor: Of this minor version (`v1.34`), or None for any.
        untested: Whether a pre-release counts.

    Raises:
        ArtifactError: There is none.
    """
    _check_there(path)
    there = releases(path)
    beginning = f"{minor}." if minor else ""
    of_minor = [version for version in there if version.startswith(beginning)]
    fitting = of_minor if untested else list(filterfalse(is_prerelease, of_minor))
    if of_minor and not fitting:
        raise ArtifactError(
            f"{path} contains only pre-releases of k3s",
            details=f"it contains {', '.join(of_minor)}",
            resolution="set one (k3s.version): pre-releases are never used by default",
        )
    if not fitting:
        raise _not_there(path, beginning and f"{beginning}x", there)
    return max(fitting, key=parse_version)


def place_of(path: Path, *, version: str) -> Path:
    """Where in an artifact directory the files of a version are.

    Raises:
        ArtifactError: They are not there.
    """
    layout.checked_version(version)
    _check_there(path)
    below = _subdirectories(path)
    if version in below:
        return below[version]
    found = _stated(path) if _has_binary(path) else ""
    if found in (None, version):  # with an unknown version, the user has set it
        return path
    raise _not_there(path, version, releases(path))


def releases(path: Path) -> dict[str, Path]:
    """The releases in an artifact directory, by version, oldest first; without those of unknown version."""
    there = _subdirectories(path)
    own = _stated(path) if _has_binary(path) else None
    if own is not None:
        there = {layout.checked_version(own): path} | there
    return dict(sorted(there.items(), key=lambda item: parse_version(item[0])))


def _subdirectories(path: Path) -> dict[str, Path]:
    try:
        below = [each for each in path.iterdir() if is_release(each.name)]
    except OSError as error:
        raise ArtifactError(f"cannot read the artifact directory {path}", details=str(error)) from error
    return {each.name: each for each in below if _has_binary(each)}


def _has_binary(path: Path) -> bool:
    return any((path / layout.binary_name(arch)).is_file() for arch in layout.ARCHES)


def _check_there(path: Path) -> None:
    if not path.is_dir():
        raise ArtifactError(
            f"the artifact directory {path} is not there",
            resolution="create it, or correct k3s.artifacts in the inventory",
        )
    if not _has_binary(path) and not _subdirectories(path):
        raise ArtifactError(
            f"no k3s binary found in {path}",
            details=f"looked for {' and '.join(map(layout.binary_name, layout.ARCHES))}",
            resolution="put the files of a release there: binary and checksum list; or several releases, each in a "
            "directory named after its version",
        )


def _not_there(path: Path, wanted: str, there: Iterable[str]) -> ArtifactError:
    exact = is_release(wanted)
    return ArtifactError(
        f"{path} does not contain k3s {wanted}".rstrip(),
        details=f"it contains {', '.join(there) or 'no release with a known version'}",
        resolution=f"put its files into {path}/{wanted}"
        if exact
        else f"put a release's files into a directory named after its version, in {path}",
    )


def _version_of_one(path: Path, *, wanted: str | None) -> str:
    found = _stated(path)
    if found is None:
        if wanted is None:
            raise ArtifactError(
                f"the k3s version in {path} is unknown",
                details="it has no file `version`, and its binary names no version, or several",
                resolution="set it in the inventory (k3s.version), or write it to a file `version` next to the binary",
            )
        return wanted
    if wanted is not None and found != wanted:
        raise ArtifactError(
            f"{path} contains k3s {found}, not {wanted}",
            resolution=f"set k3s.version to {found}, or put the files of {wanted} there",
        )
    return layout.checked_version(found)


def _stated(path: Path) -> str | None:
    """The version in a release's files, or None."""
    return _version_file(path) or _said_by_binary(path)


def artifact(path: Path, *, version: str, arch: str) -> Artifact:
    """An artifact directory's verified files for an architecture.

    Raises:
        ArtifactError: A file is missing, not listed, or not what the list says.
    """
    sums = path / layout.list_name(arch)
    name = layout.binary_name(arch)
    binary = path / name
    if not binary.is_file():
        raise ArtifactError(
            f"there is no {name} in {path}", resolution=f"machines of the architecture {arch} need it: add it there"
        )
    sha256 = _verified(binary, expected=listed(sums, name))
    names = layout.parse_sums(_read(sums))
    image = next((path / name for name in layout.image_names(arch) if name in names and (path / name).is_file()), None)
    if image is not None:
        _verified(image, expected=names[image.name])
    return Artifact(version=version, arch=arch, binary=binary, sha256=sha256, images=() if image is None else (image,))


def listed(sums: Path, name: str) -> str:
    """The checksum a list has for a file. Raises ArtifactError where there is no list or none for that file."""
    found = layout.parse_sums(_read(sums)).get(name)
    if found is None:
        raise ArtifactError(f"{sums} has no checksum of {name}", resolution="it must contain a line `<sha256>  <file>`")
    return found


def wrong_checksum(path: Path, *, expected: str, found: str, resolution: str) -> ArtifactError:
    """The error for a file with another checksum than in its list."""
    return ArtifactError(
        f"{path} has the wrong checksum", details=f"expected {expected}\nfound    {found}", resolution=resolution
    )


def _verified(path: Path, *, expected: str) -> str:
    try:
        found = layout.sha256_of(path)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}", details=str(error)) from error
    if found != expected:
        raise wrong_checksum(path, expected=expected, found=found, resolution="put the release's file there")
    return found


def _read(path: Path) -> str:
    try:
        return read_regular_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"cannot read the checksum list {path}",
            details=str(error),
            resolution="releases have it next to the binary; k3s is never installed without a checksum",
        ) from error


def _version_file(path: Path) -> str | None:
    for name in ("version", "VERSION"):
        if (path / name).is_file():
            return _read(path / name).strip()
    return None


def _said_by_binary(path: Path) -> str | None:
    """The version in a binary's (or script's) bytes; it is not run, and trusted only with the right checksum."""
    for arch in layout.ARCHES:
        binary = path / layout.binary_name(arch)
        if binary.is_file():
            _verified(binary, expected=listed(path / layout.list_name(arch), binary.name))
            return stated_version(binary)
    return None
