"""One holder at a time: a run that acts on a cluster holds its marker VM, where every other run can see it.

    with ClusterLock(spec, ports, command="up", sink=sink, stop=stop) as lock:
        ...
    lock.check()

The holder's heartbeat is a counter in the marker's description. A run that finds a marker watches that counter by its
own clock: clocks of two laptops differ. If the counter stops for long enough, or the holder's process is known to be
dead, the marker is taken over by a write that fails if another run has written first.
"""

from __future__ import annotations

import logging
import secrets
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from bootstrap.commands.locked.marker import read_lock, why_no_lock
from bootstrap.errors import ClusterBusyError, HomelabError, InterruptedRunError, VmidTakenError
from bootstrap.events import EventSink, Told, Warned
from bootstrap.model.cluster import ClusterSpec
from bootstrap.ports import Marker, Ports
from bootstrap.records.vms.lock import (
    LockRecord,
    lock_vmid,
    marker_name,
    marker_tags,
    render_lock,
    taken_error,
)
from bootstrap.records.vms.seal import Bearer, RecordKey
from bootstrap.waiting import Condition, NotYet, WaitContext, patience_to_look, wait_for

_ATTEMPTS = 5
"""How often the marker may disappear between two looks before we give up."""
_LOOK_EVERY_S = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LockTimes:
    """How the lock keeps time, in seconds.

    Attributes:
        beat_s: Between two heartbeats.
        stale_s: A holder whose counter stops for so long is dead: three heartbeats, of which one may be
            held up by Proxmox VE's 10 s for a lock and another by API workers that wait for a guest agent.
        settle_s: How long the creation of a marker may take, and how long the end waits for a heartbeat in progress.
    """

    beat_s: float = 10.0
    stale_s: float = 30.0
    settle_s: float = 10.0


class ClusterLock:
    """The right to act on a cluster, as a context manager; use it once, on the main thread.

    Args:
        spec: The cluster; the last vmid of its range is the marker's.
        ports: Proxmox VE, and who we are.
        command: Such as `up`.
        sink: For events: a holder is watched, or was taken over.
        stop: Ends the wait early. Set by the lock itself when it is lost.
        times: Heartbeat and patience.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        ports: Ports,
        *,
        command: str,
        sink: EventSink,
        stop: threading.Event,
        times: LockTimes | None = None,
    ) -> None:
        self._spec = spec
        self._ports = ports
        self._sink = sink
        self._stop = stop
        self._times = times or LockTimes()
        self._vmid = lock_vmid(spec.placement.vmids)
        self._uuid = str(uuid.uuid4())
        self._key: RecordKey | None = None
        process = ports.processes.this()
        self._record = LockRecord(
            cluster=spec.name,
            who=process.who,
            pid=process.pid,
            process=process.mark,
            run=secrets.token_hex(8),
            command=command,
            since=ports.processes.utc_text(),
        )
        self._done = threading.Event()
        self._writing = threading.Lock()
        self._beats: threading.Thread | None = None
        self._lost: HomelabError | None = None
        self._forget: Callable[[], object] | None = None

    def forget_at_the_end(self, forget: Callable[[], object]) -> None:
        """Have the cluster's state removed as the very last under the lock, the key that its marker is signed with too.

        The marker is signed with a key that stays before: a run that finds it, if we are killed just then, trusts it.
        """
        self._forget = forget

    def __enter__(self) -> ClusterLock:
        """Take the lock.

        Raises:
            ClusterBusyError: Another run has it and is alive.
            PreflightError: Something else has the marker's vmid.
        """
        try:
            self._acquire()
        except (InterruptedRunError, KeyboardInterrupt):
            self._release()  # the marker may have been created all the same
            raise
        self._beats = threading.Thread(target=self._keep, name="lock-heartbeat", daemon=True)
        self._beats.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock, if it is still ours; a failure is a warning."""
        self._done.set()
        self._release()
        if self._beats is not None:
            self._beats.join(timeout=1.0)

    def check(self) -> None:
        """Raise HomelabError where the lock was lost while it was held."""
        if self._lost is not None:
            raise self._lost

    def _acquire(self) -> None:
        for _ in range(_ATTEMPTS):
            try:
                self._create()
            except VmidTakenError:
                logger.debug("vmid %d is taken", self._vmid)
            marker = self._settled()
            if marker is None:
                continue
            record = read_lock(marker, self._ports)
            if record is None:
                what = f"VM {marker.vmid} ({marker.name or 'no name'}) on {marker.pve_node}"
                raise taken_error(self._spec, f"{what} has it", doubt=why_no_lock(marker, self._ports))
            if record.run == self._record.run:
                return
            if self._outlives(record) and self._write(marker, self._record):
                self._sink(
                    Warned(
                        subject=self._spec.name,
                        message=f"{record} crashed or lost its connection; its lock was taken over",
                    )
                )
                return
        raise taken_error(
            self._spec,
            "a container, a VM on a Proxmox node that is unreachable, or one that this token may not see, has it",
        )

    def _create(self) -> None:
        placement = self._spec.placement
        self._ports.markers.create(
            self._vmid,
            pve_nodes=placement.pve_nodes,
            name=marker_name(self._spec.name),
            description=self._render(self._record, self._uuid),
            tags=marker_tags(self._spec.name),
            smbios_uuid=self._uuid,
            resource_pool=placement.resource_pool,
        )

    def _settled(self) -> Marker | None:
        """The marker once its creation has ended; None where there is none."""

        def look() -> Marker | NotYet | None:
            marker = self._ports.markers.find(self._vmid)
            return NotYet(f"VM {self._vmid} is locked ({marker.lock})") if marker and marker.lock else marker

        condition = Condition(
            what=f"the marker VM {self._vmid}",
            poll=look,
            every_s=_LOOK_EVERY_S,
            resolution=f"if no task uses it any more, run on its Proxmox node: "
            f"qm unlock {self._vmid} && qm destroy {self._vmid}",
        )
        return wait_for(condition, self._patience(self._times.settle_s))

    def _outlives(self, seen: LockRecord) -> bool:
        """Whether the holder is dead; False where its marker was removed.

        Raises:
            ClusterBusyError: It is alive.
        """
        lives = self._ports.processes.state(seen.process)
        if lives is not None:
            if lives:
                raise self._busy(seen)
            return True
        self._sink(Told(message=f"{seen.cluster} is held by {seen}: checking whether it is alive"))
        clock = self._ports.clock
        began_s = clock.now_s()

        def look() -> LockRecord | NotYet | None:
            marker = self._ports.markers.find(self._vmid)
            now = read_lock(marker, self._ports) if marker is not None else None
            if now != seen or clock.now_s() - began_s >= self._times.stale_s:
                return now
            return NotYet("no heartbeat yet")

        condition = Condition(what=f"a heartbeat of {seen}", poll=look, every_s=_LOOK_EVERY_S)
        now = wait_for(condition, self._patience(2 * self._times.stale_s))
        if now is not None and now != seen:
            raise self._busy(now)
        return now == seen

    def _busy(self, holder: LockRecord) -> ClusterBusyError:
        if holder.cluster == self._spec.name:
            brief = f"another run is in progress on {self._spec.name}; nothing was changed"
            resolution = "wait until it has ended, then run the command again"
        else:
            vmids = self._spec.placement.vmids
            brief = (
                f"another run is in progress on {holder.cluster}, which shares the VMIDs "
                f"{vmids.first}-{vmids.last} with "
            )
            brief += f"{self._spec.name}; nothing was changed"
            resolution = "wait until it has ended, or give each cluster a range of its own (proxmox.vmids)"
        return ClusterBusyError(brief, details=f"held by {holder}", resolution=resolution)

    def _keep(self) -> None:
        """Send heartbeats until the end or until the lock is lost."""
        while not self._done.wait(self._times.beat_s):
            try:
                self._beat()
            except HomelabError as error:
                # Not the end: a run that cannot reach Proxmox VE cannot act there either, and the next one may succeed.
                logger.warning("no heartbeat: %s", error)
            if self._lost is not None:
                logger.error("%s", self._lost)
                self._stop.set()
                return

    def _beat(self) -> None:
        with self._writing:
            marker = self._ports.markers.find(self._vmid)
            if self._done.is_set():
                return
            if marker is None:
                try:
                    self._create()  # a user removed it
                except VmidTakenError as taken:
                    logger.warning("%s", taken)
                return
            now = read_lock(marker, self._ports)
            if now is None or now.run != self._record.run:
                self._lost = HomelabError(
                    f"another run took over the lock of {self._spec.name}: this run was stopped",
                    details=f"held now by {now}" if now else f"VM {self._vmid} is {marker.name}",
                    resolution="a computer that sleeps or loses its connection loses the lock; run the command again "
                    "once the other run has ended",
                )
                return
            self._record = replace(now, beat=now.beat + 1)
            self._write(marker, self._record)

    def _write(self, marker: Marker, record: LockRecord) -> bool:
        """Write a record into the marker, if that is still as it was read; whether the record is there now."""
        name, tags = marker_name(self._spec.name), marker_tags(self._spec.name)
        text = self._render(record, marker.smbios_uuid)
        if self._ports.markers.rewrite(marker, name=name, description=text, tags=tags):
            return True
        after = self._ports.markers.find(self._vmid)  # our own write may be what changed it: its answer can be lost
        return after is not None and read_lock(after, self._ports) == record

    def _render(self, record: LockRecord, smbios_uuid: str) -> str:
        """The record, signed for the marker VM that has this UUID."""
        bearer = Bearer(vmid=self._vmid, name=marker_name(self._spec.name), identity=smbios_uuid)
        keys = self._ports.keys
        # No key is created for it: machines refuse a new SSH key of the cluster.
        key = self._key or keys.find(self._spec.name) or keys.for_templates()
        return render_lock(record, key=key, bearer=bearer)

    def _release(self) -> None:
        """Remove the marker if it is ours.

        A new heartbeat goes first: a run that watches then finds no stopped counter to take over between our look and
        the removal.
        """
        if not self._writing.acquire(timeout=self._times.settle_s):
            logger.warning("the marker VM %d stays: a heartbeat is in progress", self._vmid)
            return
        try:
            self._remove()
        except InterruptedRunError:
            logger.info("the removal of the marker VM %d is in progress", self._vmid)
        except HomelabError as error:
            self._sink(
                Warned(
                    subject=self._spec.name,
                    message=f"the marker VM {self._vmid} could not be removed ({error}); the next command removes it",
                )
            )
        finally:
            self._writing.release()

    def _remove(self) -> None:
        marker = self._ports.markers.find(self._vmid)
        now = read_lock(marker, self._ports) if marker is not None else None
        if marker is None or now is None or now.run != self._record.run:
            return
        if self._forget is not None:
            self._key = self._ports.keys.for_templates()
        if self._write(marker, replace(now, beat=now.beat + 1)):
            if self._forget is not None:
                self._forget()
            self._ports.markers.remove(marker)

    def _patience(self, timeout_s: float) -> WaitContext:
        return patience_to_look(self._ports.clock, timeout_s, sink=self._sink, stop=self._stop)
