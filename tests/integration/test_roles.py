"""The role flow at a server that evaluates trust policies, external ids and permissions."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from agent.core import log
from agent.core.clock import SystemClock
from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.jobs.roles.authorize import AuthorizeRoleJob
from agent.jobs.roles.ports import RolePorts
from agent.model.commands import AuthorizeRole
from agent.model.roles import Authorization, RoleState
from agent.model.status import StorageAccess
from agent.ports import JobContext, ObjectStore, RoleStorage
from agent.settings import Settings
from agent.wiring.roles import role_storage, source_watch
from agent.wiring.stores import Stores
from tests.fakes.control import MemoryStatus
from tests.fakes.roles import MemoryRoles
from tests.fakes.status import an_agent
from tests.testbed.aws import AwsServer, Keys, Policy, allow, bucket_access, trust
from tests.testbed.aws_shell import run_lines
from tests.testbed.s3 import REGION

NUMBERS = count(1)
# This server wants it in any case; AWS, of an identity in another account than the role's.
MAY_ASSUME = allow("sts:AssumeRole", on="*")


@dataclass
class Desk:
    """One agent's side of the flow; what it would write to MongoDB is kept in memory."""

    aws: AwsServer
    bucket: str
    keys: Keys
    settings: Settings
    stores: Stores
    roles: MemoryRoles = field(default_factory=lambda: MemoryRoles(SystemClock()))
    status: MemoryStatus = field(default_factory=lambda: MemoryStatus(SystemClock()))
    before_assuming: Callable[[], None] = lambda: None

    def look(self) -> tuple[StorageAccess, ...]:
        """Write down as whom the agent reaches its storages, as its heartbeat does."""
        watch = source_watch(self.settings, self.stores)
        stop = Stop()
        stop.set()
        watch.run(stop)
        access = watch.access()
        self.status.write_agent(an_agent("a:1", SystemClock().now(), access=access))
        return access

    def run(self, *, patience_s: float = 0, **options: str) -> Mapping[str, object]:
        """Run one command to its end."""
        ports = RolePorts(
            roles=self.roles,
            status=self.status,
            storage=self._storage,
            token=lambda: f"{next(NUMBERS):08}-unguessable",
            replset="rs0",
            clock=SystemClock(),
            patience_s=patience_s,
            log=log.get(),
        )
        context = JobContext(
            command_id=1, agent="a:1", token=next(NUMBERS), stop=Stop(), held=lambda: None
        )
        job = AuthorizeRoleJob(context, AuthorizeRole.model_validate(options), ports)
        job.plan()
        return job.run()

    def _storage(self, label: str | None) -> RoleStorage:
        storage = role_storage(self.settings, self.stores, label)

        def assume(role_arn: str, external_id: str | None) -> ObjectStore:
            self.before_assuming()
            return storage.assume(role_arn, external_id)

        return replace(storage, assume=assume)

    def begun(self) -> Authorization:
        """Begin, and return what is in progress."""
        self.look()
        self.run()
        return self.only()

    def only(self) -> Authorization:
        """Return the authorization that is there."""
        (found,) = self.roles.authorizations()
        return found

    def refusal(self, role_arn: str) -> PermanentError:
        """Return what completing with a role ends with."""
        with pytest.raises(PermanentError) as caught:
            self.run(role_arn=role_arn)
        return caught.value

    def objects(self) -> list[str]:
        """Return the keys in the bucket."""
        found = self.aws.client().list_objects_v2(Bucket=self.bucket)
        return [each["Key"] for each in found.get("Contents", ())]


def desk_of(aws: AwsServer, keys: Keys, s3: Mapping[str, object] | None = None) -> Desk:
    """Return an agent whose source of credentials are these keys."""
    bucket = aws.create_bucket()
    block = {
        "region": REGION,
        "bucket": bucket,
        "prefix": "it's prod",
        "endpoint_url": aws.endpoint_url,
        **(s3 or {}),
    }
    settings = Settings.model_validate({
        "mongodb": {"uri": "mongodb://127.0.0.1:27017/"},
        "storage": {"label": "main", "type": "s3", "s3": block},
    })
    environment = {**aws.environment(), **keys.environment()}
    return Desk(
        aws=aws,
        bucket=bucket,
        keys=keys,
        settings=settings,
        stores=Stores(settings, environment, Stop()),
    )


@pytest.fixture
def desk(aws_server: AwsServer) -> Desk:
    """An agent with keys of a user that may do nothing but assume roles."""
    return desk_of(aws_server, aws_server.create_user(MAY_ASSUME))


class TestBegin:
    """What the operator gets is what the server wants."""

    @pytest.mark.parametrize("way", ["create", "adapt"])
    def test_the_lines_make_a_role_that_works(self, desk: Desk, way: str) -> None:
        """Pasted into a shell as they are, for a new role and for one that is there."""
        found = desk.begun()
        if way == "adapt":
            desk.aws.create_role(trusted=trust(desk.keys.arn), name=found.role_name)
        role_arn = run_lines(desk.aws, getattr(found.cli, way)).splitlines()[-1]
        result = desk.run(role_arn=role_arn)
        assert result["warnings"] == []
        assert (desk.only().state, desk.only().role_arn) == (RoleState.AUTHORIZED, role_arn)
        assert desk.objects() == []

    def test_the_session_of_a_role_is_trusted_as_that_role(self, aws_server: AwsServer) -> None:
        """Instance profiles, containers and web identities are sessions."""
        source = aws_server.create_role(MAY_ASSUME)
        desk = desk_of(aws_server, aws_server.assume(source))
        found = desk.begun()
        assert found.principals == (source,)
        role_arn = run_lines(desk.aws, found.cli.create).splitlines()[-1]
        assert desk.run(role_arn=role_arn)["state"] == "authorized"

    def test_below_a_configured_role_the_source_is_trusted(self, aws_server: AwsServer) -> None:
        """Whatever the configuration puts on top: it is the source that will assume the new one."""
        user = aws_server.create_user(MAY_ASSUME)
        worn = aws_server.create_role(bucket_access("*"), trusted=trust(user.arn))
        desk = desk_of(aws_server, user, {"role": {"arn": worn}})
        (access,) = desk.look()
        assert (access.identity, access.role) == (user.arn, worn)
        assert desk.begun().principals == (user.arn,)

    def test_an_agent_without_keys_has_no_identity(self, aws_server: AwsServer) -> None:
        """Nobody can be trusted then."""
        desk = desk_of(aws_server, aws_server.create_user(MAY_ASSUME))
        desk.stores = Stores(desk.settings, aws_server.environment(), Stop())
        desk.look()
        with pytest.raises(PermanentError) as caught:
            desk.run()
        assert caught.value.code == "no_identity"


class TestComplete:
    """A role is believed only once it was used."""

    def role(self, desk: Desk, *permissions: Policy, trusted: Policy | None = None) -> str:
        """Make a role that trusts the agent as it should, unless told otherwise."""
        found = desk.begun()
        right = trust(desk.keys.arn, external_id=found.external_id)
        return desk.aws.create_role(*permissions, trusted=trusted or right)

    def test_a_wrong_external_id_is_refused(self, desk: Desk) -> None:
        """STS does not say more than that it refuses; the hint says where to look."""
        other = trust(desk.keys.arn, external_id="another")
        role_arn = self.role(desk, bucket_access(desk.bucket), trusted=other)
        error = desk.refusal(role_arn)
        assert error.code == "role_denied"
        assert role_arn in error.message
        assert "external id" in error.hint
        told = desk.only().last_error
        assert told is not None
        assert told.code == "role_denied"
        assert desk.only().state is RoleState.IN_PROGRESS

    def test_a_role_that_is_not_there_is_refused_alike(self, desk: Desk) -> None:
        """AWS does not tell whether a role exists."""
        desk.begun()
        assert desk.refusal("arn:aws:iam::111122223333:role/nobody").code == "role_denied"

    def test_a_role_that_trusts_somebody_else_is_refused(self, desk: Desk) -> None:
        """With the right external id, too."""
        found = desk.begun()
        other = trust(desk.aws.create_user().arn, external_id=found.external_id)
        role_arn = desk.aws.create_role(bucket_access(desk.bucket), trusted=other)
        assert desk.refusal(role_arn).code == "role_denied"

    def test_a_trust_without_the_external_id_is_a_warning(self, desk: Desk) -> None:
        """The role works, for whoever makes the agent use it too."""
        role_arn = self.role(desk, bucket_access(desk.bucket), trusted=trust(desk.keys.arn))
        result = desk.run(role_arn=role_arn)
        assert result["state"] == "authorized"
        assert "without the external id" in str(result["warnings"])

    def test_a_missing_permission_is_named(self, desk: Desk) -> None:
        """Each action that agents need is tried; what was put can be left only by one."""
        needed = {"s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:DeleteObject"}
        place = [f"arn:aws:s3:::{desk.bucket}", f"arn:aws:s3:::{desk.bucket}/*"]
        role_arn = self.role(desk)
        for missing in sorted(needed, reverse=True):
            desk.aws.set_role_policies(role_arn, allow(*(needed - {missing}), on=place))
            error = desk.refusal(role_arn)
            assert error.code == "storage_denied"
            assert f"allow {missing}" in error.hint
            assert (desk.objects() == []) == (missing != "s3:DeleteObject")
        desk.aws.set_role_policies(role_arn, bucket_access(desk.bucket))
        desk.run(role_arn=role_arn)
        assert desk.only().last_error is None
        assert desk.objects() == []

    def test_it_waits_for_changes_that_are_on_their_way(self, desk: Desk) -> None:
        """What IAM was told a moment ago is not everywhere yet: first the trust, then the rest."""
        role_arn = self.role(desk, trusted=trust(desk.keys.arn, external_id="old"))
        tries = count(1)

        def late(number: int) -> None:
            if number == 2:
                desk.aws.set_trust(role_arn, json.loads(desk.only().trust_policy))
            if number == 3:
                desk.aws.set_role_policies(role_arn, bucket_access(desk.bucket))

        desk.before_assuming = lambda: late(next(tries))
        assert desk.run(role_arn=role_arn, patience_s=60)["state"] == "authorized"
        assert next(tries) > 3

    def test_a_wrong_secret_is_not_the_roles_fault(self, desk: Desk) -> None:
        """And no waiting helps."""
        role_arn = self.role(desk, bucket_access(desk.bucket))
        wrong = Keys(
            access_key_id=desk.keys.access_key_id, secret_access_key="wrong", arn=desk.keys.arn
        )
        broken = desk_of(desk.aws, wrong)
        desk.stores = broken.stores
        assert desk.refusal(role_arn).code == "credentials_wrong"
