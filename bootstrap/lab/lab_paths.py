"""Files of a lab, and the process that runs it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_state_path

from bootstrap.lab.options import LabError, LabInfo
from bootstrap.lab.processes import is_running

DIR_VARIABLE = "HOMELAB_K8S_LAB_DIR"


@dataclass(frozen=True, kw_only=True)
class LabProcess:
    """The process that runs a lab, from its first moment on (`lab.json` comes only when the lab is ready).

    Attributes:
        pid, pid_start: The process and its start time, so that a re-used pid is no lab.
        kind: Its kind of guests; decides whether leftovers must be removed.
    """

    pid: int
    pid_start: int
    kind: str


@dataclass(frozen=True)
class LabPlaces:
    """Files of one lab."""

    directory: Path

    @property
    def info(self) -> Path:
        """`lab.json`: the running lab, with its token."""
        return self.directory / "lab.json"

    @property
    def process(self) -> Path:
        """`process.json`: the process that runs it."""
        return self.directory / "process.json"

    @property
    def log(self) -> Path:
        """`lab.log`: its log."""
        return self.directory / "lab.log"

    @property
    def stand_in(self) -> Path:
        """`k3s/`: the artifact directory of the k3s stand-in, if clusters run that."""
        return self.directory / "k3s"

    def read_process(self) -> LabProcess | None:
        """The process that runs or ran the lab; None if unknown."""
        try:
            return LabProcess(**json.loads(self.process.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise LabError(f"{self.process} cannot be read: {error}") from error

    def write_process(self, process: LabProcess) -> None:
        """Record the process that runs the lab."""
        write_private(self.process, json.dumps(asdict(process)))

    def read_info(self) -> LabInfo | None:
        """The running lab; None without one, or if its process has died."""
        try:
            info = LabInfo.from_json(self.info.read_text())
        except FileNotFoundError:
            return None
        return info if is_running(info.pid, info.pid_start) else None

    def clear(self) -> None:
        """Remove the lab's own files, and its directory if it is empty then."""
        for directory in (self.stand_in, *self.directory.glob(".probe-*")):  # a killed start leaves its probe
            shutil.rmtree(directory, ignore_errors=True)
        for name in ("lab.json", "process.json", "lab.log", "lab.crt", "lab.key", "lock"):
            (self.directory / name).unlink(missing_ok=True)
        if self.directory.is_dir() and not any(self.directory.iterdir()):
            self.directory.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the lab against other starts and stops.

        Raises:
            LabError: Another start or stop is in progress.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LabError("another start or stop of the lab is in progress; wait for it to end") from error
            yield


def lab_places() -> LabPlaces:
    """The lab's files: in `$HOMELAB_K8S_LAB_DIR`, else `homelab-k8s/lab` of the XDG state directory."""
    named = os.environ.get(DIR_VARIABLE)
    return LabPlaces(Path(named).absolute() if named else user_state_path("homelab-k8s") / "lab")


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 atomically."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
