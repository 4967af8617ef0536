"""k3s's unit on a machine: started or restarted, waited for, and told apart from one that only loops."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from bootstrap.advice import Advice
from bootstrap.errors import DeadlineError, GuestError, ScriptError
from bootstrap.execution.context import RunContext
from bootstrap.execution.guests.scripts import WITHIN_S, parse_lines, run_script
from bootstrap.execution.guests.scripts import told as value_told
from bootstrap.execution.k3s.start_failures import Blame
from bootstrap.k3s.diagnosis.unit import Diagnosis, parse_runs
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec
from bootstrap.model.reading import LAST_UNIX_S
from bootstrap.ports import GuestShell
from bootstrap.waiting import Condition, NotYet, wait_for

JOURNAL_LINES = "400"
"""How many lines of a run are read: a good start of a server has 250 to 555 (k3s v1.36.3, observed)."""


def start_unit(
    machine: MachineSpec, shell: GuestShell, lane: str, context: RunContext, *, restart: bool, timeout_s: float
) -> Starting:
    """Start a server's unit and wait for it; a loop is told apart from a slow start by its journal.

    An agent's is not waited for like that, see `agent_start`.

    Args:
        machine: Whose unit.
        shell: A login on it.
        lane: Whose wait this is.
        context: The run.
        restart: Whether it is restarted where it runs.
        timeout_s: How long it may take.

    Returns:
        What tells how it goes on, for `await_api`: a unit that is active may end seconds later.

    Raises:
        GuestError: Its journal names a cause that no waiting changes.
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
        wait_for(condition, context.wait_context(lane, timeout_s))
    except DeadlineError as error:
        starting.explain(error)
        raise
    return starting


def begin_start(machine: MachineSpec, shell: GuestShell, context: RunContext, *, restart: bool) -> Starting:
    """Have systemd start (or restart) the unit, without waiting for it."""
    env = {"UNIT": machine.role.unit, "RESTART": "1" if restart else "0"}
    started = parse_lines(run_script(shell, "start-k3s.sh", context, **env))
    # By the guest's clock, which may be wrong.
    since_s = value_told(started, "time", machine=machine.name).integer(0, LAST_UNIX_S)
    starting = Starting(machine, shell, context, since_s=since_s, before=_one(started, "before", ""))
    context.findings.starts[machine.name] = starting
    return starting


def check_stays_up(name: MachineName, context: RunContext) -> None:
    """See whether a unit that this run started has ended since. Raises GuestError where no waiting changes the cause.

    k3s may be up, and end seconds later, again and again: /dev/kmsg is missing, or its node has another address.
    """
    starting = context.findings.starts.get(name)
    if starting is not None:
        starting.look(within_s="0")


def await_served(
    starting: Starting,
    shell: GuestShell,
    lane: str,
    context: RunContext,
    *,
    what: str,
    machine: MachineSpec,
    settled: Callable[[], bool | NotYet],
) -> None:
    """Wait until a server that was restarted serves again, and what it was restarted for has come about.

    Raises:
        GuestError: Its journal names a cause that no waiting changes.
        DeadlineError: It took too long; with what the journal says.
    """

    def poll() -> bool | NotYet:
        active = starting.poll()
        if isinstance(active, NotYet):
            return active
        return settled() if serves(shell, context) else NotYet("/readyz is not ok")

    unit = machine.role.unit
    condition = Condition(
        what=f"{unit} on {machine.name} {what}",
        poll=poll,
        every_s=0.3,
        resolution=f"on {machine.name}: journalctl -u {unit}",
    )
    try:
        wait_for(condition, context.wait_context(lane, context.timeouts.server_s))
    except DeadlineError as error:
        starting.explain(error)
        raise


def serves(shell: GuestShell, context: RunContext) -> bool:
    """Whether this machine's own API is ready now; etcd's health is part of it."""
    try:
        return run_script(shell, "readyz.sh", context).strip().endswith("ok")
    except ScriptError:
        return False


def await_api(
    machine: MachineSpec, shell: GuestShell, lane: str, context: RunContext, *, starting: Starting | None = None
) -> None:
    """Wait until this server's own API is ready.

    Args:
        machine: The server.
        shell: A login on it.
        lane: Whose wait this is.
        context: The run.
        starting: The start that it comes of, where this run began it: one that was active may end again and again.

    Raises:
        GuestError: Its journal names a cause that no waiting changes.
        DeadlineError: It took too long.
    """

    def poll() -> bool | NotYet:
        try:
            if run_script(shell, "readyz.sh", context).strip().endswith("ok"):
                return True
            problem = "/readyz is not ok"
        except ScriptError as error:
            problem = error.details.splitlines()[-1] if error.details else error.brief
        unit = starting.look(within_s="0") if starting is not None else ""
        return NotYet("; ".join(filter(None, (unit, problem))))

    condition = Condition(
        what=f"the Kubernetes API on {machine.name}",
        poll=poll,
        every_s=0.3,
        resolution=f"on {machine.name}: journalctl -u {machine.role.unit}",
    )
    wait_for(condition, context.wait_context(lane, context.timeouts.server_s))


class Starting:
    """A unit that starts.

    Args:
        machine: Whose.
        shell: A login on it.
        context: The run.
        since_s: When the start began, in seconds since the epoch by the machine's clock.
        before: The run that a restart ended, whose lines tell nothing of this start; empty for none.
    """

    def __init__(
        self, machine: MachineSpec, shell: GuestShell, context: RunContext, *, since_s: int, before: str
    ) -> None:
        self._machine = machine
        self._shell = shell
        self._context = context
        self._since_s, self._before = since_s, before
        self._clock = context.ports.clock
        self._asked_s = self._clock.now_s()
        self._restarts = "0"
        self._blame = Blame(stands_s=context.timeouts.final_cause_s)

    @property
    def began(self) -> datetime:
        """When the start began, by the machine's clock, in whole seconds."""
        return datetime.fromtimestamp(self._since_s, tz=UTC)

    def poll(self) -> bool | NotYet:
        """Whether it is active. Raises GuestError where its journal names a cause that no waiting changes."""
        said = self.look(within_s=WITHIN_S)
        return NotYet(said) if said else True

    def look(self, *, within_s: str) -> str:
        """What its state and its journal say, empty where it is active.

        Args:
            within_s: For how many seconds the machine looks again and again while the unit is activating.

        Raises:
            GuestError: Its journal names a cause that no waiting changes.
        """
        unit = self._machine.role.unit
        state = parse_lines(run_script(self._shell, "unit-state.sh", self._context, UNIT=unit, WITHIN_S=within_s))
        active, sub, restarts = _one(state, "active_state"), _one(state, "sub_state"), _one(state, "restarts")
        if active == "active":
            return ""
        has_ended = active != "activating" or sub.startswith("auto-restart") or restarts != self._restarts
        self._restarts = restarts
        if has_ended or self._clock.now_s() - self._asked_s >= self._context.timeouts.journal_every_s:
            self._read_journal(unit, result=_one(state, "result"))
        return f"{unit} is {active} ({sub}): {self._blame.said or 'starting'}"

    def explain(self, error: DeadlineError) -> None:
        """Say what the journal said last, and what helps against it."""
        if not self._blame.evidence:
            self._read_journal(self._machine.role.unit, result="")
        found = self._blame.found
        error.details = "\n".join(filter(None, (error.details, self._blame.evidence)))
        if found is not None:
            error.resolution = Advice("{}; {}", found.cause.advice(self._machine.name), error.resolution)

    def _read_journal(self, unit: str, *, result: str) -> None:
        self._asked_s = self._clock.now_s()
        env = {"UNIT": unit, "LINES": JOURNAL_LINES, "SINCE": str(self._since_s), "BESIDES": self._before}
        runs = parse_runs(run_script(self._shell, "journal.sh", self._context, **env))
        self._blame.hear(runs, now_s=self._asked_s, result=result)
        if self._blame.settled is not None:
            raise _unit_error(self._machine.name, unit, self._blame.settled, self._blame.evidence)


def _one(lines: dict[str, list[str]], key: str, without: str = "unknown") -> str:
    return next(iter(lines.get(key, [])), without)


def _unit_error(name: MachineName, unit: str, found: Diagnosis, evidence: str) -> GuestError:
    return GuestError(
        f"{name}: {unit} does not start: {found.cause.brief}",
        details=evidence,
        resolution=Advice("{} (on {}: journalctl -u {})", found.cause.advice(name), name, unit),
    )
