"""What the service manager hears."""

import pytest

from agent.core.notify import ServiceManager
from tests.testbed.manager import NotifySocket


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_each_word_is_one_message(abstract: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """In the order in which they are said, to a path as to an abstract name."""
    with NotifySocket(abstract=abstract) as listener:
        manager = ServiceManager(listener.address)
        manager.starting("waits")
        manager.ready("started")
        manager.alive("secondary")
        manager.stopping()
        assert listener.words() == [
            {"STATUS": "waits", "EXTEND_TIMEOUT_USEC": "120000000"},
            {"STATUS": "started", "READY": "1"},
            {"STATUS": "secondary", "WATCHDOG": "1"},
            {"STATUS": "stopping", "STOPPING": "1"},
        ]


def test_a_status_cannot_say_anything_else() -> None:
    """A line end in it would begin another assignment."""
    with NotifySocket() as listener:
        ServiceManager(listener.address).starting("no answer\nREADY=1")
        assert listener.words()[0]["STATUS"] == "no answer READY=1"
        assert not listener.count("READY")


@pytest.mark.parametrize("address", ["", "/no/such/socket", "@nobody-is-there", "vsock:2:1234"])
def test_nobody_needs_to_listen(address: str) -> None:
    """Outside systemd, or when it is gone, nothing happens."""
    manager = ServiceManager(address)
    manager.ready("started")
    manager.alive("secondary")
    manager.stopping()
