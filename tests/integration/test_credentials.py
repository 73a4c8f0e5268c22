"""Every source of credentials, alone and beside others, at a server that enforces policies."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest
from pydantic import SecretStr

from agent.aws.held import BotocoreKeys
from agent.aws.session import Access
from agent.core.errors import AgentError, PermanentError, TransientError
from agent.settings import CredentialSettings, RoleSettings, S3Settings
from agent.storage.s3 import S3Store
from tests.testbed.aws import (
    AwsServer,
    Keys,
    allow,
    bucket_access,
    error_code,
    identity_token,
    trust,
    trust_web_identity,
)
from tests.testbed.metadata import (
    ROLES_PATH,
    TOKEN_PATH,
    ContainerCredentials,
    InstanceMetadata,
    rotating,
)
from tests.testbed.waiting import eventually

MAY_ASSUME = allow("sts:AssumeRole", on="*")
SUBJECT = "system:serviceaccount:backup:agent"


@pytest.fixture(scope="module")
def bucket(aws_server: AwsServer) -> str:
    """A bucket of this module's."""
    return aws_server.create_bucket()


@pytest.fixture
def instance() -> Iterator[InstanceMetadata]:
    """An instance metadata service without a role."""
    with InstanceMetadata.start() as endpoint:
        yield endpoint


@pytest.fixture
def container() -> Iterator[ContainerCredentials]:
    """An endpoint of a container, without keys."""
    with ContainerCredentials.start() as endpoint:
        yield endpoint


@dataclass(frozen=True, kw_only=True)
class Way:
    """What has to be there for one source, and whose keys it then gives."""

    source: str
    arn: str
    environment: Mapping[str, str]
    credentials: CredentialSettings | None = None


class Ways:
    """Sets up any of the sources."""

    def __init__(
        self,
        aws: AwsServer,
        bucket: str,
        directory: Path,
        endpoints: tuple[ContainerCredentials, InstanceMetadata],
    ) -> None:
        self.aws = aws
        self.bucket = bucket
        self.directory = directory
        self.container, self.instance = endpoints
        self._makers: dict[str, Callable[[], Way]] = {
            "configuration": self._configuration,
            "environment": self._environment,
            "web identity": self._web_identity,
            "shared files": self._shared_files,
            "container": self._container,
            "instance profile": self._instance_profile,
        }

    def make(self, source: str) -> Way:
        """Set one source up."""
        return self._makers[source]()

    def access(self, *ways: Way, role: RoleSettings | None = None) -> Access:
        """Return access to the bucket with nothing else at hand than these."""
        environment = dict(self.aws.environment())
        for way in ways:
            environment |= way.environment
        credentials = next((way.credentials for way in ways if way.credentials), None)
        return Access(self.settings(credentials, role), environment)

    def settings(
        self, credentials: CredentialSettings | None = None, role: RoleSettings | None = None
    ) -> S3Settings:
        """Return the storage block."""
        return S3Settings(
            bucket=self.bucket,
            region="us-east-1",
            endpoint_url=self.aws.endpoint_url,
            credentials=credentials,
            role=role,
        )

    def user(self) -> Keys:
        """Create a user that may use the bucket."""
        return self.aws.create_user(bucket_access(self.bucket))

    def assumed(self, duration_s: int = 3600) -> Keys:
        """Return short-lived keys for the bucket."""
        role = self.aws.create_role(bucket_access(self.bucket))
        return self.aws.assume(role, duration_s=duration_s)

    def _configuration(self) -> Way:
        keys = self.user()
        return Way(
            source="configuration",
            arn=keys.arn,
            environment={},
            credentials=settings_of(keys),
        )

    def _environment(self) -> Way:
        keys = self.user()
        return Way(source="environment", arn=keys.arn, environment=keys.environment())

    def _web_identity(self) -> Way:
        arn = self.aws.create_role(bucket_access(self.bucket), trusted=trust_web_identity(SUBJECT))
        token = self.directory / "token"
        token.write_text(identity_token(SUBJECT))
        return Way(
            source="web identity",
            arn=arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/backstay",
            environment={"AWS_ROLE_ARN": arn, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)},
        )

    def _shared_files(self) -> Way:
        keys = self.user()
        file = self.directory / "credentials"
        _write_profile(file, keys)
        return Way(
            source="shared files",
            arn=keys.arn,
            environment={"AWS_SHARED_CREDENTIALS_FILE": str(file)},
        )

    def _container(self) -> Way:
        keys = self.assumed()
        self.container.keys = lambda: keys
        return Way(source="container", arn=keys.arn, environment=self.container.environment())

    def _instance_profile(self) -> Way:
        keys = self.assumed()
        self.instance.keys = lambda: keys
        return Way(source="instance profile", arn=keys.arn, environment=self.instance.environment())


@pytest.fixture
def ways(
    aws_server: AwsServer,
    bucket: str,
    tmp_path: Path,
    container: ContainerCredentials,
    instance: InstanceMetadata,
) -> Ways:
    """What sets sources up."""
    return Ways(aws_server, bucket, tmp_path, (container, instance))


def settings_of(keys: Keys) -> CredentialSettings:
    """Return keys as the configuration holds them."""
    return CredentialSettings(
        access_key_id=SecretStr(keys.access_key_id),
        secret_access_key=SecretStr(keys.secret_access_key),
        session_token=SecretStr(keys.session_token) if keys.session_token else None,
    )


def store_of(ways: Ways, access: Access) -> S3Store:
    """Return the bucket as agents use it."""
    return S3Store(ways.settings(), access.connect)


def error_of(call: Callable[[], object]) -> AgentError:
    """Return the error that a call ends with."""
    with pytest.raises(AgentError) as caught:
        call()
    return caught.value


ORDER = (
    "configuration",
    "environment",
    "web identity",
    "shared files",
    "container",
    "instance profile",
)


class TestSources:
    """Which source is used."""

    @pytest.mark.parametrize("source", ORDER)
    def test_each_source_alone_reaches_the_bucket(self, ways: Ways, source: str) -> None:
        """An object is written and read, and the status tells whose keys did it."""
        way = ways.make(source)
        access = ways.access(way)
        store = store_of(ways, access)
        store.put(f"alone/{source}", b"content")
        assert store.get(f"alone/{source}") == b"content"
        facts = access.identify()
        assert facts.source == way.source
        assert facts.identity == way.arn
        is_short_lived = source in {"web identity", "container", "instance profile"}
        assert is_short_lived == (facts.expires_at is not None)

    @pytest.mark.parametrize(("first", "second"), list(combinations(ORDER, 2)))
    def test_of_two_sources_the_first_is_used(self, ways: Ways, first: str, second: str) -> None:
        """Both could answer."""
        one, other = ways.make(first), ways.make(second)
        access = ways.access(other, one)
        store_of(ways, access).probe()
        assert access.identify().source == first
        assert access.identify().identity == one.arn

    def test_a_source_that_fails_is_passed_over(self, ways: Ways) -> None:
        """A token that the role does not trust leaves the next source to answer."""
        broken = ways.make("web identity")
        Path(broken.environment["AWS_WEB_IDENTITY_TOKEN_FILE"]).write_text(
            identity_token("somebody else")
        )
        access = ways.access(broken, ways.make("shared files"))
        store_of(ways, access).probe()
        assert access.facts().source == "shared files"

    def test_a_profile_may_assume_a_role(self, ways: Ways) -> None:
        """The second hop of a profile goes through STS too."""
        user = ways.aws.create_user(MAY_ASSUME)
        arn = ways.aws.create_role(bucket_access(ways.bucket), trusted=trust(user.arn))
        file = ways.directory / "config"
        file.write_text(
            f"[profile base]\naws_access_key_id = {user.access_key_id}\n"
            f"aws_secret_access_key = {user.secret_access_key}\n"
            f"[profile backup]\nrole_arn = {arn}\nsource_profile = base\n"
        )
        way = Way(
            source="shared files",
            arn=arn,
            environment={"AWS_CONFIG_FILE": str(file), "AWS_PROFILE": "backup"},
        )
        access = ways.access(way)
        store_of(ways, access).probe()
        assert access.facts().source == "shared files"
        assert access.facts().expires_at is not None

    def test_version_1_is_used_only_where_there_is_nothing_else(self, ways: Ways) -> None:
        """Failing tokens do not lead to requests without one; a service without tokens does."""
        way = ways.make("instance profile")
        ways.instance.version_1 = "optional"
        ways.instance.fail(2)
        error = error_of(store_of(ways, ways.access(way)).probe)
        assert (type(error), error.code) == (TransientError, "no_credentials")
        assert (ways.instance.count(TOKEN_PATH), ways.instance.count(ROLES_PATH)) == (2, 0)
        ways.instance.version_1 = "only"
        store_of(ways, ways.access(way)).probe()

    def test_one_failure_of_the_metadata_service_is_survived(self, ways: Ways) -> None:
        """Botocore alone would say that there are no credentials."""
        way = ways.make("instance profile")
        ways.instance.fail(1)
        access = ways.access(way)
        store_of(ways, access).probe()
        assert access.facts().source == "instance profile"
        assert ways.instance.count(TOKEN_PATH) == 2


class TestNothing:
    """No source gives anything."""

    def test_the_error_lists_every_source_in_order_within_ten_seconds(self, ways: Ways) -> None:
        """Also when the metadata address swallows packets."""
        ways.instance.swallow()
        nothing = Way(source="", arn="", environment=ways.instance.environment())
        store = store_of(ways, ways.access(nothing))
        begin = time.monotonic()
        error = error_of(store.probe)
        assert time.monotonic() - begin < 20
        assert (type(error), error.code) == (PermanentError, "no_credentials")
        places = [error.message.find(f" {source}: ") for source in ORDER]
        assert -1 not in places
        assert sorted(places) == places
        for reason in ("storage.s3.credentials is not set", "AWS_ACCESS_KEY_ID is not set"):
            assert reason in error.message
        assert ways.instance.url in error.message

    def test_every_endpoint_may_swallow_packets(self, ways: Ways) -> None:
        """STS, the container's endpoint and the metadata service together stay within the bound."""
        web, endpoint = ways.make("web identity"), ways.make("container")
        ways.container.swallow()
        ways.instance.swallow()
        nothing = Way(
            source="",
            arn="",
            environment={
                **ways.instance.environment(),
                "AWS_ENDPOINT_URL_STS": ways.instance.url,
            },
        )
        store = store_of(ways, ways.access(web, endpoint, nothing))
        begin = time.monotonic()
        error = error_of(store.probe)
        assert time.monotonic() - begin < 20
        assert (type(error), error.code) == (TransientError, "no_credentials")

    def test_the_reason_of_each_failing_source_is_told(self, ways: Ways) -> None:
        """A token that is refused, a profile that is not there, an endpoint that says 401."""
        web = ways.make("web identity")
        Path(web.environment["AWS_WEB_IDENTITY_TOKEN_FILE"]).write_text(identity_token("other"))
        endpoint = ways.make("container")
        ways.container.rotate_token()
        ways.container.token_file.write_text("wrong")
        error = error_of(store_of(ways, ways.access(web, endpoint)).probe)
        assert error.code == "no_credentials"
        assert "web identity: AssumeRoleWithWebIdentity: " in error.message
        assert "401" in error.message
        assert "wrong" not in error.message


class TestRotation:
    """Keys that are replaced while an agent runs."""

    def test_other_keys_in_a_shared_file_are_found(self, ways: Ways) -> None:
        """The old ones are deleted; nobody restarts the agent."""
        way = ways.make("shared files")
        store = store_of(ways, ways.access(way))
        store.probe()
        file = Path(way.environment["AWS_SHARED_CREDENTIALS_FILE"])
        old, new = file.read_text().split()[3], ways.user()
        ways.aws.delete_key(old)
        error = error_of(store.probe)
        assert (type(error), error.code) == (PermanentError, "credentials_wrong")
        _write_profile(file, new)
        store.put("rotation/object", b"x")

    def test_other_keys_below_a_role_are_found(self, ways: Ways) -> None:
        """STS does not know the old ones."""
        first, second = (ways.aws.create_user(MAY_ASSUME) for _ in range(2))
        arn = ways.aws.create_role(
            bucket_access(ways.bucket), trusted=trust([first.arn, second.arn])
        )
        file = ways.directory / "credentials"
        way = Way(
            source="shared files",
            arn=arn,
            environment={"AWS_SHARED_CREDENTIALS_FILE": str(file)},
        )
        _write_profile(file, first)
        access = ways.access(way, role=RoleSettings(arn=arn))
        base = access._base
        base.get()
        ways.aws.delete_key(first.access_key_id)
        _write_profile(file, second)
        store_of(ways, access).probe()
        assert base.get().access_key_id == second.access_key_id

    def test_wrong_keys_stay_wrong(self, ways: Ways) -> None:
        """The source is asked once more, and the request is not sent again."""
        keys = Keys(access_key_id="AKIAUNKNOWN", secret_access_key="wrong", arn="")
        way = Way(source="environment", arn="", environment=keys.environment())
        error = error_of(store_of(ways, ways.access(way)).probe)
        assert (type(error), error.code) == (PermanentError, "credentials_wrong")
        assert "credential_source" in error.hint


def _write_profile(file: Path, keys: Keys) -> None:
    file.write_text(
        f"[default]\naws_access_key_id = {keys.access_key_id}\n"
        f"aws_secret_access_key = {keys.secret_access_key}\n"
    )


class TestSecrets:
    """Nothing shows a key."""

    @pytest.mark.parametrize("source", ORDER)
    def test_nothing_shows_a_key(
        self, ways: Ways, source: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Neither objects of ours nor logs, for each source."""
        access = ways.access(ways.make(source))
        store_of(ways, access).probe()
        access.identify()
        held = access._keys
        keys = held.get()
        objects = (access, held, keys, BotocoreKeys(held), held._held.get(), access.facts())
        shown = "".join(f"{each!r} {each}" for each in objects) + capsys.readouterr().out
        assert keys.secret_access_key not in shown
        assert keys.access_key_id not in shown
        assert keys.session_token is None or keys.session_token not in shown


class TestRole:
    """A role on top of a source."""

    def role(self, ways: Ways, user: Keys, external_id: str) -> RoleSettings:
        """Return a role that may use the bucket and wants another external id than ours."""
        arn = ways.aws.create_role(
            bucket_access(ways.bucket), trusted=trust(user.arn, external_id="right")
        )
        return RoleSettings(arn=arn, external_id=external_id, session_name="agent-1")

    def test_a_role_is_assumed_with_its_external_id(self, ways: Ways) -> None:
        """The user may do nothing else."""
        user = ways.aws.create_user(MAY_ASSUME)
        role = self.role(ways, user, "right")
        way = Way(source="environment", arn=user.arn, environment=user.environment())
        access = ways.access(way, role=role)
        store_of(ways, access).put("role/object", b"x")
        facts = access.identify()
        assert facts.source == f"role {role.arn} over environment"
        assert facts.identity is not None
        assert facts.identity.endswith("/agent-1")
        assert facts.expires_at is not None

    def test_a_wrong_external_id_has_an_error_of_its_own(self, ways: Ways) -> None:
        """It names the role and the setting."""
        user = ways.aws.create_user(MAY_ASSUME)
        role = self.role(ways, user, "wrong")
        way = Way(source="environment", arn=user.arn, environment=user.environment())
        error = error_of(store_of(ways, ways.access(way, role=role)).probe)
        assert (type(error), error.code) == (PermanentError, "role_denied")
        assert role.arn in error.message
        assert "external_id" in error.hint

    def test_wrong_keys_below_a_role_are_named(self, ways: Ways) -> None:
        """It is not the role's fault."""
        user = ways.aws.create_user(MAY_ASSUME)
        role = self.role(ways, user, "right")
        variables = {**user.environment(), "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}
        way = Way(source="environment", arn="", environment=variables)
        error = error_of(store_of(ways, ways.access(way, role=role)).probe)
        assert error.code == "credentials_wrong"


class TestRenewal:
    """Keys that end."""

    def test_keys_are_renewed_before_they_end(self, ways: Ways) -> None:
        """Objects are written without a failure while several sets of keys end."""
        way = ways.make("instance profile")
        role = ways.aws.create_role(bucket_access(ways.bucket))
        every = [ways.aws.assume(role, duration_s=life_s) for life_s in (2, 4, 60)]
        ways.instance.keys = rotating(every)
        access = ways.access(way)
        store = store_of(ways, access)

        def goes_on() -> bool:
            store.put(f"renewal/{time.monotonic_ns()}", b"x")
            expires_at = access.facts().expires_at
            last = every[-1].expires_at
            assert last is not None
            return expires_at == last.replace(microsecond=0)

        assert eventually(goes_on, timeout_s=20)

    def test_refused_keys_are_renewed_and_the_request_repeated(self, ways: Ways) -> None:
        """The source says that they last; the server knows better."""
        way = ways.make("container")
        role = ways.aws.create_role(bucket_access(ways.bucket))
        short, long = (ways.aws.assume(role, duration_s=life_s) for life_s in (1, 600))
        lasting = Keys(
            access_key_id=short.access_key_id,
            secret_access_key=short.secret_access_key,
            session_token=short.session_token,
            expires_at=long.expires_at,
            arn=short.arn,
        )
        ways.container.keys = lambda: lasting
        access = ways.access(way)
        store = store_of(ways, access)
        store.probe()
        direct = ways.aws.client(short)
        eventually(
            lambda: error_code(lambda: direct.list_objects_v2(Bucket=ways.bucket)),
            timeout_s=10,
            interval_s=0.5,
        )
        ways.container.keys = lambda: long
        body = b"0123456789" * 100_000
        store.put("repeated/object", body)
        assert store.get("repeated/object") == body

    def test_refused_keys_that_stay_the_same_are_an_error(self, ways: Ways) -> None:
        """Static keys of a session that ended: a person must give others."""
        keys = ways.assumed(duration_s=1)
        way = Way(source="environment", arn=keys.arn, environment=keys.environment())
        store = store_of(ways, ways.access(way))
        error = eventually(lambda: _refusal(store), timeout_s=10, interval_s=0.5)
        assert (type(error), error.code) == (PermanentError, "credentials_expired")

    @pytest.mark.parametrize("trouble", ["gone", "expired"])
    def test_old_keys_are_used_while_the_source_fails(self, ways: Ways, trouble: str) -> None:
        """The metadata service is gone, or gives keys that are over: the old ones still last."""
        way = ways.make("instance profile")
        keys = ways.assumed(duration_s=6)
        ways.instance.keys = lambda: keys
        store = store_of(ways, ways.access(way))
        store.probe()
        asked = ways.instance.count()
        if trouble == "gone":
            ways.instance.vanish()
        else:
            ways.instance.expired = True
        error = eventually(lambda: _refusal(store), timeout_s=15, interval_s=0.2)
        assert (type(error), error.code) == (TransientError, "credentials_unavailable")
        assert keys.expires_at is not None
        assert time.time() > keys.expires_at.timestamp() - 1
        assert trouble == "gone" or ways.instance.count() > asked
        longer = ways.assumed()
        ways.instance.expired = False
        ways.instance.keys = lambda: longer
        ways.instance.come_back()
        store.probe()

    def test_the_token_file_is_read_at_each_renewal(self, ways: Ways) -> None:
        """Kubernetes puts a new token there; so does EKS Pod Identity."""
        way = ways.make("container")
        keys = ways.assumed(duration_s=3)
        ways.container.keys = lambda: keys
        access = ways.access(way)
        store = store_of(ways, access)
        store.probe()
        ways.container.rotate_token()
        longer = ways.assumed()
        ways.container.keys = lambda: longer
        assert eventually(lambda: _lasts(access, store, longer), timeout_s=10)
        assert access.facts().expires_at == longer.expires_at

    def test_a_line_break_behind_the_token_is_no_mistake(self, ways: Ways) -> None:
        """As an editor leaves it in the file."""
        way = ways.make("container")
        file = ways.container.token_file
        file.write_text(f"{file.read_text()}\n")
        access = ways.access(way)
        store_of(ways, access).probe()
        assert "container" == access.facts().source


def _lasts(access: Access, store: S3Store, keys: Keys) -> bool:
    store.probe()
    assert keys.expires_at is not None
    return access.facts().expires_at == keys.expires_at.replace(microsecond=0)


def _refusal(store: S3Store) -> AgentError | None:
    try:
        store.probe()
    except AgentError as error:
        return error
    return None
