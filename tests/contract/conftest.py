"""The hosts the contract suite runs against, and the end of its report: how a real host and the lab differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.hosts import Host
from tests.contract.lab_host import LabHost, Labs
from tests.contract.real_host import NotOursError, real_host

_DIFFERENCES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labs]:
    with ExitStack() as stack:
        yield Labs(tmp_path_factory.mktemp("labs"), stack)


@pytest.fixture
def lab_host(labs: Labs) -> LabHost:
    """The lab as it is by default."""
    return labs.of_version(9)


@pytest.fixture(scope="session")
def real() -> Iterator[Host]:
    try:
        with real_host() as host:
            yield host
    except (NotOursError, ValueError) as error:
        pytest.exit(str(error), returncode=4)


@pytest.fixture(scope="session")
def differences(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the report."""
    return pytestconfig.stash.setdefault(_DIFFERENCES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(_DIFFERENCES, None)
    if found is not None:
        terminalreporter.section("differences between the real host and the lab")
        terminalreporter.write_line("\n".join(found) if found else "none")
