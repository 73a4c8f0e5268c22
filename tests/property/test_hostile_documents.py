"""Whatever stands in a document of the control database, it is read or refused, and no more."""

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from bson import Int64, ObjectId, Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.errors import PermanentError
from agent.jobs.backup.notes import backup_id_in
from agent.jobs.removal import removal_in
from agent.jobs.restore.record import (
    Move,
    Removal,
    Script,
    SwitchRecord,
    ViewMove,
    record_of,
    result_of,
)
from agent.model import commands, schedules, timetable
from agent.mongo.documents import from_bson
from agent.mongo.task_documents import to_member, to_record
from agent.mongo.tasks import UNREADABLE
from tests.property.hostile import changed, refuses_or_reads

NOW: Final = datetime(2026, 11, 22, tzinfo=UTC)
COMMANDS: Final[tuple[dict[str, Any], ...]] = (
    {"command": "backup", "namespaces": ["shop.*"], "tags": {"a": "b"}, "note": "x", "keep": True},
    {"command": "restore", "to": NOW, "rename": [{"from": "a.*", "to": "b.*"}], "overwrite": True},
    {"command": "restore", "to": Timestamp(5, 1), "users_and_roles": False, "dry_run": True},
    {"command": "cancel", "target": ObjectId("0" * 24)},
    {"command": "verify", "backup": "20200101T000000Z", "depth": "content"},
    {"command": "delete", "backup": "20200101T000000Z", "force": True},
    {"command": "prune", "dry_run": True},
    {"command": "authorize_role", "storage": "main", "role_arn": "arn:aws:iam::1:role/x"},
)
SCHEDULE: Final[dict[str, Any]] = {
    "_id": "nightly",
    "cron": "0 3 * * *",
    "timezone": "Europe/Berlin",
    "command": {"command": "backup", "tags": {"a": "b"}, "namespaces": ["shop.*"]},
    "retention": {"keep_last": 3, "keep_within_days": 5, "recovery_window_days": 2},
    "enabled": True,
    "seen_as": "0 3 * * * UTC on",
    "handled_to": NOW,
}


def _documents(sound: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return changed(sound).filter(lambda found: isinstance(found, dict))


@settings(max_examples=100)
@given(st.sampled_from(COMMANDS).flatmap(_documents))
def test_a_command_is_read_or_refused(document: dict[str, Any]) -> None:
    """By sentences that are no longer than a person reads."""
    refuses_or_reads(lambda: commands.parse(from_bson(document)))


@settings(max_examples=100)
@given(_documents(SCHEDULE))
def test_a_schedule_is_read_or_refused(document: dict[str, Any]) -> None:
    """One that makes no sense is one with a fault; its next time is found, or there is none."""
    found = from_bson(document)
    refuses_or_reads(lambda: schedules.parse(found))

    record = timetable.record_of(found)

    assert (record.schedule is None) is (record.fault is not None)


SWITCH: Final = SwitchRecord(
    overwrite=True,
    displaced=(Removal(namespace="a.b", checked="a.b", uuid=b"x" * 16),),
    moves=(Move(place="a.bstmp.1.1", uuid=b"x" * 16, target="a.b", ttl_s=5),),
    old_views=(Removal(namespace="a.v", checked="a.v", uuid=b""),),
    views=(ViewMove(place="a.bstmp.1.2", source="a.v", source_on="b", target="a.v", on="b"),),
    scripts=(Script(place="a.bstmp.1.3", database="a"),),
    dropped=(Removal(namespace="a.c", checked="a.c", uuid=b"y" * 16),),
    users="admin.bstmp.1.4",
    roles="",
    replace_users=True,
    result={"docs": 5},
)
_listed: Final = ("displaced", "moves", "old_views", "views", "scripts", "dropped")
NOTES: Final[dict[str, Any]] = {
    name: list(value) if name in _listed and isinstance(value, tuple) else value
    for name, value in SWITCH.notes().items()
}


def test_what_is_changed_below_is_a_record() -> None:
    """Otherwise nothing that follows would prove anything."""
    assert SWITCH == record_of(NOTES)


@settings(max_examples=100)
@given(_documents(NOTES))
def test_notes_of_a_switch_are_read_or_refused(notes: dict[str, Any]) -> None:
    """What is read holds values of the types that the switch works with."""
    found = from_bson(notes)
    refuses_or_reads(lambda: _require_types(record_of(found)))
    refuses_or_reads(lambda: result_of({**found, "switched": 1}))
    removal_in(found)
    backup_id_in(found)


def _require_types(record: SwitchRecord | None) -> None:
    for move in () if record is None else record.moves:
        assert isinstance(move.place, str)
        assert isinstance(move.target, str)
        assert isinstance(move.uuid, bytes)
        assert move.ttl_s is None or isinstance(move.ttl_s, int)
    for removal in () if record is None else (*record.displaced, *record.dropped):
        assert isinstance(removal.namespace, str)
        assert isinstance(removal.uuid, bytes)


@pytest.mark.parametrize("name", ["place", "target"])
def test_a_move_to_what_is_no_name_is_refused(name: str) -> None:
    """Before any step of the switch is made again."""
    moves = [{**NOTES["moves"][0], name: "nothing"}]

    with pytest.raises(PermanentError) as caught:
        record_of({**NOTES, "moves": moves})

    assert "bad_notes" == caught.value.code


MEMBER: Final[dict[str, Any]] = {
    "database": "a",
    "collection": "b",
    "kind": "collection",
    "uuid": b"x" * 16,
    "options": b"\5\0\0\0\0",
    "indexes": [b"\5\0\0\0\0"],
    "traits": {
        "is_capped": False,
        "is_clustered": False,
        "has_collation": False,
        "view_on": "",
        "ttl_s": None,
    },
    "range": {"lower": None, "upper": b"\5\0\0\0\0"},
    "size": {"docs": Int64(5), "bytes": Int64(5)},
}
RECORD: Final[dict[str, Any]] = {
    "member": 0,
    "read_at": Timestamp(5, 1),
    "last_id": b"\5\0\0\0\0",
    "chunk": {"key": "x", "docs": 5, "bytes": 5, "stored_bytes": 5, "sha256": "0" * 64},
}


@settings(max_examples=100)
@given(_documents(MEMBER), _documents(RECORD))
def test_a_task_is_read_or_known_to_be_unreadable(
    member: dict[str, Any], record: dict[str, Any]
) -> None:
    """No other error leaves than those by which a task is failed."""
    for read, found in ((to_member, member), (to_record, record)):
        try:
            read(from_bson(found))
        except UNREADABLE:
            continue


@pytest.mark.parametrize("name", [[], {}, ["backup"], None, 5, "cancel"])
def test_a_schedule_whose_command_has_no_name_is_a_fault(name: object) -> None:
    """It hides no other, and ends no coordinator."""
    record = timetable.record_of({**SCHEDULE, "command": {"command": name}})

    assert record.fault is not None
    assert "bad_schedule" == record.fault.code
