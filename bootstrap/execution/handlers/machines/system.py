"""Handler of the step that writes files, installs packages and sets what the kernel is asked for."""

from __future__ import annotations

from bootstrap.advice import Advice
from bootstrap.errors import GuestSetupError, ScriptError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.scripts import parse_guest_system
from bootstrap.k3s.environment import proxy_files
from bootstrap.model.settings.system import Difference, Part
from bootstrap.planning.day2_steps import PrepareSystem
from bootstrap.planning.settings.system_files import system_env, system_files

LOCK_S = 240
"""How long another package manager on the machine is waited for: a first boot's daily update holds its locks."""

INSTALL_S = 900.0
"""For packages from the machine's own mirror; the wait for another package manager is in it."""

_SHOWN = (Part.PACKAGE, Part.SYSCTL, Part.MODULE)
"""What a step's note names; its title has the files."""


def prepare_system(step: PrepareSystem, context: RunContext) -> Done:
    """Write files, install what is missing, load modules and set sysctls; k3s is not restarted.

    Raises:
        GuestSetupError: The machine, its package manager or the kernel refuses it; `details` has its last lines.
    """
    try:
        said = context.run(
            step.machine,
            "prepare-system.sh",
            timeout_s=INSTALL_S,
            files={**system_files(step.system), **proxy_files(context.spec)},
            LOOK="0",
            LOCK_S=str(LOCK_S),
            **system_env(step.system),
        )
    except ScriptError as error:
        raise GuestSetupError(
            f"{step.machine}: files, packages or kernel settings of the inventory could not be applied",
            details=error.details,
            resolution=Advice(
                "correct files, packages, sysctls or kernel_modules in the inventory, or look there: "
                "`homelab-k8s ssh {}`",
                step.machine,
            ),
        ) from error
    done = [_shown(each) for each in parse_guest_system(step.machine, said).differs if each.part in _SHOWN]
    return Done(changed=said.lines.flag("changed"), note=", ".join(done))


def _shown(done: Difference) -> str:
    return done.name if done.part is Part.PACKAGE else str(done)
