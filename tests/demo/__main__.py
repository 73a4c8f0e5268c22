"""`make demo`: back up, destroy, restore, compare; then undo an accident to the second."""

import signal
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from types import FrameType

from bson import Timestamp

from tests.demo import accident, data
from tests.demo.story import State, Story, compare, sizes, users_hash
from tests.demo.terminal import CommandFailedError, newest_backup, verb
from tests.testbed.agents import Agent, Agents, s3_storage
from tests.testbed.clients import Client
from tests.testbed.hashes import contents
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.s3 import S3Server


def main() -> int:
    """Run the demo and return its exit status: 1 if anything did not come back."""
    signal.signal(signal.SIGTERM, _interrupt)
    story = Story()
    try:
        with ExitStack() as stack:
            is_proved = _play(story, stack)
        story.step("Everything is stopped and removed")
    except CommandFailedError as error:
        story.console.print(f"\nThe demo failed: {error}", style="bold red")
        return 1
    except KeyboardInterrupt:
        story.console.print("\nInterrupted; everything is stopped and removed.")
        return 130
    story.tell(f"{story.passed_s:.0f} seconds in all.")
    return 0 if is_proved else 1


def _play(story: Story, stack: ExitStack) -> bool:
    story.step("A replica set of three nodes, an S3 server, and an agent beside each node")
    replica_set = stack.enter_context(ReplicaSet.start())
    s3 = stack.enter_context(S3Server.start())
    client = stack.enter_context(replica_set.client())
    storage = s3_storage(s3, s3.create_bucket("demo-backups"), "demo")
    # A second of writes may be lost with the whole cluster; five are the default.
    archive = {"oplog": {"upload_interval_s": 1}}
    agents = stack.enter_context(Agents.start(replica_set, storage, settings=archive))
    for address, state in sorted(replica_set.states().items(), key=lambda pair: pair[1]):
        story.tell(f"{state.lower():<10} {address}")

    story.step("Loading a shop: orders, customers, products, a blog, sensor readings")
    data.load(client)
    size = sizes(client)
    story.tell(
        f"{size['documents']:,} documents in {size['collections']} collections,"
        f" {size['bytes'] / 1e6:.0f} MB; a view, a time series, indexes, a user, a role"
    )

    agent = agents.all[0]
    before = _back_up(story, client, agent, replica_set)

    story.step("Disaster")
    for deed in data.destroy(client):
        story.tell(deed)

    story.step("Restoring")
    verb(story, agent, "restore", "--overwrite")

    story.step("Comparing")
    after = State(contents=contents(client), users=users_hash(client))
    table, found = compare(client, before, after)
    is_proved = story.conclude(
        table,
        found,
        f"all {len(before.contents.hashes)} collections, their options, indexes, views, users and"
        " roles are what they were at the cluster time of the backup, byte for byte.",
    )
    return accident.play(story, client, agent, replica_set) and is_proved


def _back_up(story: Story, client: Client, agent: Agent, replica_set: ReplicaSet) -> State:
    """Back up while an application writes; return the state at the backup's consistent time."""
    story.step("Backing up, while an application goes on taking orders")
    with data.Writer(client) as writer:
        verb(story, agent, "backup", "--note", "demo")
        during = writer.write_count
    entry = newest_backup(agent)
    seconds, increment = map(int, entry["consistent_at"].split("."))
    when = datetime.fromtimestamp(seconds, tz=UTC)
    states = replica_set.states()
    readers = " and ".join(f"{states[name].lower()} {name}" for name in entry["nodes"])
    story.tell(f"Read from {readers}, at one cluster time:")
    story.tell(f"Timestamp({seconds}, {increment}), that is {when:%H:%M:%S} UTC.")
    # The server still remembers that moment: it can hash the data as they were then.
    at = contents(client, at=Timestamp(seconds, increment))
    now = contents(client)
    changed = sum(at.hashes[name] != now.hashes.get(name) for name in at.hashes)
    story.tell(
        f"The application wrote {during:,} times meanwhile; {changed} collections have"
        " changed since that time."
    )
    return State(contents=at, users=users_hash(client))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
