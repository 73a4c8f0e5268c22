"""What the coordinator does with the commands it finds: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agent.core.errors import PermanentError
from agent.model.commands import Cancel, CommandRecord, Request, parse
from agent.model.outcome import Failure, failure_of
from agent.model.schedules import Run, is_superseded, run_of
from agent.model.states import State

# Of the 16 MiB of a document, the last is for what agents write into it.
_MOST_BYTES: Final = 15 * 1024 * 1024
# It stands in tasks, events and the status too.
_LONGEST_ID: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    """Nobody took the command in time."""

    record: CommandRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """The command makes no sense."""

    record: CommandRecord
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """The command waits for its turn from now on."""

    record: CommandRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """It is the command's turn, or it was running under another coordinator."""

    record: CommandRecord
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTarget:
    """Settle a cancel command against its target, which is None if it is not open."""

    record: CommandRecord
    target: CommandRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveWay:
    """A later run of the same schedule waits as well, and one is enough."""

    record: CommandRecord
    later: object


Decision = Expire | Reject | Accept | Start | CancelTarget | GiveWay


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What runs, by id, and how many more jobs may: that write data, and beside those."""

    taken: tuple[object, ...]
    data: int
    beside: int


def decide(
    commands: Sequence[CommandRecord], *, places: Places, now: datetime, ttl_s: float
) -> list[Decision]:
    """Return what to do now about the open commands, which are oldest first.

    One job that writes data runs at a time; others run beside it. A cancel never waits. One of
    what has not begun comes before the starts; one of what has begun behind them, where it finds
    the job, even if that was taken over just now.
    """
    decisions: list[Decision] = []
    waiting: list[Start] = []
    late: list[CancelTarget] = []
    for record in commands:
        try:
            _require_plain(record)
            _require_room(record)
            request = parse(record.options)
        except PermanentError as error:
            decisions.append(Reject(record=record, failure=failure_of(error)))
            continue
        if record.state is None:
            if _is_late(record, now, ttl_s):
                decisions.append(Expire(record=record))
            else:
                decisions.append(Accept(record=record))
        elif isinstance(request, Cancel):
            target = next((one for one in commands if one.command_id == request.target), None)
            is_late = target is not None and target.state is State.RUNNING
            cancel = CancelTarget(record=record, target=target)
            (late if is_late else decisions).append(cancel)
        elif record.command_id not in places.taken:
            waiting.append(Start(record=record, request=request))
    starts = turns(lined_up(waiting), places)
    return [*decisions, *given_way(waiting, starts), *starts, *late]


def _require_plain(record: CommandRecord) -> None:
    if record.odd:
        raise PermanentError(
            "bad_command",
            f"{', '.join(record.odd)}: agents write this, and none can have written what is there",
            hint="insert the command and its options, and nothing else",
        )


def _require_room(record: CommandRecord) -> None:
    """Refuse what would leave no room for progress, result and error when it is too late."""
    if len(str(record.command_id)) > _LONGEST_ID:
        raise PermanentError(
            "command_too_large",
            f"an _id of more than {_LONGEST_ID} characters",
            hint="leave the _id to the server",
        )
    if record.size_bytes > _MOST_BYTES:
        raise PermanentError(
            "command_too_large",
            f"a document of {record.size_bytes} bytes has no room for what agents write into it",
            hint="insert the command and its options, and nothing else",
        )


def lined_up(waiting: Sequence[Start]) -> list[Start]:
    """Return what waits; of each schedule only the last run, in the place of the first.

    In its own place it would be overtaken for ever by schedules that are due as often.
    """
    found: dict[object, Start] = {}
    for each in waiting:
        run = _waiting_run(each)
        if run is None:
            found[id(each)] = each
            continue
        other = found.get(run.schedule_id)
        before = None if other is None else run_of(other.record.command_id)
        if before is None or before.due_at < run.due_at:
            found[run.schedule_id] = each  # a key that is there keeps its place
    return list(found.values())


def given_way(waiting: Sequence[Start], starts: Sequence[Start]) -> list[GiveWay]:
    """Return which runs are not needed any more.

    The first that waits of each schedule keeps the place until the last one starts in it.
    """
    runs = [each for each in waiting if _waiting_run(each) is not None]
    ids = [each.record.command_id for each in runs]
    starting = [each.record.command_id for each in starts]
    kept: set[str] = set()
    found: list[GiveWay] = []
    for each in runs:
        run = run_of(each.record.command_id)
        if run is None or not is_superseded(each.record.command_id, ids):
            continue
        later = max(
            (other for other in map(run_of, ids) if other and other.schedule_id == run.schedule_id),
            key=lambda other: other.due_at,
        ).command_id
        if run.schedule_id in kept or later in starting:
            found.append(GiveWay(record=each.record, later=later))
        kept.add(run.schedule_id)
    return found


def _waiting_run(turn: Start) -> Run | None:
    """Return which run has not begun yet, None of any other command."""
    return None if turn.record.state is State.RUNNING else run_of(turn.record.command_id)


def turns(waiting: Sequence[Start], places: Places) -> list[Start]:
    """Return those whose turn it is: the oldest first, but one that was running before all."""
    data, beside = places.data, places.beside
    found: list[Start] = []
    for each in sorted(waiting, key=lambda one: one.record.state is not State.RUNNING):
        if each.request.writes_data and data > 0:
            data -= 1
            found.append(each)
        elif not each.request.writes_data and beside > 0:
            beside -= 1
            found.append(each)
    return found


def _is_late(record: CommandRecord, now: datetime, ttl_s: float) -> bool:
    """Whether nobody took it in time; a run that is late is late because nobody was there."""
    if run_of(record.command_id) is not None:
        return False
    return record.created_at is not None and now - record.created_at > timedelta(seconds=ttl_s)
