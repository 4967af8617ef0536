"""Each fault of a guest shows as it would on a real one; and what a guest does without any."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bootstrap.errors import GuestError, HomelabError, HostKeyError, KeyRefusedError, ScriptError, SshUnreachableError
from bootstrap.lab.delays import Delays
from bootstrap.lab.faults.active import Faults
from bootstrap.lab.guests.base import AgentCommandError, AgentSilentError
from tests.lab.simulated.running import Guest, Guests, eventually


def test_a_silent_agent(simulated: Guests, faults: Faults) -> None:
    faults.add("agent-silent", machine="guest201")
    silent, other = simulated.start(201), simulated.start(202)
    assert other.shell
    with pytest.raises(AgentSilentError):
        silent.agent("guest-ping")


def test_an_agent_without_addresses(simulated: Guests, faults: Faults) -> None:
    fault = faults.add("agent-no-address")
    guest = simulated.start(201)
    eventually("the agent", lambda: guest.agent("guest-ping") == {})
    assert guest.address() == ""
    faults.remove(fault.id)
    eventually("an address", guest.address)


def test_an_agent_that_forbids_files(simulated: Guests, faults: Faults) -> None:
    faults.add("agent-forbids")
    guest = simulated.start(201)
    eventually("an address", guest.address)
    with pytest.raises(AgentCommandError, match="Command guest-file-open has been disabled"):
        guest.agent("guest-file-open", path="/etc/hostname")


def test_an_address_that_changes(simulated: Guests, faults: Faults) -> None:
    faults.add("address-changes", after_s=0.3)
    guest = simulated.start(201)
    first = eventually("an address", guest.address)
    eventually("another address", lambda: guest.address() not in ("", first))
    guest.connect().close()


def test_machines_with_one_machine_id(simulated: Guests, faults: Faults) -> None:
    faults.add("same-machine-id", machine="guest20[12]")
    ids = [simulated.start(vmid).run("facts.sh")["machine_id"] for vmid in (201, 202, 203)]
    assert ids[0] == ids[1] != ids[2]


def test_cloud_init_that_fails(simulated: Guests, faults: Faults) -> None:
    faults.add("cloud-init-error", text="bad module")
    guest = simulated.start(201)
    eventually("cloud-init", lambda: guest.run("cloud-init-result.sh")["done"] == "1")
    assert guest.run("cloud-init-result.sh") == {"done": "1", "status": "error", "error": "bad module"}


def test_cloud_init_that_hangs(simulated: Guests, faults: Faults) -> None:
    faults.add("cloud-init-hangs")
    guest = simulated.start(201)
    assert guest.run("cloud-init-result.sh") == {"done": "0"}
    time.sleep(0.2)
    assert guest.run("cloud-init-result.sh") == {"done": "0"}


def test_a_wait_in_a_script_takes_the_labs_own_seconds(simulated: Guests, faults: Faults, delays: Delays) -> None:
    faults.add("cloud-init-hangs")
    guest = simulated.start(201)
    assert guest.run("cloud-init-result.sh", WITHIN_S="600") == {"done": "0"}
    delays.scale = 0.005
    began = time.monotonic()
    assert guest.run("cloud-init-result.sh", WITHIN_S="100") == {"done": "0"}
    assert 0.5 <= time.monotonic() - began < 60
    simulated.driver.guests[201].cloud_init_done = True  # type: ignore[attr-defined]
    assert guest.run("cloud-init-result.sh", WITHIN_S="6000") == {"done": "1", "status": "done"}


def test_ssh_that_is_refused(simulated: Guests, faults: Faults) -> None:
    faults.add("ssh-refused")
    guest = simulated.start(201)
    eventually("an address", guest.address)
    with pytest.raises(SshUnreachableError, match="refused"):
        guest.connect()


def test_a_key_that_is_refused(simulated: Guests, faults: Faults) -> None:
    fault = faults.add("key-refused")
    guest = simulated.start(201)
    eventually("an address", guest.address)
    eventually("a refusal", lambda: _refused(guest, user="tester"))
    faults.remove(fault.id)
    guest.connect().close()
    assert _refused(guest, user="somebody")


def _refused(guest: Guest, *, user: str) -> bool:
    """Whether sshd answers and rejects all keys."""
    try:
        guest.connect(user=user).close()
    except KeyRefusedError:
        return True
    except SshUnreachableError:
        return False
    raise AssertionError(f"{user} may log in")


def _answers(guest: Guest) -> bool:
    try:
        guest.connect().close()
    except SshUnreachableError:
        return False
    return True


def test_another_host_key_than_the_agent_reports(simulated: Guests, faults: Faults) -> None:
    faults.add("other-host-key")
    guest = simulated.start(201)
    assert guest.shell
    with pytest.raises(HostKeyError):
        guest.connect(host_key=guest.host_key())


def test_an_upload_that_is_cut(simulated: Guests, faults: Faults, k3s: Path) -> None:
    faults.add("upload-cut", after_kib=64, times=1)
    guest = simulated.start(201)
    with pytest.raises(SshUnreachableError):
        guest.shell.upload(k3s, name="k3s.bin")
    guest.connect().upload(k3s, name="k3s.bin")


def test_a_full_disk_takes_no_files(simulated: Guests, faults: Faults, k3s: Path) -> None:
    guest = simulated.start(201)
    guest.run("facts.sh")
    faults.add("disk-full")
    assert guest.run("facts.sh")["disk_free_mib"] == "0"
    with pytest.raises(GuestError) as refused:
        guest.shell.upload(k3s, name="k3s.bin")
    assert refused.value.brief == "guest201: k3s.bin was not transferred completely"
    assert "is its disk full?" in refused.value.resolution


def test_a_full_disk_that_has_all_files_already(simulated: Guests, faults: Faults) -> None:
    guest = simulated.start(201)
    with pytest.raises(ScriptError, match="ROLE"):
        guest.run("install-k3s.sh", ROLE="none")  # has the script there before the disk is full
    faults.add("disk-full")
    with pytest.raises(GuestError) as refused:
        guest.run("install-k3s.sh", ROLE="server", SHA256="0" * 64)
    assert refused.value.brief == "guest201: its disk is full (install-k3s.sh)"
    assert "No space left on device" in refused.value.details


def test_sudo_that_asks_for_a_password(simulated: Guests, faults: Faults) -> None:
    faults.add("sudo-password")
    with pytest.raises(HomelabError, match="sudo"):
        simulated.start(201).run("facts.sh")


def test_a_clock_that_is_wrong(simulated: Guests, faults: Faults) -> None:
    faults.add("clock-wrong", seconds=3600)
    assert int(simulated.start(201).run("facts.sh")["time"]) == pytest.approx(time.time() + 3600, abs=60)


def test_a_guest_that_powers_itself_off(simulated: Guests, faults: Faults) -> None:
    faults.add("power-fails", after_s=0.2)
    simulated.start(201)
    eventually("off", lambda: not simulated.driver.running(201))
    with pytest.raises(AgentSilentError):
        simulated.all[0].agent("guest-ping")


def test_a_guest_that_reboots_while_it_runs_a_script(simulated: Guests, faults: Faults) -> None:
    guest = simulated.start(201)
    boot = guest.run("facts.sh")["boot"]
    faults.add("reboots", during="facts.sh", times=1)
    with pytest.raises(SshUnreachableError):
        guest.run("facts.sh")
    guest.reconnect()
    assert guest.run("facts.sh")["boot"] != boot


def test_an_unknown_command_fails_and_says_so(
    simulated: Guests, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    guest = simulated.start(201)
    monkeypatch.setattr("bootstrap.lab.simulated.scripts.commands.EFFECTS", {})
    status, words = guest.refusal("facts.sh")
    assert status == 127
    assert "does not know the script facts.sh" in words
    assert "guest201: simulation" in caplog.text


def test_a_guest_keeps_its_disk_and_not_its_connections(simulated: Guests) -> None:
    guest = simulated.start(201)
    before, key = guest.run("facts.sh")["machine_id"], guest.host_key()
    simulated.thread.run(simulated.driver.stop(201))
    with pytest.raises(HomelabError):
        guest.run("facts.sh")
    simulated.thread.run(simulated.driver.start(guest.spec))
    eventually("an address", guest.address)
    eventually("a login", lambda: _answers(guest))
    assert guest.host_key() == key
    assert before == guest.spec.smbios_uuid.replace("-", "")
    simulated.thread.run(simulated.driver.destroy(201))
    simulated.thread.run(simulated.driver.clone(201))
    simulated.thread.run(simulated.driver.start(guest.spec))
    eventually("an address", guest.address)
    assert guest.host_key() != key
