"""The command line: multi-call, as k3s's is.

Modules are imported by the command that needs them, so that short calls start fast.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from . import process
from .built import BUILT_FOR, VERSION
from .logs import Fatal, log
from .settings.options import Options
from .versions import COMMIT, WHAT_THIS_IS, go_arch


def check_config() -> int:
    """A few of the checks of `k3s check-config`; the exit code is how many failed."""
    checks = {"openssl is installed": shutil.which("openssl") is not None,
              "/proc is mounted": Path("/proc/meminfo").exists()}  # fmt: skip
    for name, good in checks.items():
        sys.stdout.write(f"- {name}: {'good' if good else 'fail'}\n")
    failed = sum(1 for good in checks.values() if not good)
    sys.stdout.write(f"STATUS: {'pass' if not failed else f'{failed} (fail)'} ({WHAT_THIS_IS})\n")
    return failed


def stop(number_: int, frame: object) -> None:
    """Exit at once: all data is on disk already."""
    log("info", f"Received signal {number_}, shutting down")
    process.LIFE.notify("STOPPING=1")
    os._exit(0)


COMMANDS = {
    "etcd-snapshot": ("etcd_snapshot", "etcd_snapshot"), "token": ("upkeep", "token_command"),
    "secrets-encrypt": ("upkeep", "encryption_status"), "kubectl": ("kubectl", "kubectl"),
    "certificate": ("upkeep", "certificate_check"),
}  # fmt: skip
"""The module in `commands` of each command that asks a server something, and its function there."""


def serve(command: str, argv: list[str]) -> NoReturn:
    """k3s server, k3s agent."""
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    options = Options(command, argv)
    module = import_module(f"{__package__}.{command}.{command}")
    getattr(module, command.capitalize())(options).run()
    raise AssertionError(f"k3s {command} does not return")


def run(argv: list[str]) -> int:
    """One command; returns its exit code."""
    command, rest = (argv[0], argv[1:]) if argv else ("help", [])
    if command in ("--version", "-v"):
        sys.stdout.write(f"k3s version {VERSION} ({COMMIT})\ngo version none ({WHAT_THIS_IS}, Python "
                         f"{platform.python_version()})\n")  # fmt: skip
    elif command in ("server", "agent"):
        serve(command, rest)
    elif command == "check-config":
        return check_config()
    elif command in COMMANDS:
        module, function = COMMANDS[command]
        return int(getattr(import_module(f"{__package__}.commands.{module}"), function)(rest))
    elif command in ("crictl", "ctr", "completion"):
        raise Fatal(f"`k3s {' '.join(argv)}` is not supported by the {WHAT_THIS_IS}")
    elif command in ("help", "--help", "-h"):
        sys.stdout.write(f"k3s - {WHAT_THIS_IS}\nCommands: server agent kubectl check-config etcd-snapshot token "
                         "secrets-encrypt certificate\n")  # fmt: skip
    else:
        sys.stderr.write(f"No help topic for '{command}'\n")
        return 3
    return 0


def main() -> int:
    """Multi-call: the name of the link is the subcommand."""
    os.umask(0o022)
    if BUILT_FOR and go_arch() != BUILT_FOR:
        sys.stderr.write(f"{sys.argv[0]}: cannot execute binary file: Exec format error (built for {BUILT_FOR})\n")
        return 126
    name = Path(sys.argv[0]).name
    argv = [name, *sys.argv[1:]] if name in ("kubectl", "crictl", "ctr") else sys.argv[1:]
    try:
        return run(argv)
    except Fatal as error:
        if argv[:1] == ["kubectl"]:
            sys.stderr.write(f"{error}\n")
        else:
            process.LIFE.tell(error.line())
        return error.code


if __name__ == "__main__":
    sys.exit(main())
