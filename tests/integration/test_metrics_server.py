"""The server of metrics, at real ports, asked by those who mean well and those who do not."""

import gzip
import http.client
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from prometheus_client import CollectorRegistry, Counter

from agent.core.errors import Stopped
from agent.core.flow import Stop, WorkerGroup
from agent.core.log import get
from agent.metrics.server import MetricsServer
from tests.testbed.loopback import HOST, free_port
from tests.testbed.scraping import Scraped, fetch, scrape, serves
from tests.testbed.waiting import eventually


@contextmanager
def serving(listen: str) -> Iterator[WorkerGroup]:
    """Serve one counter while the context lasts."""
    registry = CollectorRegistry()
    Counter("backstay_tests", "Tests.", registry=registry).inc()
    group = WorkerGroup("test", Stop())
    server = MetricsServer(listen, registry, get(), again_s=0.05)
    group.start(lambda: server.run(group.stop), "metrics")
    try:
        yield group
    finally:
        group.stop.set("the test ends")
        assert group.join(20)


def test_metrics_are_at_their_path_and_nothing_else_is() -> None:
    """A person who looks elsewhere is told where they are."""
    port = free_port()
    with serving(f"{HOST}:{port}"):
        eventually(lambda: serves(port), 20)
        assert 1 == scrape(port).value("backstay_tests_total")
        assert "backstay_tests_total" in fetch(port, "/metrics?name[]=other")
        with closing(http.client.HTTPConnection(HOST, port, timeout=10)) as connection:
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert (404, True) == (answer.status, b"/metrics" in answer.read())
        with closing(http.client.HTTPConnection(HOST, port, timeout=10)) as connection:
            connection.request("POST", "/metrics", b"x")
            assert 405 == connection.getresponse().status


def test_prometheus_gets_the_form_that_it_asks_for() -> None:
    """Its own of today, compressed; a person at a terminal gets the plain one."""
    port = free_port()
    with serving(f"{HOST}:{port}"):
        eventually(lambda: serves(port), 20)
        wanted = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}
        with closing(http.client.HTTPConnection(HOST, port, timeout=10)) as connection:
            connection.request("GET", "/metrics", headers=wanted)
            answer = connection.getresponse()
            body = gzip.decompress(answer.read()).decode()
            assert "openmetrics" in str(answer.getheader("Content-Type"))
        assert "backstay_tests_total 1.0\n" in body
        assert body.endswith("# EOF\n")


def test_an_address_of_ipv6_is_served() -> None:
    """Written in brackets, as everywhere."""
    port = free_port()
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this host has no IPv6")
    with serving(f"[::1]:{port}"):

        def answered() -> bytes | None:
            with closing(http.client.HTTPConnection("::1", port, timeout=10)) as connection:
                try:
                    connection.request("GET", "/metrics")
                except ConnectionError:
                    return None
                return connection.getresponse().read()

        body = eventually(answered, 20)
        assert 1 == Scraped(body.decode()).value("backstay_tests_total")


@pytest.mark.parametrize("listen", ["no-such-host.invalid:9216", f"{'a' * 64}:9216", "192.0.2.1:1"])
def test_an_address_that_cannot_be_had_ends_nothing(
    listen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told of once, however often it is tried; and the end is not held up."""
    with serving(listen) as group:
        eventually(lambda: "metrics_not_served" in capsys.readouterr().out, 30)
        # Each try takes as long as the resolver does.
        group.stop.wait(0.5)
        assert not group.failed
        assert 1 == group.alive_count
        assert "metrics_not_served" not in capsys.readouterr().out


def test_a_port_that_becomes_free_is_taken() -> None:
    """An earlier life of the agent may have held it."""
    port = free_port()
    with socket.socket() as other:
        other.bind((HOST, port))
        other.listen()
        with serving(f"{HOST}:{port}") as group:
            assert not group.stop.wait(0.3)
            other.close()
            eventually(lambda: serves(port), 20)


def test_who_says_nothing_or_nonsense_holds_nobody_up_for_long() -> None:
    """Whoever connects and is silent is hung up on; so is who leaves in the middle."""
    port = free_port()
    with serving(f"{HOST}:{port}") as group:
        eventually(lambda: serves(port), 20)
        with socket.create_connection((HOST, port)) as silent:
            assert "backstay_tests" in fetch(port)
            assert b"" == silent.recv(1)
        with socket.create_connection((HOST, port)) as nonsense:
            nonsense.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        with socket.create_connection((HOST, port)) as hasty:
            hasty.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert 1 == scrape(port).value("backstay_tests_total")
        assert not group.failed


def test_the_end_comes_soon() -> None:
    """Also while somebody is connected and silent."""
    port = free_port()
    with serving(f"{HOST}:{port}") as group:
        eventually(lambda: serves(port), 20)
        with socket.create_connection((HOST, port)):
            group.stop.set("the test ends")
            try:
                assert group.join(9)
            except Stopped:
                return
