"""Whether the data of a replica set is safe, in one sentence: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.cli import words
from agent.cli.console import Document
from agent.cli.restorable import ranges_of
from agent.model.backups import BackupEntry, newest
from agent.model.coverage import Recoverable
from agent.model.nodes import STALE_S
from agent.model.status import AgentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A problem as the status shows it."""

    level: str
    message: str
    hint: str
    since: datetime | None = None
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything that one screen of status shows, at one moment of the server's clock."""

    now: datetime
    agents: Sequence[AgentStatus]
    entries: Sequence[BackupEntry]
    cluster: Document | None

    def is_there(self, agent: AgentStatus) -> bool:
        """Whether an agent was heard of lately."""
        return self.now - agent.updated_at <= timedelta(seconds=STALE_S)

    @property
    def present(self) -> tuple[AgentStatus, ...]:
        """The agents that are there."""
        return tuple(agent for agent in self.agents if self.is_there(agent))

    @property
    def last(self) -> BackupEntry | None:
        """The newest backup."""
        return newest(self.entries)

    @property
    def archive(self) -> Document | None:
        """How the archive of the oplog stands, while that is known."""
        found = (self.cluster or {}).get("oplog") if self.is_led else None
        return found if isinstance(found, Mapping) else None

    @property
    def is_led(self) -> bool:
        """Whether a coordinator wrote the cluster's status lately."""
        told_at = self.told_at
        return told_at is not None and self.now - told_at <= timedelta(seconds=STALE_S)

    @property
    def told_at(self) -> datetime | None:
        """When a coordinator wrote the cluster's status last, if ever."""
        written = (self.cluster or {}).get("updated_at")
        return written if isinstance(written, datetime) else None

    @property
    def ranges(self) -> tuple[Recoverable, ...]:
        """The times that can be restored, as a coordinator told last; ascending.

        They still stand when nobody tells any more: what is in the storage stays there.
        """
        return ranges_of((self.cluster or {}).get("recoverable"))


def troubles(picture: Picture) -> tuple[Trouble, ...]:
    """Return the problems, errors first; what the agents wrote counts only while it is fresh."""
    found = [*_seen_from_here(picture)]
    told = (picture.cluster or {}).get("problems") if picture.is_led else None
    if isinstance(told, Sequence):
        found += [_trouble(each) for each in told if isinstance(each, Mapping)]
    return tuple(sorted(found, key=lambda trouble: trouble.level != "error"))


def _seen_from_here(picture: Picture) -> list[Trouble]:
    if not picture.present:
        return [
            Trouble(
                level="error",
                message="no agent is there",
                hint="start `backstay run` beside each node",
                since=max((agent.updated_at for agent in picture.agents), default=None),
            )
        ]
    if not picture.is_led:
        return [
            Trouble(
                level="error",
                message="no agent coordinates, so no command is taken",
                hint="this should pass within 20 seconds; if not, see the agents' logs",
                since=picture.told_at,
            )
        ]
    return []


def _trouble(problem: Document) -> Trouble:
    since = problem.get("since")
    # The level is not in every document: what is written without one is a warning.
    return Trouble(
        level=str(problem.get("level", "warning")),
        message=str(problem.get("message", "")),
        hint=str(problem.get("hint", "")),
        since=since if isinstance(since, datetime) else None,
        code=str(problem.get("code", "")),
    )


def is_safe(picture: Picture) -> bool:
    """Whether there is a backup, and nothing is broken that a next one or the archive needs."""
    return picture.last is not None and not errors(picture)


def errors(picture: Picture) -> tuple[Trouble, ...]:
    """Return the problems that make the data unsafe."""
    return tuple(trouble for trouble in troubles(picture) if trouble.level == "error")


def unsafe_since(picture: Picture) -> datetime | None:
    """Return since when something has been wrong, None if nothing is or nobody knows."""
    return min((each.since for each in errors(picture) if each.since is not None), default=None)


def sentence(picture: Picture) -> str:
    """Answer at once whether the data is safe, since when not, and what can be restored."""
    found = errors(picture)
    last = picture.last
    if not found and last is not None:
        warnings = len(troubles(picture))
        many = f", with {warnings} warning{'s' if warnings > 1 else ''}" if warnings else ""
        age = words.age(last.consistent_at.wall, picture.now)
        return f"Safe{many}: {_restorable(picture)}; the newest backup is {age} old."
    since = unsafe_since(picture)
    begun = f" since {words.moment(since)} ({words.age(since, picture.now)})" if since else ""
    if not found:
        return "Not safe: there is no backup."
    more = f" (and {len(found) - 1} more error{'s' if len(found) > 2 else ''})"  # noqa: PLR2004
    why = found[0].message + (more if len(found) > 1 else "")
    return f"Not safe{begun}: {why}. {_still(picture)}"


def advice(picture: Picture) -> str:
    """Say what to do about what makes the data unsafe; "" if nothing does."""
    found = errors(picture)
    if found:
        return found[0].hint
    return "" if picture.last else "make one now: `backstay backup`"


def _restorable(picture: Picture) -> str:
    """Say what can be restored; there is a backup."""
    ranges = picture.ranges
    if not ranges:
        return _backups(picture)
    newest_range = ranges[-1]
    begin, last = newest_range.begin.wall, newest_range.last.wall
    earlier = len(ranges) - 1
    more = f" (and {earlier} earlier range{'s' if earlier > 1 else ''})" if earlier else ""
    if begin == last:
        return _backups(picture)
    end = words.ago(last, picture.now) if picture.is_led else words.moment(last)
    return f"every second from {words.moment(begin)} to {end} can be restored{more}"


def _backups(picture: Picture) -> str:
    many = sum(not entry.is_damaged for entry in picture.entries)
    if many == 0:
        return "no backup that is known to be whole"
    if many == 1:
        return "one backup can be restored, and no other time"
    return f"{many} backups can be restored, and no times between them"


def _still(picture: Picture) -> str:
    """Say what an operator has in the worst case."""
    last = picture.last
    if last is None:
        return "There is no backup."
    age = words.age(last.consistent_at.wall, picture.now)
    text = f"{_restorable(picture)}; the newest backup is {age} old."
    return f"Still there: {text}"
