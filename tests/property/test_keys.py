"""Keys: whatever names are called, a key is harmless, unique, and says what it was made from."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from agent.core.errors import PermanentError
from agent.model import keys
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace
from agent.model.verdict import Verdict
from agent.storage.key import check

# What a prefix of a storage may add.
LONGEST_PREFIX_BYTES = 201

names = st.one_of(
    st.text(min_size=1, max_size=300),
    st.text(alphabet="ab./%-_~! \\\u00e9\U0001f986\ud800", min_size=1, max_size=300),
)
short_names = st.text(min_size=1, max_size=40)
times = st.builds(
    ClusterTime,
    st.integers(min_value=0, max_value=2**32 - 1),
    st.integers(min_value=0, max_value=2**32 - 1),
)
moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - Hypothesis wants bounds without a zone
    max_value=datetime(2999, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(names)
@example(".")
@example("..")
@example("...")
@example("a" * 255)
@example("a" * 256)
@example("é" * 85)
@example("~" * 189 + "é" * 30)
def test_an_encoded_name_is_one_harmless_part(name: str) -> None:
    """It is ASCII, has no slash, is no special name of a file system, and fits into one."""
    part = keys.encode(name)
    assert part == check(part)
    assert "/" not in part
    assert not part.startswith(".")
    assert len(part) <= 255
    assert set(part) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~.%!")


@given(names)
@example("a!" + "0" * 64)
@example("%41")
@example("a%2Fb")
def test_a_name_that_was_not_cut_comes_back(name: str) -> None:
    """Decoding undoes encoding, and a cut name is refused rather than guessed."""
    part = keys.encode(name)
    if "!" in part:
        with pytest.raises(PermanentError):
            keys.decode(part)
    else:
        assert keys.decode(part) == name


@given(names, names)
@example("a" * 300, "a" * 299 + "b")
@example("a" * 300, "a" * 301)
@example("A", "a")
@example("é", "e\u0301")
@example("a/b", "a%2Fb")
@example(".a", "%2Ea")
def test_different_names_have_different_parts(one: str, other: str) -> None:
    """Two collections never share a folder."""
    assume(one != other)
    assert keys.encode(one) != keys.encode(other)


@given(st.text(max_size=300))
@example("%FF")
@example("%2f")
@example("%zz")
@example(".a")
@example("")
@example("a!" + "0" * 64)
def test_only_what_is_encoded_here_is_decoded(part: str) -> None:
    """A part that decodes is the very one that its name encodes to."""
    try:
        name = keys.decode(part)
    except PermanentError:
        return
    assert keys.encode(name) == part


@given(short_names, moments)
def test_a_manifest_says_whose_it_is(replset: str, moment: datetime) -> None:
    """Replica set and backup id come back from the key."""
    backup = keys.backup_id(moment)
    key = keys.manifest(replset, backup)
    assert keys.parse_manifest(key) == (replset, backup)
    assert key.startswith(keys.backup_root(replset, backup))
    assert key.startswith(keys.backups_root(replset))
    assert key.startswith(keys.replset_root(replset))
    assert keys.parse_segment(key) is None


@given(moments, moments)
def test_backup_ids_sort_as_times_do(one: datetime, other: datetime) -> None:
    """To the second, in any time zone."""
    one, other = one.replace(microsecond=0), other.replace(microsecond=0)
    ids = keys.backup_id(one), keys.backup_id(other)
    assert (ids[0] < ids[1]) == (one < other)
    assert all(keys.is_backup_id(text) for text in ids)


@given(short_names, short_names, times, times)
def test_a_segment_says_what_it_holds(
    replset: str, replset_id: str, begin: ClusterTime, last: ClusterTime
) -> None:
    """Replica set, its id and both times come back from the key."""
    key = keys.segment(replset, replset_id, begin, last)
    assert keys.parse_segment(key) == (replset, replset_id, begin, last)
    assert keys.parse_manifest(key) is None


@given(times, times)
def test_segments_sort_as_their_times_do(one: ClusterTime, other: ClusterTime) -> None:
    """A listing of a day is in the order of the oplog."""
    last = ClusterTime(2**32 - 1, 2**32 - 1)
    listed = [keys.segment("rs", "id", begin, last) for begin in (one, other)]
    assert (listed[0] < listed[1]) == (one < other)


@given(
    names,
    st.text(min_size=1, max_size=63),
    names,
    st.lists(
        st.tuples(st.integers(0, 999_999), st.integers(0, 10**15 - 1), st.integers(0, 999_999)),
        min_size=2,
        max_size=2,
    ),
)
def test_chunks_sort_in_reading_order_and_fit(
    replset: str, database: str, collection: str, numbers: list[tuple[int, int, int]]
) -> None:
    """By task, token and sequence; and the longest key fits into S3 with the longest prefix."""
    made = [
        keys.chunk(
            replset,
            "20261121T201512Z",
            Namespace(database, collection),
            keys.ChunkName(task=task, token=token, sequence=sequence),
        )
        for task, token, sequence in numbers
    ]
    assert (made[0] < made[1]) == (numbers[0] < numbers[1])
    assert (made[0] == made[1]) == (numbers[0] == numbers[1])
    assert made[0].startswith(keys.backup_root(replset, "20261121T201512Z"))
    assert check(made[0]) == made[0]
    if len(keys.encode(database)) <= 189:
        assert len(made[0]) + LONGEST_PREFIX_BYTES <= 1024


@given(short_names, st.text(min_size=1, max_size=63), names, moments)
def test_every_part_of_a_backup_is_known_by_its_key(
    replset: str, database: str, collection: str, moment: datetime
) -> None:
    """Whatever its collections are called; and nothing else is taken for one."""
    backup = keys.backup_id(moment)
    chunk = keys.chunk(
        replset,
        backup,
        Namespace(database, collection),
        keys.ChunkName(task=1, token=2, sequence=3),
    )
    found = Verdict(depth="content", checked_at=moment.replace(microsecond=0), is_sound=True)
    verdict = keys.verdict(replset, backup, found)
    for key in (keys.manifest(replset, backup), chunk, verdict):
        assert keys.backup_of(key) == backup
        assert keys.backup_of(f"{key}.old") is None
        assert keys.backup_of(f"a/{key}") is None
    assert keys.backup_of(keys.backup_root(replset, backup) + "data/notes.txt") is None
    assert keys.backup_of(keys.backup_root(replset, backup) + "data/a/../x") is None


@pytest.mark.parametrize(
    "key",
    [
        "rs/backups/20261121T201512Z/manifest.json\n",
        "rs/backups/20261121T201512Z\n/manifest.json",
        "rs/backups/\u0662\u0660\u0662\u06661121T201512Z/manifest.json",
        "rs/backups/20261121T201512Z/data/manifest.json",
        "rs/backups/latest/manifest.json",
        "%FF/backups/20261121T201512Z/manifest.json",
        "a%2fb/backups/20261121T201512Z/manifest.json",
        "we!rd/backups/20261121T201512Z/manifest.json",
        "/backups/20261121T201512Z/manifest.json",
        "rs/oplog/id/20261121/1732223712.0000000001_1732223712.0000000002.bson.zst",
        "rs/oplog/id/20241121/1732223712.0000000001_1732223712.0000000002.bson.zst\n",
        "%FF/oplog/id/20241121/1732223712.0000000001_1732223712.0000000002.bson.zst",
        "rs/oplog/id/20241121/1732223712.1_1732223712.2.bson.zst",
    ],
)
def test_foreign_objects_that_look_alike_are_nobodys(key: str) -> None:
    """They are passed over, and do not stop whoever lists the storage."""
    assert keys.parse_manifest(key) is None
    assert keys.parse_segment(key) is None


def test_a_replica_set_with_a_very_long_name_is_not_guessed() -> None:
    """Its name cannot be read from the key, which is told rather than passed over."""
    key = keys.manifest("r" * 300, "20261121T201512Z")
    with pytest.raises(PermanentError, match="cut"):
        keys.parse_manifest(key)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_day_of_a_segment_is_that_of_its_last_entry(seconds: int, increment: int) -> None:
    """In UTC, from the first second of time to the last."""
    last = ClusterTime(seconds, increment)
    day = keys.segment("rs", "id", last, last).split("/")[3]
    assert day == (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y%m%d")


@pytest.mark.parametrize(
    "text",
    [
        "1.2",
        "0000000001.0000000002\n",
        "\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661.0000000002",
        "",
    ],
)
def test_texts_that_are_no_cluster_time_are_refused(text: str) -> None:
    """Only what `str` writes is read."""
    with pytest.raises(PermanentError):
        ClusterTime.parse(text)


@given(names, names, moments)
def test_what_a_check_writes_tells_its_time_and_is_nothing_else(
    replset: str, agent: str, moment: datetime
) -> None:
    """It lies apart from backups and segments, below what its agent sweeps, and fits."""
    key = keys.check_object(replset, agent, moment, "0a1b2c3d")
    assert key == check(key)
    assert len(key) + LONGEST_PREFIX_BYTES <= 1024
    assert key.startswith(keys.checks_root(replset, agent))
    assert moment.replace(microsecond=0) == keys.check_time(key)
    assert not key.startswith((keys.backups_root(replset), keys.oplog_root(replset)))
    assert keys.parse_manifest(key) is None
    assert keys.parse_segment(key) is None


@pytest.mark.parametrize(
    "key",
    [
        "rs0/backups/20261121T201512Z/manifest.json",
        "rs0/check/a%3A1/20261321T201512Z-abc",
        "rs0/check/a%3A1/20261121T201512Z-",
        "rs0/check/20261121T201512Z-abc",
    ],
)
def test_other_objects_are_of_no_check(key: str) -> None:
    """A sweep leaves them alone."""
    assert keys.check_time(key) is None
