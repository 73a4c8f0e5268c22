"""Free ports on the loopback interface."""

import os
import random
import socket

from tests.testbed.waiting import eventually

HOST = "127.0.0.1"

# Below Linux's range for outgoing connections (32768 and up): the port of a killed server must
# still be free when that server comes back. Chosen at random, because other test runs choose too;
# workers of one run have a share each, as a port may be given out long before somebody listens.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_PORTS = range(20_000 + _WORKER, 32_000, _WORKERS)
_random = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """Return a port that nobody listens on, and that this process has not given out before."""
    while True:
        port = _random.choice(_PORTS)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def wait_until_listening(port: int, timeout_s: float = 45.0) -> None:
    """Wait until a connection is accepted. Raises: AssertionError after `timeout_s`."""
    eventually(
        lambda: _accepts(port),
        timeout_s=timeout_s,
        interval_s=0.02,
        message=f"a server listens on port {port}",
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
