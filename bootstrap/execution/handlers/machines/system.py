"""Handler of the step that writes files, installs packages and sets what the kernel is asked for."""

from __future__ import annotations

from bootstrap.advice import Advice
from bootstrap.errors import GuestSetupError, ScriptError
from bootstrap.execution.context import Done, RunContext
from bootstrap.k3s.environment import proxy_files
from bootstrap.planning.day2_steps import PrepareSystem
from bootstrap.planning.settings.system_files import system_env, system_files

LOCK_S = 240
"""How long another package manager on the machine is waited for: a first boot's daily update holds its locks."""

INSTALL_S = 900.0
"""For packages from the machine's own mirror; the wait for another package manager is in it."""


def prepare_system(step: PrepareSystem, context: RunContext) -> Done:
    """Write files, install what is missing, load modules and set sysctls; k3s is not restarted.

    Raises:
        GuestSetupError: The machine, its package manager or the kernel refuses it; `details` has its last lines.
    """
    try:
        lines = context.run(
            step.machine,
            "prepare-system.sh",
            timeout_s=INSTALL_S,
            files={**system_files(step.system), **proxy_files(context.spec)},
            LOOK="0",
            LOCK_S=str(LOCK_S),
            **system_env(step.system),
        ).lines
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
    files = ("file ", "obsolete ")
    done = [what.removeprefix("package ") for what in lines.get("differs", []) if not what.startswith(files)]
    return Done(changed=lines.flag("changed"), note=", ".join(done))
