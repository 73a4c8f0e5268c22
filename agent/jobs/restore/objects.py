"""The stored objects of a backup: all there before anything begins, each verified before use."""

from agent.codec.zstd import sha256
from agent.core.errors import PermanentError
from agent.model import keys
from agent.model.manifest import Chunk, Segment
from agent.model.restore_plan import RestorePlan
from agent.ports import ObjectStore


def require_all(store: ObjectStore, plan: RestorePlan) -> None:
    """Check by listing that every chunk that the restore needs is there, at its size.

    The oplog is looked after by its feed, which goes around what is gone.

    Raises: PermanentError ``object_missing`` or ``damaged_object``, naming the first.
    """
    manifest = plan.manifest
    needed = {each.key: each.stored_bytes for copy in plan.copies for each in copy.chunks}
    root = keys.backup_root(manifest.identity.replset, manifest.backup_id)
    for found in store.list(root) if needed else ():
        wanted_bytes = needed.pop(found.key, None)
        if wanted_bytes is not None and wanted_bytes != found.size_bytes:
            raise _damaged(found.key, f"it has {found.size_bytes} bytes, not {wanted_bytes}")
    if needed:
        key = min(needed)
        raise PermanentError(
            "object_missing",
            f"{len(needed)} objects of the backup {plan.manifest.backup_id} are not in "
            f"{store.describe()}; the first is {key}",
            hint="restore another backup",
            key=key,
        )


def fetch(store: ObjectStore, stored: Chunk | Segment) -> bytes:
    """Return an object as it is stored, verified by size and SHA-256.

    Raises: PermanentError ``object_missing``; ``damaged_object`` naming the key.
    """
    body = store.get(stored.key)
    if len(body) != stored.stored_bytes:
        raise _damaged(stored.key, f"it has {len(body)} bytes, not {stored.stored_bytes}")
    if sha256(body) != stored.sha256:
        raise _damaged(stored.key, "its SHA-256 is not the one in the manifest")
    return body


def _damaged(key: str, reason: str) -> PermanentError:
    return PermanentError(
        "damaged_object",
        f"the object {key} is damaged: {reason}",
        hint="restore another backup",
        key=key,
    )
