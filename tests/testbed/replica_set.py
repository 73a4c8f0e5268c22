"""Real replica sets that are up in about three seconds."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from tests.testbed.clients import Client, Document, open_client
from tests.testbed.mongod import PASSWORD, USER, Node, NodeSpec
from tests.testbed.process import scratch_directory
from tests.testbed.programs import MongodVersion
from tests.testbed.stoppable import Stoppable
from tests.testbed.waiting import eventually

# Twenty times quicker than the defaults: a set forms, and elects a primary, within seconds.
_TIMING = {"heartbeatIntervalMillis": 100, "electionTimeoutMillis": 500}
_STATES_OF_A_MEMBER_IN_PLACE = {"PRIMARY", "SECONDARY", "ARBITER"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSetSpec:
    """What kind of replica set to start."""

    name: str = "rs0"
    nodes: int = 3
    """Members in all, the arbiter among them."""
    version: MongodVersion = "6.0"
    oplog_size_mb: int = 64
    oplog_sizes_mb: Sequence[int] = ()
    """Of each member in order, where they differ."""
    checkpoint_s: int = 60
    """Of each member, see `NodeSpec`."""
    cache_gb: float = 0.25
    parameters: Mapping[str, str | int] = field(default_factory=dict)
    auth: bool = False
    """Internal authentication by key file, and the user `root` with all rights."""
    certificate: Path | None = None
    """Of all members, see `NodeSpec`."""
    priorities: Sequence[float] | None = None
    """Of each member in order; 1 each by default. The first must be able to become primary."""
    arbiter: bool = False
    """The last member is an arbiter."""


class ReplicaSet(Stoppable):
    """A running replica set. `start` makes one; `stop` ends it and removes its data."""

    node_type: ClassVar[type[Node]] = Node

    def __init__(self, spec: ReplicaSetSpec) -> None:
        self.spec = spec
        node_spec = _node_spec(spec)
        sizes = spec.oplog_sizes_mb or [spec.oplog_size_mb] * spec.nodes
        self.nodes = tuple(self.node_type(replace(node_spec, oplog_size_mb=each)) for each in sizes)
        self._clients: list[Client] = []

    @classmethod
    def start(cls, spec: ReplicaSetSpec | None = None) -> Self:
        """Start all members and wait until each is primary, secondary or arbiter."""
        replica_set = cls(spec or ReplicaSetSpec())
        try:
            for node in replica_set.nodes:
                node.start(wait=False)
            replica_set.nodes[0].wait_until_ready()
            replica_set._form()
        except BaseException:
            replica_set.stop()
            raise
        return replica_set

    @property
    def uri(self) -> str:
        """The whole set, with credentials when authentication is on."""
        seeds = ",".join(node.address for node in self.data_nodes())
        options = f"replicaSet={self.spec.name}"
        if self.spec.certificate is not None:
            options += "&tls=true&tlsInsecure=true"
        if not self.spec.auth:
            return f"mongodb://{seeds}/?{options}"
        return f"mongodb://{USER}:{PASSWORD}@{seeds}/?{options}&authSource=admin"

    def client(self) -> Client:
        """Open a client of the whole set; it is closed when the test ends, or by `stop`."""
        client = open_client(self.uri, selection_timeout_ms=15_000)
        self._clients.append(client)
        return client

    def data_nodes(self) -> tuple[Node, ...]:
        """Return all members but the arbiter, running or not."""
        return tuple(node for node in self.nodes if not self._is_arbiter(node))

    def primary(self, timeout_s: float = 40.0) -> Node:
        """Wait for a primary that can take writes, and return it."""
        return eventually(
            lambda: next((node for node in self._running() if self._takes_writes(node)), None),
            timeout_s,
            message="there is a primary",
        )

    def secondaries(self) -> tuple[Node, ...]:
        """Return the running members that are secondaries now, in order."""
        states = self.states()
        return tuple(node for node in self.nodes if states.get(node.address) == "SECONDARY")

    def states(self) -> dict[str, str]:
        """Return the state of each member by address, as the primary sees them."""
        status = _direct(self.primary(), {"replSetGetStatus": 1})
        return {member["name"]: member["stateStr"] for member in status["members"]}

    def wait_until_healthy(self, timeout_s: float = 60.0) -> None:
        """Wait until there is a primary and every member is in place."""

        def in_place() -> bool:
            states = self.states()
            return len(states) == self.spec.nodes and (
                set(states.values()) <= _STATES_OF_A_MEMBER_IN_PLACE
            )

        eventually(in_place, timeout_s, message="every member is in place")

    def step_down(self, for_s: int = 10) -> Node:
        """Make another member primary and return it; the old one stays out for `for_s` seconds."""
        old = self.primary()
        command = {"replSetStepDown": for_s, "secondaryCatchUpPeriodSecs": min(5, for_s - 1)}
        eventually(lambda: _stepped_down(old, command), message=f"{old.address} has stepped down")
        eventually(
            lambda: self.primary() is not old, timeout_s=40, message="another member is primary"
        )
        return self.primary()

    def stop(self) -> None:
        """Close the clients, kill every member and remove all data. Idempotent."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        for node in self.nodes:
            node.remove()

    def _is_arbiter(self, node: Node) -> bool:
        return self.spec.arbiter and node is self.nodes[-1]

    def _running(self) -> list[Node]:
        return [node for node in self.data_nodes() if node.is_running]

    def _takes_writes(self, node: Node) -> bool:
        try:
            return bool(_direct(node, {"hello": 1}).get("isWritablePrimary", False))
        except PyMongoError:
            return False

    def _form(self) -> None:
        """Initiate a set of one, which is primary at once, then force it to its full size."""
        first = self.nodes[0]
        initial = {"_id": self.spec.name, "members": self._members()[:1], "settings": _TIMING}
        with MongoClient[Document](first.uri_without_user) as before_users:
            before_users.admin.command("replSetInitiate", initial)
            eventually(
                lambda: before_users.admin.command("hello").get("isWritablePrimary"),
                interval_s=0.02,
                message="the first member is primary",
            )
            if self.spec.auth:
                # Allowed once, from loopback, while there is no user yet.
                before_users.admin.command("createUser", USER, pwd=PASSWORD, roles=["root"])
        if self.spec.nodes > 1:
            self._grow()
        self.wait_until_healthy()

    def _grow(self) -> None:
        for node in self.nodes[1:]:
            node.wait_until_ready()
        first = self.nodes[0]
        if self.spec.arbiter:
            # With an arbiter the implicit default would change, which a reconfiguration refuses.
            _direct(first, {"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": 1}})
        config = _direct(first, {"replSetGetConfig": 1})["config"]
        config["members"] = self._members()
        config["version"] += 1
        _direct(first, {"replSetReconfig": config, "force": True})

    def _members(self) -> list[Document]:
        priorities = self.spec.priorities or [1] * self.spec.nodes
        members: list[Document] = []
        for index, (node, priority) in enumerate(zip(self.nodes, priorities, strict=True)):
            member: Document = {"_id": index, "host": node.address, "priority": priority}
            if self._is_arbiter(node):
                member |= {"arbiterOnly": True, "priority": 0}
            members.append(member)
        return members


def _node_spec(spec: ReplicaSetSpec) -> NodeSpec:
    return NodeSpec(
        version=spec.version,
        oplog_size_mb=spec.oplog_size_mb,
        checkpoint_s=spec.checkpoint_s,
        cache_gb=spec.cache_gb,
        parameters=spec.parameters,
        key_file=_new_key_file() if spec.auth else None,
        certificate=spec.certificate,
        replica_set=spec.name,
    )


def _new_key_file() -> Path:
    path = scratch_directory("key-file") / "key"
    path.write_text(secrets.token_hex(64))
    path.chmod(0o600)
    return path


def _direct(node: Node, command: Document) -> Document:
    """Run an admin command on one member, by a connection of its own.

    A fresh connection, because one opened before the set was formed has no sessions for 10 s; with
    short timeouts, because the member may be frozen.
    """
    client: Client = MongoClient(
        node.uri, serverSelectionTimeoutMS=2000, connectTimeoutMS=2000, socketTimeoutMS=20_000
    )
    with client:
        return client.admin.command(command)


def _stepped_down(node: Node, command: Document) -> bool:
    try:
        _direct(node, command)
    except AutoReconnect:
        return True  # the member closes its connections when it steps down
    except OperationFailure:
        return False  # no secondary has caught up yet
    return True
