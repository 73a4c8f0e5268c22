"""Connections to MongoDB, and the boards over them."""

from dataclasses import dataclass
from typing import Final, TypeVar

from agent.core.flow import Stop
from agent.core.retry import OnRetry, RetryPolicy, persistent, retry
from agent.mongo.backups import MongoBackups
from agent.mongo.commands import MongoCommands
from agent.mongo.connect import Client, OwnNode, open_cluster, open_node, own_node
from agent.mongo.events import MongoEvents
from agent.mongo.leases import MongoLeases
from agent.mongo.node_link import NodeLink
from agent.mongo.notes import MongoNotes
from agent.mongo.questions import MongoQuestions
from agent.mongo.schedules import MongoSchedules
from agent.mongo.status import MongoStatus
from agent.mongo.tasks import MongoTasks
from agent.ports import (
    Boards,
)
from agent.settings import Settings

T = TypeVar("T")

# Longer than any election that ends at all; a job that meets more is tried again later.
CONTROL_POLICY: Final = RetryPolicy(limit_s=60.0)
# A node and its replica set may start after its agent.
START_POLICY: Final = RetryPolicy(limit_s=600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The connections of an agent, and what its node is.

    ``loading`` waits for an answer as long as the node lives: index builds take hours.
    """

    node: NodeLink
    cluster: Client
    loading: Client
    own: OwnNode

    def close(self) -> None:
        """End all connections."""
        self.node.close()
        self.cluster.close()
        self.loading.close()


def link(settings: Settings, stop: Stop, waiting: OnRetry) -> Links:
    """Connect to the agent's node and through it to the replica set; waits while it starts.

    ``waiting`` is told of each try that failed.

    Raises: ConfigError for a node that cannot have an agent; TransientError after ten minutes.
    """
    uri = settings.mongodb.uri.get_secret_value()
    node = NodeLink(lambda: open_node(uri))
    own = retry(lambda: own_node(node.client), policy=START_POLICY, stop=stop, on_retry=waiting)
    return Links(
        node=node,
        cluster=open_cluster(uri, own.hosts, own.replset),
        loading=open_cluster(uri, own.hosts, own.replset, socket_timeout_s=None),
        own=own,
    )


def boards(links: Links, settings: Settings) -> Boards:
    """Return the boards, each call of which fails at once when the primary cannot be asked."""
    database = links.cluster[settings.control.database]
    return Boards(
        commands=MongoCommands(database),
        tasks=MongoTasks(database),
        notes=MongoNotes(database),
        questions=MongoQuestions(database),
        status=MongoStatus(database),
        catalogue=MongoBackups(database),
        events=MongoEvents(database, links.own.name),
        leases=MongoLeases(database),
        schedules=MongoSchedules(database),
    )


def patient(once: Boards, stop: Stop, on_retry: OnRetry | None = None) -> Boards:
    """Return the boards as jobs use them: each call waits out an election.

    ``on_retry`` ends the waiting by what it raises.
    """

    def wait(port: T) -> T:
        return persistent(port, policy=CONTROL_POLICY, stop=stop, on_retry=on_retry)

    return Boards(
        commands=wait(once.commands),
        tasks=wait(once.tasks),
        notes=wait(once.notes),
        questions=wait(once.questions),
        status=wait(once.status),
        catalogue=wait(once.catalogue),
        events=once.events,
        leases=once.leases,
        schedules=wait(once.schedules),
    )
