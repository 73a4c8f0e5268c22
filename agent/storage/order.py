"""The order of listings, for servers that have another one than Amazon's."""

from collections.abc import Iterable, Iterator

from agent.ports import StoredObject


def by_bytes(objects: Iterable[StoredObject], prefix: str) -> Iterator[StoredObject]:
    """Yield a listing below ``prefix`` in the order of the keys' bytes.

    It comes in that order, or in the order of a walk through folders (SeaweedFS and others that
    stand on a file system), in which ``a/b`` comes before ``a-b``. Both keep what begins with the
    same name together, so only such a group is held in memory.
    """
    begin = prefix.rfind("/") + 1
    group: list[StoredObject] = []
    head = ""
    for stored in objects:
        name = stored.key[begin:].partition("/")[0]
        if not name.startswith(head) or not group:
            yield from sorted(group, key=_bytes)
            group, head = [], name
        group.append(stored)
    yield from sorted(group, key=_bytes)


def _bytes(stored: StoredObject) -> bytes:
    return stored.key.encode()
