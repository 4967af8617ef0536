"""`init` as a process before the lab's front: on a terminal, in a pipe, with flags alone."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.cli.verbs.setup.init import DEFAULT_FILE
from bootstrap.inventory import DEFAULT_FILE as INVENTORY_FILE
from bootstrap.inventory import Inventory, load_inventory
from bootstrap.inventory.describe.schema import render_schema
from bootstrap.lab.guest_memory import MemoryGuests
from bootstrap.lab.options import LabInfo, LabOptions
from bootstrap.lab.server import LabServer

COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
QUIET_S = 20.0
"""A dialogue that says nothing for so long waits for an answer that nobody gives."""
INIT = (sys.executable, "-m", "bootstrap", "init")


@pytest.fixture(scope="module")
def lab() -> Iterator[LabInfo]:
    options = LabOptions(guests="none", port=0, pve_nodes=3, time_scale=0.02)
    with LabServer(options, driver=MemoryGuests()) as info:
        yield info


@pytest.fixture
def here(state: Path, monkeypatch: pytest.MonkeyPatch, lab: LabInfo, tmp_path: Path) -> Path:
    """An empty directory, the lab's token in $LAB_TOKEN and its secret alone in $LAB_SECRET; nothing else is known."""
    for name in ("PROXMOX_VE_ENDPOINT", "PROXMOX_VE_API_TOKEN", "PROXMOX_VE_FINGERPRINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAB_TOKEN", f"{lab.token_id}={lab.token_secret}")
    monkeypatch.setenv("LAB_SECRET", lab.token_secret)
    directory = tmp_path / "here"
    directory.mkdir()
    return directory


def piped(here: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*INIT, *args], cwd=here, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


def on_a_terminal(here: Path, args: list[str], answers: list[tuple[str, str]]) -> tuple[str, int]:
    """All that a terminal gets; each answer is typed once its question stands there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(here)
        os.execve(sys.executable, [*INIT, *args], {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"})
    told, asked = "", 0
    while select.select([terminal], [], [], QUIET_S)[0]:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            break
        told += COLOURS.sub("", part.decode(errors="replace"))
        while answers and (at := told.find(answers[0][0], asked)) >= 0:
            asked = at + len(answers[0][0])
            os.write(terminal, answers.pop(0)[1].encode())
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert answers == [], told
    return told.replace("\r\n", "\n"), os.waitstatus_to_exitcode(status)


def written(here: Path, name: str = "homelab-k8s.yaml") -> Inventory:
    return load_inventory(here / name, environ=os.environ)


def test_a_dialogue_ends_in_an_inventory_and_the_next_commands(here: Path, lab: LabInfo) -> None:
    told, code = on_a_terminal(
        here,
        [],
        [
            ("URL of the Proxmox VE API", "http://127.0.0.1\n"),
            ("Proxmox speaks https only", ""),
            ("URL of the Proxmox VE API", f"{lab.endpoint.removeprefix('https://')}\n"),
            ("Is the fingerprint the same there? [y/n] ", "\n"),
            ("Is the fingerprint the same there? [y/n] ", "y\n"),
            ("ID of the API token [homelab@pve!k8s]: ", f"{lab.token_id}\n"),
            ("Its secret (hidden", "\n"),
            ("Where is its secret?", "NOT_THERE\n"),
            ("the environment variable NOT_THERE is not set", ""),
            ("Where is its secret?", "LAB_SECRET\n"),
            ("Name of the cluster [homelab]: ", "Demo\n"),
            ("(write demo)", ""),
            ("Name of the cluster [homelab]: ", "demo\n"),
            ("Control-plane nodes (an odd number) [1]: ", "2\n"),
            ("must be an odd number", ""),
            ("Control-plane nodes (an odd number) [1]: ", "3\n"),
            ("Workers [", "1\n"),
            ("Write this to homelab-k8s.yaml? [Y/n] ", "\n"),
        ],
    )
    assert code == 0, told
    assert lab.fingerprint in told
    assert "`pvenode cert info`" in told
    for shown in (*lab.pve_nodes, "vmbr0", "debian-12-k3s", "local"):
        assert shown in told
    assert told.endswith("next: homelab-k8s doctor\nthen: homelab-k8s up --dry-run\nthen: homelab-k8s up\n")
    inventory = written(here)
    assert (inventory.spec.name, inventory.spec.control_plane.count, inventory.spec.workers[0].count) == ("demo", 3, 1)
    assert inventory.endpoint.tls.fingerprint == lab.fingerprint
    assert lab.token_secret not in (here / "homelab-k8s.yaml").read_text() + told
    assert (here / "homelab-k8s.schema.json").read_text() == render_schema()


def test_a_secret_is_typed_unseen_tried_and_kept_in_a_file_of_its_own(
    here: Path, lab: LabInfo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    (config / "homelab-k8s").mkdir(parents=True)
    (config / "homelab-k8s" / "token").write_text("another one's\n")
    flags = ["--endpoint", lab.endpoint, "--accept-fingerprint", "--cluster", "demo", "--workers", "1"]
    told, code = on_a_terminal(
        here,
        [*flags, "--control-planes", "1"],
        [
            ("ID of the API token", f"{lab.token_id}\n"),
            ("Its secret (hidden", "two words\n"),
            ("what was typed does not contain a token secret", ""),
            ("Its secret (hidden", "00000000-0000-0000-0000-000000000000\n"),
            ("refuses the API token", ""),
            ("Its secret (hidden", f' "PVEAPIToken={lab.token_id}={lab.token_secret}" \n'),
            ("Write this to homelab-k8s.yaml? [Y/n] ", "\n"),
        ],
    )
    assert code == 0, told
    assert lab.token_secret not in told + (here / "homelab-k8s.yaml").read_text()
    kept = config / "homelab-k8s" / "token-2"
    assert (kept.read_text().strip(), kept.stat().st_mode & 0o777) == (lab.token_secret, 0o600)
    assert (config / "homelab-k8s" / "token").read_text() == "another one's\n"
    assert written(here).endpoint.token.secret == lab.token_secret


def test_with_all_flags_a_pipe_gets_the_proposal_and_nothing_is_asked(here: Path, lab: LabInfo) -> None:
    done = piped(
        here, "--endpoint", lab.endpoint, "--token-env", "LAB_TOKEN", "--fingerprint", lab.fingerprint.lower(),
        "--cluster", "demo", "--workers", "4", "--template", "debian-12-k3s", "--file", "demo.yaml",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "?" not in done.stderr
    assert done.stdout.startswith("demo.yaml: demo, 1 server (2 cores, ")
    assert done.stdout.endswith("then: homelab-k8s up -i demo.yaml\n")
    assert written(here, "demo.yaml").spec.workers[0].count == 4
    assert (here / "demo.yaml").read_text().startswith("# yaml-language-server: $schema=")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "error: --endpoint is missing"),
        (("--yes",), "error: --endpoint is missing"),
        (
            ("--endpoint", "LAB", "--token-env", "LAB_TOKEN"),
            "error: --fingerprint (or --accept-fingerprint) is missing",
        ),
        (("--endpoint", "LAB", "--accept-fingerprint"), "error: --token-env or --token-file is missing"),
        (("--endpoint", "LAB", "--accept-fingerprint", "--token-env", "GONE"), "error: --token-env: the environment"),
        (("--cluster", "No", "--workers", "-1"), "error: --cluster: must be a name"),
        (("--file", "gone/x.yaml"), "error: --file: there is no directory"),
        (("--pveum",), "error: --pve-version is missing"),
    ],
)
def test_what_is_missing_or_wrong_is_named_by_its_flag(
    here: Path, lab: LabInfo, args: tuple[str, ...], told: str
) -> None:
    done = piped(here, *(lab.endpoint if arg == "LAB" else arg for arg in args))
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert list(here.iterdir()) == []


def test_another_certificate_than_the_given_one_ends_it_before_the_token_is_sent(here: Path, lab: LabInfo) -> None:
    other = ":".join(["AB"] * 32)
    done = piped(here, "--endpoint", lab.endpoint, "--token-env", "LAB_TOKEN", "--fingerprint", other)
    assert (done.returncode, done.stdout) == (4, "")
    assert f"expected {other}\n  found    {lab.fingerprint}" in done.stderr
    assert list(here.iterdir()) == []


def test_a_token_without_rights_is_told_how_to_get_them(
    here: Path, lab: LabInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_TOKEN", lab.no_rights_token)
    done = piped(here, "--endpoint", lab.endpoint, "--token-env", "LAB_TOKEN", "--accept-fingerprint")
    assert (done.returncode, done.stdout) == (4, "")
    assert "  /nodes: Sys.Audit\n" in done.stderr
    assert "homelab-k8s init --pveum --pve-version 9" in done.stderr
    assert list(here.iterdir()) == []


def test_a_file_that_is_there_is_overwritten_only_when_that_was_said(here: Path, lab: LabInfo) -> None:
    file = here / "homelab-k8s.yaml"
    file.write_text("mine\n")
    flags = ["--endpoint", lab.endpoint, "--token-env", "LAB_TOKEN", "--accept-fingerprint"]
    done = piped(here, *flags, "--yes")
    assert (done.returncode, file.read_text()) == (2, "mine\n")
    told, code = on_a_terminal(here, flags, [("Overwrite it? [y/N] ", "\n")])
    assert (code, file.read_text()) == (1, "mine\n"), told
    counts = ["--cluster", "demo", "--workers", "1", "--control-planes", "1"]
    told, code = on_a_terminal(here, [*flags, *counts], [("Overwrite it? [y/N] ", "y\n"), ("Write this", "y\n")])
    assert (code, written(here).spec.name) == (0, "demo"), told


@pytest.mark.parametrize("typed", ["\x03", "\x04"])
def test_ctrl_c_and_ctrl_d_end_it_with_nothing_written(here: Path, lab: LabInfo, typed: str) -> None:
    flags = ["--endpoint", lab.endpoint, "--token-env", "LAB_TOKEN", "--accept-fingerprint", "--cluster", "demo"]
    told, code = on_a_terminal(here, flags, [("Control-plane nodes (an odd number) [1]: ", typed)])
    assert code == 130
    assert "no input: nothing was written" in told
    assert "Traceback" not in told
    assert list(here.iterdir()) == []


def test_the_role_for_the_version_that_is_given_or_found(here: Path, lab: LabInfo) -> None:
    eight = piped(here, "--pveum", "--pve-version", "8", "--token-id", "ops@pam!x")
    assert (eight.returncode, eight.stderr) == (0, "")
    assert " VM.Monitor " in eight.stdout
    assert "pveum user token add ops@pam x --privsep 0\n" in eight.stdout
    nine = piped(
        here, "--pveum", "--endpoint", lab.endpoint, "--token-env", "LAB_TOKEN", "--fingerprint", lab.fingerprint
    )
    assert nine.returncode == 0, nine.stderr
    assert "VM.GuestAgent.FileRead" in nine.stdout
    assert "VM.Monitor" not in nine.stdout


def test_the_narrow_role_is_printed_for_a_pool(here: Path) -> None:
    done = piped(here, "--pveum", "--pve-version", "8.1", "--pool", "kpool", "--storage", "fast", "--template", "9000")
    assert (done.returncode, done.stderr) == (0, "")
    assert "pveum acl modify /pool/kpool --users homelab@pve --roles homelab-k8s\n" in done.stdout
    assert "pveum acl modify /storage/fast --users homelab@pve --roles homelab-k8s\n" in done.stdout
    assert "pveum acl modify /vms/9000 --users homelab@pve --roles homelab-k8s-clone\n" in done.stdout
    assert "/vms " not in done.stdout
    assert "Sys.AccessNetwork" not in done.stdout
    assert done.stdout.rstrip().endswith("homelab-k8s init --pool kpool")
    named = piped(here, "--pveum", "--pve-version", "9", "--pool", "kpool", "--template", "debian-12")
    assert (named.returncode, named.stdout) == (2, "")
    assert "rights are granted by VMID" in named.stderr


def test_an_add_ons_role_and_token_are_its_own(here: Path) -> None:
    done = piped(here, "--pveum", "--addon", "proxmox-csi")
    assert (done.returncode, done.stderr) == (0, "")
    privileges = "VM.Audit VM.Config.Disk Datastore.Allocate Datastore.AllocateSpace Datastore.Audit"
    assert done.stdout.splitlines()[1:6] == [
        f'pveum role add CSI --privs "{privileges}"',
        "pveum user add kubernetes-csi@pve",
        "pveum acl modify /vms --users kubernetes-csi@pve --roles CSI",
        "pveum acl modify /storage --users kubernetes-csi@pve --roles CSI",
        "pveum user token add kubernetes-csi@pve csi --privsep 0",
    ]
    narrow = piped(here, "--pveum", "--addon", "proxmox-csi", "--pool", "kpool", "--storage", "fast")
    assert "pveum acl modify /pool/kpool --users" in narrow.stdout
    assert "pveum acl modify /storage/fast --users" in narrow.stdout
    other = piped(here, "--pveum", "--addon", "proxmox-ccm", "--token-id", "root@pam!ccm")
    assert "pveum acl modify / --tokens 'root@pam!ccm' --roles CCM" in other.stdout
    assert "token_id: root@pam!ccm" in other.stdout
    wrong = piped(here, "--pveum", "--addon", "proxmox-cis")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean proxmox-csi?" in wrong.stderr
    assert "homelab-k8s init --pveum --addon proxmox-csi" in piped(here, "--addon", "proxmox-csi").stderr


@pytest.mark.parametrize("version", ["8", "8.0", "8.4", "9", "9.2.11"])
def test_any_form_of_a_version_is_taken(here: Path, version: str) -> None:
    assert piped(here, "--pveum", "--pve-version", version).returncode == 0


@pytest.mark.parametrize("version", ["7", "10", "9.", "new"])
def test_no_other_version_is(here: Path, version: str) -> None:
    done = piped(here, "--pveum", "--pve-version", version)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--pve-version: '{version}' is not a version of Proxmox VE 8 or 9" in done.stderr


def test_the_default_file_is_the_one_that_other_commands_look_for() -> None:
    assert DEFAULT_FILE == INVENTORY_FILE


def test_help_names_every_flag(here: Path) -> None:
    told = piped(here, "--help").stdout
    for flag in ("--endpoint", "--token-id", "--token-env", "--token-file", "--fingerprint", "--accept-fingerprint"):
        assert flag in told
