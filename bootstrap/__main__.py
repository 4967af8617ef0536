"""The program `homelab-k8s`, and `python -m bootstrap`: refuses Windows before it imports anything that needs POSIX."""

import sys
from typing import Final

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
        from bootstrap.cli.main import main as run

        run()


if __name__ == "__main__":
    main()
