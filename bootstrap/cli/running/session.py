"""One run of a command: its log, its view, its signals, and how it ends.

    with Session("up", ports=None, progress=Progress.AUTO) as session:
        ...

Leaving the block turns every exception into an error message and an exit code; tracebacks go to the log only.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, assert_never

import typer

from bootstrap.cli.running.calls import ShownCalls
from bootstrap.cli.running.interrupts import Interrupts
from bootstrap.cli.running.logs import RunLog, log_directory
from bootstrap.cli.running.masking import Masker
from bootstrap.cli.running.runs import Recorder, runs_directory, write_trace
from bootstrap.cli.text.invocation import Invocation
from bootstrap.cli.text.wrapping import columns_of, fitted
from bootstrap.cli.views.choose import Progress, make_view
from bootstrap.errors import HomelabError, InterruptedRunError, RunFailedError, is_full
from bootstrap.events import (
    Event,
    LanesAdded,
    LaneSkipped,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
    Told,
    Waited,
    Waiting,
    Warned,
)
from bootstrap.model.visible import visible

if TYPE_CHECKING:
    from bootstrap.ports import Ports

logger = logging.getLogger(__name__)

NO_INVOCATION = Invocation()


class Session:
    """A context manager around a command's work.

    Args:
        command: Names the log: `up`, `lab-start`.
        ports: Other adapters than the real ones, for tests.
        progress: How progress shows.
        invocation: What was typed; completes the commands in advice.
        verbose: Whether calls to Proxmox VE, Kubernetes and machines are shown, and dry runs in full.

    Attributes:
        masker: Knows the run's secrets; add those found later.
        stop: Set on Ctrl-C.
    """

    def __init__(
        self,
        command: str,
        *,
        ports: Ports | None = None,
        progress: Progress = Progress.AUTO,
        invocation: Invocation = NO_INVOCATION,
        verbose: bool = False,
    ) -> None:
        self.command = command
        self.ports = ports
        self.invocation = invocation
        self.masker = Masker()
        self.masker.add_environment(os.environ)
        self.stop = threading.Event()
        self.view = make_view(progress, stream=sys.stderr, environ=os.environ)
        self.verbose = verbose
        self._calls = ShownCalls(self.masker, self.view.call)
        self._log = RunLog(log_directory(), command, self.masker)
        self._recorder = Recorder(runs_directory(), self._log.path.stem if self._log.path else None, self.masker)
        self._interrupts = Interrupts(stop=self.stop, say=self.view.stopping)
        self._thread_hook = threading.excepthook

    def __enter__(self) -> Session:
        self._log.open()
        if self.verbose:
            self._calls.open()
        threading.excepthook = _log_thread_error
        self._interrupts.install()
        if self._log.problem:
            self.sink(Told(message=self._log.problem))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._log.lost:
            self.sink(Told(message=self._log.lost))
        self.view.close()
        try:
            code = self._end(error)
        finally:
            self._interrupts.remove()
            threading.excepthook = self._thread_hook
            self._recorder.close()
            self._calls.close()
            self._log.close()
        if code is not None:
            raise typer.Exit(code) from None

    @property
    def log_path(self) -> str | None:
        """The log's path, or None where none is written."""
        return str(self._log.path) if self._log.path else None

    def environment(self) -> dict[str, str]:
        """The environment for programs that we start, without the secrets that ours holds."""
        return self.masker.without_secrets(os.environ)

    def sink(self, event: Event) -> None:
        """Take an event: to the log, the recording and the view."""
        logger.debug("%r", event, exc_info=event.error if isinstance(event, StepFailed) else None)
        if isinstance(event, StepFailed):
            logger.error("%s: %s\ndetails: %s", event.lane, event.error.brief, event.error.details)
        self._recorder.event(event)
        self.view.event(self._masked_event(self._advising(event)))

    @contextmanager
    def running(self, *, trace: Path | None = None) -> Iterator[None]:
        """While a plan runs: Ctrl-C lets running steps finish.

        Args:
            trace: File for the run's Chrome trace events, written when it has ended or failed.
        """
        with self._interrupts.gently():
            try:
                yield
            finally:
                self._recorded(trace)

    def result(self, text: str, *, drawn: bool = False, fit: bool = False) -> None:
        """Write a result to stdout.

        Args:
            text: The result.
            drawn: Whether it has our own control sequences, and all else in it is made visible already.
            fit: Whether to wrap it to the terminal, between words.

        Raises:
            BrokenPipeError: stdout is closed; the session ends with exit code 1 and prints nothing.
        """
        self.view.close()
        text = text if drawn else visible(text)
        text = fitted(text, columns_of(sys.stdout)) if fit else text
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def _recorded(self, trace: Path | None) -> None:
        """Write the trace; an error here is only a warning, since the result of the run matters more."""
        recorder = self._recorder
        recorder.close()
        if recorder.problem:
            self.sink(Warned(subject="recording", message=recorder.problem))
        if trace is not None and recorder.path is not None:
            try:
                write_trace(recorder.path, trace)
            except HomelabError as error:
                self.sink(Warned(subject="trace", message=str(error)))

    def _end(self, error: BaseException | None) -> int | None:
        """Show an error; return the exit code, or None without an error or for one that is passed on."""
        match error:
            case None:
                logger.debug("ended well")
                return None
            case HomelabError():
                return self._failed(error, error)
            case KeyboardInterrupt():
                return self._failed(InterruptedRunError(f"{self.command} was interrupted"), error)
            case BrokenPipeError():
                logger.debug("stdout was closed")
                _give_up_stdout()
                return 1
            case OSError() if is_full(error):
                _give_up_stdout()
                full = HomelabError(
                    f"{self.command} stopped: a file on this computer could not be written",
                    details=str(error),
                    resolution="free some disk space (see `df -h`), then run the command again",
                )
                return self._failed(full, error)
            case typer.Exit() | typer.Abort() | typer.BadParameter() | SystemExit() | GeneratorExit():
                return None
            case _:
                brief = f"{self.command} stopped on an internal error: {type(error).__name__}: {error}"
                unexpected = HomelabError(brief.splitlines()[0], resolution="please report it, with the log")
                return self._failed(unexpected, error)

    def _failed(self, error: HomelabError, cause: BaseException) -> int:
        logger.error("exit code %d: %s", error.exit_code, error.brief, exc_info=cause)
        if isinstance(error, RunFailedError):
            logger.error("what failed:\n%s", error.full_details)
        if error.details or error.resolution:
            logger.error("details: %s\nresolution: %s", error.details, error.resolution)
        self.view.error(self._shown(error), log=self.log_path)
        return error.exit_code

    def advise(self, text: str) -> str:
        """The text with its commands completed, to be pasted: they work on the cluster of this run."""
        return self.invocation.complete(text)

    def _advising(self, event: Event) -> Event:
        """The event with the commands in it completed; an error as it may be shown."""
        match event:
            case StepFailed():
                return replace(event, error=self._shown(event.error))
            case Warned() | Told():
                return replace(event, message=self.advise(event.message))
            case _:
                pass
        return event

    def _shown(self, error: HomelabError) -> HomelabError:
        """The error with complete commands in its resolution, and without secrets that the other side may have sent."""
        return error.with_texts(self.advise, of=("resolution",)).with_texts(self.masker.shown)

    def _masked_event(self, event: Event) -> Event:
        """The event as it may be shown."""
        match event:
            case Warned() | Told():
                return replace(event, message=self.masker.shown(event.message))
            case Waiting() | Waited():
                return replace(event, problem=self.masker.shown(event.problem))
            case StepFinished():
                return replace(event, note=self.masker.shown(event.note))
            case LaneSkipped():
                return replace(event, cause=self.masker.shown(event.cause))
            case RunStarted() | LanesAdded() | StepStarted() | StepFailed() | RunFinished():
                pass
            case _:
                assert_never(event)
        return event


def _give_up_stdout() -> None:
    """Redirect a closed or full stdout: the interpreter flushes it at exit, and that must not fail."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _log_thread_error(hook: threading.ExceptHookArgs) -> None:
    """Log an exception of a library's thread, instead of printing it over the terminal."""
    name = hook.thread.name if hook.thread else "a thread"
    if hook.exc_value is not None:
        logger.error("%s ended on an exception", name, exc_info=hook.exc_value)
