"""What cannot be is refused in one clear message, with the right exit code, before anything is created.

The lab's Proxmox VE API alone is needed: no guests, no root.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.lab.options import LabInfo, LabOptions
from bootstrap.lab.server import LabServer
from tests.e2e.homes import STAND_IN, Home

TEN_MISTAKES = Path(__file__).parent.parent / "unit" / "inventory" / "ten-mistakes.yaml"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[LabServer, LabInfo]]:
    server = LabServer(LabOptions(guests="none", port=0, cores=4, memory_mib=8192), driver=None, state_dir=tmp_path)
    with server as info:
        yield server, info


@pytest.fixture
def home(tmp_path: Path) -> Home:
    subprocess.run([sys.executable, str(STAND_IN), str(tmp_path / "k3s")], check=True, capture_output=True)
    return Home(tmp_path)


def inventory(home: Home, info: LabInfo, text: str = "", *, token: str = "", fingerprint: str = "") -> None:
    """Write the inventory file of the current directory and the token's file."""
    (home.directory / "token").write_text(token or f"{info.token_id}={info.token_secret}\n", encoding="utf-8")
    (home.directory / "token").chmod(0o600)
    (home.directory / "homelab-k8s.yaml").write_text(
        f"""cluster: demo
proxmox:
  endpoint: {info.endpoint}
  token: {{file: token}}
  tls: {{fingerprint: "{fingerprint or info.fingerprint}"}}
  vmids: 7000-7999
template: debian-12-k3s
{text}""",
        encoding="utf-8",
    )


def refused(server: LabServer, home: Home, *arguments: str, code: int) -> str:
    """Run `up`; it must end with this code, in one message with a way out, and create nothing."""
    before = {vm.vmid for vm in server.pve.vms}
    result = home.run("up", *arguments, expect=code)
    assert {vm.vmid for vm in server.pve.vms} == before
    assert result.err.count("error: ") == 1, result.err
    assert "→ " in result.err
    assert "log: " in result.err
    assert "Traceback" not in result.err
    assert result.out == ""
    return result.err


def test_ten_mistakes_in_one_file_are_ten_problems_in_one_answer(home: Home) -> None:
    result = home.run(
        "up", "-i", str(TEN_MISTAKES), expect=3, env={"LAB_TOKEN": "a@pve!b=00000000-0000-0000-0000-000000000000"}
    )
    assert "10 problems" in result.err
    assert sum(line.startswith("  line ") for line in result.err.splitlines()) == 10


def test_a_token_without_rights(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info, token=info.no_rights_token)
    said = refused(server, home, code=4)
    assert "VM.Clone" in said or "privilege" in said
    assert "pveum" in said


def test_a_wrong_token(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info, token=f"{info.token_id}=00000000-0000-0000-0000-000000000000")
    said = refused(server, home, code=4)
    assert info.token_id in said
    assert "00000000-0000" not in said


def test_a_wrong_fingerprint_tells_the_one_found(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info, fingerprint=":".join(["AB"] * 32))
    assert info.fingerprint in refused(server, home, code=4)


def test_no_pinned_certificate_tells_how_to_pin_it(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info)
    file = home.directory / "homelab-k8s.yaml"
    file.write_text(
        "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if "fingerprint" not in line),
        encoding="utf-8",
    )
    assert info.fingerprint in refused(server, home, code=4)


def test_nobody_at_the_endpoint(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, replace(info, endpoint="https://127.0.0.1:9"))
    assert "127.0.0.1:9" in refused(server, home, code=1)


def change_template(server: LabServer, change: Callable[[dict[str, object]], object]) -> None:
    template = server.pve.vm(9000)
    assert template is not None
    change(template.config)


def test_a_template_without_guest_agent(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info)
    change_template(server, lambda config: config.pop("agent"))
    assert "qm set 9000 --agent enabled=1" in refused(server, home, code=4)


def test_a_template_without_cloud_init_drive(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info)
    change_template(server, lambda config: config.pop("ide2"))
    assert "cloud-init" in refused(server, home, code=4)


def test_no_such_template(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info)
    said = refused(server, home, "--template", "ubuntu-24", code=4)
    assert "ubuntu-24" in said
    assert "debian-12-k3s" in said, "what is there is named"


def test_too_many_cores(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info, "workers: {cores: 5}\n")
    assert "5 cores needed, it has 4" in refused(server, home, code=4)


def test_memory_that_does_not_fit(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info, "workers: {count: 2, memory: 4GiB}\n")
    said = refused(server, home, code=4)
    assert "4096 MiB needed" in said
    assert "8192 in total" in said


def test_an_unknown_proxmox_node(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info)
    file = home.directory / "homelab-k8s.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("  vmids:", "  nodes: [pve7]\n  vmids:"), encoding="utf-8")
    said = refused(server, home, code=4)
    assert "pve7" in said
    assert "pve1" in said


def test_a_vmid_range_that_others_used_up(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info)
    for vmid in (7000, 7001):
        server.pve.add_vm(vmid, f"other-{vmid}", config={"name": f"other-{vmid}", "memory": 512})
    assert "7000-7001 is exhausted" in refused(server, home, "--vmids", "7000-7001", code=4)


def test_an_address_range_that_is_too_small(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info, "network: {addresses: 192.0.2.10-192.0.2.10, subnet: 192.0.2.0/24}\n")
    refused(server, home, code=3)


def test_artifacts_that_are_not_there(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    server, info = lab
    inventory(home, info)
    (home.directory / "k3s" / "k3s").unlink()
    said = refused(server, home, code=4)
    assert str(home.directory / "k3s") in said


def test_down_does_not_ask_a_pipe(lab: tuple[LabServer, LabInfo], home: Home) -> None:
    _, info = lab
    inventory(home, info)
    home.run("down", expect=0)
    assert "nothing" in home.run("down").out.lower()
