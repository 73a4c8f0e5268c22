"""The first day of an operator, as the page tells it: from empty hosts to watched backups."""

import re
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.sources import ROOT
from tests.system.walkthrough import Step, steps_of
from tests.testbed import secrecy
from tests.testbed.aws import AwsServer
from tests.testbed.hosts import Host
from tests.testbed.metadata import InstanceMetadata
from tests.testbed.mongod import PASSWORD
from tests.testbed.process import remove_directory, scratch_directory
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.shell import type_into_mongosh
from tests.testbed.wheels import NoRepositoryError, build, copy_of_the_sources

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_PAGE = ROOT / "docs/first-day.md"
_ROLE = "database-hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operator:
    """Somebody at the terminals of three hosts."""

    replica_set: ReplicaSet
    hosts: tuple[Host, ...]
    values: tuple[dict[str, str], ...]
    loaded: list[str]
    """What was loaded into mongosh: each question is a mongosh of its own here."""

    def take(self, step: Step) -> str:
        """Type a step where it belongs, and return what is said, of several hosts by the first."""
        if step.language == "js":
            return self._ask_mongosh(step.text)
        if step.assigns:
            assert set(step.assigns) == set(self.values[0]), step.text
            return ""
        if step.how == "asks":
            answers = [PASSWORD, self.values[0]["PASSWORD"]]
            return self.hosts[0].paste_with_passwords(step.text, self.values[0], answers)
        count = len(self.hosts) if step.how == "each-host" else 1
        with ThreadPoolExecutor(count) as terminals:
            said = [
                terminals.submit(host.paste, step.text, values)
                for host, values in list(zip(self.hosts, self.values, strict=True))[:count]
            ]
        said_by = [each.result() for each in said]
        return said_by[0]

    def _ask_mongosh(self, text: str) -> str:
        if text.startswith("load("):
            folder = self.values[0]["RELEASE"]
            self.loaded.append(text.strip().replace('load("', f'load("{folder}/'))
        lines = [*self.loaded, " ".join(text.split())]
        said = type_into_mongosh(self.replica_set.uri, lines, timeout_s=240)[-1]
        return re.sub(r"^\S+ \[\w+\] \w+> ", "", said, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def release() -> Iterator[Path]:
    """The folder that the archive of a release unpacks to, with the wheel in it."""
    place = scratch_directory("release")
    try:
        built = build(copy_of_the_sources(place / "sources"), place / "dist")
        with tarfile.open(built.sources) as archive:
            archive.extractall(place, filter="data")
        (folder,) = place.glob("backstay-*")
        shutil.copy(built.wheel, folder)
        yield folder
    except NoRepositoryError:
        pytest.skip("this is no clone of the repository")
    finally:
        remove_directory(place)


@pytest.fixture
def operator(aws_server: AwsServer, release: Path) -> Iterator[_Operator]:
    """Three hosts with an instance role, a replica set with users and data, and no Backstay."""
    with ExitStack() as stack:
        replica_set = stack.enter_context(ReplicaSet.start(ReplicaSetSpec(auth=True)))
        orders = [{"_id": number, "state": "new"} for number in range(5_000)]
        replica_set.client()["shop"]["orders"].insert_many(orders)
        role = f"{_ROLE}-{secrets.token_hex(4)}"
        arn = aws_server.create_role(name=role)
        instance = stack.enter_context(InstanceMetadata.start())
        instance.keys = lambda: aws_server.assume(arn)
        machine = {**aws_server.environment(), **instance.environment()}
        hosts = tuple(stack.enter_context(Host(aws_server, machine)) for _ in replica_set.nodes)
        values = {
            "ADMIN": replica_set.uri.replace(f":{PASSWORD}@", "@"),
            "PASSWORD": secrecy.keep(secrets.token_hex(12)),
            "BUCKET": f"acme-{secrets.token_hex(6)}",
            "REGION": "eu-west-1",
            "ROLE": role,
            "RELEASE": str(release),
        }
        yield _Operator(
            replica_set=replica_set,
            hosts=hosts,
            values=tuple({**values, "NODE": node.address} for node in replica_set.nodes),
            loaded=[],
        )


def test_the_first_day_goes_as_the_page_tells_it(operator: _Operator) -> None:
    """Every line is typed, in order, and says what is promised."""
    steps = list(steps_of(_PAGE.read_text(encoding="utf-8")))
    assert {"sh", "js"} == {each.language for each in steps}
    for step in steps:
        output = operator.take(step)
        assert step.is_said_by(output), (
            f"{step.text}--- the page says\n{step.says}--- it said\n{output}"
        )
