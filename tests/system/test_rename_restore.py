"""Parts of a backup come back under other names."""

from tests.system.protected import protected
from tests.system.storages import DirectoryStorage
from tests.testbed.hashes import Contents, contents, differences
from tests.testbed.replica_set import ReplicaSet


def test_chosen_collections_come_back_beside_the_old_ones(
    replica_set: ReplicaSet, directory: DirectoryStorage
) -> None:
    """What the patterns mean appears under the new names, and nothing else changes."""
    client = replica_set.client()
    shop = client["shop"]
    shop["orders"].insert_many([{"_id": n, "n": n} for n in range(100)])
    shop["orders"].create_index("n", unique=True)
    shop["orders.old"].insert_one({"_id": 1})
    shop["items"].insert_one({"_id": 1})
    shop.create_collection("series", timeseries={"timeField": "t"})
    shop.create_collection("view", viewOn="orders", pipeline=[{"$match": {"n": {"$lt": 3}}}])
    client["other"]["thing"].insert_one({"_id": 1})
    before = contents(client)
    with protected(replica_set, directory) as cluster:
        backup = cluster.done("backup")["backup"]

        cluster.done(
            "restore",
            backup=backup,
            namespaces=["shop.*"],
            rename=[
                {"from": "shop.orders*", "to": "archive.2026 orders*"},
                {"from": "shop.*", "to": "archive.*"},
            ],
        )

    after = contents(client)
    assert [] == differences(before, _only(after, "shop.", "other."))
    expected = {
        "2026 orders": "orders", "2026 orders.old": "orders.old", "items": "items",
        "system.buckets.series": "system.buckets.series",
    }  # fmt: skip
    for new, old in expected.items():
        assert before.hashes[f"shop.{old}"] == after.hashes[f"archive.{new}"]
        assert before.indexes[f"shop.{old}"] == after.indexes[f"archive.{new}"]
        assert before.collections[f"shop.{old}"] == after.collections[f"archive.{new}"]
    assert {"2026 orders", "2026 orders.old", "items", "series", "view"} == {
        name for name in client["archive"].list_collection_names() if not name.startswith("system.")
    }


def test_part_of_a_backup_replaces_only_itself(
    replica_set: ReplicaSet, directory: DirectoryStorage
) -> None:
    """With `overwrite`, a chosen collection is replaced, and its neighbours are left alone."""
    client = replica_set.client()
    client["shop"]["orders"].insert_many([{"_id": n} for n in range(10)])
    client["shop"]["items"].insert_one({"_id": 1})
    with protected(replica_set, directory) as cluster:
        backup = cluster.done("backup")["backup"]
        client["shop"]["orders"].drop()
        client["shop"]["orders"].insert_one({"_id": "later"})
        client["shop"]["items"].insert_one({"_id": "later"})
        client["shop"]["new"].insert_one({"_id": "later"})

        cluster.done("restore", backup=backup, namespaces=["shop.orders"], overwrite=True)

        assert list(range(10)) == sorted(client["shop"]["orders"].distinct("_id"))
        assert {1, "later"} == set(client["shop"]["items"].distinct("_id"))
        assert ["later"] == client["shop"]["new"].distinct("_id")
        cluster.check_clean()


def test_backup_of_chosen_namespaces_holds_only_those(
    replica_set: ReplicaSet, directory: DirectoryStorage
) -> None:
    """What a backup was not asked for cannot be restored from it, and is not dropped by it."""
    client = replica_set.client()
    client["shop"]["orders"].insert_one({"_id": 1})
    client["other"]["thing"].insert_one({"_id": 1})
    with protected(replica_set, directory) as cluster:
        backup = cluster.done("backup", namespaces=["shop.*"])["backup"]
        client["shop"]["orders"].insert_one({"_id": "later"})

        refused = cluster.run("restore", backup=backup, namespaces=["other.*"])
        cluster.done("restore", backup=backup, overwrite=True)

        assert "rejected" == refused["state"]
        assert [1] == client["shop"]["orders"].distinct("_id")
        assert [1] == client["other"]["thing"].distinct("_id")


def _only(found: Contents, *prefixes: str) -> Contents:
    def chosen(values: object) -> dict[str, object]:
        assert isinstance(values, dict)
        return {name: value for name, value in values.items() if name.startswith(prefixes)}

    return Contents(
        hashes=chosen(found.hashes),  # type: ignore[arg-type]
        collections=chosen(found.collections),  # type: ignore[arg-type]
        indexes=chosen(found.indexes),  # type: ignore[arg-type]
    )
