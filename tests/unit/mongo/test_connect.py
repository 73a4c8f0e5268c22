"""What every client of MongoDB is set to, without asking a server."""

from contextlib import closing

from agent.mongo.connect import open_cluster, open_node


def test_connections_that_nobody_uses_end() -> None:
    """After a minute, whatever the URI says: each node was busy once, and need not be again."""
    uri = "mongodb://127.0.0.1:1/?maxIdleTimeMS=5"
    with closing(open_node(uri)) as node, closing(open_cluster(uri, ["a:1"], "rs0")) as cluster:
        pools = [each.options.pool_options for each in (node, cluster)]
        assert [60.0, 60.0] == [each.max_idle_time_seconds for each in pools]
