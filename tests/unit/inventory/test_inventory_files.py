"""Files that an inventory names: of a bounded size, and never a device or a pipe, which has no end or waits for one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bootstrap.adapters.kubeconfig.store import FileKubeconfigStore
from bootstrap.adapters.local.state import DirectoryStateStore
from bootstrap.adapters.ssh.keys import read_key
from bootstrap.errors import HomelabError, InventoryError, PreflightError
from bootstrap.inventory import load_inventory
from bootstrap.inventory.regular import MAX_BYTES, read_regular, read_regular_text
from bootstrap.model.ids import ClusterName

WHOLE = """cluster: demo
proxmox:
  endpoint: https://192.0.2.1:8006
  token: {file: %(token)s}
  vmids: 7000-7999
  tls: {ca_file: %(ca)s}
ssh: {private_key: %(key)s}
k3s: {artifacts: %(artifacts)s}
control_plane: {cores: 2, memory: 2GiB, disk: 20GiB}
"""


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A FIFO that nobody writes to."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_regular_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * MAX_BYTES)
    assert read_regular(path) == b"x" * MAX_BYTES
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_regular_text(link) == "x" * MAX_BYTES


def test_one_byte_too_many_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(OSError, match="more than 1048576 bytes"):
        read_regular(path)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/etc", "/proc/self/fd/0/../../mem/x", "a\0b", "x" * 5000])
def test_what_is_no_file_is_an_error_of_the_system(path: str) -> None:
    with pytest.raises(OSError, match=r"."):
        read_regular(Path(path))


def test_a_pipe_is_not_waited_for(pipe: Path) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(pipe)


@pytest.mark.parametrize("name", ["token", "ca", "key", "artifacts"])
@pytest.mark.parametrize("odd", ["/dev/zero", "PIPE", '"a\\0b"', "x" * 5000])
def test_what_an_inventory_names_is_a_problem_of_its_line(tmp_path: Path, pipe: Path, name: str, odd: str) -> None:
    there = {each: str(tmp_path / each) for each in ("token", "ca", "key", "artifacts")}
    (tmp_path / "token").write_text("automation@pve!homelab=c")
    (tmp_path / "ca").write_text("-----BEGIN CERTIFICATE-----")
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----")
    (tmp_path / "artifacts").mkdir()
    path = tmp_path / "inventory.yaml"
    path.write_text(WHOLE % there)
    load_inventory(path, environ={})
    path.write_text(WHOLE % (there | {name: str(pipe) if odd == "PIPE" else odd}))
    with pytest.raises(InventoryError) as raised:
        load_inventory(path, environ={})
    assert raised.value.problems[0].line is not None


@pytest.mark.parametrize("odd", ["/dev/zero", "PIPE"])
def test_an_inventory_that_is_no_file_is_refused(pipe: Path, odd: str) -> None:
    with pytest.raises(InventoryError, match="1 problem") as raised:
        load_inventory(pipe if odd == "PIPE" else Path(odd), environ={})
    assert "not a regular file" in raised.value.details


def test_neither_state_nor_kubeconfig_nor_key_is_read_from_a_pipe(tmp_path: Path, pipe: Path) -> None:
    directory = tmp_path / "state" / "clusters" / "demo"
    directory.mkdir(parents=True, mode=0o700)
    os.mkfifo(directory / "token")
    for private in (directory.parent, directory.parent.parent):
        private.chmod(0o700)
    with pytest.raises(HomelabError, match="cannot read the state file"):
        DirectoryStateStore(tmp_path / "state").read(ClusterName("demo"), "token")
    with pytest.raises(HomelabError, match="cannot read the kubeconfig"):
        FileKubeconfigStore({"KUBECONFIG": str(pipe)}, tmp_path).remove(
            name=ClusterName("demo"), paths=[pipe], known=()
        )
    with pytest.raises(PreflightError, match="cannot use the SSH key"):
        read_key(pipe)
    with pytest.raises(PreflightError, match="cannot use the SSH key"):
        read_key(Path("~nobody-of-this-name/x"))
