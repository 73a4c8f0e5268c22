"""An agent dies at every crash point, in an order of a seed's: `python -m tests.soak.crashes`."""

import random
import tempfile
import time
from pathlib import Path

import click

from agent.core.crash import Point
from tests.system.cancelling import RACES, race
from tests.system.crashing import SCENES, play, stage
from tests.system.storages import DirectoryStorage
from tests.testbed.clients import closing_clients
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec


@click.command()
@click.option("--seed", default=1, show_default=True, help="Decides about the order.")
@click.argument("points", nargs=-1)
def main(seed: int, points: tuple[str, ...]) -> None:
    """Die at all points, or at these, and in races with a cancel, which have names of their own.

    It ends with the first that breaks a promise.
    """
    chosen = list(points) or [*SCENES, *RACES]
    random.Random(seed).shuffle(chosen)
    with (
        tempfile.TemporaryDirectory(prefix="backstay-soak-") as path,
        closing_clients(),
        ReplicaSet.start(ReplicaSetSpec(nodes=2, priorities=(2, 1))) as replica_set,
        stage(replica_set, DirectoryStorage(Path(path))) as on,
    ):
        for name in chosen:
            begun_at = time.monotonic()
            if name in RACES:
                race(on, name)
            else:
                play(on, Point(name))
            click.echo(f"{name}: the promise held, {time.monotonic() - begun_at:.1f} s")
    click.echo(f"{len(chosen)} deaths, and each was followed by a good end.")


if __name__ == "__main__":
    main()
