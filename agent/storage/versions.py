"""What becomes of deleted objects in a versioned bucket: asked for whoever deletes many."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent.core.errors import AgentError
from agent.model import keys
from agent.ports import OldVersions
from agent.settings import S3Settings, StorageSettings
from agent.storage import s3_transport
from agent.storage.asking import Asked, asked
from agent.storage.lifecycle import NO_RULES, removes_old_versions

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def old_versions(
    settings: StorageSettings, replset: str, connect: "Callable[[S3Settings], S3Client]"
) -> OldVersions:
    """Return what becomes of the objects of a replica set that are deleted; never fails.

    A DELETE without a version's id leaves the object behind as a noncurrent version, and succeeds
    under an object lock, too. Source: Amazon S3 User Guide, "Deleting object versions from a
    versioning-enabled bucket". Requests are made once.
    """
    s3 = settings.s3
    if s3 is None:
        return "none"
    try:
        client = connect(s3)
        s3_transport.prepare(client)
    except AgentError:
        return "unknown"
    where = {"Bucket": s3.bucket}
    versioning = _asked("GetBucketVersioning", s3, lambda: client.get_bucket_versioning(**where))
    if versioning.error is not None:
        return "none" if versioning.error.code == "storage_unsupported" else "unknown"
    if not (versioning.answer or {}).get("Status"):
        return "none"
    rules = _asked(
        "GetBucketLifecycleConfiguration",
        s3,
        lambda: client.get_bucket_lifecycle_configuration(**where),
    )
    if rules.error is not None:
        return "unknown"
    root = keys.replset_root(replset)
    root = f"{s3.prefix}/{root}" if s3.prefix else root
    found = (rules.answer or {}).get("Rules", ())
    return "expire" if removes_old_versions(found, root) else "kept"


def _asked(operation: str, s3: S3Settings, call: Callable[[], Any]) -> Asked[Any]:
    return asked(
        operation,
        s3.bucket,
        call,
        encryption=s3.server_side_encryption,
        nothing=NO_RULES,
    )
