"""What a prune has removed, or would; as the result of the command tells it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.jobs.prune.remover import Refused
from agent.jobs.prune.survey import Survey
from agent.model.orphans import Remains
from agent.model.retention import Cut, Fate, RetentionPlan

# Of each kind so many are named: a result lies in one document.
MOST_NAMED: Final = 50
_MOST_TEXT: Final = 400

Row = Mapping[str, object]


class Tally:
    """Counts what goes, and names the first of it; owned by one thread.

    ``fields`` is what another coordinator goes on from.
    """

    def __init__(self, noted: Mapping[str, Any] | None = None) -> None:
        known = noted or {}
        self._counts: dict[str, int] = {
            name: int(known.get(name, 0)) for name in ("backups", "segments", "orphans", "bytes")
        }
        self._going: list[Row] = [dict(each) for each in known.get("going", ())]
        self._orphaned: list[Row] = [dict(each) for each in known.get("orphaned", ())]
        self._cut: dict[str, tuple[int, int]] = {
            str(each["replset_id"]): (int(each["segments"]), int(each["bytes"]))
            for each in known.get("cut", ())
        }

    @property
    def bytes(self) -> int:
        """Bytes of all that went, or would go."""
        return self._counts["bytes"]

    def backup(self, row: Row) -> None:
        """Count a backup, by its row."""
        self._count("backups", 1, row)
        if len(self._going) < MOST_NAMED:
            self._going.append(row)

    def segments(self, replset_id: str, count: int, size_bytes: int) -> None:
        """Count segments of the archive of a replica set."""
        many, much = self._cut.get(replset_id, (0, 0))
        self._cut[replset_id] = many + count, much + size_bytes
        self._count("segments", count, {"bytes": size_bytes})

    def orphan(self, remains: Remains) -> None:
        """Count what is left of a backup that never came to be."""
        row = {
            "backup": remains.backup_id,
            "objects": remains.objects,
            "bytes": remains.stored_bytes,
            "written_at": remains.written_at,
        }
        self._count("orphans", remains.objects, row)
        if len(self._orphaned) < MOST_NAMED:
            self._orphaned.append(row)

    def fields(self) -> Mapping[str, object]:
        """Return all of it as notes have it."""
        cut = [
            {"replset_id": of_id, "segments": many, "bytes": much}
            for of_id, (many, much) in self._cut.items()
        ]
        return {**self._counts, "going": self._going, "orphaned": self._orphaned, "cut": cut}

    def result(
        self, plan: RetentionPlan, seen: Survey, refused: Sequence[Refused]
    ) -> dict[str, object]:
        """Return what the command tells, with why the rest stays."""
        staying = [each for each in plan.fates if each.stays]
        return {
            **self._counts,
            "staying": len(staying) + len(seen.unreadable),
            "going": self._going,
            "archive": [self._archive(each) for each in plan.cuts],
            "orphaned": self._orphaned,
            "kept": [row_of(each, seen.remains) for each in staying[:MOST_NAMED]],
            "unreadable": [
                {"backup": backup, "what": cut_text(what)}
                for backup, what in sorted(seen.unreadable.items())[:MOST_NAMED]
            ],
            "foreign": seen.foreign,
            "left": len(refused),
            "refused": [
                {"key": each.key, "what": cut_text(each.error.message)}
                for each in refused[:MOST_NAMED]
            ],
        }

    def _archive(self, cut: Cut) -> Row:
        many, much = self._cut.get(cut.replset_id, (0, 0))
        return {
            "replset_id": cut.replset_id,
            "up_to": cut.up_to,
            "segments": many,
            "bytes": much,
            "why": cut_text(cut.reason),
        }

    def _count(self, name: str, many: int, row: Row) -> None:
        self._counts[name] += many
        size_bytes = row["bytes"]
        self._counts["bytes"] += size_bytes if isinstance(size_bytes, int) else 0


def row_of(fate: Fate, remains: Mapping[str, Remains], more: tuple[int, int] = (0, 0)) -> Row:
    """Return a backup with its objects and bytes, and why it stays or goes.

    ``more`` are objects and bytes of its own oplog that go with it.
    """
    entry = fate.entry
    found = remains[entry.backup_id]
    return {
        "backup": entry.backup_id,
        "consistent_at": entry.consistent_at,
        "objects": found.objects + more[0],
        "bytes": found.stored_bytes + more[1],
        "why": cut_text("; ".join(fate.reasons)),
    }


def without(row: Row, sizes: Sequence[int]) -> Row:
    """Return the row of a backup of which some objects, of these sizes, could not be removed."""
    objects, size_bytes = row["objects"], row["bytes"]
    if not sizes or not isinstance(objects, int) or not isinstance(size_bytes, int):
        return row
    return {**row, "objects": objects - len(sizes), "bytes": size_bytes - sum(sizes)}


def cut_text(text: str) -> str:
    """Return a text that is not too long for a row."""
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 3]}..."
