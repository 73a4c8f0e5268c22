"""Policies on a server that enforces them: each job under exactly what `backstay policy` prints.

Jobs run over a real storage, those that restore and archive on a real replica set too. The server
knows the policies of users and buckets with their conditions.
"""

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from agent.aws import policy, trust
from agent.aws.policy import PLAIN, Scope
from agent.core import log
from agent.core.clock import SystemClock
from agent.core.errors import AgentError
from agent.core.flow import Stop
from agent.jobs.archive.compaction import CompactionPorts, Compactor
from agent.jobs.archive.ports import Tenure
from agent.jobs.resync import ResyncJob, ResyncPorts
from agent.model.cluster_time import ClusterTime
from agent.model.iam import ACTIONS, Policy, Statement
from agent.ports import JobError
from agent.settings import S3Settings, StorageSettings
from agent.storage.doctor import Examiner, check_storage
from agent.storage.s3 import S3Store
from tests.fakes import archive
from tests.fakes.control import MemoryBackups, MemoryEvents
from tests.fakes.pruning import Cellar
from tests.fakes.store import MemoryStore
from tests.fakes.verifying import Verifying
from tests.integration.archiving import HurriedClock, staged
from tests.integration.restoring import BACKUP, Desk, drop_all
from tests.testbed.aws import (
    ACCOUNT,
    ISSUER,
    AwsServer,
    Keys,
    allow,
    error_code,
    identity_token,
)
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.s3 import REGION
from tests.testbed.waiting import eventually
from tests.unit.jobs import test_delete as deletes
from tests.unit.jobs.test_backup_job import Site

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

pytestmark = pytest.mark.timeout(300)

LIST, GET, PUT, DELETE = "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"
LOOK = {
    "s3:GetBucketVersioning",
    "s3:GetLifecycleConfiguration",
    "s3:GetEncryptionConfiguration",
}
# What the jobs need: with these alone they are done, and without any one of them they fail.
NEEDED: Mapping[str, set[str]] = {
    "start of an agent": {LIST},
    "backup": {LIST, PUT},
    "backup that is given up": {LIST, DELETE},
    "restore": {LIST, GET},
    "restore to a time": {LIST, GET},
    "archive": {LIST, GET, PUT},
    "compaction": {LIST, GET, PUT, DELETE},
    "delete": {LIST, GET, DELETE},
    "prune": {LIST, GET, DELETE},
    "resync": {LIST, GET},
    "verify": {LIST, GET},
    "check of the bucket": {LIST, GET, PUT, DELETE, *LOOK},
}
Document = dict[str, Any]
_numbers = itertools.count()


def _pasted(made: Policy) -> Document:
    """Return a policy as it is after it was printed."""
    document: Document = json.loads(made.text())
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A replica set with a backup and an archive of it, to be put into any storage."""

    replica_set: ReplicaSet
    objects: Mapping[str, bytes]
    later: ClusterTime


@dataclass(kw_only=True)
class Ground:
    """A prefix of a job's own, what lies there, and a user with a policy of its own."""

    aws: AwsServer
    cluster: Cluster
    bucket: str
    s3: S3Settings = field(init=False)
    client: "S3Client" = field(init=False)
    store: S3Store = field(init=False)

    def __post_init__(self) -> None:
        self.s3 = S3Settings(
            region=REGION,
            bucket=self.bucket,
            prefix=f"job-{next(_numbers)}",
            endpoint_url=self.aws.endpoint_url,
        )

    def put(self, objects: Mapping[str, bytes | bytearray]) -> None:
        """Put objects there, as somebody who may."""
        for key, body in objects.items():
            self.aws._root_s3.put_object(
                Bucket=self.bucket, Key=f"{self.s3.prefix}/{key}", Body=bytes(body)
            )

    def listing(self) -> list[str]:
        """Return what is there, as somebody who may."""
        found = self.aws._root_s3.list_objects_v2(Bucket=self.bucket, Prefix=self.s3.prefix)
        return [each["Key"] for each in found.get("Contents", ())]

    def enter(self, *documents: Policy) -> "Ground":
        """Let a new user with these policies use it, and return itself."""
        keys = self.aws.create_user(*(_pasted(each) for each in documents if each.statements))
        self.client = self.aws.client(keys)
        self.store = S3Store(self.s3, lambda: self.client)
        return self

    def permit(self, scope: Scope = PLAIN, **settings: Any) -> "Ground":
        """Let a user in with exactly what the verb prints, and return itself."""
        self.s3 = S3Settings.model_validate({**self.s3.model_dump(), **settings})
        return self.enter(policy.permissions(self.s3, REGION, scope))

    @property
    def memory(self) -> MemoryStore:
        """The storage, for harnesses that were made for one in memory and use its methods only."""
        return cast("MemoryStore", self.store)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One node, backed up, changed, and archived."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        desk = Desk(client=replica_set.client())
        desk.client["shop"]["orders"].insert_many([{"_id": number} for number in range(20)])
        desk.backup()
        desk.client["shop"]["orders"].delete_many({"_id": {"$gte": 5}})
        desk.archive()
        yield Cluster(
            replica_set=replica_set, objects=dict(desk.store.objects), later=desk.archived_to
        )


@pytest.fixture
def ground(aws_server: AwsServer, cluster: Cluster) -> Callable[[], Ground]:
    """A maker of new prefixes in one bucket."""
    bucket = aws_server.create_bucket()
    return lambda: Ground(aws=aws_server, cluster=cluster, bucket=bucket)


# -- the jobs


def start(ground: Ground) -> None:
    """What an agent asks at its start, and every few seconds."""
    ground.store.probe()


def back_up(ground: Ground) -> None:
    """A whole backup, with a reader's tasks."""
    site = Site(store=ground.memory)
    job = site.job()
    job.plan()
    site.run(job)


def give_up(ground: Ground) -> None:
    """What a failed backup has stored is removed."""
    site = Site()
    site.run(site.job())
    stored = {key: body for key, body in site.store.objects.items() if "manifest" not in key}
    ground.put(stored)
    site.store = ground.memory
    site.job().give_up()
    assert ground.listing() == []


def restore(ground: Ground, **options: Any) -> Mapping[str, object]:
    """A full restore over what is there, on a real server."""
    ground.put(ground.cluster.objects)
    client = ground.cluster.replica_set.client()
    drop_all(client)
    return Desk(client=client, store=ground.memory).restore(overwrite=True, **options)


def restore_backup(ground: Ground) -> None:
    """Everything, as it was."""
    restore(ground, backup=BACKUP)
    client = ground.cluster.replica_set.client()
    assert client["shop"]["orders"].count_documents({}) == 20


def restore_to_a_time(ground: Ground) -> None:
    """Everything, with what the archive holds."""
    result = restore(ground, to=ground.cluster.later)
    assert result["replayed_ops"] == 15
    client = ground.cluster.replica_set.client()
    assert client["shop"]["orders"].count_documents({}) == 5


def archive_oplog(ground: Ground) -> None:
    """The archive goes on where it stopped."""
    ground.put(ground.cluster.objects)
    with (
        staged(ground.cluster.replica_set, ground.store) as stage,
        stage.archiver(clock=HurriedClock(factor=100)) as running,
    ):
        mark = stage.mark()

        def ended() -> bool:
            report = running.archiver.report()
            if running.group.error is not None:
                raise running.group.error
            if report is not None and report.error is not None:
                raise _ReportedError(report.error)
            return report is not None and report.archived_to >= mark

        eventually(ended, 30, 0.02, "the archive goes on, or says why not")


def compact(ground: Ground) -> None:
    """An hour is joined, and what it holds removed."""
    memory = MemoryStore()
    for number in range(-1, 6):
        archive.archive(memory, number, number + 1)
    ground.put(memory.objects)
    ports = CompactionPorts(
        identity=archive.IDENTITY,
        store=ground.store,
        events=MemoryEvents(),
        level=1,
        log=log.get(),
    )
    tenure = Tenure(stop=Stop(), held=lambda: None)
    compactor = Compactor(ports)
    assert compactor.run(archive.moment(100), tenure).joined
    assert compactor.run(archive.moment(100), tenure).removed


def delete(ground: Ground) -> None:
    """A backup goes, with the oplog that only it needs."""
    desk = deletes.Desk()
    ground.put(desk.store.objects)
    desk.store = ground.memory
    job = desk.job(deletes.OLD)
    job.plan()
    job.run()
    assert not [key for key in ground.listing() if deletes.OLD in key]


def prune(ground: Ground) -> None:
    """Backups go, with the oplog before those that stay, and what is left of a dead one."""
    cellar = Cellar()
    ground.put(cellar.store.objects)
    ground.put({cellar.leftover(1, age=timedelta(0)): b"left"})
    cellar.now = SystemClock().now() + timedelta(days=2)
    try:
        result = cellar.run(store=ground.store)
    except JobError as error:
        raise _ReportedError(f"{error.code}: {error.hint}") from error
    assert (3, 12, 1) == (result["backups"], result["segments"], result["orphans"])


def resync(ground: Ground) -> None:
    """The list of backups is made anew."""
    desk = deletes.Desk()
    ground.put(desk.store.objects)
    ports = ResyncPorts(
        source=desk.cluster,
        stores={"main": ground.store},
        catalogue=MemoryBackups(),
        log=log.get(),
    )
    job = ResyncJob(deletes.context(), ports)
    job.plan()
    assert {"main": 2} == job.run()["backups"]


def verify(ground: Ground) -> None:
    """All of a backup is read; the verdict is kept there only if it may be."""
    memory = MemoryStore()
    site = Verifying(memory)
    ground.put(memory.objects)
    site.store = ground.store
    job = site.job("content")
    job.plan()
    assert job.run()["bad_objects"] == 0


def examine(ground: Ground) -> None:
    """All tests of the bucket; a setting that may not be read is a warning."""
    block = StorageSettings(label="main", type="s3", s3=ground.s3)
    by = Examiner(replset="rs0", agent="a:1", name="abc", clock=SystemClock())
    for finding in check_storage(block, by, lambda _: ground.client):
        if finding.missing or finding.outcome == "failed":
            raise _ReportedError(f"{finding.message}: {finding.missing}")


JOBS: Mapping[str, Callable[[Ground], None]] = {
    "start of an agent": start,
    "backup": back_up,
    "backup that is given up": give_up,
    "restore": restore_backup,
    "restore to a time": restore_to_a_time,
    "archive": archive_oplog,
    "compaction": compact,
    "delete": delete,
    "prune": prune,
    "resync": resync,
    "verify": verify,
    "check of the bucket": examine,
}


class _ReportedError(Exception):
    """What the archive says of its failure."""


def only(whole: Policy, actions: Collection[str]) -> Policy:
    """Return what is left of a policy with these actions alone."""
    statements = (
        replace(each, actions=tuple(one for one in each.actions if one in actions))
        for each in whole.statements
    )
    return Policy(statements=tuple(each for each in statements if each.actions))


def refusal(ground: Ground, job: str) -> str | None:
    """Run a job; return what it says if AWS denies it, None if it is done."""
    try:
        JOBS[job](ground)
    except AgentError as error:
        return f"{error.code}: {error.hint}"
    except _ReportedError as error:
        return str(error)
    return None


def test_every_action_is_needed() -> None:
    """Each stands there for some job, and the errors know no other."""
    needed = set().union(*NEEDED.values())
    s3 = S3Settings(bucket="acme", prefix="prod")
    assert needed == set(policy.permissions(s3, REGION).actions())
    assert {*needed, "sts:AssumeRole"} == set(ACTIONS.values())


@pytest.mark.parametrize("job", JOBS)
def test_a_job_needs_these_actions_and_no_other(ground: Callable[[], Ground], job: str) -> None:
    """With them alone it is done; without any one of them it fails, and says which is missing."""

    def said(actions: set[str]) -> str | None:
        at = ground()
        return refusal(at.enter(only(policy.permissions(at.s3, REGION), actions)), job)

    assert said(NEEDED[job]) is None
    for action in sorted(NEEDED[job]):
        assert action in (said(NEEDED[job] - {action}) or "it is done"), f"without {action}"


# -- what the options change


@pytest.mark.parametrize("job", ["restore", "restore to a time", "resync"])
def test_a_reader_restores(ground: Callable[[], Ground], job: str) -> None:
    """Under exactly what --restore-only prints."""
    assert refusal(ground().permit(Scope(is_restore_only=True)), job) is None


def test_a_reader_changes_nothing(ground: Callable[[], Ground]) -> None:
    """Neither writes nor deletes; what was there stays."""
    at = ground().permit(Scope(is_restore_only=True))
    assert PUT in (refusal(at, "backup") or "")
    assert [] == at.listing()
    assert DELETE in (refusal(at, "delete") or "")
    assert [key for key in at.listing() if deletes.OLD in key]


@pytest.mark.parametrize("job", JOBS)
def test_a_versioned_bucket_needs_nothing_more(ground: Callable[[], Ground], job: str) -> None:
    """Every job is done there, under exactly what --versioned prints."""
    at = ground().permit(Scope(is_versioned=True))
    keep_versions(at)
    assert refusal(at, job) is None


def test_what_is_deleted_in_a_versioned_bucket_comes_back(ground: Callable[[], Ground]) -> None:
    """Not even an agent that other policies allow everything can end a version."""
    at = ground()
    keep_versions(at)
    s3, root = at.s3, at.aws._root_s3
    permitted = policy.permissions(s3, REGION, Scope(is_versioned=True))
    everything = Statement(sid="Everything", actions=("s3:*",), resources=("*",))
    at.enter(permitted, Policy(statements=(everything,)))
    delete(at)
    found = root.list_object_versions(Bucket=at.bucket, Prefix=s3.prefix)
    gone = [each for each in found["Versions"] if deletes.OLD in each["Key"]]
    assert gone
    for each in gone:
        version = {"Bucket": at.bucket, "Key": each["Key"], "VersionId": each["VersionId"]}
        assert "AccessDenied" == error_code(lambda one=version: at.client.delete_object(**one))  # type: ignore[misc]
    assert "AccessDenied" == error_code(
        lambda: at.client.put_bucket_versioning(
            Bucket=at.bucket, VersioningConfiguration={"Status": "Suspended"}
        )
    )
    for marker in found["DeleteMarkers"]:
        root.delete_object(Bucket=at.bucket, Key=marker["Key"], VersionId=marker["VersionId"])
    assert {each["Key"] for each in gone} <= set(at.listing())


def keep_versions(ground: Ground) -> None:
    """Turn versioning on."""
    ground.aws._root_s3.put_bucket_versioning(
        Bucket=ground.bucket, VersioningConfiguration={"Status": "Enabled"}
    )


@pytest.mark.parametrize("of", ["bucket", "agent"])
def test_required_encryption_binds_uploads(ground: Callable[[], Ground], of: str) -> None:
    """By the bucket's policy or the agent's own: done with the encryption, denied without."""
    encryption = {"algorithm": "AES256"}
    asking, silent = ground(), ground()
    scope = Scope(is_encryption_required=of == "agent")
    asking.permit(scope, server_side_encryption=encryption)
    silent.permit(scope)
    if of == "bucket":
        both = (policy.bucket_policy(each.s3, REGION) for each in (asking, silent))
        statements = tuple(one for each in both for one in each.statements)
        asking.aws.set_bucket_policy(asking.bucket, _pasted(Policy(statements=statements)))
    assert refusal(asking, "backup") is None
    for key in asking.listing():
        found = asking.aws._root_s3.head_object(Bucket=asking.bucket, Key=key)
        assert "AES256" == found["ServerSideEncryption"]
    assert "server_side_encryption" in (refusal(silent, "backup") or "")
    assert [] == silent.listing()


# -- whom a role trusts


def test_an_external_id_is_demanded(aws_server: AwsServer) -> None:
    """With the right one, by the identity that is named, and by no other."""
    may_assume = allow("sts:AssumeRole", on="*")
    friend, stranger = (aws_server.create_user(may_assume) for _ in range(2))
    made = trust.external([friend.arn], "8d0f4c1e")
    role = aws_server.create_role(trusted=_pasted(made))

    def code(by: Keys, external_id: str | None) -> str | None:
        return error_code(lambda: aws_server.assume(role, by=by, external_id=external_id))

    assert code(friend, "8d0f4c1e") is None
    assert {"AccessDenied"} == {
        code(friend, None),
        code(friend, "another"),
        code(stranger, "8d0f4c1e"),
    }


def test_who_may_assume_a_role_may_do_that_alone(aws_server: AwsServer) -> None:
    """The role of the configuration, and no other that trusts the same identity."""
    roles = [aws_server.create_role(trusted=_pasted(_whole_account())) for _ in range(2)]
    source = aws_server.create_user(_pasted(policy.may_assume(roles[0])))
    codes = [error_code(lambda role=role: aws_server.assume(role, by=source)) for role in roles]  # type: ignore[misc]
    assert [None, "AccessDenied"] == codes


def _whole_account() -> Policy:
    statement = Statement(
        sid="TrustAccount",
        principal={"AWS": (f"arn:aws:iam::{ACCOUNT}:root",)},
        actions=("sts:AssumeRole",),
    )
    return Policy(statements=(statement,))


def test_a_service_account_assumes_its_role(aws_server: AwsServer) -> None:
    """By its token; one of another namespace, or for another audience, is refused."""
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"
    made = trust.service_account(provider, "mongodb", "backstay")
    role = aws_server.create_role(trusted=_pasted(made))
    sts = aws_server.sts(aws_server.create_user())

    def code(token: str) -> str | None:
        return error_code(
            lambda: sts.assume_role_with_web_identity(
                RoleArn=role, RoleSessionName="pod", WebIdentityToken=token
            )
        )

    own = "system:serviceaccount:mongodb:backstay"
    assert code(identity_token(own)) is None
    assert code(identity_token("system:serviceaccount:other:backstay")) is not None
    assert code(identity_token(own, audience="another")) is not None


@pytest.mark.parametrize(
    "made", [trust.instances(), trust.ecs_tasks(), trust.pods("mongodb", "backstay")]
)
def test_services_are_accepted_as_principals(aws_server: AwsServer, made: Policy) -> None:
    """IAM takes the policy; and nobody else may assume the role."""
    role = aws_server.create_role(trusted=_pasted(made))
    assert "AccessDenied" == error_code(lambda: aws_server.assume(role))
