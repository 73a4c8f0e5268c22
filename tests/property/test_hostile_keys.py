"""Whatever lies in a shared bucket, its key is ours, or nobody's, and changes nothing."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import PermanentError
from agent.jobs import manifests, segments
from agent.model import keys
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace
from agent.mongo.documents import timestamp
from tests.fakes.store import MemoryStore
from tests.fakes.stored_backup import BACKUP as BACKUP_STORED
from tests.fakes.stored_backup import OTHER, REPLSET, StoredBackup

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BACKUP = keys.backup_id(NOW)
SEGMENT = keys.segment("rs0", "65f0000000000000000000aa", ClusterTime(5, 1), ClusterTime(9, 1))
SOUND = (
    keys.manifest("rs0", BACKUP),
    keys.chunk("rs0", BACKUP, Namespace("a", "b"), keys.ChunkName(task=1, token=1, sequence=1)),
    SEGMENT,
    keys.check_object("rs0", "a:1", NOW, "x"),
    f"{keys.verdicts_root('rs0', BACKUP)}{BACKUP}-content-sound.json",
)
pieces = st.sampled_from([
    "..",
    ".",
    "",
    "\0",
    "%",
    "%2F",
    "%2e",
    "é",
    "\ud800",
    "99999999T999999Z",
    "99991231T235959Z",
    "9999999999.9999999999_9999999999.9999999999.bson.zst",
    "a!" + "0" * 64,
    "9223372036854775808",
    "x" * 1024,
    "manifest.json",
])


@st.composite
def hostile_keys(draw: st.DrawFn) -> str:
    """A key of ours with a part that is another, or with characters put into it."""
    parts = draw(st.sampled_from(SOUND)).split("/")
    at = draw(st.integers(1, len(parts) - 1))
    parts[at] = draw(pieces | st.text(max_size=20))
    return "/".join(parts)


@given(hostile_keys())
def test_a_key_of_our_replica_set_is_read_or_passed_over(key: str) -> None:
    """No key below the name of a replica set stops a listing."""
    assert keys.parse_manifest(key) is None or keys.is_backup_id(key.split("/")[2])
    found = keys.parse_segment(key)
    if found is not None:
        timestamp(found[2])
        timestamp(found[3])
    keys.parse_verdict(key)
    keys.check_time(key)
    backup = keys.backup_of(key)
    assert backup is None or keys.is_backup_id(backup)


@pytest.mark.parametrize(
    "key",
    [
        f"rs0/oplog/a!{'0' * 64}/20261122/0000000005.0000000001_0000000009.0000000001.bson.zst",
        "rs0/oplog/x/22861120/9999999990.0000000001_9999999999.0000000001.bson.zst",
        "rs0/oplog/x/19700101/0000000005.0000000001_0000000009.9999999999.bson.zst",
        "rs0/oplog/../19700101/0000000005.0000000001_0000000009.0000000001.bson.zst",
        "rs0/oplog/x/20991231/0000000005.0000000001_0000000009.0000000001.bson.zst",
    ],
)
def test_an_odd_key_beside_the_archive_changes_nothing(key: str) -> None:
    """The segments beside it are listed as if it were not there."""
    store = MemoryStore()
    store.objects[SEGMENT] = b""
    before = segments.listed(store, "rs0")
    store.objects[key] = b""

    assert 1 == len(before)
    assert before == segments.listed(store, "rs0")


@pytest.mark.parametrize("backup", ["99999999T999999Z", "20260230T000000Z", "99991231T235959Z"])
def test_a_backup_of_a_time_that_cannot_be_is_no_backup(backup: str) -> None:
    """The id of the next one is made from the newest: it must be a time that one can follow."""
    store = MemoryStore()
    store.objects[f"rs0/backups/{backup}/manifest.json"] = b"{}"

    assert () == manifests.backup_ids(store, "rs0")
    assert () == manifests.read_all(store, "rs0").manifests


@pytest.mark.parametrize(
    ("key", "field"),
    [
        pytest.param(keys.manifest(REPLSET, OTHER), "backup_id", id="another backup's"),
        pytest.param(keys.manifest("other", BACKUP_STORED), "replset", id="another replica set's"),
    ],
)
def test_a_manifest_in_the_place_of_another_is_refused(key: str, field: str) -> None:
    """Its objects would be looked for where it says that it belongs."""
    store = MemoryStore()
    stored = StoredBackup(store)
    store.put(key, store.get(stored.manifest_key))
    replset, _, backup, _ = key.split("/")

    shelf = manifests.read_all(store, replset)

    assert field == _field(shelf.damaged[backup])
    assert all(each.backup_id != backup for each in shelf.manifests)


def _field(error: PermanentError) -> str:
    assert "damaged_manifest" == error.code
    return error.message.split(": ")[2]
