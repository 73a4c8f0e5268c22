"""Whether the data of a replica set is safe, in one sentence: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.cli import words
from agent.cli.console import Document
from agent.cli.sight import number
from agent.model.backups import BackupEntry, newest
from agent.model.nodes import STALE_S
from agent.model.status import AgentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A problem as the status shows it."""

    level: str
    message: str
    hint: str
    since: datetime | None = None


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
        written = (self.cluster or {}).get("updated_at")
        return isinstance(written, datetime) and self.now - written <= timedelta(seconds=STALE_S)


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
            )
        ]
    if not picture.is_led:
        return [
            Trouble(
                level="error",
                message="no agent coordinates, so no command is taken",
                hint="this should pass within 20 seconds; if not, see the agents' logs",
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
    )


def is_safe(picture: Picture) -> bool:
    """Whether there is a backup, and nothing is broken that a next one or the archive needs."""
    return picture.last is not None and not any(
        trouble.level == "error" for trouble in troubles(picture)
    )


def sentence(picture: Picture) -> str:
    """Say whether the data is safe, and why."""
    last = picture.last
    if last is None:
        return "Not safe: there is no backup."
    newest_is = f"the newest backup is {words.age(last.consistent_at.wall, picture.now)} old"
    found = troubles(picture)
    errors = [trouble for trouble in found if trouble.level == "error"]
    if errors:
        return f"Not safe: {errors[0].message}; {newest_is}."
    there = f"{len(picture.present)} of {len(picture.agents)} agents are there"
    why = ", ".join(each for each in (newest_is, _archived(picture), there) if each)
    if found:
        many = "1 warning" if len(found) == 1 else f"{len(found)} warnings"
        return f"Safe, with {many}: {why}."
    return f"Safe: {why}."


def _archived(picture: Picture) -> str:
    if picture.archive is None or (picture.cluster or {}).get("archiver") is None:
        return ""
    lag_s = number(picture.archive, "lag_s")
    return f"all but the last {words.duration(lag_s)} of writes are archived"
