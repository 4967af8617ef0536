"""Downloads end, fit on the disk, and stay on https; what is kept of them is the user's alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bootstrap.adapters.artifacts import ReleaseSource
from bootstrap.adapters.artifacts.download import Downloader
from bootstrap.errors import ArtifactError
from bootstrap.model.cluster import K3sSpec
from tests.adapters.hostile_site import Site, serving
from tests.adapters.releases import BINARY, VERSION, ReleaseServer, sha256
from tests.adapters.tls_peer import make_certificate


@pytest.fixture
def cert_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cert_file = make_certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert_file))
    return cert_file


@pytest.fixture
def site(cert_file: Path) -> Iterator[Site]:
    with serving(cert_file) as site:
        yield site


@pytest.fixture
def downloader() -> Downloader:
    return Downloader(attempts=2, pause_s=0.01)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """A file that must not appear."""
    directory = tmp_path / "downloads"
    directory.mkdir()
    yield directory / "k3s"
    assert list(directory.iterdir()) == []


def test_what_begins_with_https_never_goes_on_over_http(site: Site, downloader: Downloader, target: Path) -> None:
    with serving(None) as plain:
        site.to = plain.url
        with pytest.raises(ArtifactError, match="it redirects from https to http") as caught:
            downloader.fetch(f"{site.url}/k3s", target, what="k3s")
        assert plain.heard == []
        assert f"{plain.url}/k3s" in caught.value.details


def test_nor_by_a_detour(site: Site, cert_file: Path, downloader: Downloader, target: Path) -> None:
    with serving(None) as plain, serving(cert_file) as between:
        site.to, between.to = between.url, plain.url
        with pytest.raises(ArtifactError, match="it redirects from https to http"):
            downloader.fetch(f"{site.url}/k3s", target, what="k3s")
        assert len(between.heard) == 1
        assert plain.heard == []


def test_redirects_to_https_are_followed(site: Site, cert_file: Path, downloader: Downloader, tmp_path: Path) -> None:
    with serving(cert_file) as other, serving(None) as plain:
        site.to = plain.to = other.url
        for first in (site, plain):
            downloader.fetch(f"{first.url}/k3s", tmp_path / "k3s", what="k3s")
            assert (tmp_path / "k3s").read_bytes() == other.piece


def test_a_download_without_end_is_given_up_and_nothing_of_it_stays(
    site: Site, downloader: Downloader, target: Path
) -> None:
    site.piece, site.pieces = b"x" * (1 << 16), 16 << 10  # 1 GiB
    with pytest.raises(ArtifactError, match="k3s is too long: more than 3 MiB"):
        downloader.fetch(f"{site.url}/k3s", target, what="k3s", most_bytes=3 << 20)
    assert site.sent < 64 << 20


def test_one_that_claims_to_be_huge_is_not_begun(site: Site, downloader: Downloader, target: Path) -> None:
    site.length = 1 << 50
    with pytest.raises(ArtifactError, match="more than 2048 MiB"):
        downloader.fetch(f"{site.url}/k3s", target, what="k3s")


def test_one_that_the_disk_has_no_room_for_is_not_begun(
    site: Site, downloader: Downloader, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    site.length = 70 << 20
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(free=1 << 20))
    with pytest.raises(ArtifactError, match="not enough disk space for k3s") as caught:
        downloader.fetch(f"{site.url}/k3s", target, what="k3s")
    assert str(70 << 20) in caught.value.details


def test_a_list_of_checksums_is_short(tmp_path: Path) -> None:
    server = ReleaseServer()
    try:
        path = next(path for path in server.files if "sha256sum" in path)
        server.files[path] += b"x" * (2 << 20)
        source = ReleaseSource(tmp_path / "cache", downloader=Downloader(attempts=1))
        with pytest.raises(ArtifactError, match="more than 1 MiB"):
            source.fetch(K3sSpec(releases_url=server.url), version=VERSION, arch="amd64")
    finally:
        server.stop()


class TestCache:
    @pytest.fixture
    def k3s(self) -> Iterator[K3sSpec]:
        server = ReleaseServer()
        yield K3sSpec(releases_url=server.url)
        server.stop()

    def test_it_is_made_for_the_user_alone_whatever_the_umask(self, tmp_path: Path, k3s: K3sSpec) -> None:
        cache = tmp_path / "new" / "cache"
        before = os.umask(0)
        try:
            binary = ReleaseSource(cache).fetch(k3s, version=VERSION, arch="amd64").binary
        finally:
            os.umask(before)
        assert {path.stat().st_mode & 0o777 for path in (cache.parent, cache, binary.parent)} == {0o700}

    def test_one_that_others_may_enter_is_put_right(self, tmp_path: Path, k3s: K3sSpec) -> None:
        place = tmp_path / "cache" / VERSION
        place.mkdir(parents=True)
        for directory in (place, place.parent):
            directory.chmod(0o777)
        ReleaseSource(place.parent).fetch(k3s, version=VERSION, arch="amd64")
        assert {path.stat().st_mode & 0o777 for path in (place, place.parent)} == {0o700}

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_what_others_have_put_there_is_not_taken(self, tmp_path: Path, k3s: K3sSpec) -> None:
        """A binary with a list of checksums that fits it."""
        evil = b"#!/bin/sh\nrm -rf ~\n"
        place = tmp_path / "cache" / VERSION
        place.mkdir(parents=True)
        place.chmod(0o777)
        for name, data in (("k3s", evil), ("sha256sum-amd64.txt", f"{sha256(evil)}  k3s\n".encode())):
            (place / name).write_bytes(data)
            os.chown(place / name, 12345, 12345)
        found = ReleaseSource(place.parent).fetch(k3s, version=VERSION, arch="amd64")
        assert found.binary.read_bytes() == BINARY

    def test_another_user_s_is_refused_and_nothing_is_put_there(
        self, tmp_path: Path, k3s: K3sSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = tmp_path / "cache"
        cache.mkdir(mode=0o755)
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
        with pytest.raises(ArtifactError, match="cannot use the cache") as caught:
            ReleaseSource(cache).fetch(k3s, version=VERSION, arch="amd64")
        assert f"belongs to another user (uid {mine})" in caught.value.details
        assert list(cache.iterdir()) == []
