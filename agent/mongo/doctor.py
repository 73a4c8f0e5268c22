"""Tests of the node, of the replica set, and of what the agent's user is allowed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from agent.core.errors import AgentError
from agent.model.check import Finding, Verdict, failed
from agent.model.nodes import LONGEST_LAG_S
from agent.mongo.connect import Client, OwnNode
from agent.mongo.control import outdated
from agent.mongo.errors import translated
from agent.mongo.node_link import NodeLink
from agent.mongo.privileges import for_backup, for_restore, is_granted, together
from agent.ports import NodeReader

_SHORT_WINDOW_S: Final = 24 * 3600
_SHORTEST_WINDOW_S: Final = 3600
# An oplog that is emptier does not lose entries yet: the set is young, or the oplog was enlarged.
_FULL: Final = 0.9
# More of them are counted in the message, which people read; the row names them all.
_MOST_NAMED: Final = 3
_HINT: Final = "grant what the script of `backstay init --for {purpose}` grants"


@dataclass(frozen=True, slots=True, kw_only=True)
class MongoDoctor:
    """The tests of one agent's side of MongoDB; they write nothing."""

    node: NodeLink
    cluster: Client
    own: OwnNode
    reader: NodeReader
    control_database: str

    def findings(self) -> Iterator[Finding]:
        """Yield what the tests find."""
        yield _ok("server version", f"MongoDB {self.own.server_version}")
        for test, look in self._tests():
            try:
                yield from look()
            except AgentError as error:
                yield failed(test, error)

    def _tests(self) -> tuple[tuple[str, Callable[[], Iterator[Finding]]], ...]:
        return (
            ("node", self._node),
            ("primary", self._primary),
            ("backup privileges", self._privileges),
            ("oplog window", self._oplog),
            ("control database", self._control),
        )

    def _node(self) -> Iterator[Finding]:
        facts = self.reader.facts()
        shown = f"{self.own.name} is {facts.state} of {self.own.replset}"
        if facts.state == "PRIMARY":
            yield _ok("node", shown)
        elif facts.state != "SECONDARY":
            yield _finding(
                "node",
                "failed",
                f"{self.own.name} is neither primary nor secondary of {self.own.replset} now",
                hint="rs.status() says what it is at; nothing can be read from it",
            )
        elif facts.lag_s is None or facts.lag_s >= LONGEST_LAG_S:
            lag = "by nobody knows how much" if facts.lag_s is None else f"by {facts.lag_s:.0f} s"
            hint = f"nothing is read from it until it is less than {LONGEST_LAG_S:.0f} s behind"
            yield _finding("node", "warning", f"{shown}, and is behind {lag}", hint=hint)
        else:
            yield _ok("node", shown)

    def _primary(self) -> Iterator[Finding]:
        with translated():
            answer = self.cluster.admin.command("hello")
        yield _ok("primary", f"{answer['me']} is primary, and is reached from here")

    # -- privileges

    def _privileges(self) -> Iterator[Finding]:
        with translated():
            answer = self.cluster.admin.command({"connectionStatus": 1, "showPrivileges": True})
        info: dict[str, Any] = answer["authInfo"]
        users = [f"{each['user']}@{each['db']}" for each in info["authenticatedUsers"]]
        if not users:
            yield _ok("user", "none: MongoDB lets everybody do everything")
            return
        yield _ok("user", ", ".join(users))
        granted = info["authenticatedUserPrivileges"]
        for need in for_backup(self.control_database):
            if is_granted(need, granted):
                yield _ok("backup privileges", f"the user has {need}")
                continue
            yield _finding(
                "backup privileges",
                "failed",
                f"the user lacks {need}",
                missing=str(need),
                hint=_HINT.format(purpose="backup"),
            )
        missing = [need for need in for_restore() if not is_granted(need, granted)]
        if not missing:
            yield _ok("restore privileges", "the user has all that a restore needs")
            return
        shown = ", ".join(map(str, missing))
        if len(missing) > _MOST_NAMED:
            shown = f"{len(missing)} privileges, such as {missing[0]}"
        yield _finding(
            "restore privileges",
            "warning",
            f"this user can back up but not restore: it lacks {shown}",
            missing=together(missing),
            hint=_HINT.format(purpose="restore") + ", when a restore is due",
        )

    # -- oplog and control database

    def _oplog(self) -> Iterator[Finding]:
        with translated():
            oplog = self.node.client["local"]["oplog.rs"]
            ends = [oplog.find_one({}, {"ts": 1}, sort=[("$natural", way)]) for way in (1, -1)]
            stats = self.node.client["local"].command("collStats", "oplog.rs")
        first, last = (each["ts"].time if each else 0 for each in ends)
        yield of_window(last - first, stats["size"] / stats["maxSize"])

    def _control(self) -> Iterator[Finding]:
        name = self.control_database
        wrong = outdated(self.cluster[name])
        if wrong:
            yield _finding(
                "control database",
                "warning",
                f"of the database {name}: {'; '.join(wrong)}",
                hint="agents mend it when they start; or run backstay init",
            )
        else:
            yield _ok("control database", f"{name} is as agents make it, or not there yet")


def of_window(window_s: float, filled: float) -> Finding:
    """Judge how far back an oplog reaches that is filled to this part, 0 to 1."""
    shown = f"the oplog reaches back {window_s / 3600:.1f} h"
    if filled < _FULL:
        return _ok("oplog window", f"{shown}, and is not full yet ({100 * filled:.0f} %)")
    if window_s >= _SHORT_WINDOW_S:
        return _ok("oplog window", shown)
    return _finding(
        "oplog window",
        "failed" if window_s < _SHORTEST_WINDOW_S else "warning",
        f"{shown} only: an outage of the storage that lasts longer tears a gap",
        hint="make it larger with replSetResizeOplog",
    )


def _ok(test: str, message: str) -> Finding:
    return _finding(test, "ok", message)


def _finding(
    test: str, outcome: Verdict, message: str, *, missing: str | None = None, hint: str = ""
) -> Finding:
    return Finding(test=test, outcome=outcome, message=message, missing=missing, hint=hint)
