"""k3s from releases (over a real local server) and from artifact directories."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from bootstrap.adapters.artifacts import ReleaseSource, layout
from bootstrap.adapters.artifacts.download import Downloader
from bootstrap.adapters.artifacts.stated import stated_version
from bootstrap.errors import ArtifactError
from bootstrap.model.cluster import K3sSpec
from tests.adapters.releases import BINARY, VERSION, ReleaseServer, sha256, write_artifacts


@pytest.fixture
def server() -> Iterator[ReleaseServer]:
    server = ReleaseServer()
    yield server
    server.stop()


@pytest.fixture
def k3s(server: ReleaseServer) -> K3sSpec:
    return K3sSpec(releases_url=server.url, channels_url=f"{server.url}/channels")


@pytest.fixture
def source(tmp_path: Path) -> ReleaseSource:
    return ReleaseSource(tmp_path / "cache", downloader=Downloader(attempts=3, pause_s=0.01))


class TestReleases:
    def test_a_channel_is_read_from_its_redirect_which_is_not_followed(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer
    ) -> None:
        assert source.resolve(k3s) == VERSION
        assert server.paths == ["/channels/stable"]

    def test_a_version_is_taken_as_given_without_a_request(self, source: ReleaseSource, server: ReleaseServer) -> None:
        assert source.resolve(K3sSpec(version="v1.32.0-rc1+k3s2", channels_url=server.url)) == "v1.32.0-rc1+k3s2"
        assert server.paths == []
        for wrong in ("1.33.3+k3s1", "v1.33.3", "v1.33", "../../etc"):
            with pytest.raises(ArtifactError, match="not a k3s version"):
                source.resolve(K3sSpec(version=wrong))

    def test_an_unknown_channel_or_an_odd_redirect_is_told(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer
    ) -> None:
        server.redirects["/channels/odd"] = "/releases/latest"
        with pytest.raises(ArtifactError, match=r"there is no k3s channel 'v9\.9'"):
            source.resolve(K3sSpec(channel="v9.9", channels_url=k3s.channels_url))
        with pytest.raises(ArtifactError, match="does not report its version") as caught:
            source.resolve(K3sSpec(channel="odd", channels_url=k3s.channels_url))
        assert "redirects to" in caught.value.details

    def test_no_channel_but_testing_leads_to_a_pre_release(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer
    ) -> None:
        for channel, version in (("latest", "v1.37.0-rc1+k3s1"), ("v1.37", "v1.37.0-beta.0+k3s1")):
            server.redirects[f"/channels/{channel}"] = f"/releases/tag/{quote(version, safe='')}"
            with pytest.raises(ArtifactError, match=f"is at the pre-release {re.escape(version)}"):
                source.resolve(K3sSpec(channel=channel, channels_url=k3s.channels_url))
        with pytest.raises(ArtifactError, match="is at the pre-release"):
            source.newest(k3s, minor="v1.37")
        server.redirects["/channels/testing"] = "/releases/tag/v1.37.0-rc1%2Bk3s1"
        assert source.resolve(K3sSpec(channel="testing", channels_url=k3s.channels_url)) == "v1.37.0-rc1+k3s1"

    def test_a_release_is_fetched_once_and_verified(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer
    ) -> None:
        artifact = source.fetch(k3s, version=VERSION, arch="amd64")
        assert artifact.binary.read_bytes() == BINARY
        assert (artifact.sha256, artifact.version, artifact.images) == (sha256(BINARY), VERSION, ())
        assert source.fetch(k3s, version=VERSION, arch="amd64") == artifact
        assert server.paths == ["/download/v1.33.3%2Bk3s1/sha256sum-amd64.txt", "/download/v1.33.3%2Bk3s1/k3s"]
        assert sorted(path.name for path in artifact.binary.parent.iterdir()) == ["k3s", "sha256sum-amd64.txt"]

    def test_what_is_in_the_cache_needs_no_server(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer
    ) -> None:
        artifact = source.fetch(k3s, version=VERSION, arch="amd64")
        nowhere = K3sSpec(releases_url="http://127.0.0.1:1")
        assert source.fetch(nowhere, version=VERSION, arch="amd64") == artifact

    def test_a_wrong_checksum_stops_and_removes_the_file(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer, tmp_path: Path
    ) -> None:
        path = f"/download/{quote(VERSION, safe='')}/k3s"
        server.files[path] = b"something else"
        with pytest.raises(ArtifactError, match="wrong checksum") as caught:
            source.fetch(k3s, version=VERSION, arch="amd64")
        assert sha256(BINARY) in caught.value.details
        assert sha256(b"something else") in caught.value.details
        assert str(tmp_path / "cache" / VERSION / "k3s") in caught.value.brief
        assert list((tmp_path / "cache" / VERSION).iterdir()) == []
        server.files[path] = BINARY
        assert source.fetch(k3s, version=VERSION, arch="amd64").sha256 == sha256(BINARY)

    def test_a_file_that_changed_in_the_cache_is_noticed(self, source: ReleaseSource, k3s: K3sSpec) -> None:
        artifact = source.fetch(k3s, version=VERSION, arch="amd64")
        artifact.binary.write_bytes(BINARY[:-1])
        with pytest.raises(ArtifactError, match="wrong checksum"):
            source.fetch(k3s, version=VERSION, arch="amd64")
        assert source.fetch(k3s, version=VERSION, arch="amd64") == artifact

    def test_a_download_that_ends_early_is_tried_again(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer
    ) -> None:
        server.cut = 2
        assert source.fetch(k3s, version=VERSION, arch="amd64").binary.read_bytes() == BINARY
        assert len(server.paths) == 4

    def test_one_that_always_ends_early_leaves_nothing(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer, tmp_path: Path
    ) -> None:
        server.cut = 100
        with pytest.raises(ArtifactError, match=r"cannot fetch sha256sum-amd64\.txt"):
            source.fetch(k3s, version=VERSION, arch="amd64")
        assert len(server.paths) == 3
        assert list((tmp_path / "cache" / VERSION).iterdir()) == []

    def test_a_busy_server_is_asked_again(self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer) -> None:
        server.busy = 2
        assert source.resolve(k3s) == VERSION
        server.busy = 3
        with pytest.raises(ArtifactError, match="cannot fetch k3s channel") as caught:
            source.resolve(k3s)
        assert "HTTP 503" in caught.value.details

    def test_a_release_that_is_not_there_is_told_at_once(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer
    ) -> None:
        with pytest.raises(ArtifactError, match=r"there is no sha256sum-amd64.txt of k3s v9.9.9\+k3s1") as caught:
            source.fetch(k3s, version="v9.9.9+k3s1", arch="amd64")
        assert "404" in caught.value.details
        assert len(server.paths) == 1

    def test_a_server_that_is_down_is_told(self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer) -> None:
        server.stop()
        with pytest.raises(ArtifactError, match="cannot fetch") as caught:
            source.fetch(k3s, version=VERSION, arch="amd64")
        assert "refused" in caught.value.details
        assert server.url in caught.value.details

    def test_a_page_in_place_of_the_list_is_not_kept(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer
    ) -> None:
        path = f"/download/{quote(VERSION, safe='')}/sha256sum-amd64.txt"
        good, server.files[path] = server.files[path], b"<html>please log in</html>"
        with pytest.raises(ArtifactError, match="has no checksum of k3s"):
            source.fetch(k3s, version=VERSION, arch="amd64")
        server.files[path] = good
        assert source.fetch(k3s, version=VERSION, arch="amd64").sha256 == sha256(BINARY)

    def test_an_architecture_k3s_is_not_for_is_refused(self, source: ReleaseSource, k3s: K3sSpec) -> None:
        with pytest.raises(ArtifactError, match="riscv64"):
            source.fetch(k3s, version=VERSION, arch="riscv64")

    def test_threads_and_processes_share_one_download(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer, tmp_path: Path
    ) -> None:
        code = (
            "import sys, json, pathlib\n"
            "from bootstrap.adapters.artifacts import ReleaseSource\n"
            "from bootstrap.model.cluster import K3sSpec\n"
            "cache, url, version = sys.argv[1:]\n"
            "got = ReleaseSource(pathlib.Path(cache)).fetch(K3sSpec(releases_url=url), version=version, arch='amd64')\n"
            "print(json.dumps(got.sha256))\n"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "cache"), server.url, VERSION]
        with ThreadPoolExecutor(8) as pool:
            others = [pool.submit(subprocess.run, command, capture_output=True, check=True) for _ in range(3)]
            ours = [pool.submit(source.fetch, k3s, version=VERSION, arch="amd64") for _ in range(5)]
            assert {future.result().sha256 for future in ours} == {sha256(BINARY)}
            assert {json.loads(future.result().stdout) for future in others} == {sha256(BINARY)}
        assert len(server.paths) == 2
        assert threading.active_count() < 20


class TestCheck:
    def test_a_release_that_is_there_is_seen_without_fetching_it(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer, tmp_path: Path
    ) -> None:
        said = source.check(k3s, version=VERSION, arch="amd64")
        assert said == f"available at {k3s.releases_url}"
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_what_is_in_the_cache_is_verified_there(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer
    ) -> None:
        source.fetch(k3s, version=VERSION, arch="amd64")
        server.stop()
        assert source.check(k3s, version=VERSION, arch="amd64") == "in the cache, with the right checksum"

    def test_a_release_that_is_not_there_is_told(self, source: ReleaseSource, k3s: K3sSpec) -> None:
        with pytest.raises(ArtifactError, match="there is no sha256sum-amd64"):
            source.check(k3s, version="v9.9.9+k3s1", arch="amd64")

    def test_an_artifact_directory_is_verified(self, source: ReleaseSource, tmp_path: Path) -> None:
        place = write_artifacts(tmp_path / "files")
        k3s = K3sSpec(artifacts=place)
        said = source.check(k3s, version=VERSION, arch="amd64")
        assert said == f"{place / 'k3s'} has the right checksum"
        (place / "k3s").write_bytes(b"another")
        with pytest.raises(ArtifactError, match="wrong checksum"):
            source.check(k3s, version=VERSION, arch="amd64")

    def test_what_did_not_change_is_read_once_by_plan_lock_and_run(
        self, source: ReleaseSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(layout, "TICK_NS", 0)
        place = write_artifacts(tmp_path / "files")
        k3s = K3sSpec(artifacts=place)
        before = layout._known_sha256.cache_info().misses
        for _ in range(3):
            source.check(k3s, version=VERSION, arch="amd64")
        source.fetch(k3s, version=VERSION, arch="amd64")
        assert layout._known_sha256.cache_info().misses == before + 1
        (place / "k3s").write_bytes((place / "k3s").read_bytes()[::-1])
        os.utime(place / "k3s", (1, 1))
        with pytest.raises(ArtifactError, match="wrong checksum"):
            source.check(k3s, version=VERSION, arch="amd64")


class TestDirectory:
    def test_its_files_are_verified_in_place(self, source: ReleaseSource, tmp_path: Path) -> None:
        directory = write_artifacts(tmp_path / "files")
        k3s = K3sSpec(artifacts=directory)
        for arch, name in (("amd64", "k3s"), ("arm64", "k3s-arm64")):
            artifact = source.fetch(k3s, version=VERSION, arch=arch)
            assert artifact.binary == directory / name
            assert artifact.sha256 == sha256(artifact.binary.read_bytes())
        assert not (tmp_path / "cache").exists()

    def test_the_binary_tells_its_version_for_any_machine(self, source: ReleaseSource, tmp_path: Path) -> None:
        directory = write_artifacts(tmp_path / "files", version="v1.30.1+k3s2")
        (directory / "k3s").unlink()  # what is left is arm64's
        assert source.resolve(K3sSpec(artifacts=directory)) == "v1.30.1+k3s2"
        assert source.resolve(K3sSpec(artifacts=directory, version="v1.30.1+k3s2")) == "v1.30.1+k3s2"
        with pytest.raises(ArtifactError, match=r"contains k3s v1.30.1\+k3s2, not v1.33.3\+k3s1"):
            source.resolve(K3sSpec(artifacts=directory, version=VERSION))

    def test_it_is_never_run_for_that(
        self, source: ReleaseSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was, by `doctor` and `up --dry-run` too, with the API token in its environment."""
        monkeypatch.setenv("PROXMOX_VE_API_TOKEN", "root@pam!x=the-secret")
        directory = write_artifacts(tmp_path / "files")
        trace = tmp_path / "trace"
        program = f"#!/bin/sh\nenv >{trace}\necho 'k3s version {VERSION} (236cbf25)'\n".encode()
        for arch, name in (("amd64", "k3s"), ("arm64", "k3s-arm64")):
            (directory / name).write_bytes(program)
            (directory / f"sha256sum-{arch}.txt").write_text(f"{sha256(program)}  {name}\n")
        k3s = K3sSpec(artifacts=directory)
        assert source.resolve(k3s) == VERSION
        source.check(k3s, version=VERSION, arch="amd64")
        source.fetch(k3s, version=VERSION, arch="amd64")
        assert not trace.exists()

    def test_a_version_file_is_believed(self, source: ReleaseSource, tmp_path: Path) -> None:
        directory = write_artifacts(tmp_path / "files")
        (directory / "VERSION").write_text("v1.29.9+k3s1\n")
        assert source.resolve(K3sSpec(artifacts=directory)) == "v1.29.9+k3s1"
        (directory / "VERSION").write_text("newest\n")
        with pytest.raises(ArtifactError, match="'newest' is not a k3s version"):
            source.resolve(K3sSpec(artifacts=directory))

    def test_where_nothing_tells_the_inventory_must(self, source: ReleaseSource, tmp_path: Path) -> None:
        directory = write_artifacts(tmp_path / "files", version="of my own")
        with pytest.raises(ArtifactError, match="the k3s version in") as caught:
            source.resolve(K3sSpec(artifacts=directory))
        assert "k3s.version" in caught.value.resolution
        assert source.resolve(K3sSpec(artifacts=directory, version=VERSION)) == VERSION

    def test_a_binary_with_a_wrong_checksum_is_not_believed(self, source: ReleaseSource, tmp_path: Path) -> None:
        directory = write_artifacts(tmp_path / "files")
        for name in ("k3s", "k3s-arm64"):
            (directory / name).write_text("#!/bin/sh\necho k3s version v1.30.0+k3s1\n")
        with pytest.raises(ArtifactError, match="wrong checksum"):
            source.resolve(K3sSpec(artifacts=directory))

    def test_an_image_archive_counts_if_it_is_listed_and_there(self, source: ReleaseSource, tmp_path: Path) -> None:
        names = ("k3s-airgap-images-amd64.tar.gz", "k3s-airgap-images-amd64.tar.zst")
        directory = write_artifacts(tmp_path / "files", images=names)
        (directory / "k3s-airgap-images-arm64.tar").write_text("not listed")
        k3s = K3sSpec(artifacts=directory)
        assert source.fetch(k3s, version=VERSION, arch="amd64").images == (directory / names[1],)
        assert source.fetch(k3s, version=VERSION, arch="arm64").images == ()
        (directory / names[1]).unlink()
        assert source.fetch(k3s, version=VERSION, arch="amd64").images == (directory / names[0],)
        (directory / names[0]).write_text("damaged")
        with pytest.raises(ArtifactError, match="wrong checksum"):
            source.fetch(k3s, version=VERSION, arch="amd64")

    def test_what_is_missing_is_named(self, source: ReleaseSource, tmp_path: Path) -> None:
        directory = write_artifacts(tmp_path / "files")
        k3s = K3sSpec(artifacts=directory)
        (directory / "sha256sum-amd64.txt").write_text("")
        with pytest.raises(ArtifactError, match="no checksum of k3s"):
            source.fetch(k3s, version=VERSION, arch="amd64")
        (directory / "sha256sum-amd64.txt").unlink()
        with pytest.raises(ArtifactError, match="cannot read the checksum list"):
            source.fetch(k3s, version=VERSION, arch="amd64")
        (directory / "k3s").unlink()
        with pytest.raises(ArtifactError, match="there is no k3s in"):
            source.fetch(k3s, version=VERSION, arch="amd64")
        with pytest.raises(ArtifactError, match="is not there"):
            source.resolve(K3sSpec(artifacts=tmp_path / "elsewhere"))


class TestSeveralReleases:
    OLD, NEW, NEXT = "v1.33.9+k3s1", "v1.33.10+k3s1", "v1.34.1+k3s2"

    @pytest.fixture
    def several(self, tmp_path: Path) -> Path:
        directory = tmp_path / "several"
        directory.mkdir()
        for version in (self.NEXT, self.OLD, self.NEW):
            write_artifacts(directory / version, version=version)
        (directory / "notes").mkdir()
        (directory / "v1.35.0+k3s1").mkdir()  # empty: a download that never came
        return directory

    def test_each_is_found_by_its_directory(self, source: ReleaseSource, several: Path) -> None:
        k3s = K3sSpec(artifacts=several)
        for version in (self.OLD, self.NEW, self.NEXT):
            artifact = source.fetch(k3s, version=version, arch="amd64")
            assert artifact.binary == several / version / "k3s"
            assert version.encode() in artifact.binary.read_bytes()
            assert source.check(k3s, version=version, arch="arm64").startswith(str(several / version))

    def test_a_pre_release_is_the_newest_only_if_asked_for(self, source: ReleaseSource, tmp_path: Path) -> None:
        directory = tmp_path / "trying"
        directory.mkdir()
        for version in ("v1.37.0-rc1+k3s1", "v1.37.0-alpha.1+k3s1", "v1.36.3+k3s1"):
            write_artifacts(directory / version, version=version)
        assert source.resolve(K3sSpec(artifacts=directory)) == "v1.36.3+k3s1"
        assert source.resolve(K3sSpec(artifacts=directory, channel="testing")) == "v1.37.0-rc1+k3s1"
        assert source.resolve(K3sSpec(artifacts=directory, version="v1.37.0-alpha.1+k3s1")) == "v1.37.0-alpha.1+k3s1"
        with pytest.raises(ArtifactError, match="contains only pre-releases of k3s") as caught:
            source.resolve(K3sSpec(artifacts=directory, channel="v1.37"))
        assert "v1.37.0-rc1+k3s1" in caught.value.details
        with pytest.raises(ArtifactError, match="contains only pre-releases"):
            source.newest(K3sSpec(artifacts=directory), minor="v1.37")

    def test_the_newest_is_meant_unless_a_version_or_a_minor_is_named(
        self, source: ReleaseSource, several: Path
    ) -> None:
        assert source.resolve(K3sSpec(artifacts=several)) == self.NEXT
        assert source.resolve(K3sSpec(artifacts=several, channel="v1.33")) == self.NEW
        assert source.resolve(K3sSpec(artifacts=several, version=self.OLD)) == self.OLD
        assert source.newest(K3sSpec(artifacts=several), minor="v1.33") == self.NEW

    def test_one_that_is_not_there_is_told_with_those_that_are(self, source: ReleaseSource, several: Path) -> None:
        k3s = K3sSpec(artifacts=several)
        with pytest.raises(ArtifactError, match=r"does not contain k3s v1\.35\.0\+k3s1") as caught:
            source.fetch(k3s, version="v1.35.0+k3s1", arch="amd64")
        assert caught.value.details == f"it contains {self.OLD}, {self.NEW}, {self.NEXT}"
        with pytest.raises(ArtifactError, match="does not contain"):
            source.resolve(K3sSpec(artifacts=several, version=VERSION))
        with pytest.raises(ArtifactError, match=r"does not contain k3s v1\.3\.x"):  # v1.33 is another minor
            source.newest(k3s, minor="v1.3")

    def test_a_release_beside_them_counts_too(self, source: ReleaseSource, tmp_path: Path) -> None:
        directory = write_artifacts(tmp_path / "files")
        write_artifacts(directory / self.NEXT, version=self.NEXT)
        k3s = K3sSpec(artifacts=directory)
        assert source.resolve(k3s) == self.NEXT
        assert source.newest(k3s, minor="v1.33") == VERSION
        assert source.fetch(k3s, version=VERSION, arch="amd64").binary == directory / "k3s"

    def test_one_release_is_not_taken_for_another(self, source: ReleaseSource, tmp_path: Path) -> None:
        k3s = K3sSpec(artifacts=write_artifacts(tmp_path / "files"))
        with pytest.raises(ArtifactError, match=r"does not contain k3s v1\.34\.1\+k3s2") as caught:
            source.fetch(k3s, version=self.NEXT, arch="amd64")
        assert caught.value.details == f"it contains {VERSION}"
        assert caught.value.resolution.endswith(f"files/{self.NEXT}")

    def test_the_newest_of_a_minor_is_what_its_channel_points_to(
        self, source: ReleaseSource, k3s: K3sSpec, server: ReleaseServer
    ) -> None:
        server.redirects["/channels/v1.34"] = f"/releases/tag/{quote(self.NEXT, safe='')}"
        assert source.newest(k3s, minor="v1.34") == self.NEXT
        assert server.paths == ["/channels/v1.34"]
        with pytest.raises(ArtifactError, match=r"there is no k3s channel 'v1\.99'"):
            source.newest(k3s, minor="v1.99")


def test_checksum_lists_are_read_as_sha256sum_writes_them() -> None:
    text = f"{'A' * 64}  k3s\n{'b' * 64} *k3s-arm64\n\n# comment\nshort  x\n"
    assert layout.parse_sums(text) == {"k3s": "a" * 64, "k3s-arm64": "b" * 64}


class TestStatedVersion:
    LINKED = b'build\t-ldflags="-X github.com/k3s-io/k3s/pkg/version.Version=v1.36.3+k3s1 -X github.com/k3s-io/k3s/pkg'

    @pytest.mark.parametrize(
        ("data", "version"),
        [
            (b"\x7fELF" + b"\0" * 5_000_000 + b"\0v1.30.0+k3s1\0\0/usr/local/go" + LINKED, "v1.36.3+k3s1"),
            (b"\0\0v1.36.3+k3s1\0\0/usr/local/go", "v1.36.3+k3s1"),
            (b"v1.37.0-rc1+k3s1", "v1.37.0-rc1+k3s1"),
            (b"v1.36.3+k3s1 and v1.36.3+k3s1", "v1.36.3+k3s1"),
            (b"from v1.36.3+k3s1 to v1.36.4+k3s1", None),
            (b"k8s.io/apimachinery@v1.36.3-k3s1 v1.36+k3s1 xv1.2.3+k3s1 v1.2.3+k3s1.4 v1.2.3+k3s", None),
            (b"", None),
        ],
    )
    def test_it_is_the_linkers_word_or_the_only_one(self, tmp_path: Path, data: bytes, version: str | None) -> None:
        binary = tmp_path / "k3s"
        binary.write_bytes(data)
        assert stated_version(binary) == version

    @pytest.mark.parametrize("before", range(4_194_304 - 40, 4_194_304 + 40, 3))
    def test_it_is_found_across_two_reads(self, tmp_path: Path, before: int) -> None:
        binary = tmp_path / "k3s"
        binary.write_bytes(b" " * before + b"v1.36.3+k3s12" + b" " * 50)
        assert stated_version(binary) == "v1.36.3+k3s12"
