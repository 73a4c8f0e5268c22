"""What a prune removed, or would, and why the rest stays; as people read it."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.text import Text

from agent.cli import words
from agent.cli.console import Document
from agent.cli.screen import Screen, columns, facts
from agent.cli.sight import number

_VERSIONS: Final = {
    "kept": "the bucket keeps a version of each deleted object, which goes on to cost: add a "
    "lifecycle rule with NoncurrentVersionExpiration for the prefix",
    "expire": "the bucket keeps a version of each deleted object until its lifecycle rule ends it",
    "unknown": "it could not be told whether the bucket keeps versions of deleted objects",
}


def show_pruned(screen: Screen, result: Document, *, is_dry: bool) -> None:
    """Print the result of a prune: a row for each backup that goes or stays, then sums."""
    if "backups" not in result:
        return
    went = "goes" if is_dry else "gone"
    table = columns("", "what", "size", "why", right=("size",))
    for column in table.columns[:3]:
        column.no_wrap = True
    for each in _rows(result, "going"):
        table.add_row(_word(went), f"backup {_of(each)}", _size(each), str(each.get("why")))
    for each in _rows(result, "archive"):
        if each.get("segments"):
            what = f"{words.count(int(number(each, 'segments')))} segments of oplog"
            table.add_row(_word(went), what, _size(each), str(each.get("why")))
    for each in _rows(result, "orphaned"):
        what = f"left of {_of(each)}"
        table.add_row(_word(went), what, _size(each), "it is no backup, and over a day old")
    for each in _rows(result, "kept"):
        row = ("backup " + _of(each), _size(each), str(each.get("why")))
        table.add_row(Text("stays", style="green"), *row)
    for each in _rows(result, "unreadable"):
        table.add_row(Text("stays", style="green"), f"backup {_of(each)}", "", str(each["what"]))
    if table.row_count:
        screen.table(table)
    _say_rest(screen, result)
    screen.table(facts(_sums(result, "would go" if is_dry else went)))
    _say_what_is_odd(screen, result)


def _sums(result: Document, went: str) -> dict[str, str | Text]:
    def many(name: str, one: str) -> str:
        found = int(number(result, name))
        return f"{words.count(found)} {one}{'' if found == 1 else 's'}"

    parts = [many("backups", "backup"), many("segments", "segment")]
    parts.append(f"{many('orphans', 'object')} of dead jobs")
    freed = words.size(number(result, "bytes"))
    return {
        "storage": str(result.get("storage", "")),
        went: f"{', '.join(parts)}: {freed}",
        "stays": many("staying", "backup"),
    }


def _say_rest(screen: Screen, result: Document) -> None:
    """Say how many there are beside those that are named."""
    for total, rows, what in (
        ("backups", ("going",), "that go"),
        ("staying", ("kept", "unreadable"), "that stay"),
    ):
        left = number(result, total) - sum(len(_rows(result, name)) for name in rows)
        if left > 0:
            screen.say(f"  ... and {left:.0f} more {what}", "dim")


def _say_what_is_odd(screen: Screen, result: Document) -> None:
    foreign, left = number(result, "foreign") or 0, number(result, "left")
    if _rows(result, "unreadable"):
        screen.say(
            "no oplog goes: nobody knows what a manifest that cannot be read needs", "yellow"
        )
    if foreign:
        screen.say(f"{foreign:.0f} objects there are not Backstay's, and were left alone", "dim")
    if left:
        screen.say(f"{left:.0f} could not be deleted", "red")
    for each in _rows(result, "refused"):
        screen.say(f"  {each['key']}: {each['what']}")
    told = _VERSIONS.get(str(result.get("old_versions")))
    if told is not None and (number(result, "bytes")) > 0:
        screen.say(told, "yellow")


def _rows(result: Document, name: str) -> list[Document]:
    rows = result.get(name)
    if not isinstance(rows, Sequence):
        return []
    return [each for each in rows if isinstance(each, Mapping)]


def _of(row: Document) -> str:
    return str(row.get("backup", ""))


def _size(row: Document) -> str:
    return words.size(number(row, "bytes"))


def _word(went: str) -> Text:
    return Text(went, style="bold yellow")
