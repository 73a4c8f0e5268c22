"""A replica set whose members know each other by relays."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.campaign.lines import Line, laid_lines
from tests.testbed.mongod import Node, NodeSpec
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec

# With half a second, as in other tests, a busy machine would hold one election after another.
_ELECTION_MS = 3_000


class LinedNode(Node):
    """A node that is known by the address of its line."""

    def __init__(self, spec: NodeSpec, lay: Callable[[int], Line]) -> None:
        super().__init__(spec)
        self.line = lay(self.port)

    @property
    def address(self) -> str:
        """The line's address, as the replica set knows the node."""
        return f"{self.host}:{self.line.port}"

    @property
    def inner_uri(self) -> str:
        """A direct connection that nothing disturbs."""
        return f"mongodb://{self.host}:{self.port}/?directConnection=true"


class LinedReplicaSet(ReplicaSet):
    """A replica set of such nodes."""

    def __init__(self, spec: ReplicaSetSpec, lay: Callable[[int], Line]) -> None:
        super().__init__(spec)
        # Those that stand there were never started.
        self.lined = tuple(LinedNode(each.spec, lay) for each in self.nodes)
        self.nodes = self.lined

    def settle(self) -> None:
        """Start all members and form the set."""
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_until_ready()
        self._form()
        client = self.client()
        config = client.admin.command("replSetGetConfig")["config"]
        config["settings"] |= {"electionTimeoutMillis": _ELECTION_MS}
        config["version"] += 1
        client.admin.command("replSetReconfig", config)


@contextmanager
def lined(spec: ReplicaSetSpec) -> Iterator[LinedReplicaSet]:
    """Run a replica set behind lines."""
    with laid_lines() as lay:
        replica_set = LinedReplicaSet(spec, lay)
        with replica_set:
            replica_set.settle()
            yield replica_set
