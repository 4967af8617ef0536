"""`up` by size: its wall time over its longest lane's own time, and what the client uses."""

from __future__ import annotations

from benchmarks.labs import INVENTORY, Lab, Usage, lab
from benchmarks.table import Table
from bootstrap.lab.options import LabOptions
from bootstrap.reporting.critical import critical_path
from bootstrap.reporting.run import RecordedRun

SEED = 7

MANY = 500
SCALE_OF_MANY = 0.5
"""Machines of such a run take half of their time, so that all benchmarks fit in a quarter of an hour. That is no
advantage: what the client does weighs twice as much."""
UP = "`up` on simulated machines"
NOTHING = "Commands with nothing to do"

_HEADINGS = (
    *("machines", "Proxmox nodes", "time scale", "wall s", "longest lane s", "overhead", "critical path s", "gaps"),
    *("client CPU s", "per 10 machines", "peak MiB", "repeat"),
)
_NOTE = (
    "*overhead*: wall time of the process divided by the longest lane's own time (its steps with their waits, without "
    "its wait for the API). *gaps*: the part of the wall time in no step of the critical path, including start-up and "
    "observation. *time scale*: real seconds for each second of a machine; the lab's delays are those of KVM on an SSD."
)


def up(name: str, *, machines: int, pve_nodes: int) -> list[Table]:
    """One cluster of simulated machines, built, looked at and removed."""
    scale = 1.0 if machines < MANY else SCALE_OF_MANY
    options = LabOptions(guests="simulated", pve_nodes=pve_nodes, seed=SEED, port=0, time_scale=scale)
    with lab(options) as running:
        tables = [_up_table(name, running.up(machines), running.newest_run(), options, machines)]
        tables.append(_nothing(name, running, machines))
        running.down()
    return tables


def _up_table(name: str, used: Usage, run: RecordedRun, options: LabOptions, machines: int) -> Table:
    longest_s = longest_lane_s(run)
    path_s = sum(link.bar.took_s for link in critical_path(run))
    row = (
        str(machines),
        str(options.pve_nodes),
        f"{options.time_scale:g}",
        f"{used.wall_s:.1f}",
        f"{longest_s:.1f}",
        f"{used.wall_s / longest_s:.2f}",
        f"{path_s:.1f}",
        f"{1 - path_s / used.wall_s:.1%}",
        f"{used.cpu_s:.1f}",
        f"{used.cpu_s / machines * 10:.2f}",
        f"{used.peak_mib:.0f}",
        f"`.venv/bin/python -m benchmarks {name}`",
    )
    return Table(title=UP, headings=_HEADINGS, rows=(row,), notes=(_NOTE,))


def longest_lane_s(run: RecordedRun) -> float:
    """The longest lane's own time."""
    own: dict[str, float] = {}
    for bar in run.bars:
        own[bar.lane] = own.get(bar.lane, 0.0) + bar.took_s
    return max(own.values())


def _nothing(name: str, running: Lab, machines: int) -> Table:
    rows = []
    for what, used in (("`up` again", running.up(machines)), ("`status`", _status(running, machines))):
        repeat = f"`.venv/bin/python -m benchmarks {name}`"
        rows.append((what, str(machines), f"{used.wall_s:.2f}", f"{used.cpu_s:.2f}", repeat))
    return Table(title=NOTHING, headings=("command", "machines", "wall s", "CPU s", "repeat"), rows=tuple(rows))


def _status(running: Lab, machines: int) -> Usage:
    return running.homelab(
        "status", "--lab", "-i", str(INVENTORY), "--workers", str(machines - 1), "--progress", "quiet"
    )
