"""Notices: what a webhook is told, and when; pure."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from agent.model.cluster_time import ClusterTime
from agent.model.outcome import Failure
from agent.model.states import State
from agent.model.status import Problem

NoticeEvent = Literal[
    "problem_begun",
    "problem_ended",
    "command_done",
    "command_failed",
    "command_canceled",
    "command_rejected",
    "command_expired",
]

_OF_STATE: Final[Mapping[State, NoticeEvent]] = {
    State.DONE: "command_done",
    State.FAILED: "command_failed",
    State.CANCELED: "command_canceled",
    State.REJECTED: "command_rejected",
    State.EXPIRED: "command_expired",
}
# Their results are policies and an external id, for the person who asked.
_WITHOUT_RESULT: Final = frozenset({"authorize_role", "deauthorize_role"})
_ID_DIGITS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell. ``key``: the same for the same thing, whoever tells it and how often.

    ``problem``: the one that it tells of, if it does.
    """

    event: NoticeEvent
    key: str
    text: str
    facts: Mapping[str, object]
    problem: Problem | None = None


def of_problems(before: Sequence[Problem], after: Sequence[Problem]) -> Iterator[Notice]:
    """Yield what has begun and ended between two looks; one that became an error begins again."""
    old = {(each.code, each.message): each for each in before}
    new = {(each.code, each.message): each for each in after}
    for name, problem in new.items():
        was = old.get(name)
        if was is None or (was.level == "warning" and problem.level == "error"):
            yield _of_problem("problem_begun", problem)
    for name, problem in old.items():
        if name not in new:
            yield _of_problem("problem_ended", problem)


def _of_problem(event: NoticeEvent, problem: Problem) -> Notice:
    words = f"{problem.level}: {problem.message}" if event == "problem_begun" else problem.message
    return Notice(
        event=event,
        # Milliseconds are what the control database keeps of a time.
        key=f"{event} {problem.code} {problem.message} {problem.level} {_moment(problem.since)}",
        text=words if event == "problem_begun" else f"over: {words}",
        facts={
            "problem": {
                "code": problem.code,
                "level": problem.level,
                "message": problem.message,
                "hint": problem.hint,
                "since": _moment(problem.since),
            }
        },
        problem=problem,
    )


def known_after(told: Sequence[Problem], notice: Notice) -> tuple[Problem, ...]:
    """Return the problems that a receiver takes to stand once it has got a notice."""
    problem = notice.problem
    if problem is None:
        return tuple(told)
    name = (problem.code, problem.message)
    others = [each for each in told if (each.code, each.message) != name]
    return (*others, problem) if notice.event == "problem_begun" else tuple(others)


def of_command(
    command_id: object,
    command: str,
    state: State,
    *,
    result: Mapping[str, object] | None,
    failure: Failure | None,
) -> Notice:
    """Return what is told of a command that has ended; of its result what is short and plain."""
    facts: dict[str, object] = {"id": str(command_id), "command": command, "state": state.value}
    if result is not None and command not in _WITHOUT_RESULT:
        facts["result"] = {
            name: _plain(value)
            for name, value in result.items()
            if isinstance(value, str | int | float | datetime | ClusterTime)
        }
    text = f"{command} {state}"
    if failure is not None:
        facts["error"] = {
            "code": failure.code,
            "message": failure.message,
            "hint": failure.hint,
        }
        text += f": {failure.message}"
    return Notice(
        event=_OF_STATE[state],
        key=f"{_OF_STATE[state]} {command_id}",
        text=text,
        facts={"command": facts},
    )


def id_of(notice: Notice, replset: str) -> str:
    """Return what tells this notice from all others, in hexadecimal digits."""
    return hashlib.sha256(f"{replset} {notice.key}".encode()).hexdigest()[:_ID_DIGITS]


def body_of(notice: Notice, *, replset: str, agent: str, time: datetime) -> bytes:
    """Return the JSON document to post: ``text`` is one line for people, as chats show it."""
    document = {
        "id": id_of(notice, replset),
        "event": notice.event,
        "time": _moment(time),
        "replset": replset,
        "agent": agent,
        "text": f"backstay {replset}: {notice.text}",
        **notice.facts,
    }
    return json.dumps(document, ensure_ascii=False).encode()


def _plain(value: object) -> object:
    match value:
        case datetime():
            return _moment(value)
        case ClusterTime():
            return _moment(value.wall)
        case _:
            return value


def _moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
