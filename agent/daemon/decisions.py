"""What the coordinator does with the commands it finds: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.core.errors import PermanentError
from agent.model.commands import Cancel, CommandRecord, Request, parse
from agent.model.outcome import Failure, failure_of
from agent.model.states import State


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


Decision = Expire | Reject | Accept | Start | CancelTarget


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

    One job that writes data runs at a time; others run beside it. A cancel never waits.
    """
    decisions: list[Decision] = []
    waiting: list[Start] = []
    for record in commands:
        try:
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
            decisions.append(CancelTarget(record=record, target=target))
        elif record.command_id not in places.taken:
            waiting.append(Start(record=record, request=request))
    return [*decisions, *turns(waiting, places)]


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
    return record.created_at is not None and now - record.created_at > timedelta(seconds=ttl_s)
