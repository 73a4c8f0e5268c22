"""Whether the data is safe, in one sentence, in every state that there is."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.cli.verdict import Picture, advice, is_safe, sentence
from agent.model.cluster_time import ClusterTime
from agent.model.verdict import Verdict
from tests.fakes.console import NOW
from tests.unit.cli.terminal import a_backup, a_cluster, an_agent, kept

_SECONDS = int(NOW.timestamp())
_LOST = Verdict(depth="content", checked_at=NOW - timedelta(hours=1), is_sound=False)


def _range(begin_ago_s: int, last_ago_s: int) -> dict[str, object]:
    return {
        "from": ClusterTime(_SECONDS - begin_ago_s, 1),
        "to": ClusterTime(_SECONDS - last_ago_s, 1),
    }


def _problem(
    message: str, *, ago_h: float | None = None, level: str = "error"
) -> dict[str, object]:
    since = None if ago_h is None else NOW - timedelta(hours=ago_h)
    return {"code": "c", "level": level, "message": message, "hint": "h", "since": since}


def _picture(*problems: dict[str, object], recoverable: object = ()) -> Picture:
    cluster = a_cluster(*problems, recoverable=recoverable)
    return Picture(now=NOW, agents=[an_agent()], entries=[a_backup()], cluster=cluster)


ARCHIVED = _picture(recoverable=[_range(7_200, 4)])
SENTENCES = {
    "all is well": (
        ARCHIVED,
        (
            "Safe: every second from 2026-11-21 18:15:12 UTC to 4 s ago can be restored;"
            " the newest backup is 2 hours old."
        ),
    ),
    "there are earlier ranges": (
        _picture(recoverable=[_range(90_000, 90_000), _range(7_200, 4)]),
        (
            "Safe: every second from 2026-11-21 18:15:12 UTC to 4 s ago can be restored"
            " (and 1 earlier range); the newest backup is 2 hours old."
        ),
    ),
    "nothing is archived": (
        _picture(recoverable=[_range(7_200, 7_200)]),
        "Safe: one backup can be restored, and no other time; the newest backup is 2 hours old.",
    ),
    "a warning": (
        _picture(_problem("w", level="warning"), recoverable=[_range(7_200, 4)]),
        (
            "Safe, with 1 warning: every second from 2026-11-21 18:15:12 UTC to 4 s ago can be"
            " restored; the newest backup is 2 hours old."
        ),
    ),
    "the archive has stopped": (
        _picture(
            _problem("nobody archives the oplog", ago_h=1), recoverable=[_range(7_200, 3_600)]
        ),
        (
            "Not safe since 2026-11-21 19:15:12 UTC (1 hour): nobody archives the oplog."
            " Still there:"
            " every second from 2026-11-21 18:15:12 UTC to 1 hour ago can be restored; the newest"
            " backup is 2 hours old."
        ),
    ),
    "two errors, the later one told first": (
        _picture(_problem("one", ago_h=1), _problem("two", ago_h=3)),
        (
            "Not safe since 2026-11-21 17:15:12 UTC (3 hours): one (and 1 more error). Still there:"
            " one backup can be restored, and no other time; the newest backup is 2 hours old."
        ),
    ),
    "three errors of which nobody knows since when": (
        _picture(_problem("one"), _problem("two"), _problem("three")),
        (
            "Not safe: one (and 2 more errors). Still there: one backup can be restored, and"
            " no other"
            " time; the newest backup is 2 hours old."
        ),
    ),
    "the only backup is damaged": (
        replace(
            _picture(_problem("damaged", ago_h=1)), entries=[kept(a_backup(), verdicts=(_LOST,))]
        ),
        (
            "Not safe since 2026-11-21 19:15:12 UTC (1 hour): damaged. Still there: no"
            " backup that is"
            " known to be whole; the newest backup is 2 hours old."
        ),
    ),
    "no backup": (replace(_picture(), entries=[]), "Not safe: there is no backup."),
    "no backup, and an error": (
        replace(_picture(_problem("the bucket is away", ago_h=2)), entries=[]),
        "Not safe since 2026-11-21 18:15:12 UTC (2 hours): the bucket is away. There is no backup.",
    ),
    "the coordinator is gone": (
        replace(ARCHIVED, cluster=a_cluster(age_s=40, recoverable=[_range(7_200, 44)])),
        (
            "Not safe since 2026-11-21 20:14:32 UTC (40 s): no agent coordinates, so no command is"
            " taken. Still there: every second from 2026-11-21 18:15:12 UTC to 2026-11-21"
            " 20:14:28 UTC"
            " can be restored; the newest backup is 2 hours old."
        ),
    ),
    "no agent is there": (
        replace(
            ARCHIVED,
            agents=[an_agent("a:1", age_s=60), an_agent("b:1", age_s=30)],
            cluster=a_cluster(age_s=60, recoverable=[_range(7_200, 64)]),
        ),
        (
            "Not safe since 2026-11-21 20:14:42 UTC (30 s): no agent is there. Still there: every"
            " second from 2026-11-21 18:15:12 UTC to 2026-11-21 20:14:08 UTC can be restored; the"
            " newest backup is 2 hours old."
        ),
    ),
    "an empty control database": (
        Picture(now=NOW, agents=[], entries=[], cluster=None),
        "Not safe: no agent is there. There is no backup.",
    ),
    "agents that have only begun": (
        Picture(now=NOW, agents=[an_agent()], entries=[], cluster=None),
        "Not safe: no agent coordinates, so no command is taken. There is no backup.",
    ),
}


@pytest.mark.parametrize(("picture", "expected"), SENTENCES.values(), ids=SENTENCES.keys())
def test_the_sentence_answers(picture: Picture, expected: str) -> None:
    """Safe or not, since when, what can be restored."""
    assert expected == sentence(picture)
    assert expected.startswith("Safe") == is_safe(picture)


@pytest.mark.parametrize(("picture", "expected"), SENTENCES.values(), ids=SENTENCES.keys())
def test_what_is_not_safe_comes_with_something_to_do(picture: Picture, expected: str) -> None:
    """At three in the morning a verdict alone does not help."""
    assert bool(advice(picture)) == expected.startswith("Not safe")
