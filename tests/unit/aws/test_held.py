"""Keys that are renewed in time, at a clock of our own."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from agent.aws.held import BotocoreKeys, HeldKeys
from agent.aws.keys import Keys
from agent.core import log as logs
from agent.core.errors import TransientError
from agent.core.flow import Stop, WorkerGroup
from tests.fakes.clock import VirtualClock

DOWN = TransientError("credentials_unavailable", "the source is down")


@dataclass
class Giver:
    """Gives keys that last an hour, each time others."""

    clock: VirtualClock
    life_s: float | None = 3600
    is_down: bool = False
    is_stuck: bool = False
    given: list[Keys] = field(default_factory=list)
    asked_count: int = 0

    def fetch(self) -> Keys:
        """Return fresh keys, or fail."""
        self.asked_count += 1
        if self.is_down:
            raise DOWN
        if self.is_stuck:
            return self.given[-1]
        life = timedelta(seconds=self.life_s) if self.life_s is not None else None
        keys = Keys(
            access_key_id=f"id-{len(self.given)}",
            secret_access_key="secret",
            expires_at=self.clock.now() + life if life is not None else None,
            source="giver",
        )
        self.given.append(keys)
        return keys


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that stands still."""
    return VirtualClock()


@pytest.fixture
def giver(clock: VirtualClock) -> Giver:
    """A source that works."""
    return Giver(clock)


@pytest.fixture
def held(clock: VirtualClock, giver: Giver) -> HeldKeys:
    """Keys of that source, none fetched yet."""
    return HeldKeys(giver.fetch, clock, logs.get())


def test_nothing_is_fetched_before_it_is_needed(held: HeldKeys, giver: Giver) -> None:
    """A look asks nobody."""
    assert held.peek() is None
    assert giver.asked_count == 0


def test_keys_are_kept_while_they_are_fresh(
    held: HeldKeys, giver: Giver, clock: VirtualClock
) -> None:
    """An hour's keys serve for three quarters of it."""
    held.get()
    clock.move(44 * 60)
    held.get()
    assert giver.asked_count == 1


def test_keys_are_renewed_a_quarter_of_an_hour_before_they_end(
    held: HeldKeys, giver: Giver, clock: VirtualClock
) -> None:
    """The request that finds it out gets the new ones."""
    held.get()
    clock.move(45 * 60)
    assert held.get().access_key_id == "id-1"


def test_short_keys_are_not_fetched_for_each_request(
    held: HeldKeys, giver: Giver, clock: VirtualClock
) -> None:
    """Keys of five minutes serve for most of them."""
    giver.life_s = 300
    for _ in range(20):
        held.get()
        clock.move(10)
    assert giver.asked_count == 1


def test_old_keys_are_used_to_their_end_while_the_source_is_down(
    held: HeldKeys, giver: Giver, clock: VirtualClock
) -> None:
    """It is asked about once a minute, not at each request; then it is an error."""
    held.get()
    giver.is_down = True
    clock.move(45 * 60)
    for _ in range(89):
        assert held.get().access_key_id == "id-0"
        clock.move(10)
    assert 10 <= giver.asked_count <= 40
    clock.move(10)
    with pytest.raises(TransientError):
        held.get()
    giver.is_down = False
    assert held.get().access_key_id == "id-1"


def test_keys_without_an_end_are_never_fetched_again(
    held: HeldKeys, giver: Giver, clock: VirtualClock
) -> None:
    """Static keys."""
    giver.life_s = None
    held.get()
    clock.move(1_000_000)
    held.get()
    assert giver.asked_count == 1


def test_a_refusal_brings_other_keys(held: HeldKeys, giver: Giver) -> None:
    """However long the old ones were to last."""
    held.get()
    assert held.renew("id-0")
    assert held.get().access_key_id == "id-1"
    assert giver.asked_count == 2


def test_a_late_refusal_of_keys_that_were_replaced_fetches_nothing(
    held: HeldKeys, giver: Giver, clock: VirtualClock
) -> None:
    """A long upload was signed before another thread fetched the keys that are held now."""
    held.get()
    held.renew("id-0")
    clock.move(60)
    assert held.renew("id-0")
    assert held.has_others("id-0")
    assert giver.asked_count == 2


def test_unknown_keys_are_looked_for_once_more(held: HeldKeys, giver: Giver) -> None:
    """Somebody put others into the file; until then the refusal stands, also of keys that end."""
    held.get()
    giver.is_stuck = True
    assert not held.has_others("id-0")
    giver.is_stuck = False
    assert held.has_others("id-0")
    assert held.get().access_key_id == "id-1"


def test_keys_that_nobody_needs_are_renewed_too(
    held: HeldKeys, giver: Giver, clock: VirtualClock
) -> None:
    """In time, not before; once they are over it is tried once, and then left to who needs them."""
    held.keep()
    assert giver.asked_count == 0
    held.get()
    clock.move(44 * 60)
    held.keep()
    assert giver.asked_count == 1
    clock.move(60)
    held.keep()
    assert giver.asked_count == 2
    clock.move(3600)
    giver.is_down = True
    for _ in range(3):
        held.keep()
    assert giver.asked_count == 3
    assert held.trouble() == "the source is down"


def test_what_keeps_keys_from_being_renewed_is_told_until_they_are(
    held: HeldKeys, giver: Giver, clock: VirtualClock
) -> None:
    """While the old ones last."""
    held.get()
    assert held.trouble() is None
    giver.is_down = True
    clock.move(50 * 60)
    held.get()
    assert held.trouble() == "the source is down"
    giver.is_down = False
    clock.move(61)
    held.get()
    assert held.trouble() is None


def test_a_refusal_of_static_keys_is_final(held: HeldKeys, giver: Giver) -> None:
    """There are no others: the request is not repeated."""
    giver.life_s = None
    held.get()
    giver.is_stuck = True
    assert not held.renew("id-0")


def test_a_refusal_of_keys_that_the_source_still_gives_may_pass(
    held: HeldKeys, giver: Giver
) -> None:
    """Sooner or later it gives others."""
    held.get()
    giver.is_stuck = True
    with pytest.raises(TransientError) as caught:
        held.renew("id-0")
    assert caught.value.code == "credentials_unavailable"


def test_botocore_sees_the_keys_of_now(held: HeldKeys, clock: VirtualClock) -> None:
    """Each request is signed with what lasts."""
    credentials = BotocoreKeys(held)
    assert credentials.get_frozen_credentials().access_key == "id-0"
    clock.move(3600)
    assert credentials.get_frozen_credentials().access_key == "id-1"
    assert credentials.get_deferred_property("access_key")() == "id-1"


def test_threads_that_need_keys_at_once_share_one_fetch(held: HeldKeys, giver: Giver) -> None:
    """The first one fetches, the others wait for it."""

    def sign() -> None:
        held.get()

    with WorkerGroup("signers", Stop()) as group:
        for number in range(8):
            group.start(sign, f"signer-{number}")
    assert giver.asked_count == 1
