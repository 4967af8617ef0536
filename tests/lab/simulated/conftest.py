"""Guests for the tests of simulated ones, simulated or real."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bootstrap.lab.delays import NONE, Delays
from bootstrap.lab.faults.active import Faults
from bootstrap.lab.guests.choose import why_not
from bootstrap.lab.guests.containers.container import ContainerGuests
from bootstrap.lab.simulated.driver import SimulatedGuests
from bootstrap.lab.standin_release import make_artifacts
from tests.e2e.homes import Home, leftovers_of
from tests.lab.guests.machines import NETWORK, bridge_alone, make_spec
from tests.lab.simulated.running import Guests, LoopThread


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def k3s(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in's binary for this machine."""
    arch = "arm64" if platform.machine() == "aarch64" else "amd64"
    directory = make_artifacts(tmp_path_factory.mktemp("k3s"), arch=(arch,))
    return directory / ("k3s-arm64" if arch == "arm64" else "k3s")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a lab whose time is twenty times as fast."""
    home = Home(tmp_path_factory.mktemp("home"))
    make_artifacts(home.directory / "k3s")
    home.run("lab", "start", "--guests", "simulated", "--pve-nodes", "2", "--time-scale", "0.05")
    try:
        yield home
    finally:
        home.run("lab", "stop")
    assert leftovers_of(home) == []


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def delays() -> Delays:
    """None at all; a test may set the scale, which waits in scripts keep to."""
    return Delays(NONE, scale=0.0)


@pytest.fixture
def simulated(thread: LoopThread, faults: Faults, delays: Delays, key: Path, tmp_path: Path) -> Iterator[Guests]:
    driver = SimulatedGuests(tmp_path, faults=faults, delays=delays)
    public_key = key.with_suffix(".pub").read_text().strip()
    guests = Guests(driver, thread, key=key, port=driver.ssh_port, make_spec=partial(make_spec, public_key=public_key))
    thread.run(driver.prepare())
    yield guests
    guests.close()
    assert not (tmp_path / "simulated").exists()


@pytest.fixture
def containers(thread: LoopThread, key: Path) -> Iterator[Guests]:
    reason = why_not("container")
    if reason is not None:
        pytest.skip(reason)
    public_key = key.with_suffix(".pub").read_text().strip()
    with bridge_alone(), tempfile.TemporaryDirectory(prefix="hk-lab-") as name:
        driver = ContainerGuests(Path(name), NETWORK)
        guests = Guests(driver, thread, key=key, port=22, make_spec=partial(make_spec, public_key=public_key))
        thread.run(driver.prepare(), timeout_s=600)
        try:
            yield guests
        finally:
            guests.close()


@pytest.fixture(
    params=["simulated", pytest.param("container", marks=pytest.mark.container)],
)
def guests(request: pytest.FixtureRequest) -> Guests:
    """Guests of each kind in turn: both must do the same."""
    found: Guests = request.getfixturevalue("simulated" if request.param == "simulated" else "containers")
    return found
