"""What the role flow needs, put together."""

import secrets
from typing import Final

from agent.core import log as logs
from agent.core.clock import SystemClock
from agent.core.retry import persistent
from agent.jobs.roles.ports import RolePorts
from agent.mongo.roles import MongoRoles
from agent.mongo.status import MongoStatus
from agent.ports import JobContext
from agent.settings import Settings
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
        storage=stores.for_roles,
        token=lambda: secrets.token_hex(_TOKEN_BYTES),
        replset=links.own.replset,
        clock=SystemClock(),
        patience_s=_PATIENCE_S,
        log=logs.get(agent=links.own.name),
    )
