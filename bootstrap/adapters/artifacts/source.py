"""Releases and artifact directories as one `bootstrap.ports.ArtifactSource`."""

from __future__ import annotations

from pathlib import Path

from bootstrap.adapters.artifacts import directory, layout
from bootstrap.adapters.artifacts.download import MOST_BYTES, MOST_LIST_BYTES, Downloader
from bootstrap.adapters.local.files import ensure_own_directory, locked
from bootstrap.errors import ArtifactError
from bootstrap.k3s.versions import is_prerelease
from bootstrap.model.cluster import K3sSpec
from bootstrap.ports import Artifact


def default_cache_root() -> Path:
    """`$XDG_CACHE_HOME/homelab-k8s/k3s` or the platform's equal."""
    import platformdirs

    return platformdirs.user_cache_path("homelab-k8s", appauthor=False) / "k3s"


class ReleaseSource:
    """k3s from its releases, or from the artifact directory an inventory names.

    Args:
        cache: Directory for downloads, such as `default_cache_root()`; several processes may share it.
        downloader: How to fetch.
    """

    def __init__(self, cache: Path, *, downloader: Downloader | None = None) -> None:
        self._cache = cache
        self._downloader = downloader or Downloader()

    def resolve(self, k3s: K3sSpec) -> str:
        """The version `k3s` means. Raises ArtifactError where that cannot be known."""
        if k3s.artifacts is not None:
            return directory.version_of(k3s.artifacts, wanted=k3s.version, channel=k3s.channel)
        if k3s.version is not None:
            return layout.checked_version(k3s.version)
        return self._at(k3s, k3s.channel)

    def newest(self, k3s: K3sSpec, *, minor: str) -> str:
        """The newest release of a minor version (`v1.34`): what its channel points to, or the artifact directory's.

        Raises:
            ArtifactError: There is none, or the channel is unreachable.
        """
        if k3s.artifacts is not None:
            return directory.newest(k3s.artifacts, minor=minor)
        return self._at(k3s, minor)

    def _at(self, k3s: K3sSpec, channel: str) -> str:
        """The version a channel points to now."""
        url = f"{k3s.channels_url.rstrip('/')}/{channel}"
        location = self._downloader.location(url, what=f"k3s channel {channel!r}")
        version = layout.version_in(location)
        if version is None:
            raise ArtifactError(
                f"the k3s channel {channel!r} does not report its version",
                details=f"{url} redirects to {location}" if location else f"{url} does not redirect",
                resolution="set a version (k3s.version), or another channel",
            )
        if is_prerelease(version) and channel != directory.TESTING:
            raise ArtifactError(
                f"the k3s channel {channel!r} is at the pre-release {version}",
                details=f"{url} redirects to {location}",
                resolution=f"set it explicitly (k3s.version), or use the channel {directory.TESTING}",
            )
        return version

    def fetch(self, k3s: K3sSpec, *, version: str, arch: str) -> Artifact:
        """Make a version's files available here; the checksum is checked each time.

        Raises:
            ArtifactError: Not there, not reachable, or the wrong checksum (a bad file of the cache is removed).
        """
        if k3s.artifacts is not None:
            place = directory.place_of(k3s.artifacts, version=version)
            return directory.artifact(place, version=version, arch=arch)
        name = layout.binary_name(arch)
        place = self._cache / layout.checked_version(version)
        try:
            for directory_of_ours in (self._cache, place):
                ensure_own_directory(directory_of_ours)
            # A second process waits for the first one's download, and then uses it.
            with locked(place):
                return self._cached(k3s, place=place, name=name, version=version, arch=arch)
        except OSError as error:
            raise ArtifactError(
                f"cannot use the cache {place}",
                details=str(error),
                resolution="it must be your own directory; XDG_CACHE_HOME sets another one",
            ) from error

    def check(self, k3s: K3sSpec, *, version: str, arch: str) -> str:
        """Check that `fetch` would succeed: the checksums of directory or cache, else that the release exists.

        Raises:
            ArtifactError: It would fail.
        """
        if k3s.artifacts is not None:
            place = directory.place_of(k3s.artifacts, version=version)
            found = directory.artifact(place, version=version, arch=arch)
            return f"{found.binary} has the right checksum"
        place = self._cache / layout.checked_version(version)
        binary, sums = place / layout.binary_name(arch), place / layout.list_name(arch)
        if binary.exists() and sums.exists() and layout.sha256_of(binary) == directory.listed(sums, binary.name):
            return "in the cache, with the right checksum"
        for name in (sums.name, binary.name):
            url = layout.file_url(k3s.releases_url, version, name)
            self._downloader.location(url, what=f"{name} of k3s {version}")
        return f"available at {k3s.releases_url}"

    def _cached(self, k3s: K3sSpec, *, place: Path, name: str, version: str, arch: str) -> Artifact:
        sums = place / layout.list_name(arch)
        binary = place / name
        for path in (sums, binary):
            if not path.exists():
                url = layout.file_url(k3s.releases_url, version, path.name)
                most_bytes = MOST_LIST_BYTES if path is sums else MOST_BYTES
                self._downloader.fetch(url, path, what=f"{path.name} of k3s {version}", most_bytes=most_bytes)
        try:
            expected = directory.listed(sums, name)
        except ArtifactError:
            # It may be a proxy's login page: kept, it would never be fetched again.
            sums.unlink()
            raise
        found = layout.sha256_of(binary)
        if found != expected:
            # Both are removed: which of the two is wrong is unknown.
            for path in (binary, sums):
                path.unlink()
            raise directory.wrong_checksum(
                binary,
                expected=expected,
                found=found,
                resolution="it was removed; run the command again to download it again. If it is wrong again, do not "
                f"trust {k3s.releases_url}",
            )
        return Artifact(version=version, arch=arch, binary=binary, sha256=found)
