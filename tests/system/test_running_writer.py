"""A backup under writes is the state of one moment."""

import pytest

from tests.system.observed import observe
from tests.system.protected import protected
from tests.system.second_replay import live_picture, note, replayed_picture
from tests.system.storages import BucketStorage
from tests.system.writer import Writer, busy, seed_documents
from tests.testbed.hashes import contents, differences
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually


@pytest.mark.timeout(180)
def test_copy_is_the_state_at_its_consistent_time(
    replica_set: ReplicaSet, storage: BucketStorage
) -> None:
    """The server's own hash of that moment and a second replay agree with what is restored."""
    client = replica_set.client()
    begin = note(client)
    seed_documents(client, 5000)
    with protected(replica_set, storage) as cluster:
        uri = replica_set.uri
        with Writer(uri, busy(5000), 1) as first, Writer(uri, busy(5000), 2):
            eventually(lambda: first.done_count > 20, 30, message="the writer writes")
            before_count = first.done_count
            result = cluster.done("backup")
            assert first.done_count > before_count, "nothing was written meanwhile"
            eventually(lambda: first.done_count > before_count + 50, 30)
        moment = result["consistent_at"]
        hashes = contents(client, at=moment, databases=["shop"])
        replayed = replayed_picture(client, ["shop"], begin, moment)
        assert differences(hashes, contents(client, databases=["shop"])), "the data went on"

        cluster.done("restore", backup=result["backup"], overwrite=True)

        assert [] == differences(hashes, contents(client, databases=["shop"]))
        assert [] == replayed.differences(live_picture(client, ["shop"]))
        tail = [each["n"] for each in client["shop"]["tail"].find().sort("$natural", 1)]
        assert replayed.inserted("shop.tail", "n")[-len(tail) :] == tail
        assert observe(client).capped.keys() == {"shop.tail"}
        cluster.check_clean()
