"""Applies objects wave by wave, waits for each wave, and prunes what is no longer wanted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from bootstrap.errors import KubernetesError, KubeUnreachableError, few_lines
from bootstrap.execution.context import RunContext
from bootstrap.execution.k3s.kube_retries import once_it_answers
from bootstrap.execution.manifests.comparing import (
    AT_ONCE,
    Checked,
    Wanted,
    brings_kind,
    check_all,
    members_of,
    read_scope,
    wanted_of,
    without_kind,
)
from bootstrap.manifests.applyset import PARENT_KIND, PARENT_NAMESPACE, Scope, parent_object
from bootstrap.manifests.order import HELM_CHART, in_waves, loses_data, pruned_in_order, wave_of
from bootstrap.manifests.readiness import is_waited_for, not_ready
from bootstrap.manifests.values import Change, Manifest, Object, ObjectChange, ObjectId
from bootstrap.model.words import count
from bootstrap.planning.manifests.plan import lines_of, remedy_of
from bootstrap.ports.manifests import Applied, Conflicting, KubeObjects
from bootstrap.waiting import NotYet

T = TypeVar("T")

_LOOK_S: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was done.

    Attributes:
        kept: Objects that are no longer in the list and were left, since data would be lost with them.
    """

    applied: tuple[ObjectId, ...] = ()
    pruned: tuple[ObjectId, ...] = ()
    kept: tuple[ObjectId, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Applying:
    """One application of all objects.

    Attributes:
        version: Of this program, for the ApplySet.
        force: Take over fields that others manage.
        confirmed: Objects that may be pruned though data is lost with them.
    """

    context: RunContext
    version: str
    force: bool = False
    confirmed: Collection[ObjectId] = field(default=())

    def run(self, manifests: Sequence[Manifest]) -> Result:
        """Apply all, wait, prune.

        Raises:
            KubernetesError: An object is refused or conflicts, and nothing of its wave was applied; or it failed.
            DeadlineError: Objects did not become ready in time.
        """
        before = self._again(lambda api: read_scope(api), "the list of what was applied")
        known = Scope.of(self._likely(manifests))
        # First the parent, which has both: if this run is killed, the next one finds all members.
        self._write_parent(before | known)
        applied: list[ObjectId] = []
        wanted: list[Wanted] = []
        for wave in in_waves(manifests):
            ready = self._with_kinds(wave, manifests)
            wanted += ready
            applied += self._wave(ready)
        own = {each.id for each in wanted}
        scope = before | known | Scope.of(own)
        pruned, kept = self._prune(scope, own)
        self._write_parent(Scope.of((*own, *kept)))
        return Result(applied=tuple(applied), pruned=pruned, kept=kept)

    @property
    def _api(self) -> KubeObjects:
        return self.context.kube.objects

    def _again(self, act: Callable[[KubeObjects], T], what: str) -> T:
        return once_it_answers(lambda: act(self._api), what=what, context=self.context)

    def _likely(self, manifests: Iterable[Manifest]) -> list[ObjectId]:
        """The objects as far as their kinds are served; others as they would be in a namespace."""

        def look(api: KubeObjects) -> list[ObjectId]:
            pairs = ((each, wanted_of(each, api)) for each in manifests)
            return [found.id if found is not None else each.id_in(namespaced=True) for each, found in pairs]

        return self._again(look, "Kubernetes to list its kinds")

    def _with_kinds(self, wave: Sequence[Manifest], manifests: Sequence[Manifest]) -> list[Wanted]:
        """The objects of a wave, once their kinds are served: a chart brings some while it is installed."""

        def look() -> list[Wanted] | NotYet:
            found = [wanted_of(each, self._api) for each in wave]
            missing = [each for each, wanted in zip(wave, found, strict=True) if wanted is None]
            never = [each for each in missing if not brings_kind(manifests, each.group_kind)]
            if never:
                raise _refusal([without_kind(each, ()) for each in never])
            if missing:
                kinds = ", ".join(sorted({str(each.group_kind) for each in missing}))
                return NotYet(f"no {kinds} yet")
            return [each for each in found if each is not None]

        return self._wait("the kinds of custom resources", look, hint=_inspect_charts(manifests))

    def _wave(self, wanted: Sequence[Wanted]) -> list[ObjectId]:
        """A dry run of all; then all of them, and the wait."""
        checked = self._wait("Kubernetes to check the objects", lambda: self._checked(wanted))
        todo = [each.wanted for each in checked if not each.same]
        with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="manifest") as pool:
            list(pool.map(self._apply, todo))
        for each in wanted:
            if is_waited_for(each.kind.kind):
                self._await(each)
        return [each.id for each in todo]

    def _checked(self, wanted: Sequence[Wanted]) -> tuple[Checked, ...] | NotYet:
        try:
            checked = check_all(wanted, self._api, force=self.force)
        except KubeUnreachableError as error:
            return NotYet(str(error))
        blocked = [(each, each.change) for each in checked if each.change is not None and each.change.blocks]
        final = [change for each, change in blocked if not each.passing]
        if final:
            raise _refusal(final)
        return NotYet(_line(blocked[0][1])) if blocked else checked

    def _apply(self, wanted: Wanted) -> None:
        """Apply what was checked; the same request again where there was no answer."""
        force = self.force or wanted.manifest.early

        def look() -> bool | NotYet:
            try:
                answer = self._api.apply(wanted.kind, wanted.body, namespace=wanted.id.namespace, force=force)
            except KubeUnreachableError as error:
                return NotYet(str(error))
            if isinstance(answer, Applied):
                return True
            said = ObjectChange(
                change=Change.REFUSED, id=wanted.id, place=wanted.manifest.place, said=wanted.words(answer.said)
            )
            if isinstance(answer, Conflicting):
                said = replace(said, change=Change.CONFLICT, owners=answer.owners)
            elif answer.passing:
                return NotYet(_line(said))
            raise _refusal([said])

        self._wait(f"Kubernetes to take {wanted.id}", look)

    def _await(self, wanted: Wanted) -> None:
        identity = wanted.id

        def look() -> bool | NotYet:
            try:
                found = self._api.get(wanted.kind, identity.namespace, identity.name)
            except KubeUnreachableError as error:
                return NotYet(str(error))
            if found is None:
                return NotYet("it was deleted meanwhile")
            problem = not_ready(found)
            if problem is not None and problem.final:
                raise KubernetesError(
                    f"{identity} {problem.problem.partition(':')[0]}",
                    details=f"{wanted.manifest.place}: {problem.problem}",
                    resolution=f"{_inspect(identity)} shows why; correct the manifest and run the command again",
                )
            return NotYet(problem.problem) if problem is not None else True

        self._wait(f"{identity}", look, hint=f"{_inspect(identity)} shows why")

    def _prune(self, scope: Scope, own: Collection[ObjectId]) -> tuple[tuple[ObjectId, ...], tuple[ObjectId, ...]]:
        """Delete members that are not wanted, custom resources before what serves them; those deleted, those kept."""
        members = self._again(lambda api: members_of(scope, api), "the list of what was applied")
        gone = pruned_in_order(members.keys() - set(own))
        kept = {each for each in gone if loses_data(members[each], each.group_kind) and each not in self.confirmed}
        going = [each for each in gone if each not in kept]
        for wave in dict.fromkeys(wave_of(each.group_kind) for each in going):
            now = [each for each in going if wave_of(each.group_kind) == wave]
            for each in now:
                self._delete(each, members[each])
            for each in now:
                self._await_gone(each, members[each])
        return tuple(going), tuple(sorted(kept))

    def _delete(self, identity: ObjectId, found: Object) -> None:
        uid = str(found["metadata"].get("uid") or "")

        def delete(api: KubeObjects) -> bool:
            facts = api.kind(identity.group_kind)
            return facts is not None and api.delete(facts, identity, uid=uid)

        self._again(delete, f"Kubernetes to delete {identity}")

    def _await_gone(self, identity: ObjectId, found: Object) -> None:
        uid = found["metadata"].get("uid")

        def look() -> bool | NotYet:
            try:
                facts = self._api.kind(identity.group_kind)
                left = self._api.get(facts, identity.namespace, identity.name) if facts is not None else None
            except KubeUnreachableError as error:
                return NotYet(str(error))
            if left is None or left["metadata"].get("uid") != uid:
                return True
            held = ", ".join(map(str, left["metadata"].get("finalizers") or ()))
            return NotYet(f"it is held by {held}" if held else "it is being deleted")

        self._wait(f"{identity} to be gone", look, hint=f"{_inspect(identity)} shows what holds it")

    def _write_parent(self, scope: Scope) -> None:
        body = parent_object(scope, version=self.version)

        def write(api: KubeObjects) -> None:
            facts = api.kind(PARENT_KIND, "v1")
            if facts is None:
                raise KubernetesError("Kubernetes serves no ConfigMaps")
            # With force: the annotations are ours, whoever changed them.
            answer = api.apply(facts, body, namespace=PARENT_NAMESPACE, force=True)
            if not isinstance(answer, Applied):
                raise KubernetesError("the list of what was applied cannot be written", details=answer.said)

        self._again(write, "Kubernetes to take the list of what was applied")

    def _wait(self, what: str, look: Callable[[], T | NotYet], *, hint: str = "") -> T:
        resolution = f"{hint}; then run the command again" if hint else "run the command again"
        return self.context.wait_for(
            what, look, timeout_s=self.context.timeouts.objects_s, every_s=_LOOK_S, resolution=resolution
        )


def _refusal(changes: Sequence[ObjectChange]) -> KubernetesError:
    """The error for objects that cannot be applied."""
    conflicts = [each for each in changes if each.change is Change.CONFLICT]
    refused = len(changes) - len(conflicts)
    what = f"{count(refused, 'object')} refused" if refused else f"{count(len(conflicts), 'object')} in conflict"
    lines = [line for each in changes for line in lines_of(each)]
    error = KubernetesError(
        f"manifests: {what}; nothing of this wave was applied", details=few_lines(lines), resolution=remedy_of(changes)
    )
    error.again_helps = False
    return error


def _line(change: ObjectChange) -> str:
    return next(iter(lines_of(change)), f"{change.id}")


def _inspect_charts(manifests: Iterable[Manifest]) -> str:
    """How to see why charts are not installed; their jobs are called `helm-install-NAME`.

    (k3s-io/helm-controller pkg/controllers/chart/chart.go)
    """
    charts = [each for each in manifests if each.group_kind == HELM_CHART]
    logs = [f"`kubectl -n {each.namespace or 'default'} logs job/helm-install-{each.name}`" for each in charts]
    return f"k3s installs charts by jobs, whose logs show why: {', '.join(logs)}"


def _inspect(identity: ObjectId) -> str:
    kind = f"{identity.kind}.{identity.group}" if identity.group else identity.kind
    namespace = f" -n {identity.namespace}" if identity.namespace else ""
    return f"`kubectl describe {kind.lower()} {identity.name}{namespace}`"
