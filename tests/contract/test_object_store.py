"""What every object store keeps to: the fake, the directory, S3, and each of them retried."""

import concurrent.futures
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from agent.aws.session import Access
from agent.core.clock import SystemClock
from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.core.retry import RetryPolicy
from agent.metrics.counts import Counts
from agent.ports import ObjectStore, StoredObject
from agent.settings import CredentialSettings, S3Settings
from agent.storage.counting import CountingStore
from agent.storage.filesystem import FilesystemStore
from agent.storage.retrying import RetryingStore
from agent.storage.s3 import S3Store
from tests.fakes.store import MemoryStore
from tests.testbed.s3 import Bucket

# Not in the order of their bytes, and with what S3, XML, URLs and file systems treat specially.
ODD_KEYS = [
    "rs/a/b/c.bson.zst",
    "rs/a-b",
    "rs/a.b",
    "rs/a b/with space",
    "rs/a+b/plus",
    "rs/per%cent",
    "rs/per%2Fcent",
    "rs/per%252Fcent",
    "rs/ünï/çödé/日本語/🦆",
    "rs/amp&lt<gt>quote\"'",
    "rs/question?mark#hash;semi=eq",
    "rs/~tilde!(paren)*star",
    "rs/.hidden",
    "rs/dots..in..it",
    "rs/trailing.",
    "rs/trailing ",
    "rs/UPPER",
    "rs/upper",
    "rs/" + "l" * 255,
    "rs/" + "/".join(["d" * 120] * 6),
]


@pytest.fixture(params=["memory", "filesystem", "s3"])
def plain_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Every store by itself."""
    kind = str(request.param)
    if kind == "memory":
        return MemoryStore()
    if kind == "filesystem":
        return FilesystemStore(tmp_path)
    bucket: Bucket = request.getfixturevalue("bucket")
    settings = s3_settings(bucket)
    return S3Store(settings, lambda: Access(settings, {}).connect())


@pytest.fixture(params=["plain", "retrying"])
def store(request: pytest.FixtureRequest, plain_store: ObjectStore) -> ObjectStore:
    """Every store, by itself and under the wrappers that count and that retry, as agents use it."""
    if request.param == "plain":
        return plain_store
    counting = CountingStore(plain_store, "main", Counts(["main"], SystemClock()))
    return RetryingStore(counting, RetryPolicy(limit_s=10), Stop())


def s3_settings(bucket: Bucket) -> S3Settings:
    """Return the settings of a test's own prefix."""
    return S3Settings(
        bucket=bucket.name,
        prefix=bucket.prefix,
        endpoint_url=bucket.server.endpoint_url,
        credentials=CredentialSettings(
            access_key_id=SecretStr(bucket.server.access_key_id),
            secret_access_key=SecretStr(bucket.server.secret_access_key),
        ),
    )


def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    """Return the keys of a listing."""
    return [stored.key for stored in store.list(prefix)]


def code_of(call: Callable[[], object]) -> str:
    """Return the code of the permanent error that a call ends with."""
    with pytest.raises(PermanentError) as caught:
        call()
    return caught.value.code


def test_what_was_put_is_got(store: ObjectStore) -> None:
    """An object comes back byte for byte."""
    store.put("rs/one", b"\x00\x01content\xff")
    assert store.get("rs/one") == b"\x00\x01content\xff"


@pytest.mark.parametrize("size_bytes", [0, 1, 262_144, 262_145, 20 * 1024 * 1024])
def test_bodies_of_any_size_come_back(store: ObjectStore, size_bytes: int) -> None:
    """Nothing, one byte, a block, a block and a byte, and 20 MiB."""
    body = bytearray(os.urandom(size_bytes))
    store.put("rs/sized", body)
    assert store.get("rs/sized") == body
    assert list(store.list("rs/")) == [StoredObject(key="rs/sized", size_bytes=size_bytes)]


def test_the_same_content_twice_is_no_error(store: ObjectStore) -> None:
    """A put whose answer was lost may be repeated."""
    store.put("rs/twice", b"same")
    store.put("rs/twice", bytearray(b"same"))
    assert store.get("rs/twice") == b"same"


def test_a_listing_tells_when_an_object_was_written(store: ObjectStore) -> None:
    """By the clock of the storage, which is about that of this machine."""
    store.put("rs/now", b"x")
    (found,) = store.list("rs/")
    assert found.modified_at is not None
    assert abs(found.modified_at - SystemClock().now()) < timedelta(minutes=1)


@pytest.mark.parametrize("other", [b"", b"othe", b"tame", b"longer than before"])
def test_another_content_is_refused(store: ObjectStore, other: bytes) -> None:
    """Nothing is ever overwritten, by a content of any length."""
    store.put("rs/kept", b"same")
    assert code_of(lambda: store.put("rs/kept", other)) == "object_exists"
    assert store.get("rs/kept") == b"same"


def test_odd_keys_are_kept_and_listed_in_the_order_of_bytes(store: ObjectStore) -> None:
    """Keys that look like escapes, paths or other writing systems stay what they are."""
    for key in ODD_KEYS:
        store.put(key, key.encode())
    assert [store.get(key) for key in ODD_KEYS] == [key.encode() for key in ODD_KEYS]
    assert keys_of(store, "rs/") == sorted(ODD_KEYS, key=str.encode)
    store.delete(ODD_KEYS)
    assert keys_of(store) == []


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ["a-x", "a/b/1", "a/b/2", "a/bc", "a0"]),
        ("a", ["a-x", "a/b/1", "a/b/2", "a/bc", "a0"]),
        ("a/", ["a/b/1", "a/b/2", "a/bc"]),
        ("a/b", ["a/b/1", "a/b/2", "a/bc"]),
        ("a/b/", ["a/b/1", "a/b/2"]),
        ("a/b/1", ["a/b/1"]),
        ("a/b/1/", []),
        ("b", []),
        ("b/c/d", []),
    ],
)
def test_a_prefix_is_text_not_a_folder(
    store: ObjectStore, prefix: str, expected: list[str]
) -> None:
    """A listing has every key that starts with the prefix, and no other."""
    for key in ["a/b/2", "a0", "a/bc", "a-x", "a/b/1"]:
        store.put(key, b"x")
    assert keys_of(store, prefix) == expected


def test_a_listing_longer_than_a_page_is_whole(store: ObjectStore) -> None:
    """Servers answer with at most a thousand keys at a time; deletes take a thousand too."""
    keys = [f"rs/many/{number:05d}" for number in range(1105)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), keys))
    assert keys_of(store, "rs/many/") == keys
    store.delete(keys)
    assert keys_of(store, "rs/many/") == []


def test_deleting_what_is_not_there_is_no_error(store: ObjectStore) -> None:
    """A delete may be repeated, and leaves the rest alone."""
    store.put("rs/a/1", b"x")
    store.put("rs/a/2", b"x")
    store.delete(["rs/a/1", "rs/never", "rs/no/such/folder"])
    store.delete(["rs/a/1"])
    store.delete([])
    assert keys_of(store) == ["rs/a/2"]
    store.put("rs/a/1", b"again")
    assert store.get("rs/a/1") == b"again"


@pytest.mark.parametrize("key", ["rs/never", "never", "rs/there/below"])
def test_a_missing_object_is_named(store: ObjectStore, key: str) -> None:
    """Getting what is not there fails for good, with the key in the message."""
    store.put("rs/there", b"x")
    with pytest.raises(PermanentError, match=key) as caught:
        store.get(key)
    assert caught.value.code == "object_missing"


def test_of_racing_puts_one_wins(store: ObjectStore) -> None:
    """Of writers that create the same key at once, the object is one's, and the others know."""
    bodies = [bytes([number]) * 1000 for number in range(8)]

    def attempt(body: bytes) -> str:
        try:
            store.put("rs/race", body)
        except PermanentError as error:
            return error.code
        return "won"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, bodies))
    assert sorted(outcomes) == ["object_exists"] * 7 + ["won"]
    assert store.get("rs/race") == bodies[outcomes.index("won")]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/abs",
        "rs//empty",
        "rs/../up",
        "../up",
        "rs/./dot",
        "rs/folder/",
        "nul\x00",
        "back\\slash",
    ],
)
def test_keys_that_are_paths_in_disguise_are_refused(store: ObjectStore, key: str) -> None:
    """No key leaves the storage, and none is another one's alias."""
    assert code_of(lambda: store.put(key, b"x")) == "bad_key"
    assert code_of(lambda: store.get(key)) == "bad_key"


@pytest.mark.parametrize("key", ["l" * 256, "/".join(["d" * 200] * 6), "half\ud800"])
def test_keys_that_no_storage_takes_are_refused(store: ObjectStore, key: str) -> None:
    """Parts of over 255 bytes, keys of over 1024, and broken Unicode."""
    assert code_of(lambda: store.put(key, b"x")) == "bad_key"


def test_a_sound_storage_passes_the_probe_and_has_a_name(store: ObjectStore) -> None:
    """The probe finds nothing wrong, also when the storage is empty."""
    store.probe()
    assert store.describe()
