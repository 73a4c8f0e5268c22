"""Whatever holds the settings can be shown, logged or raised without its secrets."""

from pathlib import Path

from agent.core.flow import Stop
from agent.mongo.connect import open_cluster, open_node
from agent.wiring.stores import Stores
from tests.unit.settings.files import SECRET, changed, loaded


def test_no_secret_is_in_what_a_value_says_of_itself(tmp_path: Path) -> None:
    """Settings, clients and storages, which a text of an error may repeat."""
    keys = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": SECRET}
    raw = changed("storage.s3.credentials", keys)
    raw["notify"] = {"url": f"https://hooks.example.net/{SECRET}", "headers": [f"Key: {SECRET}"]}
    settings = loaded(tmp_path, raw)
    uri = settings.mongodb.uri.get_secret_value()
    assert SECRET in uri
    stores = Stores(settings, {}, Stop())
    with open_node(uri) as node, open_cluster(uri, ["127.0.0.1:1"], "rs0") as cluster:
        said = [
            repr(settings),
            str(settings),
            repr(settings.model_dump()),
            settings.model_dump_json(),
            repr(node),
            repr(cluster["shop"]["orders"]),
            str(cluster.topology_description),
            repr(vars(stores)),
        ]
    assert not [number for number, text in enumerate(said) if SECRET in text]
