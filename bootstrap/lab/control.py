"""Starts, queries and stops the lab's process. Called by the CLI; blocking."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bootstrap.lab.guests.base import GuestError, LabNetwork
from bootstrap.lab.lab_paths import LabPlaces, lab_places
from bootstrap.lab.options import LabError, LabInfo, LabOptions
from bootstrap.lab.processes import is_running
from bootstrap.lab.releases.choice import K3sRequest

STOP_S = 60.0
POLL_S = 0.05
LOG_LINES = 15

Progress = Callable[[str], None]


def status() -> LabInfo | None:
    """The running lab, or None.

    Raises:
        LabError: `lab.json` is of another version of the lab.
    """
    return lab_places().read_info()


def start(
    options: LabOptions,
    *,
    progress: Progress,
    k3s: K3sRequest | None = None,
    environ: Mapping[str, str] | None = None,
) -> LabInfo:
    """Start the lab, and return once its API answers. A lab that runs already is left as it is.

    Args:
        options: How it is made.
        progress: Called with a line for each thing that happens; the first start builds a template and
            takes minutes.
        k3s: Which k3s its clusters are to run, if available; ignored where a lab runs already. None: the
            stand-in.
        environ: The environment of the lab and of its child processes; None: this process's.

    Raises:
        LabError: It cannot start, or runs with other options.
    """
    problems = options.problems()
    if problems:
        raise LabError("\n".join(problems))
    places = lab_places()
    with places.locked():
        running = places.read_info()
        if running is not None:
            if running.options != options:
                other = _differences(running.options, options)
                raise LabError(
                    f"a lab is already running at {running.endpoint} with other options; stop it first: "
                    f"`homelab-k8s lab stop`\n{other}"
                )
            progress(f"the lab is already running at {running.endpoint}")
            return running
        known = places.read_process()
        if known is not None:
            if is_running(known.pid, known.pid_start):
                raise LabError(
                    f"process {known.pid} of a lab runs, but its API is not up; stop it with: homelab-k8s lab stop"
                )
            progress("cleaning up after a killed lab")
            _sweep(places, known.kind)
        given = os.environ if environ is None else environ
        return _spawn(options, k3s=k3s or K3sRequest(), places=places, environ=given, progress=progress)


def stop() -> bool:
    """Stop the lab and remove all of it, and the leftovers of a killed lab.

    Returns:
        Whether there was anything to stop or remove.

    Raises:
        LabError: Something could not be removed.
    """
    places = lab_places()
    if not places.directory.exists():
        return False
    with places.locked():
        known = places.read_process()
        if known is not None:
            _end(known.pid, known.pid_start)
            _sweep(places, known.kind)
        places.clear()
    return known is not None


def _spawn(
    options: LabOptions, *, k3s: K3sRequest, places: LabPlaces, environ: Mapping[str, str], progress: Progress
) -> LabInfo:
    reading, writing = os.pipe()
    command = [
        *(sys.executable, "-m", "bootstrap.lab.daemon", "--dir", str(places.directory)),
        *("--options", json.dumps(options.to_dict()), "--k3s", json.dumps(k3s.to_dict()), "--report", str(writing)),
    ]
    # The daemon must find this very package, also where it was started from a checkout.
    package_root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package_root, environ.get("PYTHONPATH"))))
    with places.log.open("wb") as log:
        places.log.chmod(0o600)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(writing,), cwd="/",
            start_new_session=True, env={**environ, "PYTHONPATH": path},
        )  # fmt: skip
    os.close(writing)
    ready = False
    try:
        ready = _follow(reading, progress)
    finally:
        if not ready:  # it failed or was interrupted: nothing may stay behind
            process.terminate()
            process.wait()
            known = places.read_process()
            if known is not None:
                _sweep(places, known.kind)
    # From here on the daemon is init's child when this process ends; do not warn about it.
    process.returncode = 0
    info = places.read_info()
    if info is None:
        raise LabError(f"the lab ended right after its start\n{_tail(places.log)}")
    return info


def _follow(descriptor: int, progress: Progress) -> bool:
    """Pass the daemon's progress on until it is ready.

    Raises:
        LabError: It ended before that.
    """
    with os.fdopen(descriptor) as lines:
        for line in lines:
            report = json.loads(line)
            if "error" in report:
                raise LabError(report["error"])
            if "ready" in report:
                return True
            progress(report["progress"])
    raise LabError(f"the lab's process ended before the lab was ready\n{_tail(lab_places().log)}")


def _end(pid: int, pid_start: int) -> None:
    """SIGTERM, a minute to clean up, SIGKILL."""
    deadline = time.monotonic() + STOP_S
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not is_running(pid, pid_start):
            return
        os.kill(pid, number)
        while is_running(pid, pid_start) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        deadline = time.monotonic() + 5.0
    if is_running(pid, pid_start):
        raise LabError(f"process {pid} of the lab does not exit")


def _sweep(places: LabPlaces, kind: str) -> None:
    if kind == "simulated":  # nothing of these guests outlives their process but files
        shutil.rmtree(places.directory / kind, ignore_errors=True)
    elif kind != "none":
        from bootstrap.lab.guests.sweep import sweep

        try:
            asyncio.run(sweep(places.directory, LabNetwork()))
        except GuestError as error:
            raise LabError(str(error)) from error
    places.info.unlink(missing_ok=True)
    places.process.unlink(missing_ok=True)


def _differences(running: LabOptions, wanted: LabOptions) -> str:
    old, new = running.to_dict(), wanted.to_dict()
    return "\n".join(f"{key}: {old[key]} there, {new[key]} requested" for key in old if old[key] != new[key])


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-LOG_LINES:])
