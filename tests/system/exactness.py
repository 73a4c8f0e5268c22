"""Whether a backup of a `busy` writer's collections is exact, and nothing is left beside it."""

from tests.system.observed import of_users
from tests.system.protected import Protected
from tests.system.storages import manifest_keys
from tests.testbed.hashes import Contents, contents, differences
from tests.testbed.waiting import eventually


def shop(cluster: Protected) -> Contents:
    """Read what the collections hold now."""
    return of_users(contents(cluster.client, databases=["shop"]))


def restore_and_compare(cluster: Protected, backup: str, expected: Contents) -> None:
    """Restore a backup over what was changed since; raise AssertionError if anything differs."""
    cluster.client["shop"]["orders"].delete_many({"_id": {"$lt": 100}})
    cluster.done("restore", backup=backup, overwrite=True)
    assert [] == differences(expected, shop(cluster))


def holds_only_what_manifests_name(cluster: Protected) -> None:
    """Wait until no other object is left, and no task; raise AssertionError if some stay."""
    storage = cluster.storage

    def is_tidy() -> bool:
        manifests = manifest_keys(storage)
        named = "".join(storage.read(key).decode() for key in manifests)
        unnamed = [key for key in storage.list() if key not in manifests and key not in named]
        assert [] == unnamed
        return True

    eventually(is_tidy, 30, message="every object is named by a manifest")
    cluster.check_clean()
