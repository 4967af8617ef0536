"""Plain tables and other text for people, without Rich, which costs a tenth of a second to import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bootstrap.cli.text.wrapping import chosen_columns, has_room, paragraphs_text, table_text
from bootstrap.model.visible import visible_line
from bootstrap.reporting.texts import seconds as seconds

if TYPE_CHECKING:
    from bootstrap.execution.report import Report
    from bootstrap.model.machine import MachineKind, Role
    from bootstrap.planning.plan import LaneStep, Plan, PlannedMachine


_HOUR_S, _DAY_S = 3600.0, 86400.0
_DAYS_FROM_S = 2 * _DAY_S


def render_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, width: int = 0, drop: Sequence[str] = ()
) -> str:
    """Columns as wide as their widest cell, two spaces apart, no line with trailing spaces.

    If even the columns that must stay do not fit, each row is a paragraph with all its cells.

    Args:
        headings: One for each column.
        rows: Their cells.
        width: Columns of the terminal; 0 for no limit.
        drop: Headings of columns that may be left out, the least important first.
    """
    lines = [tuple(headings), *(tuple(map(visible_line, row)) for row in rows)]
    kept = chosen_columns(lines, width=width, drop=drop)
    if width and not has_room(kept, kept[0], width):
        return paragraphs_text(lines, width=width)
    return table_text(kept, width=width)


def memory(mib: int) -> str:
    """`2 GiB`, `1536 MiB`."""
    return f"{mib // 1024} GiB" if mib % 1024 == 0 else f"{mib} MiB"


def age_text(seconds: float) -> str:
    """`40 min`, `3 h`, `9 days`: how old something is, roughly."""
    if seconds < _HOUR_S:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / _HOUR_S:.0f} h" if seconds < _DAYS_FROM_S else f"{seconds / _DAY_S:.0f} days"


def plan_table(plan: Plan, *, width: int = 0) -> str:
    """The machines of a plan, wrapped to a width (0: no limit); sizes only if machines are created. May be empty."""
    from bootstrap.planning.plan import Action

    if not plan.machines:
        return ""
    sizes = ("CORES", "MEMORY", "DISK") if any(machine.action is Action.CREATE for machine in plan.machines) else ()
    rows = []
    for machine in plan.machines:
        spec = machine.spec
        wanted = (str(spec.cores), memory(spec.memory_mib), f"{spec.disk_gib} GiB") if sizes else ()
        place = (machine.place.pve_node, str(machine.place.vmid))
        rows.append((spec.name, role_text(spec.role, spec.kind), *wanted, *place, _action(machine)))
    headings = ("MACHINE", "ROLE", *sizes, "PVE NODE", "VMID", "ACTION")
    return render_table(headings, rows, width=width, drop=("ROLE", "VMID", "DISK", "PVE NODE"))


def plan_text(plan: Plan, *, width: int = 0, gates: bool = False) -> str:
    """A whole plan, as a dry run shows it: machines, each lane's steps, notes; tables wrapped to a width.

    With `gates`, each step shows which gates of other lanes it waits for, and which it opens.
    """
    parts = [f"plan of {plan.command} for {plan.cluster}:"]
    if plan.machines:
        parts += ["", plan_table(plan, width=width)]
    parts += _lanes(plan, gates=gates)
    for following in _all_following(plan):
        others = ["", plan_table(following, width=width)] if following.machines != plan.machines else []
        parts += ["", "and then", *others, *_lanes(following, gates=gates)]
    if plan.notes:
        parts += ["", "notes", *(f"  - {note}" for note in plan.notes)]
    parts += ["", "nothing to do" if plan.empty else "dry run: nothing was changed"]
    return "\n".join(parts)


def _all_following(plan: Plan) -> Iterator[Plan]:
    for following in plan.follows:
        yield following
        yield from _all_following(following)


def _lanes(plan: Plan, *, gates: bool) -> list[str]:
    lines = []
    for lane in plan.lanes:
        lines += ["", lane.name]
        lines += [f"  {number:2}. {_step_line(step, gates=gates)}" for number, step in enumerate(lane.steps, 1)]
    return lines


def phases_text(phases: Sequence[tuple[str, float]]) -> str:
    """`clone 1.2 s, boot 8.1 s`."""
    return ", ".join(f"{phase} {seconds(took_s)}" for phase, took_s in phases)


def times_lines(report: Report) -> list[str]:
    """How long the phases and the longest lane took, a line each; no lines if no step ran."""
    lines = [f"phases: {phases_text(report.phases)}"] if report.phases else []
    if report.longest_lane is not None:
        name, busy_s = report.longest_lane
        lines.append(f"slowest: {name}, {seconds(busy_s)}")
    return lines


def step_text(phase: str, title: str) -> str:
    """`boot: wait for the guest`; the phase is left out if the title starts with it."""
    return title if title.startswith(phase) else f"{phase}: {title}"


def role_text(role: Role, kind: MachineKind) -> str:
    """`worker`, or `worker (lxc)` of a container."""
    return str(role) if kind == "vm" else f"{role} ({kind})"


def _action(machine: PlannedMachine) -> str:
    """`create`; for a machine that exists also why."""
    from bootstrap.planning.plan import Action

    if machine.action is Action.CREATE or not machine.reason:
        return machine.action
    return f"{machine.action} ({machine.reason})"


def _step_line(step: LaneStep, *, gates: bool) -> str:
    text = step_text(step.step.phase, step.step.title)
    needs = f"after {', '.join(map(str, step.needs))}" if step.needs else ""
    opens = f"opens {', '.join(map(str, step.opens))}" if step.opens else ""
    shown = "; ".join(filter(None, (needs, opens))) if gates else ""
    return f"{text}  [{shown}]" if shown else text
