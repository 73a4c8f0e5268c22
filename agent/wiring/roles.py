"""What the role flow needs, put together."""

import secrets
from collections.abc import Mapping
from typing import Final

from agent.aws.policy import permissions
from agent.aws.region import region_of
from agent.aws.trust import external
from agent.core import log as logs
from agent.core.clock import SystemClock
from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.core.retry import persistent
from agent.daemon.identities import SourceWatch
from agent.jobs.roles.ports import RolePorts
from agent.model.status import StorageAccess
from agent.mongo.roles import MongoRoles
from agent.mongo.status import MongoStatus
from agent.ports import JobContext, ObjectStore, RoleStorage
from agent.settings import RoleSettings, Settings
from agent.storage.open import open_store
from agent.wiring.links import CONTROL_POLICY, Links
from agent.wiring.stores import Stores

# Changes in IAM are everywhere within seconds, as a rule.
_PATIENCE_S: Final = 20.0
# 128 bits: as good as any secret, though an external id need not be one.
_TOKEN_BYTES: Final = 16


def role_ports(settings: Settings, links: Links, stores: Stores, context: JobContext) -> RolePorts:
    """Return what a job of the role flow works with."""
    database = links.cluster[settings.control.database]
    return RolePorts(
        roles=persistent(MongoRoles(database), policy=CONTROL_POLICY, stop=context.stop),
        status=persistent(MongoStatus(database), policy=CONTROL_POLICY, stop=context.stop),
        storage=lambda label: role_storage(settings, stores, label),
        token=lambda: secrets.token_hex(_TOKEN_BYTES),
        replset=links.own.replset,
        clock=SystemClock(),
        patience_s=_PATIENCE_S,
        log=logs.get(agent=links.own.name),
    )


def role_storage(settings: Settings, stores: Stores, label: str | None) -> RoleStorage:
    """Return a storage as the role flow sees it; None is the main one.

    Raises: PermanentError ``unknown_storage``, ``role_unsupported`` for a directory.
    """
    wanted, _ = stores.open(label)
    found = next(each for each in settings.storages if each.label == wanted)
    if found.s3 is None:
        raise PermanentError(
            "role_unsupported",
            f"the storage {wanted} is a directory, which no role of AWS gives access to",
            hint="name a storage of type s3",
        )

    def assume(role_arn: str, external_id: str | None) -> ObjectStore:
        role = RoleSettings(arn=role_arn, external_id=external_id)
        connect = stores.access[wanted].with_role(role).connect
        return open_store(found, connect=connect, stop=Stop(), is_patient=False)

    return RoleStorage(
        label=wanted,
        bucket=found.s3.bucket,
        trust_policy=external,
        permission_policy=permissions(found.s3, region_of(found.s3, stores.environment)),
        assume=assume,
    )


def source_watch(settings: Settings, stores: Stores) -> SourceWatch:
    """Return what finds out as whom this agent reaches its storages."""

    def access(identities: Mapping[str, str | None]) -> tuple[StorageAccess, ...]:
        return tuple(
            StorageAccess(
                storage=each.label,
                identity=identities.get(each.label),
                role=each.s3.role.arn if each.s3.role is not None else None,
            )
            for each in settings.storages
            if each.s3 is not None
        )

    def asked() -> Mapping[str, str | None]:
        return {label: each.source_identity() for label, each in stores.access.items()}

    return SourceWatch(lambda: access(asked()), access({}))
