"""Asking an agent for its metrics, as Prometheus does."""

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.error import URLError

from prometheus_client.parser import text_string_to_metric_families

from tests.testbed import secrecy
from tests.testbed.loopback import HOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One line of an answer."""

    name: str
    labels: Mapping[str, str]
    value: float


class Scraped:
    """One answer, parsed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = [
            Sample(name=each.name, labels=each.labels, value=each.value)
            for family in text_string_to_metric_families(text)
            for each in family.samples
        ]
        self.names = {each.name for each in self.samples}

    def find(self, name: str, **labels: str) -> list[Sample]:
        """Return the samples of a name that have these labels among theirs."""
        return [
            each
            for each in self.samples
            if each.name == name and labels.items() <= each.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float:
        """Return the value of the one sample that there is."""
        found = self.find(name, **labels)
        assert len(found) == 1, f"{name} {labels}: {found}"
        return found[0].value

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples; 0 if there are none."""
        return sum(each.value for each in self.find(name, **labels))


def fetch(port: int, path: str = "/metrics") -> str:
    """Return what is served at a port of this host. Raises: URLError."""
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
    secrecy.check(text, "what was served")
    return text


def scrape(port: int) -> Scraped:
    """Return the metrics of the agent that listens on a port. Raises: URLError."""
    return Scraped(fetch(port))


def serves(port: int) -> bool:
    """Whether something serves metrics there."""
    try:
        fetch(port)
    except (URLError, ConnectionError):
        return False
    return True
