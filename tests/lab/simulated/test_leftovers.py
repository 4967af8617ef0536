"""A unit's leftover pods in systemd's messages, which push k3s's own lines out of a journal's end."""

from __future__ import annotations

import asyncio

from bootstrap.lab.simulated.machine.leftovers import SHIMS
from bootstrap.lab.simulated.machine.units import Process, Unit


class Ending:
    """A process that ends by itself, up before or not."""

    def __init__(self, unit: Unit, code: int, *, up: bool) -> None:
        self._unit, self._code, self._up = unit, code, up

    async def run(self) -> int:
        if self._up:
            self._unit.up()
        return self._code


class Running(Ending):
    async def run(self) -> int:
        self._unit.up()
        await asyncio.sleep(60)
        return 0


def told(unit: Unit) -> list[str]:
    return [entry[-1] for entry in unit.journal._lines]


async def ended(unit: Unit, *, times: int = 1) -> None:
    unit.start()
    while unit.restarts < times:
        await asyncio.sleep(0.01)


def test_a_unit_that_was_up_leaves_shims_that_each_start_and_end_names() -> None:
    async def play() -> list[str]:
        unit = Unit("k3s", launch=lambda unit: Running(unit, 0, up=True), scale=0)
        unit.start()
        await asyncio.sleep(0.01)
        assert not [line for line in told(unit) if "containerd-shim" in line], "the first start finds nothing"
        await unit.stop()
        unit.start()
        await asyncio.sleep(0.01)
        lines = told(unit)
        await unit.stop()
        return lines

    lines = asyncio.run(play())
    found = [line for line in lines if "Found left-over process" in line]
    assert len(found) == 2 * SHIMS, "once for the first start command, once for the next ones"
    assert found[0].startswith("k3s.service: Found left-over process ")
    assert lines.count(lines[lines.index(found[0]) + 1]) == 2 * SHIMS, "each with its hint"
    assert sum(1 for line in lines if "remains running after unit stopped" in line) == SHIMS


def test_in_a_loop_of_restarts_the_last_lines_are_systemds() -> None:
    runs = iter((True, False, False, False))

    def launch(unit: Unit) -> Process:
        return Ending(unit, 1, up=next(runs, False))

    async def play() -> list[str]:
        unit = Unit("k3s", launch=launch, scale=0)
        await ended(unit, times=2)
        lines = told(unit)
        await unit.stop()
        return lines

    lines = asyncio.run(play())
    assert len(lines) > 40
    assert not [line for line in lines[-40:] if "k3s.service" not in line and "usually indicates" not in line]


def test_one_that_ends_without_an_error_before_it_was_up_breaks_the_protocol() -> None:
    async def play() -> tuple[str, list[str]]:
        unit = Unit("k3s-agent", launch=lambda unit: Ending(unit, 0, up=False), scale=0)
        await ended(unit)
        result, lines = unit.result, told(unit)
        await unit.stop()
        return result, lines

    result, lines = asyncio.run(play())
    assert result == "protocol"
    assert "k3s-agent.service: Failed with result 'protocol'." in lines
    assert not [line for line in lines if "Main process exited" in line]
