"""k3s's unit on a machine: started or restarted, waited for, and told apart from one that only loops."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from bootstrap.errors import DeadlineError, GuestError, ScriptError
from bootstrap.execution.context import RunContext
from bootstrap.execution.scripts import WITHIN_S, parse_lines
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec
from bootstrap.planning.journal import Cause, classify
from bootstrap.ports import GuestScript, GuestShell
from bootstrap.waiting import Condition, NotYet, wait_for

JOURNAL_LINES = "40"


def run_script(shell: GuestShell, script: str, context: RunContext, **env: str) -> str:
    """What a guest script printed, run with this environment. Raises ScriptError where it failed."""
    return shell.run(GuestScript(name=script, env=tuple(env.items())), timeout_s=context.timeouts.script_s)


def start_unit(
    machine: MachineSpec, shell: GuestShell, lane: str, context: RunContext, *, restart: bool, timeout_s: float
) -> None:
    """Start a server's unit and wait for it; a loop is told apart from a slow start by its journal.

    An agent's is not waited for like that, see `joining`.

    Args:
        machine: Whose unit.
        shell: A login on it.
        lane: Whose wait this is.
        context: The run.
        restart: Whether it is restarted where it runs.
        timeout_s: How long it may take.

    Raises:
        GuestError: Its journal names a cause that no waiting mends.
        DeadlineError: It took too long; the details end with its journal.
    """
    unit = machine.role.unit
    starting = begin_start(machine, shell, context, restart=restart)
    condition = Condition(
        what=f"{unit} on {machine.name} to start",
        poll=starting.poll,
        every_s=0.3,
        resolution=f"on {machine.name}: journalctl -u {unit}",
    )
    try:
        wait_for(condition, context.patience(lane, timeout_s))
    except DeadlineError as error:
        starting.explain(error)
        raise


def begin_start(machine: MachineSpec, shell: GuestShell, context: RunContext, *, restart: bool) -> Starting:
    """Have systemd start (or restart) the unit, without waiting for it."""
    env = {"UNIT": machine.role.unit, "RESTART": "1" if restart else "0"}
    started = parse_lines(run_script(shell, "start-k3s.sh", context, **env))
    # By the guest's clock, which may be wrong.
    return Starting(machine, shell, context, since=_one(started, "time"))


def serves(shell: GuestShell, context: RunContext) -> bool:
    """Whether this machine's own API is ready now."""
    try:
        return run_script(shell, "readyz.sh", context).strip().endswith("ok")
    except ScriptError:
        return False


def await_api(machine: MachineSpec, shell: GuestShell, lane: str, context: RunContext) -> None:
    """Wait until this server's own API is ready. Raises DeadlineError."""

    def poll() -> bool | NotYet:
        try:
            return (
                True if run_script(shell, "readyz.sh", context).strip().endswith("ok") else NotYet("/readyz is not ok")
            )
        except ScriptError as error:
            return NotYet(error.details.splitlines()[-1] if error.details else error.brief)

    condition = Condition(
        what=f"the Kubernetes API on {machine.name}",
        poll=poll,
        every_s=0.3,
        resolution=f"on {machine.name}: journalctl -u {machine.role.unit}",
    )
    wait_for(condition, context.patience(lane, context.timeouts.server_s))


class Starting:
    """A unit that starts."""

    def __init__(self, machine: MachineSpec, shell: GuestShell, context: RunContext, *, since: str) -> None:
        self._machine = machine
        self._shell = shell
        self._context = context
        self._since = since
        self._clock = context.ports.clock
        self._asked_s = self._clock.now_s()
        self._said = "starting"
        self._cause: Cause | None = None
        self._journal = ""
        self._blamed: dict[str, float] = {}

    @property
    def began(self) -> datetime:
        """When the start began, by the machine's clock, in whole seconds."""
        return datetime.fromtimestamp(int(self._since), tz=UTC)

    def poll(self) -> bool | NotYet:
        """Whether it is active. Raises GuestError where its journal names a final cause for long enough."""
        said = self.look(within_s=WITHIN_S)
        return NotYet(said) if said else True

    def look(self, *, within_s: str) -> str:
        """What its state and its journal say, empty where it is active.

        Args:
            within_s: For how many seconds the machine looks again and again while the unit is activating.

        Raises:
            GuestError: Its journal names a final cause for long enough.
        """
        unit = self._machine.role.unit
        state = parse_lines(run_script(self._shell, "unit-state.sh", self._context, UNIT=unit, WITHIN_S=within_s))
        active = _one(state, "active_state")
        if active == "active":
            return ""
        if active != "activating" or self._clock.now_s() - self._asked_s >= self._context.timeouts.journal_every_s:
            self._read_journal(unit)
        return f"{unit} is {active} ({_one(state, 'sub_state')}): {self._said}"

    def explain(self, error: DeadlineError) -> None:
        """Say what the journal said last, and what helps against it."""
        if self._cause is not None:
            error.details += f"\n{_tail(self._journal)}"
            error.resolution = f"{self._cause.resolution}; {error.resolution}"

    def _read_journal(self, unit: str) -> None:
        self._asked_s = self._clock.now_s()
        journal = run_script(
            self._shell, "journal.sh", self._context, UNIT=unit, LINES=JOURNAL_LINES, SINCE=self._since
        )
        cause = classify(journal)
        self._cause, self._journal = cause, journal
        self._said = cause.brief if cause else "starting"
        if cause is not None and cause.final:
            first_s = self._blamed.setdefault(cause.brief, self._asked_s)
            if self._asked_s - first_s >= self._context.timeouts.final_cause_s:
                raise _unit_error(self._machine.name, unit, cause, journal)


def _one(lines: dict[str, list[str]], key: str) -> str:
    return next(iter(lines.get(key, [])), "unknown")


def _tail(journal: str) -> str:
    """Its last lines by k3s itself, each of several equal ones once: k3s repeats itself, and systemd does."""
    lines = list(dict.fromkeys(journal.splitlines()))
    own = [line for line in lines if not re.search(r"\.service[: ]", line)]
    return "\n".join((own or lines)[-5:])


def _unit_error(name: MachineName, unit: str, cause: Cause, journal: str) -> GuestError:
    return GuestError(
        f"{name}: {unit} does not start: {cause.brief}",
        details=_tail(journal),
        resolution=cause.resolution.replace("NAME", name),
    )
