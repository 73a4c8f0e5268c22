"""Verdicts in the storage: small objects beside the manifest, the newest of each depth."""

from collections.abc import Mapping

from agent.codec import verdict_json
from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.model import keys
from agent.model.verdict import Verdict, newest_of_each
from agent.ports import ObjectStore


def store_verdict(
    store: ObjectStore,
    replset: str,
    backup: str,
    verdict: Verdict,
    result: Mapping[str, object],
) -> None:
    """Store what was found, then remove what older looks of the same depth had found.

    Raises: TransientError; PermanentError of the storage.
    """
    try:
        store.put(keys.verdict(replset, backup, verdict), verdict_json.encode(result))
    except PermanentError as error:
        # Of the same second: another verify has found the same.
        if error.code != "object_exists":
            raise
    passing(Point.VERIFY_STORED)
    there = {}
    for each in store.list(keys.verdicts_root(replset, backup)):
        parsed = keys.parse_verdict(each.key)
        if parsed is not None:
            there[parsed[2]] = each.key
    newest = newest_of_each(there)
    old = [key for found, key in there.items() if found not in newest]
    if old:
        store.delete(old)
