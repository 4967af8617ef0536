"""The template's recipe: where packages come from, what is laid over them, and a cache that survives kill -9."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bootstrap.lab.guests.base import GuestError
from bootstrap.lab.guests.tools import needed_packages
from bootstrap.lab.template.cache import building, locked
from bootstrap.lab.template.initrd import load_order
from bootstrap.lab.template.layers import apply_layer, recipe_hash
from bootstrap.lab.template.sources import debian_sources


def test_sources_of_both_formats_are_read_and_strangers_left_out(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(
        "# a comment\ndeb [arch=amd64] http://mirror.example/debian bookworm main contrib # why\n"
        "deb-src http://mirror.example/debian bookworm main\n"
    )
    (parts / "debian.sources").write_text(
        "Types: deb deb-src\n# a comment\nURIs: http://security.example/debian\n"
        "Suites: bookworm-updates bookworm-security\nComponents: main\nSigned-By: /usr/share/keyrings/x.gpg\n"
        "\nTypes: deb\nEnabled: no\nURIs: http://off.example\nSuites: bookworm\nComponents: main\n"
    )
    (parts / "vendor.list").write_text("deb http://vendor.example/apt stable main\n")
    (parts / "old.list.save").write_text("deb http://old.example bookworm main\n")
    assert debian_sources("bookworm", apt=tmp_path).splitlines() == [
        "deb [arch=amd64] http://mirror.example/debian bookworm main contrib",
        "deb [signed-by=/usr/share/keyrings/x.gpg] http://security.example/debian bookworm-updates main",
        "deb [signed-by=/usr/share/keyrings/x.gpg] http://security.example/debian bookworm-security main",
    ]


def test_a_machine_without_a_source_of_its_own_suite_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian trixie main\n")
    with pytest.raises(GuestError, match="no source for Debian bookworm"):
        debian_sources("bookworm", apt=tmp_path)


def test_a_layer_masks_enables_and_is_readable_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        apply_layer("container", root=tmp_path / "root")
    finally:
        os.umask(before)
    units = tmp_path / "root/etc/systemd/system"
    assert (units / "systemd-udevd.service").readlink() == Path("/dev/null")
    wanted = units / "sysinit.target.wants/qemu-guest-agent.service"
    assert wanted.readlink() == Path("/etc/systemd/system/qemu-guest-agent.service")
    assert units.stat().st_mode & 0o777 == 0o755
    assert (units / "qemu-guest-agent.service").stat().st_mode & 0o777 == 0o644


def test_the_recipe_hash_differs_by_part_and_by_what_else_counts() -> None:
    hashes = {
        recipe_hash("common"),
        recipe_hash("qemu"),
        recipe_hash("common", "qemu"),
        recipe_hash("common", also="x"),
    }
    assert len(hashes) == 4
    assert recipe_hash("qemu", "common") == recipe_hash("common", "qemu")


def test_modules_load_after_what_they_need(tmp_path: Path) -> None:
    (tmp_path / "modules.dep").write_text("k/a.ko: k/b-b.ko k/c.ko\nk/b-b.ko: k/c.ko\nk/c.ko:\nk/d.ko.xz:\n")
    (tmp_path / "modules.builtin").write_text("kernel/e.ko\n")
    assert load_order(tmp_path, ("a", "d", "e", "b_b")) == ("k/c.ko", "k/b-b.ko", "k/a.ko", "k/d.ko.xz")
    with pytest.raises(GuestError, match="no module nowhere"):
        load_order(tmp_path, ("nowhere",))


def test_a_failed_build_leaves_nothing_and_a_dead_ones_rest_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".building-dead").mkdir()
    (tmp_path / ".building-dead/half").touch()
    target = tmp_path / "root-x"
    with pytest.raises(GuestError, match="broken"):
        _broken_build(tmp_path, target)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    with locked(tmp_path), building(tmp_path, target) as workspace:
        (workspace / "file").touch()
        assert not target.exists()
    assert (target / "file").exists()


def _broken_build(cache: Path, target: Path) -> None:
    with locked(cache), building(cache, target) as workspace:
        (workspace / "file").touch()
        raise GuestError("broken")


@pytest.mark.parametrize("kind", ["container", "qemu"])
def test_needed_packages_name_their_tools(kind: str) -> None:
    needed = needed_packages(kind)
    assert needed["iproute2"] == ("ip",)
    assert needed["dnsmasq-base"] == ("dnsmasq",)
    assert "mmdebstrap" in needed["mmdebstrap"]
