"""Handler of the step that runs the user's hooks."""

from __future__ import annotations

import base64
import binascii
import logging
from contextlib import nullcontext
from typing import Final

from bootstrap.advice import Advice
from bootstrap.errors import GuestSetupError, ScriptError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.scripts import Lines, told
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Role
from bootstrap.model.settings.system import HookSpec
from bootstrap.planning.day2_steps import RunHooks
from bootstrap.planning.settings.system_files import hook_files

HOOK_S: Final = 900
"""How long a hook may take."""
LOCK_S: Final = 60
"""How long one is waited for that an interrupted run has left running."""
MOST_BYTES: Final = 16384
"""Of what a hook prints, its end, for the log."""
MOST_LINES: Final = 20
"""Of that, for the error."""
_TIMED_OUT: Final = (124, 137)
"""What timeout(1) ends with: SIGTERM, then SIGKILL."""

logger = logging.getLogger(__name__)


def run_hooks(step: RunHooks, context: RunContext) -> Done:
    """Run the hooks in order, and none after one that fails.

    Raises:
        GuestSetupError: One failed; `details` has its last lines.
        LeftAloneError: One failed on another machine.
    """
    name = step.machine.name
    turn = context.hook_turns.turn(name, clock=context.ports.clock, stop=context.stop)
    with turn if step.in_turn else nullcontext():
        ran = [hook.name for hook in step.hooks if _run(hook, step, context)]
    before = [hook.name for hook in step.hooks if hook.name not in ran]
    return Done(changed=bool(ran), note=f"ran before: {', '.join(before)}" if before else "")


def _run(hook: HookSpec, step: RunHooks, context: RunContext) -> bool:
    """Whether it was run: on this machine it may have been before."""
    machine = step.machine
    try:
        lines = context.run(
            machine.name,
            "run-hook.sh",
            timeout_s=HOOK_S + LOCK_S + 60,
            files=hook_files(hook),
            KEY=hook.key,
            NAME=hook.name,
            TIME=hook.time,
            TIMEOUT_S=str(HOOK_S),
            LOCK_S=str(LOCK_S),
            MACHINE=machine.name,
            ROLE="server" if machine.role is Role.CONTROL_PLANE else "agent",
            POOL=machine.pool,
            CLUSTER=context.spec.name,
            ADDRESS=str(context.guest(machine.name).address),
            K3S_VERSION=step.version,
        ).lines
    except ScriptError as error:
        raise _failed(hook, machine.name, "could not be run", error.details) from error
    if not lines.flag("changed"):
        return False
    status, output = _ended(lines, machine.name)
    # The log's formatter masks secrets; the terminal never has this.
    logger.info("%s: the hook %s ended with status %d and printed:\n%s", machine.name, hook.name, status, output)
    if status in _TIMED_OUT:
        raise _failed(hook, machine.name, f"did not end within {HOOK_S // 60} min", output)
    if status:
        raise _failed(hook, machine.name, f"ended with status {status}", output)
    return True


def _ended(lines: Lines, machine: MachineName) -> tuple[int, str]:
    """How it ended, and the end of what it printed."""
    status = told(lines, "status", machine=machine).integer(0, 255)
    text = told(lines, "output", machine=machine).word(r"[A-Za-z0-9+/]*={0,2}", "base64", default="")
    try:
        output = base64.b64decode(text, validate=True)
    except binascii.Error:
        output = b"(it cannot be read)"
    return status, output[-MOST_BYTES:].decode(errors="replace")


def _failed(hook: HookSpec, machine: MachineName, how: str, output: str) -> GuestSetupError:
    return GuestSetupError(
        f"{machine}: the {hook.time} hook {hook.name} {how}",
        details="\n".join(output.splitlines()[-MOST_LINES:]) or "it printed nothing",
        resolution=Advice(
            "correct the script and run `homelab-k8s up`, which runs it again there; look there: `homelab-k8s ssh {}`",
            machine,
        ),
    )
