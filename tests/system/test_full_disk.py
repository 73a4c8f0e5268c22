"""A restore for which the disk has no room leaves what was there as it was."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from tests.system.observed import of_users
from tests.system.protected import WITHOUT_ARCHIVE, Protected, error_of, patiently, protected
from tests.system.storages import DirectoryStorage
from tests.testbed.hashes import contents, differences
from tests.testbed.mongod import Node
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

DISK_MIB = 300
DOCS = 20_000
# Random, so that it is as large in a backup, on the disk, and in the oplog once more.
DOC_BYTES = 1000
DATA_MIB = DOCS * DOC_BYTES // 1024**2


class NodeOnDisk(Node):
    """A mongod with a small file system of its own, if this user may mount one."""

    refusal: ClassVar[str] = ""

    def start(self, *, wait: bool = True) -> None:
        """Start the mongod; its file system is mounted first."""
        if not os.path.ismount(self.directory) and not self.refusal:
            how = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(self.directory)]
            mounted = subprocess.run(how, capture_output=True, text=True, check=False)
            type(self).refusal = mounted.stderr
        super().start(wait=wait)

    def remove(self) -> None:
        """End the mongod, and take its file system away."""
        self.kill()
        if os.path.ismount(self.directory):
            subprocess.run(["umount", "--lazy", str(self.directory)], check=True)
        super().remove()

    @contextmanager
    def left_with(self, mib: int) -> Iterator[None]:
        """Leave so much room on the disk."""
        ballast = self.directory / "ballast"
        disk = os.statvfs(self.directory)
        try:
            with ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_bsize - mib * 1024**2)
            yield
        finally:
            ballast.unlink()


class SetOnDisk(ReplicaSet):
    """A replica set of such nodes."""

    node_type = NodeOnDisk


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Protected]:
    """One node, its agent, a backup, and data that is not what the backup holds.

    Of each test its own: files of what another one dropped would give room back at any time.
    """
    storage = DirectoryStorage(tmp_path)
    with (
        SetOnDisk.start(ReplicaSetSpec(nodes=1)) as replica_set,
        protected(replica_set, storage, WITHOUT_ARCHIVE) as cluster,
    ):
        orders = cluster.client["shop"]["orders"]
        for first in range(0, DOCS, 2000):
            orders.insert_many([
                {"_id": number, "bytes": secrets.token_bytes(DOC_BYTES)}
                for number in range(first, first + 2000)
            ])
        cluster.done("backup")
        orders.delete_many({"_id": {"$lt": 7}})
        yield cluster


@pytest.fixture
def node(cluster: Protected) -> NodeOnDisk:
    """The node, whose disk is small."""
    node = cluster.replica_set.nodes[0]
    assert isinstance(node, NodeOnDisk)
    if node.refusal:
        pytest.skip(f"this user may not mount a file system: {node.refusal}")
    return node


@contextmanager
def untouched(cluster: Protected) -> Iterator[None]:
    """See that the users' data is the same afterwards, and that nothing is left."""
    before = of_users(contents(cluster.client))
    yield
    assert [] == differences(before, of_users(contents(cluster.client)))
    cluster.check_clean()


def test_a_write_that_the_full_disk_refuses_fails_the_restore(cluster: Protected) -> None:
    """With a code of its own; temporary collections are removed, and the next one is done."""
    refusal = {
        "configureFailPoint": "failCommand",
        "data": {"failCommands": ["insert"], "errorCode": 14031, "appName": "backstay"},
    }
    admin = cluster.client.admin
    with untouched(cluster):
        admin.command({**refusal, "mode": {"skip": 5}})
        try:
            document = cluster.run("restore", overwrite=True)
        finally:
            admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        code, _, hint = error_of(document, "failed")
        assert "mongodb_disk_full" == code
        assert "room" in hint


def test_a_restore_that_cannot_fit_is_rejected(cluster: Protected, node: NodeOnDisk) -> None:
    """Before anything is loaded: the server would end itself when its disk is full."""
    with untouched(cluster), node.left_with(DATA_MIB - 5):
        document = cluster.run("restore", overwrite=True)
        code, message, hint = error_of(document, "rejected")
        assert "disk_too_small" == code
        assert f"{DATA_MIB} MiB" in message
        assert "room" in hint
        assert node.is_running


def test_a_server_that_ends_itself_on_a_full_disk_has_lost_nothing(
    cluster: Protected, node: NodeOnDisk
) -> None:
    """The restore can be cancelled when there is room again, or goes on by itself."""
    with untouched(cluster):
        with node.left_with(DATA_MIB + 8):
            order = cluster.order("restore", overwrite=True)
            eventually(lambda: not node.is_running, 90, message="the server has ended itself")
        node.start()
        cluster.replica_set.primary()
        patiently(lambda: cluster.order("cancel", target=order))
        assert "canceled" == cluster.end_of(order)["state"]
    cluster.done("restore", overwrite=True)
    assert DOCS == cluster.client["shop"]["orders"].count_documents({})
