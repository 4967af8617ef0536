"""Images by name or address with their publishers' checksums, and the NoCloud ISO that a template is built with."""

from __future__ import annotations

import io
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pycdlib
import pytest
import yaml

from bootstrap.adapters.artifacts.download import MOST_BYTES, MOST_LIST_BYTES, Downloader
from bootstrap.adapters.images import catalogue, find_image
from bootstrap.adapters.iso import seed_iso
from bootstrap.adapters.local.guest_files import guest_file
from bootstrap.errors import ArtifactError, PreflightError
from bootstrap.ports import SeedRequest

SHA256, SHA512 = "ab" * 32, "CD" * 64


class Published(Downloader):
    """A publisher's list of checksums."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.asked: list[str] = []

    def fetch(self, url: str, path: Path, *, what: str, most_bytes: int = MOST_BYTES) -> None:
        assert len(self.text) <= most_bytes <= MOST_LIST_BYTES, what
        self.asked.append(url)
        path.write_text(self.text)


def test_the_catalogue_is_whole() -> None:
    for name, entry in catalogue().items():
        assert set(entry) == {"title", "url", "sums", "algorithm"}, name
        assert "{arch}" in entry["url"]
        assert entry["url"].startswith("https://")
        assert entry["sums"].startswith("https://")
        assert entry["sums"].rsplit("/", 1)[0] == entry["url"].rsplit("/", 1)[0]
        assert entry["algorithm"] in entry["sums"].lower()
    assert next(iter(catalogue())) == "debian-13"


def test_a_name_is_an_address_and_the_publisher_s_checksum() -> None:
    sums = Published(f"{'00' * 64}  debian-13-generic-arm64.qcow2\n{SHA512}  debian-13-generic-amd64.qcow2\n")
    image = find_image("debian-13", arch="amd64", checksum="", downloader=sums)
    assert image.url.endswith("/debian-13-generic-amd64.qcow2")
    assert (image.checksum, image.algorithm) == (SHA512.lower(), "sha512")
    assert sums.asked == [catalogue()["debian-13"]["sums"]]


def test_ubuntu_marks_its_files_as_binary() -> None:
    sums = Published(f"{SHA256} *ubuntu-24.04-server-cloudimg-amd64.img\n")
    assert find_image("ubuntu-24.04", arch="amd64", checksum="", downloader=sums).checksum == SHA256


@pytest.mark.parametrize("text", ["", "<html>sign in</html>", f"{SHA256}  debian-13-generic-amd64.qcow2"])
def test_a_list_without_it_is_refused(text: str) -> None:
    """The last one has the right name with a checksum that is too short."""
    with pytest.raises(ArtifactError, match="no checksum of debian-13-generic-amd64"):
        find_image("debian-13", arch="amd64", checksum="", downloader=Published(text))


def test_a_checksum_that_is_given_needs_no_list() -> None:
    sums = Published("")
    image = find_image("debian-13", arch="amd64", checksum=f"sha256:{SHA256}", downloader=sums)
    assert (image.checksum, image.algorithm, sums.asked) == (SHA256, "sha256", [])


def test_an_address_is_taken_as_it_is() -> None:
    image = find_image("https://x.test/My_Image.v2.qcow2", arch="amd64", checksum="")
    assert (image.name, image.url, image.checksum) == ("my-image-v2", "https://x.test/My_Image.v2.qcow2", "")


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(PreflightError, match="there is no image 'arch'") as caught:
        find_image("arch", arch="amd64", checksum="")
    assert "debian-13" in caught.value.details


@pytest.mark.parametrize("text", [SHA256, f"md5:{'ab' * 16}", f"sha512:{SHA256}", "sha256:xyz"])
def test_what_is_no_checksum_is_refused(text: str) -> None:
    with pytest.raises(PreflightError, match="is not a checksum"):
        find_image("debian-13", arch="amd64", checksum=text)


def read(data: bytes) -> tuple[str, dict[str, str]]:
    """Label and texts of an ISO, as cloud-init finds them."""
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(data))
    texts: dict[str, str] = {}
    for name in ("meta-data", "user-data", "network-config"):
        for way in ("joliet_path", "rr_path"):
            file = io.BytesIO()
            iso.get_file_from_iso_fp(file, **{way: f"/{name}"})
            assert texts.setdefault(name, file.getvalue().decode()) == file.getvalue().decode()
    label = iso.pvd.volume_identifier.decode().strip()
    iso.close()
    return label, texts


SEED = SeedRequest(
    file_name="hk8s-0-7900.iso",
    instance="hk8s-debian-13-0-7900",
    hostname="hk8s-debian-13-0",
    user="debian",
    public_key="ssh-ed25519 AAAA homelab-k8s\n",
    mac="BC:24:11:00:00:01",
)


def test_the_iso_has_our_user_and_the_guest_agent_and_upgrades_nothing() -> None:
    label, texts = read(seed_iso(SEED))
    assert label == "cidata"
    assert yaml.safe_load(texts["meta-data"])["instance-id"] == SEED.instance
    assert texts["user-data"].startswith("#cloud-config\n")
    user: dict[str, Any] = yaml.safe_load(texts["user-data"])
    assert user["user"] == {"name": "debian"}
    assert user["ssh_authorized_keys"] == ["ssh-ed25519 AAAA homelab-k8s"]
    assert user["package_upgrade"] is False
    (file,) = user["write_files"]
    assert file["content"].encode() == guest_file("seed-agent.sh")
    assert user["runcmd"] == [["sh", file["path"]]]


def test_its_card_is_named_by_its_mac_address_with_dhcp_or_a_fixed_address() -> None:
    network = yaml.safe_load(read(seed_iso(SEED))[1]["network-config"])
    assert network["config"] == [
        {"type": "physical", "name": "eth0", "mac_address": "bc:24:11:00:00:01", "subnets": [{"type": "dhcp4"}]}
    ]
    fixed = SeedRequest(
        **{
            **vars(SEED),
            "address": IPv4Interface("192.0.2.9/24"),
            "gateway": IPv4Address("192.0.2.1"),
            "dns": (IPv4Address("192.0.2.2"),),
        }
    )
    card, servers = yaml.safe_load(read(seed_iso(fixed))[1]["network-config"])["config"]
    assert card["subnets"] == [
        {"type": "static", "address": "192.0.2.9", "netmask": "255.255.255.0", "gateway": "192.0.2.1"}
    ]
    assert servers == {"type": "nameserver", "address": ["192.0.2.2"]}
