"""Recipes: what makes two templates the same, and the record that says what a VM is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import Vmid
from bootstrap.records.vms.template import (
    BuildState,
    CloudImage,
    Recipe,
    TemplateRecord,
    image_of_volume,
    key_fingerprint,
    known_hash,
    parse_template,
    slug,
    template_vmid,
)
from tests.fakes.keys import sealed_template

IMAGE = CloudImage(name="ubuntu-24.04", url="https://x.test/u.img", checksum="ab" * 32, algorithm="sha256")
RECIPE = Recipe(image=IMAGE, k3s="v1.33.3+k3s1")
RECORD = TemplateRecord(
    recipe="0123abcd",
    image="debian-13",
    k3s="v1.33.3+k3s1",
    state=BuildState.BUILDING,
    vmid=Vmid(7900),
    key="ff",
    made=1_700_000_000,
)
TEXT = sealed_template(RECORD, "hk8s-x", "uuid-1")
RANGE = VmidRange(first=Vmid(7000), last=Vmid(7999))


def test_another_content_or_k3s_is_another_template_and_another_address_is_not() -> None:
    assert Recipe(image=replace(IMAGE, checksum="cd" * 32), k3s=RECIPE.k3s).hash != RECIPE.hash
    assert replace(RECIPE, k3s="v1.33.4+k3s1").hash != RECIPE.hash
    assert Recipe(image=replace(IMAGE, url="https://mirror.test/u.img"), k3s=RECIPE.k3s).hash == RECIPE.hash


def test_other_packages_are_another_template_and_without_any_it_is_that_of_earlier_releases() -> None:
    assert RECIPE.hash == "8c60a3eb"
    some, more = replace(RECIPE, packages=("nfs-common",)), replace(RECIPE, packages=("nfs-common", "open-iscsi"))
    assert len({RECIPE.hash, some.hash, more.hash}) == 3
    assert known_hash(IMAGE.url, IMAGE.checksum, RECIPE.k3s, ("nfs-common",)) == some.hash


def test_a_record_says_which_packages_are_in_it_and_none_that_no_package_is_called() -> None:
    with_packages = replace(RECORD, packages=("g++", "nfs-common"))
    text = sealed_template(with_packages, "hk8s-x", "uuid-1")
    assert parse_template(text, vmid=7900) == with_packages
    assert parse_template(text.replace("g++", "g; rm"), vmid=7900) is None


def test_name_and_tags_carry_the_hash_and_are_what_proxmox_takes() -> None:
    assert RECIPE.template_name == f"hk8s-ubuntu-24-04-{RECIPE.hash}"
    assert RECIPE.tags == (f"hk8s-{RECIPE.hash}", "homelab-k8s-template")


def test_a_download_is_named_by_what_it_holds() -> None:
    assert IMAGE.file_name.startswith("hk8s-ubuntu-24.04-")
    assert IMAGE.file_name.endswith(".qcow2")  # whatever the publisher calls it: Proxmox goes by the name's end
    assert replace(IMAGE, checksum="cd" * 32).file_name != IMAGE.file_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("local:import/debian-12-generic-amd64.qcow2", "debian-12-generic-amd64"),
        ("local-lvm:100/vm-100-disk-0.raw", "vm-100-disk-0"),
    ],
)
def test_a_volume_is_an_image(text: str, name: str) -> None:
    image = image_of_volume(text)
    assert image is not None
    assert (image.name, image.volume, image.key) == (name, text, text)


@pytest.mark.parametrize("text", ["debian-13", "https://x.test/a.qcow2", "local:iso/x.iso", "local:import/a b"])
def test_what_is_no_volume_is_none(text: str) -> None:
    assert image_of_volume(text) is None


@given(st.text())
def test_a_slug_can_be_a_part_of_a_vm_name(text: str) -> None:
    found = slug(text)
    assert found
    assert len(found) <= 40
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert found.strip("-") == found


def test_a_record_is_read_back_among_what_a_user_wrote() -> None:
    text = f"mine\n{TEXT}\nand mine"
    assert parse_template(text, vmid=7900) == RECORD


@pytest.mark.parametrize("text", ["", "homelab-k8s-template: {", TEXT.replace('"format":1', '"format":2')])
def test_what_is_not_whole_is_no_record(text: str) -> None:
    assert parse_template(text, vmid=7900) is None


def test_a_copy_of_the_vm_is_not_taken_for_it() -> None:
    assert parse_template(TEXT, vmid=7901) is None


def test_a_key_is_known_whatever_its_comment() -> None:
    assert key_fingerprint("ssh-ed25519 AAAA me") == key_fingerprint("ssh-ed25519 AAAA you\n")
    assert key_fingerprint("ssh-ed25519 AAAA") != key_fingerprint("ssh-ed25519 AAAB")


@pytest.mark.parametrize(
    ("used", "templates", "expected"),
    [
        (set(), [], 7899),  # the last tenth, where machines come last
        ({7899}, [7899], 7900),  # above the others: `up` takes the highest
        ({7899, 7900, 7901}, [7899], 7902),
        (set(range(7899, 7999)), [7998], 7000),
        (set(range(7000, 7999)), [7998], None),  # the very last is the lock's
        ({9000}, [9000], 7899),  # one of another range says nothing
    ],
)
def test_vmids(used: set[int], templates: list[int], expected: int | None) -> None:
    assert template_vmid(RANGE, used, templates) == expected
