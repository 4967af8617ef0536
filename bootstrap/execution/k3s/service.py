"""k3s's unit on a machine: started or restarted, waited for, and distinguished from one that only loops."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from bootstrap.advice import Advice
from bootstrap.errors import DeadlineError, GuestError, ScriptError
from bootstrap.execution.context import RunContext
from bootstrap.execution.guests.scripts import WITHIN_S
from bootstrap.execution.guests.scripts import told as value_told
from bootstrap.execution.k3s.start_failures import StartFailures
from bootstrap.k3s.diagnosis.unit import parse_runs
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec
from bootstrap.model.reading import LAST_UNIX_S
from bootstrap.waiting import NotYet

JOURNAL_LINES = "400"
"""How many lines of a run are read: a good start of a server has 250 to 555 (k3s v1.36.3, observed)."""


def start_unit(machine: MachineSpec, context: RunContext, *, restart: bool) -> Starting:
    """Start a server's unit and wait for it; its journal distinguishes a loop from a slow start.

    An agent's is not waited for like that, see `agent_start`.

    Args:
        machine: Whose unit.
        context: The run.
        restart: Whether it is restarted where it runs.

    Returns:
        The start, which `await_api` goes on watching: a unit that is active may end seconds later.

    Raises:
        GuestError: Its journal names a cause that no waiting changes.
        DeadlineError: It took too long; the details end with its journal.
    """
    starting = begin_start(machine, context, restart=restart)
    starting.wait_for("to start", starting.poll, timeout_s=context.timeouts.server_s)
    return starting


def begin_start(machine: MachineSpec, context: RunContext, *, restart: bool) -> Starting:
    """Have systemd start (or restart) the unit, without waiting for it."""
    started = context.run(machine.name, "start-k3s.sh", UNIT=machine.role.unit, RESTART="1" if restart else "0").lines
    # By the guest's clock, which may be wrong.
    since_s = value_told(started, "time", machine=machine.name).integer(0, LAST_UNIX_S)
    starting = Starting(machine, context, since_s=since_s, before=started.one("before"))
    context.findings.starts[machine.name] = starting
    return starting


def check_stays_up(name: MachineName, context: RunContext) -> None:
    """See whether a unit that this run started has ended since. Raises GuestError where no waiting changes the cause.

    k3s may be up, and end seconds later, again and again: /dev/kmsg is missing, or its node has another address.
    """
    starting = context.findings.starts.get(name)
    if starting is not None:
        starting.look(within_s="0")


def restart_server(
    machine: MachineSpec, context: RunContext, *, what: str, settled: Callable[[datetime], bool | NotYet]
) -> None:
    """Restart a server, and wait until it serves again and what it was restarted for has come about.

    Args:
        machine: The server.
        context: The run.
        what: What it is restarted for, as it reads after "k3s on demo-cp-1".
        settled: Whether that has come about, by when the restart began.

    Raises:
        GuestError: Its journal names a cause that no waiting changes.
        DeadlineError: It took too long; with what the journal says.
    """
    starting = begin_start(machine, context, restart=True)

    def poll() -> bool | NotYet:
        active = starting.poll()
        if isinstance(active, NotYet):
            return active
        return settled(starting.began) if serves(machine, context) else NotYet("/readyz is not ok")

    starting.wait_for(what, poll, timeout_s=context.timeouts.server_s)


def serves(machine: MachineSpec, context: RunContext) -> bool:
    """Whether this machine's own API is ready now; etcd's health is part of it."""
    try:
        return context.run(machine.name, "readyz.sh").strip().endswith("ok")
    except ScriptError:
        return False


def await_api(machine: MachineSpec, context: RunContext, *, starting: Starting | None = None) -> None:
    """Wait until this server's own API is ready.

    Args:
        machine: The server.
        context: The run.
        starting: The start that it comes of, where this run began it: one that was active may end again and again.

    Raises:
        GuestError: Its journal names a cause that no waiting changes.
        DeadlineError: It took too long.
    """

    def poll() -> bool | NotYet:
        try:
            if context.run(machine.name, "readyz.sh").strip().endswith("ok"):
                return True
            problem = "/readyz is not ok"
        except ScriptError as error:
            problem = error.details.splitlines()[-1] if error.details else error.brief
        unit = starting.look(within_s="0") if starting is not None else ""
        return NotYet("; ".join(filter(None, (unit, problem))))

    context.wait_for(
        f"the Kubernetes API on {machine.name}",
        poll,
        every_s=0.3,
        resolution=f"on {machine.name}: journalctl -u {machine.role.unit}",
        timeout_s=context.timeouts.server_s,
    )


class Starting:
    """A unit that starts.

    Args:
        machine: Whose.
        context: The run.
        since_s: When the start began, in seconds since the epoch by the machine's clock.
        before: The run that a restart ended, whose lines say nothing about this start; empty for none.
    """

    def __init__(self, machine: MachineSpec, context: RunContext, *, since_s: int, before: str) -> None:
        self._name, self._unit = machine.name, machine.role.unit
        self._context = context
        self._since_s, self._before = since_s, before
        self._clock = context.ports.clock
        self._asked_s = self._clock.now_s()
        self._restarts = "0"
        self._failures = StartFailures(stands_s=context.timeouts.final_cause_s)

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
        state = self._context.run(self._name, "unit-state.sh", UNIT=self._unit, WITHIN_S=within_s).lines
        active, sub, restarts = (state.one(key, "unknown") for key in ("active_state", "sub_state", "restarts"))
        if active == "active":
            return ""
        has_ended = active != "activating" or sub.startswith("auto-restart") or restarts != self._restarts
        self._restarts = restarts
        if has_ended or self._clock.now_s() - self._asked_s >= self._context.timeouts.journal_every_s:
            self._read_journal(result=state.one("result", "unknown"))
        return f"{self._unit} is {active} ({sub}): {self._failures.said or 'starting'}"

    def wait_for(self, what: str, poll: Callable[[], bool | NotYet], *, timeout_s: float, every_s: float = 0.3) -> None:
        """Wait for what the start is to bring; where that takes too long, the error ends with what the journal says."""
        what, resolution = f"{self._unit} on {self._name} {what}", f"on {self._name}: journalctl -u {self._unit}"
        try:
            self._context.wait_for(what, poll, timeout_s=timeout_s, every_s=every_s, resolution=resolution)
        except DeadlineError as error:
            self._explain(error)
            raise

    def _explain(self, error: DeadlineError) -> None:
        """Say what the journal said last, and what helps against it."""
        if not self._failures.evidence:
            self._read_journal(result="")
        found = self._failures.found
        error.details = "\n".join(filter(None, (error.details, self._failures.evidence)))
        if found is not None:
            error.resolution = Advice("{}; {}", found.cause.advice(self._name), error.resolution)

    def _read_journal(self, *, result: str) -> None:
        self._asked_s = self._clock.now_s()
        journal = self._context.run(
            self._name,
            "journal.sh",
            UNIT=self._unit,
            LINES=JOURNAL_LINES,
            SINCE=str(self._since_s),
            BESIDES=self._before,
        )
        self._failures.hear(parse_runs(journal), now_s=self._asked_s, result=result)
        settled = self._failures.settled
        if settled is not None:
            raise GuestError(
                f"{self._name}: {self._unit} does not start: {settled.cause.brief}",
                details=self._failures.evidence,
                resolution=Advice(
                    "{} (on {}: journalctl -u {})", settled.cause.advice(self._name), self._name, self._unit
                ),
            )
