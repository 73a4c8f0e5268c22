"""`make soak`: torture clusters until a restore is wrong, or the time is up."""

import tempfile
import time
from pathlib import Path

import click

from tests.campaign.run import campaign, tell
from tests.system.storages import DirectoryStorage
from tests.system.test_torture import torture
from tests.testbed.clients import closing_clients
from tests.testbed.programs import MongodVersion


@click.command()
@click.option("--minutes", default=30.0, show_default=True, help="How long to begin new seeds.")
@click.option("--seed", default=1, show_default=True, help="The first seed.")
@click.option("--rounds", default=12, show_default=True, help="Moments recorded for each seed.")
@click.option("--server", type=click.Choice(["5.0", "6.0"]), default="6.0", show_default=True)
@click.option("--campaign", "is_campaign", is_flag=True, help="Faults of every kind instead.")
@click.option("--seconds", default=40.0, show_default=True, help="Of faults, in a campaign.")
@click.option("--stale-lists", is_flag=True, help="Listings lag, which no supported store's do.")
def main(
    *,
    minutes: float,
    seed: int,
    rounds: int,
    server: MongodVersion,
    is_campaign: bool,
    seconds: float,
    stale_lists: bool,
) -> None:
    """Torture a cluster with ascending seeds; ends with the first restore that is wrong."""
    if is_campaign:
        _go_on(seed, minutes, seconds, stale_lists=stale_lists)
        return
    begun_at = time.monotonic()
    first = seed
    while seed == first or time.monotonic() - begun_at < minutes * 60:
        with tempfile.TemporaryDirectory(prefix="backstay-soak-") as path, closing_clients():
            torture(DirectoryStorage(Path(path)), seed=seed, rounds=rounds, version=server)
        click.echo(f"seed {seed}: every moment came back, {time.monotonic() - begun_at:.0f} s")
        seed += 1
    click.echo(f"{seed - first} seeds, {(seed - first) * rounds} moments: all came back exactly.")


def _go_on(first: int, minutes: float, seconds: float, *, stale_lists: bool) -> None:
    """Run campaigns; ends with the first that breaks a promise."""
    begun_at = time.monotonic()
    seed = first
    while seed == first or time.monotonic() - begun_at < minutes * 60:
        with closing_clients():
            found = campaign(seed, seconds, stale_lists=stale_lists)
        found.check()
        tell(found)
        click.echo(f"seed {seed}: all promises held, {time.monotonic() - begun_at:.0f} s")
        seed += 1
    click.echo(f"{seed - first} seeds: all promises held.")


if __name__ == "__main__":
    main()
