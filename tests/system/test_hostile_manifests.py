"""Whoever can write to the bucket can write any backup: none of it lands outside its place."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from bson import Binary

from agent.model import keys
from agent.model.catalogue import Identity, Traits
from agent.model.names import Namespace
from agent.storage.filesystem import FilesystemStore
from tests.system.forging import Forger, Part, uuid_of
from tests.system.protected import WITHOUT_ARCHIVE, Protected, error_of, protected
from tests.system.storages import DirectoryStorage
from tests.testbed.clients import Document
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec

# What a server writes to its own collections while a test runs.
_LIVING: Final = frozenset({"backstay", "config", "local"})


class Scene:
    """A replica set with data, its agent, and somebody who writes into its storage."""

    def __init__(self, cluster: Protected, storage: DirectoryStorage) -> None:
        self.cluster = cluster
        self.storage = storage
        name = str(cluster.client.admin.command("hello")["setName"])
        self.replset = name
        self.store = FilesystemStore(storage.path)
        self.forger = Forger(
            self.store,
            Identity(
                replset=name,
                replset_id="",
                server_version="6.0.5",
                feature_compatibility="6.0",
            ),
        )

    def seen(self) -> Document:
        """Return all data, and the names of what is not users' data."""
        client = self.cluster.client
        return {
            database: {
                name: None if database in _LIVING else list(client[database][name].find())
                for name in sorted(client[database].list_collection_names())
            }
            for database in sorted(client.list_database_names())
        }

    def refused(self, backup: str, **options: object) -> tuple[str, str]:
        """Restore a backup over everything; return the code and the message of its refusal.

        Nothing is changed by it, nothing left of it, and the same agent goes on.
        """
        before = self.seen()
        options = {"overwrite": True, **options}
        ended = self.cluster.run("restore", backup=backup, **options)
        code, message, _ = error_of(ended, "failed" if "started_at" in ended else "rejected")
        self.check_as(before)
        return code, message

    def restored(self, backup: str, **options: object) -> Document:
        """Restore a backup beside everything; return the result."""
        return self.cluster.done("restore", backup=backup, **options)

    def check_as(self, before: Document) -> None:
        """See that data and names are as they were, and that the agent lives."""
        assert before == self.seen()
        (agent,) = self.cluster.agents.all
        assert agent.is_running, agent.text()[-2000:]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One node and its agent for all tests here: it must live through all of them."""
    storage = DirectoryStorage(Path(tmp_path_factory.mktemp("storage")))
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set,
        protected(replica_set, storage, WITHOUT_ARCHIVE) as cluster,
    ):
        client = cluster.client
        client.shop.orders.insert_many({"_id": number} for number in range(10))
        client.shop.create_collection("some", viewOn="orders")
        client.admin.mine.insert_one({"_id": 1})
        client.admin.command({"createUser": "old", "pwd": "x", "roles": ["read"]})
        client.admin.command({"createRole": "olds", "privileges": [], "roles": ["read"]})
        cluster.done("backup")
        yield Scene(cluster, storage)


ONE: Final = ({"_id": 1, "x": 1},)
NAMES: Final = [
    (("backstay", "commands"), "bad_target"),
    (("backstay", "system.views"), "bad_target"),
    (("backstay", "system.js"), "bad_target"),
    (("backstay", "system.buckets.x"), "bad_target"),
    (("local", "oplog.rs"), "bad_target"),
    (("config", "transactions"), "bad_target"),
    (("admin", "system.version"), "bad_target"),
    (("admin", "system.buckets.system.users"), "bad_target"),
    (("shop", "system.profile"), "bad_target"),
    (("shop", "system.buckets.system.views"), "bad_target"),
    (("shop", "system.buckets.bstmp.5.1"), "bad_target"),
    (("shop", "bstmp.5.1"), "bad_target"),
    (("shop", "a$b"), "bad_target"),
    (("shop", "a\0b"), "bad_target"),
    (("shop", "x" * 255), "bad_target"),
    (("shop", "é" * 126), "bad_target"),
    (("x" * 64, "a"), "bad_target"),
    (("a/b", "c"), "bad_target"),
    (("$external", "c"), "bad_target"),
    (("\0", "c"), "bad_target"),
    (("Shop", "c"), "database_case"),
    (("Local", "c"), "database_case"),
]


@pytest.mark.parametrize(("name", "code"), NAMES)
def test_a_name_that_no_user_could_give_is_refused(
    scene: Scene, name: tuple[str, str], code: str
) -> None:
    """Before anything is made, and by that name."""
    backup = scene.forger.backup(Part(name=("shop", "a")), Part(name=name, documents=ONE))

    found, message = scene.refused(backup)

    assert code == found
    assert name[0].casefold() in message.casefold()


@pytest.mark.parametrize("database", ["Local", "Backstay", "a/b", "x" * 64])
def test_definitions_of_views_go_to_no_odd_database(scene: Scene, database: str) -> None:
    """They are loaded before any view is looked at."""
    documents = ({"_id": f"{database}.v", "viewOn": "a", "pipeline": []},)
    part = Part(name=(database, "system.views"), documents=documents)

    assert scene.refused(scene.forger.backup(part))[0] in {"bad_target", "database_case"}


def _view(name: str, on: str, **fields: Any) -> Part:
    documents = ({"_id": name, "viewOn": on, "pipeline": [], **fields},)
    return Part(name=("shop", "system.views"), documents=documents)


@pytest.mark.parametrize(
    "name",
    [
        "admin.system.users",
        "admin.system.roles",
        "admin.mine",
        "backstay.commands",
        "local.oplog.rs",
        "shop.system.views",
        "shop.system.js",
        "other.v",
        "shop.a$b",
        "nothing",
    ],
)
def test_a_view_stays_in_its_database(scene: Scene, name: str) -> None:
    """Definitions are documents: their names are no better than those of collections."""
    backup = scene.forger.backup(_view(name, "orders"))

    assert scene.refused(backup)[0] in {"bad_target", "bad_view", "rename_collides"}


@pytest.mark.parametrize(
    "document",
    [
        {"_id": 5, "viewOn": "orders"},
        {"_id": "shop.v"},
        {"_id": "shop.v", "viewOn": 5},
        {"_id": "shop.v", "viewOn": ""},
    ],
)
def test_a_definition_that_is_none_is_refused(scene: Scene, document: dict[str, Any]) -> None:
    """No field of it is taken for what it is not."""
    part = Part(name=("shop", "system.views"), documents=(document,))

    assert scene.refused(scene.forger.backup(part))[0] == "bad_view"


TWICE: Final = {
    "of one name": (
        Part(name=("new", "a"), documents=ONE),
        Part(name=("new", "a"), documents=ONE, uuid=uuid_of(77)),
    ),
    "of one UUID": (
        Part(name=("new", "a"), documents=ONE),
        Part(name=("new", "b"), documents=ONE, uuid=uuid_of(0)),
    ),
    "a view and a collection": (
        Part(name=("new", "a"), documents=ONE),
        Part(name=("new", "a"), kind="view", traits=Traits(view_on="b")),
    ),
}


@pytest.mark.parametrize("parts", TWICE.values(), ids=TWICE.keys())
def test_two_collections_are_not_one(scene: Scene, parts: tuple[Part, ...]) -> None:
    """The one would replace the other in the middle of the switch."""
    assert "damaged_manifest" == scene.refused(scene.forger.backup(*parts))[0]


def _other_chunk(scene: Scene) -> str:
    return next(key for key in scene.storage.list() if "/data/shop/orders/" in key)


ELSEWHERE: Final[dict[str, Callable[[Scene], str]]] = {
    "above the storage": lambda _: "../outside",
    "absolute": lambda _: "/etc/hostname",
    "by way of its folder": lambda scene: f"{scene.replset}/backups/20200101T000000Z/../../../x",
    "another backup's": _other_chunk,
    "the archive's": lambda scene: f"{scene.replset}/oplog/x",
    "another set's": lambda _: "other/backups/20200101T000000Z/data/a/b/1.bson.zst",
    "a NUL": lambda _: "a\0b",
    "long": lambda _: "x" * 5_000,
}


@pytest.mark.parametrize("key_of", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_chunk_that_lies_elsewhere_is_not_read(
    scene: Scene, key_of: Callable[[Scene], str]
) -> None:
    """Whatever is there: it is no part of the backup."""
    key = key_of(scene)
    (scene.storage.path.parent / "outside").write_bytes(b"x")
    sound = scene.forger.chunk(f"{scene.replset}/spare/{len(key)}-{hash(key)}", ONE)
    chunk = type(sound)(
        key=key,
        docs=sound.docs,
        bytes=sound.bytes,
        stored_bytes=sound.stored_bytes,
        sha256=sound.sha256,
    )
    backup = scene.forger.backup(Part(name=("new", "a"), chunks=(chunk,)))

    assert scene.refused(backup)[0] in {"object_missing", "damaged_object"}


OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "a view": {"viewOn": "orders"},
    "a view that writes": {"viewOn": "orders", "pipeline": [{"$out": "x"}]},
    "a time series": {"timeseries": {"timeField": "t"}},
    "no collation": {"collation": {"locale": "no such"}},
    "no validator": {"validator": {"$nothing": 1}},
    "no size": {"capped": True, "size": "x"},
    "an id index": {"idIndex": {"key": {"a": 1}, "name": "x", "v": 2}},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_options_that_make_something_else_are_refused(
    scene: Scene, options: dict[str, Any]
) -> None:
    """Nothing is switched to what is no collection."""
    part = Part(name=("new", "a"), options=options)

    code, message = scene.refused(scene.forger.backup(part))

    assert code in {
        "damaged_manifest",
        "mongodb_refused",
        "mongodb_invalid_options",
        "piece_lost",
    }
    assert message


ARGUMENTS: Final[dict[str, Any]] = {
    "create": "other",
    "$db": "admin",
    "maxTimeMS": 1,
    "writeConcern": {"w": 0},
    "readConcern": {"level": "snapshot"},
    "lsid": {"id": Binary(b"x" * 16, 4)},
    "txnNumber": 1,
    "autocommit": False,
    "startTransaction": True,
    "apiVersion": "1",
    "apiStrict": True,
    "$clusterTime": 5,
    "comment": "x" * 1_000,
    "temp": True,
    "expireAfterSeconds": 5,
}


def test_arguments_of_the_command_are_no_options(scene: Scene) -> None:
    """A stored name, database, transaction or time limit has no effect."""
    before = scene.seen()
    parts = [
        Part(name=("options", f"a{number}"), options={name: value}, documents=ONE)
        for number, (name, value) in enumerate(ARGUMENTS.items())
    ]
    scene.restored(scene.forger.backup(*parts))

    client = scene.cluster.client
    made = list(client["options"].list_collections())
    assert len(parts) == len(made)
    assert all("temp" not in each["options"] for each in made)
    client.drop_database("options")
    scene.check_as(before)


INDEXES: Final[dict[str, dict[str, Any]]] = {
    "nothing": {},
    "no name": {"v": 2, "key": {"a": 1}},
    "no key": {"v": 2, "name": "a"},
    "every index": {"v": 2, "key": {"a": 1}, "name": "*"},
    "a key that is a number": {"v": 2, "key": 5, "name": "a"},
    "no such kind": {"v": 2, "key": {"a": "nothing"}, "name": "a"},
    "no such version": {"v": 99, "key": {"a": 1}, "name": "a"},
    "an expiry of text": {"v": 2, "key": {"a": 1}, "name": "a", "expireAfterSeconds": "x"},
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES.keys())
def test_an_index_that_is_none_is_refused(scene: Scene, index: dict[str, Any]) -> None:
    """By the server, and before the switch."""
    part = Part(name=("new", "a"), indexes=(index,), documents=ONE)

    code, message = scene.refused(scene.forger.backup(part))

    assert code in {"mongodb_refused", "mongodb_invalid_options", "damaged_manifest"}
    assert message


IDENTITIES: Final = ["", "²", "9" * 5_000, "-1.-1", "\0"]


@pytest.mark.parametrize("version", IDENTITIES, ids=lambda text: text[:5])
def test_a_version_that_is_none_ends_nothing(scene: Scene, version: str) -> None:
    """Restored or refused, with a code."""
    forger = scene.forger
    identity = Identity(
        replset=scene.replset,
        replset_id="x",
        server_version=version,
        feature_compatibility=version,
    )
    backup = forger.backup(Part(name=("shop", "a$")), changes={"identity": identity})

    assert scene.refused(backup)[0] in {"bad_target", "server_too_old", "damaged_manifest"}


def test_users_and_roles_come_only_if_they_are_asked_for(scene: Scene) -> None:
    """Neither by a pattern, nor by a chunk that a manifest hides under another name."""
    evil = {"_id": "admin.evil", "user": "evil", "db": "admin", "roles": [], "credentials": {}}
    backup = scene.forger.backup(
        Part(name=("admin", "system.users"), documents=(evil,)),
        Part(name=("new", "a"), documents=ONE),
    )
    before = scene.seen()
    scene.restored(backup, namespaces=["new.*"])
    scene.cluster.client.drop_database("new")
    scene.restored(backup, users_and_roles=False)
    scene.cluster.client.drop_database("new")
    scene.check_as(before)


A: Final = Binary(uuid_of(0), 4)
OTHER: Final = Binary(b"y" * 16, 4)


def _insert(namespace: str, uuid: Binary, document: Any) -> Document:
    return {"op": "i", "ns": namespace, "ui": uuid, "o": document}


def _command(database: str, command: dict[str, Any], uuid: Binary = OTHER) -> Document:
    return {"op": "c", "ns": f"{database}.$cmd", "ui": uuid, "o": command}


def _tower(levels: int) -> Document:
    entry = _insert("admin.system.users", OTHER, {"_id": 1})
    for _ in range(levels):
        entry = {"op": "c", "ns": "admin.$cmd", "o": {"applyOps": [entry]}}
    return entry


PASSED_OVER: Final[dict[str, list[Document]]] = {
    "writes elsewhere": [
        _insert(name, OTHER, {"_id": "evil"})
        for name in ("admin.system.users", "backstay.commands", "local.x", "config.x", "shop.some")
    ],
    "writes elsewhere by its own UUID": [
        _insert(name, A, {"_id": name, "command": "delete"})
        for name in ("admin.system.users", "backstay.commands", "local.oplog.rs", "config.x")
    ],
    "drops": [
        _command(database, {"dropDatabase": 1})
        for database in ("admin", "backstay", "local", "config", "shop")
    ],
    "drops one": [_command("shop", {"drop": "orders"}), _command("backstay", {"drop": "leases"})],
    "creates": [
        _command(database, {"create": name}, Binary(bytes([number]) * 16, 4))
        for number, (database, name) in enumerate([
            ("backstay", "evil"),
            ("backstay", "bstmp.5.5"),
            ("backstay", "tmpABCDE.renameCollection"),
            ("local", "evil"),
            ("local", "bstmp.5.5"),
            ("config", "evil"),
            ("admin", "system.evil"),
        ])
    ],
    "creates for a while": [
        _command(database, {"create": "evil", "temp": True}, Binary(bytes([number]) * 16, 4))
        for number, database in enumerate(("backstay", "local", "config"))
    ],
    "within others": [_tower(9)],
}


@pytest.mark.parametrize("entries", PASSED_OVER.values(), ids=PASSED_OVER.keys())
def test_an_entry_reaches_what_is_restored_and_nothing_else(
    scene: Scene, entries: list[Document]
) -> None:
    """An entry's UUID leads to a collection that is being built, or nowhere; its name never."""
    before = scene.seen()
    watched = _Watch(scene)
    backup = scene.forger.backup(Part(name=("new", "a"), documents=ONE), entries=entries)

    scene.restored(backup)

    assert ["new.a"] == watched.made()
    scene.cluster.client.drop_database("new")
    scene.check_as(before)


class _Watch:
    """What was created since, by the oplog of the server; under its last name or its first."""

    def __init__(self, scene: Scene) -> None:
        self._oplog = scene.cluster.client.local["oplog.rs"]
        last = self._oplog.find_one(sort=[("$natural", -1)])
        assert last is not None
        self._since = last["ts"]

    def made(self) -> list[str]:
        """Name what there is now of what was created, and all that was not in a user's place."""
        found = self._oplog.find({"ts": {"$gt": self._since}, "op": "c"})
        created = {
            (each["ns"].partition(".")[0], each["o"]["create"])
            for each in found
            if "create" in each["o"]
        }
        assert {"new"} == {database for database, _ in created}
        client = self._oplog.database.client
        return [f"new.{name}" for name in client.new.list_collection_names()]


REFUSED: Final[dict[str, tuple[list[Document], set[str]]]] = {
    "a tower": ([_tower(40)], {"replay_unknown_entry"}),
    "no such command": ([_command("admin", {"shutdown": 1})], {"replay_unknown_entry"}),
    "no such operation": ([{"op": "x", "ns": "a.b", "o": {}}], {"replay_unknown_entry"}),
    "no UUID": ([{"op": "i", "ns": "admin.x", "o": {"_id": 1}}], {"replay_unknown_entry"}),
    "a rename to another database": (
        [_command("new", {"renameCollection": "new.a", "to": "admin.x"}, A)],
        {"replay_unknown_entry"},
    ),
    "a rename of what is not there": (
        [_command("new", {"renameCollection": "new.x", "to": "new.y"})],
        {"replay_misses_collection"},
    ),
    "a rename to no name": (
        [_command("new", {"renameCollection": "new.a", "to": "new.a$b"}, A)],
        {"bad_target"},
    ),
    "a rename within another database": (
        [_command("new", {"renameCollection": "backstay.a", "to": "backstay.system.js"}, A)],
        {"replay_unknown_entry"},
    ),
    "a rename to a name of the server": (
        [_command("new", {"renameCollection": "admin.a", "to": "admin.system.version"}, A)],
        {"replay_unknown_entry"},
    ),
    "a rename over another": (
        [
            _command("new", {"create": "b"}),
            _command("new", {"renameCollection": "new.b", "to": "new.a"}),
        ],
        {"rename_collides"},
    ),
    "a collection in no database": ([_command("a/b", {"create": "c"})], {"mongodb_failed"}),
    "a collection of no name": ([_command("new", {"create": "$x"})], {"bad_target"}),
    "a collMod of another kind": (
        [_command("new", {"collMod": "a", "viewOn": "b", "pipeline": []}, A)],
        {"mongodb_refused", "mongodb_invalid_options"},
    ),
    "an update of nothing": (
        [{"op": "u", "ns": "new.a", "ui": A, "o": {"$v": 2, "diff": {"x": 5}}, "o2": {"_id": 1}}],
        {"replay_refused"},
    ),
}


@pytest.mark.parametrize(("entries", "codes"), REFUSED.values(), ids=REFUSED.keys())
def test_an_entry_that_makes_no_sense_ends_the_restore(
    scene: Scene, entries: list[Document], codes: set[str]
) -> None:
    """Before the switch, with a code that says so."""
    backup = scene.forger.backup(Part(name=("new", "a"), documents=ONE), entries=entries)

    code, message = scene.refused(backup)

    assert code in codes
    assert message


def test_what_was_forged_is_told_by_the_catalogue_too(scene: Scene) -> None:
    """Numbers, tags and notes that no document holds do not end a resync."""
    forger = scene.forger
    huge = 2**63 - 1
    chunk = forger.chunk(f"{scene.replset}/spare/huge", ONE)
    vast = type(chunk)(
        key=keys.chunk(
            scene.replset, "x", Namespace("a", "b"), keys.ChunkName(task=1, token=1, sequence=1)
        ),
        docs=huge,
        bytes=huge,
        stored_bytes=huge,
        sha256=chunk.sha256,
    )
    parts = [Part(name=("new", f"a{number}"), chunks=(vast,)) for number in range(2)]
    forger.backup(*parts)
    for changes in (
        {"tags": {"a\0b": "x"}},
        {"tags": {"$x": "y", "a.b": "z", "": ""}},
        {"note": "x" * 20_000_000},
        {"note": "\0"},
        {"nodes": ("\0", "x" * 1_000)},
        {"namespaces": ("nothing", "\0")},
    ):
        forger.backup(Part(name=("new", "a")), changes=changes)

    before = scene.seen()
    scene.cluster.done("resync")
    scene.check_as(before)
