"""The program `homelab-k8s`, and `python -m bootstrap`: refuses Windows before it imports anything that needs POSIX."""

import os
import signal
import sys
from typing import Final

_COMPLETING: Final = "_HOMELAB_K8S_COMPLETE"
"""Set by the shell whose user has pressed Tab; Typer's."""
_PREFLIGHT: Final = 4
"""The exit code of a check that failed before anything was changed."""


def main() -> None:
    """Run the program; on Windows, say what to use instead."""
    if sys.platform == "win32":
        sys.stderr.write(
            "error: homelab-k8s does not run on Windows itself: run `wsl --install` and install it in WSL\n"
        )
        sys.exit(_PREFLIGHT)
    else:
        if _COMPLETING in os.environ:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C after Tab: not a word
        from bootstrap.cli.main import main as run

        run()


if __name__ == "__main__":
    main()
