"""The doctor: all tests of one agent, of the agent itself or of a person at a terminal."""

import secrets
import sys
from collections.abc import Mapping
from functools import partial

from agent.core import log as logs
from agent.core.clock import Clock, SystemClock
from agent.core.errors import AgentError
from agent.core.flow import Stop
from agent.core.log import Log
from agent.jobs.check.examination import Examination, Part
from agent.model.check import Row, failed, result_of
from agent.mongo.connect import OwnNode, open_cluster, open_node, own_node
from agent.mongo.doctor import MongoDoctor
from agent.mongo.node_link import NodeLink
from agent.mongo.reader import MongoNodeReader
from agent.settings import Settings, process_environment
from agent.storage.doctor import Examiner
from agent.wiring.posture import posture
from agent.wiring.stores import Stores

# What stands in a test object's key while the node does not tell.
_UNKNOWN = "unknown"


def examination(
    mongo: MongoDoctor | None, stores: Stores, own: OwnNode | None, clock: Clock, log: Log
) -> Examination:
    """Return the tests of configuration, node and storages; all but the node's if there is none."""
    names = (own.replset, own.name) if own is not None else (_UNKNOWN, _UNKNOWN)

    def examiner() -> Examiner:
        replset, agent = names
        return Examiner(replset=replset, agent=agent, name=secrets.token_hex(4), clock=clock)

    parts = [Part(name="configuration", run=lambda: posture(stores.settings, stores.environment))]
    parts += [] if mongo is None else [Part(name="mongodb", run=mongo.findings)]
    parts += [
        Part(name="storage", storage=label, run=partial(stores.check, label, examiner))
        for label in stores.labels()
    ]
    return Examination(parts, clock, log)


def check_here(settings: Settings) -> Mapping[str, object]:
    """Test what the configuration says from this process, and return a result as of a check.

    Needs no agent, and writes nothing to MongoDB. Raises: ConfigError.
    """
    # Standard output is for the result.
    logs.configure("console", "warning", to=sys.stderr)
    stop, clock, log = Stop(), SystemClock(), logs.get()
    stores = Stores(settings, process_environment(), stop)
    uri = settings.mongodb.uri.get_secret_value()
    with open_node(uri) as node:
        try:
            own = own_node(node)
        except AgentError as error:
            rest = examination(None, stores, None, clock, log).findings(stop)
            findings = (failed("connection", error), *rest)
            return result_of([Row(agent=_UNKNOWN, finding=each) for each in findings])
        with open_cluster(uri, own.hosts, own.replset) as cluster:
            way = NodeLink.over(node)
            mongo = MongoDoctor(
                node=way,
                cluster=cluster,
                own=own,
                reader=MongoNodeReader(
                    way, own.name, priority=settings.backup.priority, clock=clock
                ),
                control_database=settings.control.database,
            )
            findings = examination(mongo, stores, own, clock, log).findings(stop)
    return result_of([Row(agent=own.name, finding=each) for each in findings])
