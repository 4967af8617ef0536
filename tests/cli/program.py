"""The whole program as a process before an in-memory world: `python tests/cli/program.py SCENARIO ARGUMENT...`.

For what only a process shows: signals, a terminal, a closed pipe, the end of the interpreter.
"""

from __future__ import annotations

import io
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from bootstrap.cli.main import app, main
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName
from bootstrap.ports import Ports, PveFacts
from tests.fakes.world import FakeHypervisor, World

STEP_S = 1.5
"""How long a slow step takes: longer than a test needs to send a signal."""


@dataclass
class _Hanging(FakeHypervisor):
    """A Proxmox VE that does not answer for a long time."""

    def observe(self, *, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
        sys.stderr.write("MARK observe\n")
        sys.stderr.flush()
        time.sleep(60)
        return super().observe(cluster=cluster, vmids=vmids)


@dataclass
class _Broken(FakeHypervisor):
    """A Proxmox VE whose adapter has a bug."""

    def observe(self, *, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
        raise KeyError(f"maxcpu of {cluster}")


def _slow_call(seconds_s: float, call: str) -> None:
    if call.startswith("start "):
        sys.stderr.write(f"MARK {call}\n")
        sys.stderr.flush()
        time.sleep(seconds_s)


def ports(scenario: str) -> Ports:
    """The world of a scenario."""
    world = World()
    match scenario:
        case "slow":
            world.on_call = lambda call: _slow_call(STEP_S, call)
        case "stuck":
            world.on_call = lambda call: _slow_call(60, call)
        case "hanging":
            return replace(world.ports, hypervisor=_Hanging(world))
        case "broken":
            return replace(world.ports, hypervisor=_Broken(world))
        case "built":
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                app(["up", "--cluster", "demo", "--workers", "1"], obj=world.ports, standalone_mode=False)
        case "reached":
            built = ports("built")
            hypervisor = built.hypervisor
            assert isinstance(hypervisor, FakeHypervisor)
            hypervisor.world.directory = Path("state files")
            built.state.write(ClusterName("demo"), "id_ed25519", "the key")
            built.state.path(ClusterName("demo"), "id_ed25519")
            return built
        case "empty":
            pass
        case _:
            raise ValueError(scenario)
    return world.ports


if __name__ == "__main__":
    chosen = ports(sys.argv.pop(1))
    main(chosen)
