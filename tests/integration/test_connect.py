"""An agent says clearly what is wrong with its node."""

from collections.abc import Iterator

import pytest

from agent.core.errors import ConfigError, PermanentError, TransientError
from agent.mongo.connect import OwnNode, open_cluster, open_node, own_node
from agent.mongo.errors import translated
from tests.testbed.mongod import Node, NodeSpec
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec


def ask(uri: str) -> OwnNode:
    """Ask a node what it is, as an agent does at its start."""
    with open_node(uri) as client:
        return own_node(client)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("mongodb+srv://cluster.example.com/", "a whole cluster"),
        ("mongodb://a:1,b:1/", "several nodes"),
        ("http://a:1/", "mongodb://"),
        ("mongodb://user:hunter2/@a:1/", "not a MongoDB URI"),
        ("mongodb://user:hunter2@/", "no host"),
        ("mongodb://a:1/?tsl=true", "Unknown option: tsl"),
        ("mongodb://a:1/?tls=perhaps", "tls"),
        ("mongodb://a:notaport/", "not a MongoDB URI"),
    ],
)
def test_a_bad_uri_is_refused_before_anything_is_sent(uri: str, words: str) -> None:
    """A misspelt option is an error, and no password is repeated."""
    with pytest.raises(ConfigError, match=words) as caught:
        ask(uri)
    assert caught.value.code == "mongodb_uri"
    assert "hunter2" not in caught.value.message + caught.value.hint
    assert caught.value.hint


class TestUnsuitableNodes:
    """Each kind is named, with the mend."""

    @pytest.fixture
    def node(self, request: pytest.FixtureRequest) -> Iterator[Node]:
        """One mongod of the kind that the test names."""
        node = Node(NodeSpec(replica_set=getattr(request, "param", None)))
        try:
            node.start()
            yield node
        finally:
            node.remove()

    def test_a_standalone_server(self, node: Node) -> None:
        """It has no oplog."""
        with pytest.raises(ConfigError) as caught:
            ask(node.uri)
        assert caught.value.code == "mongodb_standalone"
        assert "--replSet" in caught.value.hint

    @pytest.mark.parametrize("node", ["rs0"], indirect=True)
    def test_a_replica_set_that_is_not_initiated(self, node: Node) -> None:
        """The agent may have been started before `rs.initiate()`: it waits."""
        with pytest.raises(TransientError) as caught:
            ask(node.uri)
        assert caught.value.code == "mongodb_uninitiated"

    def test_a_server_that_is_not_there(self, node: Node) -> None:
        """It may be starting: the agent waits, and the message says for whom."""
        node.kill()
        with pytest.raises(TransientError, match=str(node.port)) as caught:
            ask(node.uri)
        assert caught.value.code == "mongodb_unreachable"


@pytest.fixture(scope="module")
def guarded() -> Iterator[ReplicaSet]:
    """Two nodes and an arbiter, with authentication."""
    with ReplicaSet.start(ReplicaSetSpec(auth=True, arbiter=True)) as replica_set:
        yield replica_set


class TestLogin:
    """A replica set with users and an arbiter."""

    def test_a_node_says_who_it_is(self, guarded: ReplicaSet) -> None:
        """By the name that the replica set knows it by, with the members that hold data."""
        members = {node.address for node in guarded.nodes[:2]}
        for node in guarded.nodes[:2]:
            own = ask(node.uri)
            assert (own.name, own.replset) == (node.address, "rs0")
            assert members == set(own.hosts)
            assert own.server_version.startswith("6.0.")

    def test_an_arbiter(self, guarded: ReplicaSet) -> None:
        """Although it refuses every login."""
        with pytest.raises(ConfigError) as caught:
            ask(guarded.nodes[2].uri)
        assert caught.value.code == "mongodb_arbiter"

    def test_a_wrong_password(self, guarded: ReplicaSet) -> None:
        """The hint names what to check."""
        uri = guarded.nodes[0].uri.replace("testbed-root-secret", "wrong")
        with pytest.raises(ConfigError) as caught:
            ask(uri)
        assert caught.value.code == "mongodb_login_failed"
        assert "password" in caught.value.hint

    def test_no_user_at_all(self, guarded: ReplicaSet) -> None:
        """What the server calls a missing privilege is a missing login."""
        uri = f"mongodb://{guarded.nodes[0].address}/"
        own = ask(uri)
        with (
            open_cluster(uri, own.hosts, own.replset) as cluster,
            pytest.raises(ConfigError) as caught,
            translated(),
        ):
            cluster["backstay"]["commands"].find_one()
        assert caught.value.code == "mongodb_login_needed"

    def test_a_missing_privilege_is_named(self, guarded: ReplicaSet) -> None:
        """With the action and the database, from what a real server says."""
        guarded.client()["admin"].command("createUser", "low", pwd="x", roles=[])
        uri = f"mongodb://low:x@{guarded.nodes[0].address}/?authSource=admin"
        own = ask(uri)
        with (
            open_cluster(uri, own.hosts, own.replset) as cluster,
            pytest.raises(PermanentError) as caught,
            translated(),
        ):
            cluster["shop"]["orders"].insert_one({"pin": 4711})
        assert caught.value.code == "mongodb_privilege_missing"
        assert caught.value.message == (
            "the user lacks the privilege for insert on the database shop"
        )

    def test_the_cluster_is_found_through_one_node(self, guarded: ReplicaSet) -> None:
        """From a secondary too, with its URI's options but not its way of reading and writing."""
        secondary = guarded.secondaries()[0]
        uri = f"{secondary.uri}&w=1&readPreference=secondary&replicaSet=rs0"
        own = ask(uri)
        with open_cluster(uri, own.hosts, own.replset) as cluster:
            written = cluster["shop"]["orders"].insert_one({})
            assert written.acknowledged
            assert cluster.write_concern.document == {"w": "majority", "wtimeout": 10_000}
            assert cluster.primary == (guarded.primary().host, guarded.primary().port)
