"""The second chapter: somebody drops a collection, and the second before comes back."""

import time
from datetime import datetime, timedelta

from bson import Timestamp

from tests.demo import data
from tests.demo.story import Story, table_of
from tests.demo.terminal import ask_mongosh, verb
from tests.testbed.agents import Agent
from tests.testbed.clients import Client
from tests.testbed.hashes import contents, differences
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually

_WRITES_S = 3.0
# From the last write to the drop: so the whole second before the drop's own has no write.
_PAUSE_S = 2.1


def play(story: Story, client: Client, agent: Agent, replica_set: ReplicaSet) -> bool:
    """Drop a collection between two backups, undo it, and return whether all is as before."""
    story.step("The application goes on, and every write goes into the archive within a second")
    with data.Writer(client) as writer:
        time.sleep(_WRITES_S)
    paused_at = time.monotonic()
    before = contents(client)
    story.tell(
        f"{writer.write_count:,} more writes, and no backup after them. Then it pauses, so that"
        " all can be hashed."
    )
    time.sleep(max(0.0, paused_at + _PAUSE_S - time.monotonic()))

    story.step("An accident")
    client["shop"].drop_collection("orders")
    dropped_at = time.monotonic()
    story.tell("Somebody drops shop.orders. When was that? The oplog knows:")
    second = _second_before(story, replica_set, client, dropped_at)

    story.step("Bringing back the second before")
    story.tell(
        "From the only backup: all since is replayed, the disaster and the first restore too."
    )
    verb(story, agent, "restore", "--to", f"{second:%Y-%m-%dT%H:%M:%SZ}", "-n", "shop.orders")

    after = contents(client)
    return story.conclude(
        table_of(client, ["shop.orders"], before, after),
        differences(before, after),
        "shop.orders with its options and indexes is what it was in the second before it was"
        " dropped, byte for byte, and nothing else has changed.",
    )


def _second_before(
    story: Story, replica_set: ReplicaSet, client: Client, dropped_at: float
) -> datetime:
    """Find the drop in the oplog, wait until it is archived, and return the second before it."""
    drop = ask_mongosh(
        story,
        replica_set.uri,
        'db.getSiblingDB("local").oplog.rs.find(',
        '  {op: "c", ns: "shop.$cmd", "o.drop": "orders"}, {_id: 0, ts: 1, wall: 1}',
        ").sort({$natural: -1}).limit(1)",
    )
    second: datetime = drop["wall"].replace(microsecond=0) - timedelta(seconds=1)
    story.tell(
        f"It was dropped at {drop['wall']:%H:%M:%S} UTC: the second before is {second:%H:%M:%S}."
    )
    eventually(lambda: _archived_to(client) >= drop["ts"], 60.0, message="the drop is archived")
    waited_s = time.monotonic() - dropped_at
    story.tell(f"The status says that it is archived, {waited_s:.0f} s after it happened.")
    return second


def _archived_to(client: Client) -> Timestamp:
    """Return how far the archive reaches, as `backstay status` shows it."""
    cluster = client["backstay"]["status"].find_one({"_id": "cluster"}) or {}
    reached: Timestamp = (cluster.get("oplog") or {}).get("archived_to", Timestamp(0, 0))
    return reached
