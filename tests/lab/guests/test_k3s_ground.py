"""Container guests carry a k3s: what it asks of a machine is there, and what its kubelet sets stays in the guest."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bootstrap.lab.guests.containers.container import ContainerGuests
from bootstrap.lab.guests.host.hierarchies import NEEDED
from bootstrap.lab.guests.host.inotify import ENOUGH
from bootstrap.lab.guests.host.kernel import lacks, probe
from bootstrap.lab.releases.sources import is_stand_in
from tests.lab.guests.machines import INOTIFY, NETWORK, leftovers, log_in, make_spec, ssh

pytestmark = pytest.mark.container

ADDRESS = "198.19.0.31"
CHECK = Path(__file__).parent / "check-ground.sh"
HOST_SETTINGS = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "fs/file-max", "fs/nr_open"),
)

In = Callable[[str], Awaitable[tuple[int, str]]]


def host_settings() -> dict[str, str]:
    return {name: Path("/proc/sys", name).read_text(encoding="ascii") for name in HOST_SETTINGS}


def in_a_guest(
    state_dir: Path, key: Path, public_key: str, check: Callable[[In], Awaitable[None]], *, files: tuple[Path, ...]
) -> None:
    """Boot a guest with files in /run/lab, and let a test run commands in it as root."""

    async def inside(command: str) -> tuple[int, str]:
        return await ssh(ADDRESS, key, f"sudo {command}")

    async def scenario() -> None:
        guests = ContainerGuests(state_dir, NETWORK)
        await guests.prepare()
        try:
            await guests.clone(231)
            for file in files:
                shutil.copy(file, state_dir / "container/231/run-lab" / file.name)
            await guests.start(make_spec(231, public_key=public_key, address=ADDRESS))
            await log_in(ADDRESS, key, timeout_s=60)
            await check(inside)
        finally:
            await guests.close()

    asyncio.run(scenario())


def test_a_guest_has_what_k3s_asks_of_a_machine_and_the_host_keeps_its_settings(
    state_dir: Path, key: Path, public_key: str
) -> None:
    found = lacks(asyncio.run(probe(state_dir / "probe")))
    (state_dir / "probe").rmdir()
    if found:
        pytest.skip("; ".join(found))
    before, settings = leftovers(state_dir), host_settings()

    async def check(inside: In) -> None:
        status, said = await inside("/bin/bash /run/lab/check-ground.sh")
        assert (status, said) == (0, "")
        assert host_settings() == settings
        assert int(INOTIFY.read_text(encoding="ascii")) >= ENOUGH

    in_a_guest(state_dir, key, public_key, check, files=(CHECK,))
    assert host_settings() == settings
    assert leftovers(state_dir) == before


def test_k3s_check_config_in_a_guest_finds_what_it_needs(state_dir: Path, key: Path, public_key: str) -> None:
    named = os.environ.get("HOMELAB_K3S_ARTIFACTS", "")
    if not named or is_stand_in(Path(named)) or not (Path(named) / "k3s").is_file():
        pytest.skip("HOMELAB_K3S_ARTIFACTS names no directory with a real k3s")

    async def check(inside: In) -> None:
        _, said = await inside("/run/lab/k3s check-config")
        plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
        print(plain)
        for controller in NEEDED:
            assert not re.search(rf"cgroup.*{controller}.*(missing|not mounted)", plain, re.IGNORECASE)
        failed = re.findall(r"^- (\S+): missing \(fail\)", plain, re.MULTILINE)
        # Kernels without IPVS do for kube-proxy's default mode, iptables.
        assert set(failed) <= {"CONFIG_NETFILTER_XT_MATCH_IPVS"}, plain

    in_a_guest(state_dir, key, public_key, check, files=(Path(named) / "k3s",))
