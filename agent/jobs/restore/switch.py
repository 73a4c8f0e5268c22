"""The switch: temporary collections take their targets' places. It only rolls forward."""

from collections.abc import Callable
from functools import partial
from typing import Final

from agent.core.clock import monotonic
from agent.core.crash import Point, passing
from agent.core.errors import PermanentError, Stopped, TransientError
from agent.core.flow import Stop
from agent.core.retry import RetryPolicy, retry
from agent.jobs.restore.crew import Crew
from agent.jobs.restore.ports import RestorePorts
from agent.jobs.restore.record import Move, Removal, SwitchRecord, ViewMove, namespace
from agent.model.names import Namespace
from agent.ports import CANCELED, JobContext, ViewRule

# Writers of a target wait while a rename waits: let them through between two tries.
_PAUSE_S: Final = 0.5
_TOLD_AFTER_S: Final = 30.0
_PATIENCE: Final = RetryPolicy(limit_s=600.0)


class Switch:
    """Carries out one record; every step looks first whether it was made already."""

    def __init__(self, context: JobContext, ports: RestorePorts, record: SwitchRecord) -> None:
        self._context = context
        self._ports = ports
        self._record = record
        # A cancel that came too late must not end the waits in here.
        self._calm = Stop()

    def run(self) -> None:
        """Do all that is not done yet.

        Raises: PermanentError if the target was changed by others so that it cannot be
        finished; Stopped and LeaseLost: the next coordinator goes on.
        """
        record = self._record
        self._require_sources()
        for removal in record.displaced:
            self._remove(removal)
        crew = Crew(workers=self._ports.workers, stop=self._calm, held=self._check)
        crew.each("switch", record.moves, self._move)
        passing(Point.SWITCH_ALL_RENAMED)
        # All old ones go first: a view must have the collation of the views around it.
        for removal in record.old_views:
            self._remove(removal)
        for view in record.views:
            self._view(view)
        switch = self._ports.switch
        for script in record.scripts:
            place = Namespace.parse(script.place)
            self._steadily(partial(switch.put_javascript, place, script.database))
            passing(Point.SWITCH_SCRIPT_PUT)
        for removal in record.dropped:
            self._remove(removal)
        passing(Point.SWITCH_BEFORE_USERS)
        users, roles = namespace(record.users), namespace(record.roles)
        if users is not None or roles is not None:
            self._steadily(lambda: switch.merge_users(users, roles, replace=record.replace_users))
            passing(Point.SWITCH_USERS_MERGED)

    def in_place(self) -> list[str]:
        """Name the targets that are switched already. Raises: TransientError."""
        find = self._ports.target.uuid
        return [
            move.target
            for move in self._record.moves
            if find(Namespace.parse(move.target)) == move.uuid
        ]

    def _require_sources(self) -> None:
        """Refuse to go on without what is merged or read, and never renamed.

        Merging users from a collection that is gone would remove every user.
        """
        record, find = self._record, self._ports.target.uuid
        places = {each.place for each in record.views} | {each.place for each in record.scripts}
        for place in sorted((places | {record.users, record.roles}) - {""}):
            name = Namespace.parse(place)
            if retry(lambda name=name: find(name), policy=_PATIENCE, stop=self._calm) is None:  # type: ignore[misc]
                raise _lost(name, "what it holds")

    def _check(self) -> None:
        self._context.held()
        stop = self._context.stop
        if stop.is_set and stop.reason != CANCELED:
            raise Stopped(stop.reason)

    def _steadily(self, step: Callable[[], None]) -> None:
        self._check()
        retry(step, policy=_PATIENCE, stop=self._calm)

    def _remove(self, removal: Removal) -> None:
        target = self._ports.target

        def remove() -> None:
            if target.uuid(Namespace.parse(removal.checked)) == removal.uuid:
                passing(Point.SWITCH_BEFORE_DROP)
                target.drop(Namespace.parse(removal.namespace))
                passing(Point.SWITCH_DROPPED)

        self._steadily(remove)

    def _view(self, view: ViewMove) -> None:
        rule = ViewRule(name=Namespace.parse(view.source), on=view.source_on)
        place, target = Namespace.parse(view.place), Namespace.parse(view.target)
        self._steadily(lambda: self._ports.switch.put_view(place, rule, target, view.on))
        passing(Point.SWITCH_VIEW_PUT)

    def _move(self, move: Move) -> None:
        place, target = Namespace.parse(move.place), Namespace.parse(move.target)
        waiting = _Waiting(self._ports, target)
        while not self._moved(move, place, target):
            self._check()
            try:
                self._rename(place, target)
            except TransientError as error:
                waiting.tell(error)
                self._calm.wait(_PAUSE_S)
        switch = self._ports.switch
        if target.is_buckets:
            self._steadily(lambda: switch.complete_time_series(target))
        passing(Point.SWITCH_BEFORE_EXPIRY)
        if move.ttl_s is not None:
            seconds = move.ttl_s
            self._steadily(lambda: switch.set_expiry(target, seconds))

    def _rename(self, place: Namespace, target: Namespace) -> None:
        replaced = self._ports.target.uuid(target)
        try:
            passing(Point.SWITCH_BEFORE_RENAME)
            self._ports.switch.rename(place, target, replaced)
            passing(Point.SWITCH_BUCKETS_RENAMED if target.is_buckets else Point.SWITCH_RENAMED)
        except PermanentError as error:
            if error.code != "target_exists" or replaced is not None or not self._record.overwrite:
                raise
            # An application created it just now; the next look finds it, and it is replaced.
            raise TransientError(error.code, error.message, hint=error.hint) from error

    def _moved(self, move: Move, place: Namespace, target: Namespace) -> bool:
        """Whether the target is the temporary collection; if not, whether it may become it."""
        find = self._ports.target.uuid
        there = retry(lambda: find(target), policy=_PATIENCE, stop=self._calm)
        if there == move.uuid:
            return True
        if retry(lambda: find(place), policy=_PATIENCE, stop=self._calm) != move.uuid:
            raise _lost(place, str(target))
        if there is not None and not self._record.overwrite:
            raise PermanentError(
                "target_exists",
                f"{target} was created by others while the restore ran",
                hint="restore again, with overwrite: true if it should be replaced",
            )
        return False


def _lost(place: Namespace, target: str) -> PermanentError:
    return PermanentError(
        "switch_lost",
        f"the temporary collection {place} for {target} is gone or was replaced",
        hint="restore again with overwrite: true",
    )


class _Waiting:
    """Tells what holds a rename up, once it has waited for long."""

    def __init__(self, ports: RestorePorts, target: Namespace) -> None:
        self._ports = ports
        self._target = target
        self._told_at = monotonic()

    def tell(self, error: TransientError) -> None:
        """Write an event, at most one every half a minute."""
        if monotonic() - self._told_at < _TOLD_AFTER_S:
            return
        self._told_at = monotonic()
        try:
            blockers = self._ports.switch.blockers()
        except (TransientError, PermanentError):
            blockers = ()
        self._ports.events.write(
            "warning",
            "switch_blocked",
            f"a restore waits to put {self._target} in place: "
            f"{'; '.join(blockers) or error.message}",
        )
