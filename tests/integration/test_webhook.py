"""The webhook against a real HTTP server, and what goes wrong between the two."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agent.core.clock import SystemClock
from agent.core.errors import AgentError, PermanentError, TransientError
from agent.core.flow import Stop, WorkerGroup
from agent.core.log import get
from agent.daemon.notices import NoticePorts, Notices
from agent.model.commands import CommandRecord
from agent.model.states import State
from agent.outside.webhook import Address, Webhook
from tests.fakes.http_server import Answer, Request, serving
from tests.testbed.endpoint import Endpoint
from tests.testbed.loopback import HOST, free_port
from tests.testbed.slow_line import SlowLine
from tests.testbed.waiting import eventually

SECRET = "T000-B000-never-shown"
TLS_FILES = Path(__file__).parents[1] / "contract" / "tls"


class Receiver(Endpoint):
    """A receiver of webhooks, with the switches of every endpoint."""

    def __init__(self) -> None:
        """Nothing has arrived."""
        super().__init__()
        self.got: list[str] = []

    def environment(self) -> dict[str, str]:
        """Return none: it stands in the configuration."""
        return {}

    def _answer(self, request: Request) -> Answer:
        self.got.append(json.loads(request.body)["command"]["id"])
        return Answer(status=204)


def webhook(url: str, *, timeout_s: float = 10.0, ca_file: Path | None = None) -> Webhook:
    """Return a webhook at an address with a secret path."""
    return Webhook(
        Address(
            url=f"{url}/{SECRET}?key={SECRET}",
            headers={"Authorization": f"Bearer {SECRET}"},
            ca_file=ca_file,
            timeout_s=timeout_s,
            agent_version="0.1.0",
        )
    )


def error_of(call: Callable[[], None]) -> AgentError:
    """Return the error of a call, which holds no secret."""
    with pytest.raises(AgentError) as caught:
        call()
    error = caught.value
    shown = f"{error.message} {error.hint} {error.facts} {error!r} {error.__cause__!r}"
    assert SECRET not in shown
    return error


def test_a_notice_is_one_post_of_json() -> None:
    """With the headers of the settings, and an id by which a repetition is known."""
    with serving(lambda _request: Answer(body=b"ok")) as server:
        webhook(server.url).post("42", b'{"a": 1}')
        (found,) = server.requests
    assert ("POST", f"/{SECRET}?key={SECRET}", b'{"a": 1}') == (
        found.method,
        found.path,
        found.body,
    )
    expected = {
        "content-type": "application/json",
        "idempotency-key": "42",
        "user-agent": "backstay/0.1.0",
        "authorization": f"Bearer {SECRET}",
    }
    assert expected.items() <= found.headers.items()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again(status: int) -> None:
    """The receiver is overloaded or broken for the moment."""
    with serving(lambda _request: Answer(status=status)) as server:
        error = error_of(lambda: webhook(server.url).post("1", b"{}"))
    assert (TransientError, "webhook_unreachable") == (type(error), error.code)
    assert f"status {status}" in error.message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_told_from_a_fault(status: int) -> None:
    """It is the notice, or the address, that is wrong."""
    with serving(lambda _request: Answer(status=status)) as server:
        error = error_of(lambda: webhook(server.url).post("1", b"{}"))
    assert (PermanentError, "webhook_refused") == (type(error), error.code)
    assert f"status {status}" in error.message


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    """A header with a secret would go to whomever the receiver names."""
    with serving(lambda _request: Answer()) as other:
        moved = Answer(status=status, headers={"Location": other.url})
        with serving(lambda _request: moved) as server:
            error = error_of(lambda: webhook(server.url).post("1", b"{}"))
        assert [] == other.requests
    assert (PermanentError, "webhook_refused") == (type(error), error.code)
    assert "redirects are not followed" in error.message


def test_a_receiver_that_is_not_there_may_come_back() -> None:
    """Refused connections, names that nobody knows, and silence are all alike."""
    refused = error_of(lambda: webhook(f"http://{HOST}:{free_port()}").post("1", b"{}"))
    assert "Connection refused" in refused.message
    unknown = error_of(lambda: webhook("http://nowhere.invalid").post("1", b"{}"))
    assert "nowhere.invalid does not answer" in unknown.message
    with Receiver.start() as receiver:
        receiver.delay_s = 60.0
        silent = error_of(lambda: webhook(receiver.url, timeout_s=0.3).post("1", b"{}"))
    assert "timed out" in silent.message
    assert {"webhook_unreachable"} == {each.code for each in (refused, unknown, silent)}


def test_a_receiver_must_prove_who_it_is() -> None:
    """A certificate of an authority that is not trusted gets nothing; one that is named, does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS_FILES / "server.pem")
    with serving(lambda _request: Answer(), context) as server:
        error = error_of(lambda: webhook(server.url).post("1", b"{}"))
        assert "certificate is not trusted" in error.message
        assert [] == server.requests
        webhook(server.url, ca_file=TLS_FILES / "authority.pem").post("1", b"{}")
        assert 1 == len(server.requests)


@contextmanager
def telling(receiver: Receiver, *, timeout_s: float = 1.0) -> Iterator[Callable[[str], None]]:
    """Run notices as an agent does, and yield what lets a command end."""
    notices = Notices(
        NoticePorts(
            postbox=webhook(receiver.url, timeout_s=timeout_s),
            events=frozenset({"command_done"}),
            replset="rs0",
            agent="a:1",
            clock=SystemClock(),
            log=get(),
        )
    )

    def end(command: str) -> None:
        options = {"command": "backup"}
        record = CommandRecord(
            command_id=command, options=options, state=State.DONE, created_at=None, token=1
        )
        notices.command_ended(record, State.DONE)

    stop = Stop()
    with WorkerGroup("test", stop) as group:
        group.start(lambda: notices.run(group.stop), "notices")
        yield end
        group.stop.set()


def test_notices_arrive_after_everything_that_a_receiver_can_do() -> None:
    """Errors, a refused connection, silence: each notice arrives once it answers, in order."""
    with Receiver.start() as receiver, telling(receiver) as end:
        receiver.fail(2)
        end("1")
        eventually(lambda: ["1"] == receiver.got)
        receiver.vanish()
        end("2")
        end("3")
        receiver.come_back()
        eventually(lambda: ["1", "2", "3"] == receiver.got)
        receiver.delay_s = 60.0
        end("4")
        eventually(lambda: receiver.count() > 5)
        receiver.delay_s = 0.0
        receiver.come_back()
        eventually(lambda: "4" in receiver.got[3:], message="the last one arrives")


def test_the_end_of_an_agent_does_not_wait_for_a_silent_receiver() -> None:
    """However long it may take to answer."""
    with Receiver.start() as receiver:
        receiver.delay_s = 3600.0
        with telling(receiver, timeout_s=3600.0) as end:
            end("1")
            eventually(lambda: receiver.count() == 1)
        # The exchange still goes on, and holds up nobody.
        assert [] == receiver.got


def test_a_receiver_that_trickles_has_not_answered_in_time() -> None:
    """A byte a second keeps to the timeout of each receive, and would hold up all that follow."""
    with serving(lambda _request: Answer(status=204)) as server:
        port = urlsplit(server.url).port
        assert port is not None
        with SlowLine(port) as line:
            line.trickles, line.pause_s = True, 0.2
            began = time.monotonic()
            error = error_of(
                lambda: webhook(f"http://{HOST}:{line.port}", timeout_s=1.0).post("1", b"{}")
            )
    assert (TransientError, "webhook_unreachable") == (type(error), error.code)
    assert "timed out" in error.message
    assert time.monotonic() - began < 15
