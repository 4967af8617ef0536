"""The lab's process: prepares the guest backend, runs the front, and removes both on SIGTERM.

Started by `bootstrap.lab.control`, which hands it a pipe: one JSON object per line, `progress`, then `ready`
or `error`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

from bootstrap.lab.faults.active import Faults
from bootstrap.lab.guests.base import GuestDriver, GuestError, LabNetwork
from bootstrap.lab.lab_paths import LabPlaces, LabProcess, write_private
from bootstrap.lab.options import LabError, LabOptions
from bootstrap.lab.processes import process_start
from bootstrap.lab.releases.choice import STAND_IN, K3sChoice, K3sRequest, choose_k3s
from bootstrap.lab.server import LabServer, lab_delays

logger = logging.getLogger("bootstrap.lab")


class Reporter(logging.Handler):
    """Reports progress to the starter: everything that the lab logs from INFO on, and the result.

    Args:
        descriptor: Write end of the starter's pipe.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(logging.INFO)
        self._descriptor: int | None = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a log record on as progress."""
        self.tell("progress", record.getMessage())

    def tell(self, key: str, text: str) -> None:
        """Send one line; a starter that has exited is no error."""
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, json.dumps({key: text}).encode() + b"\n")
        except BrokenPipeError:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the pipe."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


async def run_lab(options: LabOptions, *, k3s: K3sRequest, places: LabPlaces, reporter: Reporter) -> None:
    """Run a lab until SIGTERM or SIGINT.

    Args:
        options: How it is made.
        k3s: Which k3s clusters are to run, if available.
        places: Its files.
        reporter: Reports progress to the starter.

    Raises:
        LabError: The front cannot run.
        GuestError: This machine cannot run the guests.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    preparing = asyncio.current_task()

    def stop() -> None:
        if stopping.is_set() or preparing is None:
            return
        stopping.set()
        if not places.info.exists():
            preparing.cancel()  # building a template takes minutes: do not make a stop wait for it

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    kind, reason = _kind_of(options)
    faults = Faults(kind)
    places.write_process(LabProcess(pid=os.getpid(), pid_start=process_start(os.getpid()) or 0, kind=kind))
    driver = await _make_driver(kind, places.directory, options=options, faults=faults)
    logger.info("guests: %s (%s)", kind, reason)
    chosen = await _choose_k3s(kind, k3s, places)
    if kind != "none":
        logger.info("k3s: %s", chosen)
    try:
        if driver is not None:
            await driver.prepare()
        server = LabServer(
            options,
            driver=driver,
            network=getattr(driver, "network", None),
            ssh_port=getattr(driver, "ssh_port", 22),
            jump=getattr(getattr(driver, "jump", None), "info", None),
            faults=faults,
            reason=reason,
            k3s=chosen,
            state_dir=places.directory,
        )
        async with server as info:
            write_private(places.info, info.to_json())
            reporter.tell("ready", info.endpoint)
            reporter.hang_up()
            await stopping.wait()
            logger.info("stopping")
    finally:
        if driver is not None:
            await driver.close()
        places.info.unlink(missing_ok=True)


async def _choose_k3s(kind: str, request: K3sRequest, places: LabPlaces) -> K3sChoice:
    """The k3s of the lab's clusters; builds the stand-in where it is chosen.

    Raises:
        LabError: Guests of this kind do not run here, or the stand-in cannot be made.
    """
    from bootstrap.lab.releases.sources import find_sources, make_stand_in

    lacking: tuple[str, ...] = ()
    if kind == "container":
        from bootstrap.lab.guests.host.kernel import describe, lacks, probe, why_no_guests

        facts = await probe(places.directory)
        logger.info("kernel: %s", describe(facts))
        reason = why_no_guests(facts)
        if reason is not None:
            raise LabError(reason)
        lacking = lacks(facts)
    sources = await asyncio.to_thread(find_sources, request, kind=kind, lacks=lacking, stand_in=places.stand_in)
    chosen = choose_k3s(kind, lacks=lacking, sources=sources)
    if chosen.source == STAND_IN and chosen.artifacts == str(places.stand_in):
        await asyncio.to_thread(make_stand_in, places.stand_in)
    return chosen


def _kind_of(options: LabOptions) -> tuple[str, str]:
    if options.guests == "none":
        return "none", "requested: VMs without guests"
    from bootstrap.lab.guests.choose import choose_kind, require

    if options.guests == "auto":
        return choose_kind()
    require(options.guests)
    return options.guests, "requested"


async def _make_driver(kind: str, state_dir: Path, *, options: LabOptions, faults: Faults) -> GuestDriver | None:
    """The driver of a kind of guests; first the leftovers of a killed lab are removed."""
    if kind == "none":
        return None
    if kind == "simulated":
        from bootstrap.lab.simulated.driver import SimulatedGuests

        return SimulatedGuests(state_dir, delays=lab_delays(options), faults=faults, jump=options.jump)
    from bootstrap.lab.guests.sweep import sweep

    network = LabNetwork()
    await sweep(state_dir, network)
    if kind == "container":
        from bootstrap.lab.guests.containers.container import ContainerGuests

        return ContainerGuests(state_dir, network)
    from bootstrap.lab.guests.qemu import QemuGuests

    return QemuGuests(state_dir, network)


def main() -> int:
    """Entry point of `python -m bootstrap.lab.daemon`."""
    parser = argparse.ArgumentParser(description="The process of a homelab-k8s lab; started by `lab start`.")
    parser.add_argument("--dir", type=Path, required=True, help="the lab's directory")
    parser.add_argument("--options", type=json.loads, required=True, help="LabOptions as JSON")
    parser.add_argument("--k3s", type=json.loads, default={}, help="K3sRequest as JSON")
    parser.add_argument("--report", type=int, required=True, help="descriptor of the starter's pipe")
    arguments = parser.parse_args()
    reporter = Reporter(arguments.report)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for chatty in ("aiohttp.access", "asyncssh"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logger.addHandler(reporter)
    places = LabPlaces(arguments.dir)
    try:
        options, k3s = LabOptions.from_dict(arguments.options), K3sRequest(**arguments.k3s)
        asyncio.run(run_lab(options, k3s=k3s, places=places, reporter=reporter))
    except (LabError, GuestError) as error:
        logger.removeHandler(reporter)
        logger.error("%s", error)
        reporter.tell("error", str(error))
        return 1
    except asyncio.CancelledError:
        logger.info("stopped before the lab was ready")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
