"""What the agents did, by the oplog of the control database: every move, in the order of time.

Nothing escapes it, as it could escape somebody who asks every now and then.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from bson.timestamp import Timestamp
from pymongo.collection import Collection

from agent.model.leases import COORDINATOR
from agent.model.states import State, may_move
from tests.testbed.clients import Document

_COMMANDS = "backstay.commands"
_LEASES = "backstay.leases"


@dataclass(slots=True)
class History:
    """What is known of commands and leases after the entries so far, and what was wrong."""

    wrong: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Writes of an earlier coordinator to commands that the later one had not touched yet.

    A token is held against those that the same document has seen: what was on its way when an agent
    stalled arrives, once, where nobody was since. The next coordinator goes on from there.
    """
    states: dict[object, list[str | None]] = field(default_factory=dict)
    holders: dict[str, list[str]] = field(default_factory=dict)
    _commands: dict[object, Document] = field(default_factory=dict)
    _leases: dict[object, Document] = field(default_factory=dict)
    _highest: int = 0

    def take(self, entry: Mapping[str, Any]) -> None:
        """Look at one entry of the oplog."""
        seen = self._commands if entry["ns"] == _COMMANDS else self._leases
        key = (entry["o2"] if entry["op"] == "u" else entry["o"])["_id"]
        if entry["op"] == "d":
            old = seen.pop(key, {})
            if entry["ns"] == _COMMANDS and not _has_ended(old):
                self.wrong.append(f"command {key} was removed as {old.get('state')}")
            return
        old = seen.get(key, {})
        new = _changed(old, entry["o"])
        seen[key] = new
        if entry["ns"] == _COMMANDS:
            self._command(key, old, new, entry["ts"])
        else:
            self._lease(str(key), old, new, entry["ts"])

    def _command(self, key: object, old: Document, new: Document, at: Timestamp) -> None:
        before, after = old.get("state"), new.get("state")
        known = self.states.setdefault(key, [before])
        if before != after:
            known.append(after)
            if after is None or not may_move(State(before) if before else None, State(after)):
                self.wrong.append(f"command {key} went from {before} to {after} at {at}")
        elif _has_ended(old) and old != new:
            changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
            self.wrong.append(f"command {key} was {before}, and {changed} changed at {at}")
        token = int(new.get("lease_token") or 0)
        if token < int(old.get("lease_token") or 0):
            self.wrong.append(f"the token of command {key} went back at {at}")
        elif token != int(old.get("lease_token") or 0) or before != after:
            self._written_under(token, f"command {key} ({before} to {after})", at)

    def _written_under(self, token: int, what: str, at: Timestamp) -> None:
        if token and token < self._highest:
            self.late.append(f"{what} was written under an old token {token} at {at}")
        self._highest = max(self._highest, token)

    def _lease(self, name: str, old: Document, new: Document, at: Timestamp) -> None:
        before, after = _time(old.get("token")), _time(new.get("token"))
        if after < before:
            self.wrong.append(f"the token of {name} went back at {at}")
        holder = new.get("holder")
        if holder is not None and holder != old.get("holder"):
            self.holders.setdefault(name, []).append(holder)
            if after <= before:
                self.wrong.append(f"{name} went to {holder} without a new token at {at}")
            if old.get("holder") is not None and not _was_over(old, at):
                self.wrong.append(f"{name} was taken from {old['holder']} in its time at {at}")

    @property
    def open_commands(self) -> list[object]:
        """Return the ids of commands that have not ended."""
        return [key for key, document in self._commands.items() if not _has_ended(document)]

    def told(self) -> str:
        """Return one line about how much there was."""
        moves = sum(len(each) - 1 for each in self.states.values())
        coordinators = len(self.holders.get(COORDINATOR, []))
        return f"{len(self.states)} commands, {moves} moves, {coordinators} grants of coordination"


def history(oplog: Collection[Document]) -> History:
    """Read all that was written to commands and leases."""
    return read(_entries(oplog))


def _entries(oplog: Collection[Document]) -> Iterator[Document]:
    query = {"ns": {"$in": [_COMMANDS, _LEASES]}, "op": {"$in": ["i", "u", "d"]}}
    transactions = {"op": "c", "o.applyOps.ns": {"$in": [_COMMANDS, _LEASES]}}
    with oplog.find({"$or": [query, transactions]}).sort("$natural", 1) as found:
        for entry in found:
            if entry["op"] != "c":
                yield entry
                continue
            for inner in entry["o"]["applyOps"]:
                if inner["ns"] in {_COMMANDS, _LEASES}:
                    yield {**inner, "ts": entry["ts"]}


def _changed(old: Document, change: Document) -> Document:
    """Return a document after an entry; only what stands at its top is followed closely."""
    diff = change.get("diff")
    if diff is None:
        return change
    gone = diff.get("d", {})
    new = {name: value for name, value in old.items() if name not in gone}
    inner = {name[1:]: value for name, value in diff.items() if name[0] == "s"}
    return {**new, **diff.get("u", {}), **diff.get("i", {}), **inner}


def _has_ended(document: Mapping[str, Any]) -> bool:
    state = document.get("state")
    return state is not None and not any(may_move(State(state), each) for each in State)


def _time(stamp: object) -> tuple[int, int]:
    return (stamp.time, stamp.inc) if isinstance(stamp, Timestamp) else (0, 0)


def _was_over(lease: Mapping[str, Any], at: Timestamp) -> bool:
    """Whether a lease had ended by the server's clock; a second of it is not told by a time."""
    renewed: float = lease["renewed_at"].replace(tzinfo=UTC).timestamp()
    return renewed + int(lease["duration_ms"]) / 1000 <= at.time + 1


def read(entries: Iterable[Mapping[str, Any]]) -> History:
    """Look at some entries."""
    found = History()
    for entry in entries:
        found.take(entry)
    return found
