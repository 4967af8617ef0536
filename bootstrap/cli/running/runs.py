"""Recorded runs: `homelab-k8s/runs/<time>-<command>.jsonl` in the XDG state directory, an event a line, mode 0600."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bootstrap.advice import Advice
from bootstrap.cli.running.masking import Masker
from bootstrap.cli.text.documents import event_document
from bootstrap.errors import HomelabError, UsageError
from bootstrap.events import Event, RunStarted
from bootstrap.model.visible import visible_json

if TYPE_CHECKING:
    from bootstrap.reporting.run import RecordedRun

KEPT = 20
"""Recordings kept, of all commands together."""

_SUFFIX = ".jsonl"
_MOST_BYTES = 256 * 1024 * 1024
"""Of one recording; a run of 500 machines has a few MiB."""


class Recorder:
    """Records a run's events as they come, if a run starts at all; also those of a run that is killed later.

    Args:
        directory: For all recordings; created if it is missing.
        name: Of the file, without its suffix; None writes nothing.
        masker: Knows the secrets.

    Attributes:
        path: The recording; None before a run starts.
        problem: Why a run is not recorded.
    """

    def __init__(self, directory: Path, name: str | None, masker: Masker) -> None:
        self._directory = directory
        self._name = name
        self._masker = masker
        self._file: TextIO | None = None
        self._began_s = 0.0
        self.path: Path | None = None
        self.problem = ""

    def event(self, event: Event) -> None:
        """Take an event."""
        try:
            if isinstance(event, RunStarted) and self._file is None and self._name:
                self._open(event)
            if self._file is not None:
                self._write({"at_s": round(time.monotonic() - self._began_s, 3), **event_document(event)})
        except (OSError, HomelabError) as error:
            # A full disk here must not stop the run.
            self.problem = f"the run is not recorded: {error}"
            self.close()

    def close(self) -> None:
        """Take no more events."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # a full disk, which the event that found it has noted
                file.close()

    def _open(self, event: RunStarted) -> None:
        from bootstrap.adapters.local.files import PRIVATE_FILE, check_own, ensure_private_directory
        from bootstrap.reporting.run import RECORD_FORMAT

        check_own(self._directory.parent, self._directory)
        ensure_private_directory(self._directory)
        path = self._directory / f"{self._name}{_SUFFIX}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
        # Line by line, so that a killed process leaves all events before it.
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
        self._began_s = time.monotonic()
        self.path = path
        began = datetime.now(UTC).isoformat(timespec="seconds")
        self._write({"event": "recorded", "format": RECORD_FORMAT, "command": event.command, "began": began})
        for old in recordings(self._directory)[KEPT:]:
            old.unlink(missing_ok=True)

    def _write(self, document: dict[str, object]) -> None:
        if self._file is not None:
            self._file.write(visible_json(json.dumps(self._masked(document), ensure_ascii=False)) + "\n")

    def _masked(self, value: object) -> object:
        """The value with secrets masked in every text; not in the finished line, whose quotes a mask could eat."""
        if isinstance(value, str):
            return self._masker.all(value)
        if isinstance(value, dict):
            return {key: self._masked(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._masked(item) for item in value]
        return value


def runs_directory() -> Path:
    """`homelab-k8s/runs` in the user's state directory."""
    from bootstrap.adapters.local.state import default_state_root

    return default_state_root() / "runs"


def recordings(directory: Path) -> list[Path]:
    """The recordings, newest first."""
    return sorted(directory.glob(f"*{_SUFFIX}"), key=lambda path: (path.stat().st_mtime, path.name), reverse=True)


def find_recording(name: str | None, directory: Path) -> Path:
    """A recording by its file, its name, or the start of its name; None: the newest.

    Raises:
        HomelabError: There is none.
        UsageError: The name fits none, or several.
    """
    if name is not None and (name.endswith(_SUFFIX) or "/" in name):
        return Path(name)
    known = recordings(directory)
    if not known:
        raise HomelabError(f"no run is recorded in {directory}", resolution=Advice("`homelab-k8s up` records a run"))
    return known[0] if name is None else _named(name, known)


def _named(name: str, known: Sequence[Path]) -> Path:
    similar = [path for path in known if path.stem.startswith(name)]
    meant = [path for path in similar if path.stem == name] or similar
    if len(meant) == 1:
        return meant[0]
    raise UsageError(
        f"{'several runs start' if similar else 'no run starts'} with {name}",
        details="\n".join(path.stem for path in similar or known),
        resolution="pass one of these names, or none for the newest",
    )


def read_recording(path: Path) -> RecordedRun:
    """A recorded run.

    Raises:
        HomelabError: The file cannot be read, or is no recording.
    """
    from bootstrap.inventory.regular import read_regular_text
    from bootstrap.reporting.run import parse_run

    try:
        text = read_regular_text(path, most_bytes=_MOST_BYTES)
    except (OSError, UnicodeError) as error:
        raise HomelabError(f"cannot read the recorded run {path}", details=str(error)) from error
    try:
        return parse_run(text)
    except HomelabError as error:
        error.brief = f"{path}: {error.brief}"
        raise


def check_trace(trace: Path | None) -> None:
    """Refuse a `--trace` that cannot be written, before anything is done. Raises UsageError."""
    if trace is not None and not trace.absolute().parent.is_dir():
        raise UsageError(f"--trace {trace}: there is no directory {trace.parent}")


def write_trace(recording: Path, trace: Path) -> None:
    """A recorded run as Chrome trace events.

    Raises:
        HomelabError: The trace cannot be written, or the recording not read.
    """
    from bootstrap.reporting.trace import chrome_trace

    text = visible_json(json.dumps(chrome_trace(read_recording(recording)), ensure_ascii=False))
    write_output(trace, text + "\n")


def write_output(path: Path, text: str) -> None:
    """Write a file the user asked for, for the user alone: it names machines, addresses and what went wrong.

    Raises:
        HomelabError: It cannot be written.
    """
    from bootstrap.adapters.local.files import write_private

    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")  # a terminal or a pipe, such as /dev/stdout
        else:
            write_private(path, text)
    except OSError as error:
        raise HomelabError(f"cannot write {path}", details=str(error)) from error
