"""The role flow over a control database in memory and a storage that a test may forbid."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import count

import pytest

from agent.aws.trust import external
from agent.core import log
from agent.core.clock import SystemClock
from agent.core.errors import AgentError, PermanentError, Stopped, TransientError
from agent.core.flow import Stop
from agent.jobs.roles.authorize import AuthorizeRoleJob
from agent.jobs.roles.deauthorize import DeauthorizeRoleJob
from agent.jobs.roles.ports import RolePorts
from agent.model.commands import AuthorizeRole, DeauthorizeRole
from agent.model.iam import Policy
from agent.model.roles import Authorization, RoleState
from agent.model.status import StorageAccess
from agent.ports import Job, JobContext, ObjectStore, RoleStorage
from tests.fakes.control import MemoryStatus
from tests.fakes.roles import MemoryRoles
from tests.fakes.status import an_agent
from tests.fakes.store import MemoryStore

USER = "arn:aws:iam::111122223333:user/agent"
OTHER = "arn:aws:iam::111122223333:user/other"
ARN = "arn:aws:iam::111122223333:role/backstay"
DENIED = PermanentError("role_denied", "AssumeRole: AccessDenied", hint="look")


class Iam:
    """A role: whether it may be assumed, with or without the external id."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.refusals: list[AgentError] = []
        self.demands_external_id = True
        self.asked: list[tuple[str, str | None]] = []

    def assume(self, arn: str, external_id: str | None) -> ObjectStore:
        """Refuse as often as it was told to."""
        self.asked.append((arn, external_id))
        if self.refusals:
            raise self.refusals.pop(0)
        if external_id is None and self.demands_external_id:
            raise DENIED
        return self.store


class Site:
    """All that the jobs of the flow work with."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.clock = clock
        self.roles = MemoryRoles(clock)
        self.status = MemoryStatus(clock)
        self.iam = Iam()
        self.stop = Stop()
        self.checks = 0
        # What others do just before a job writes.
        self.meanwhile: Callable[[], object] = lambda: None
        self._tokens = count(1)
        self._coordinators = count(1)
        self.agent("a:1", USER)

    def agent(self, name: str, identity: str | None, role: str | None = None) -> None:
        """Let an agent be there."""
        access = (StorageAccess(storage="main", identity=identity, role=role),)
        self.status.write_agent(an_agent(name, self.clock.now(), access=access))

    def authorize(self, patience_s: float = 0.0, **options: str) -> AuthorizeRoleJob:
        """Return the job of a command."""
        request = AuthorizeRole.model_validate(options)
        return AuthorizeRoleJob(self._context(), request, self._ports(patience_s))

    def deauthorize(self, **options: str) -> DeauthorizeRoleJob:
        """Return the job of a command."""
        request = DeauthorizeRole.model_validate(options)
        return DeauthorizeRoleJob(self._context(), request, self._ports(0))

    def only(self) -> Authorization:
        """Return the authorization that is there."""
        (found,) = self.roles.authorizations()
        return found

    def _held(self) -> None:
        self.checks += 1
        self.meanwhile()

    def _context(self) -> JobContext:
        return JobContext(
            command_id=1,
            agent="a:1",
            token=next(self._coordinators),
            stop=self.stop,
            held=self._held,
        )

    def _ports(self, patience_s: float) -> RolePorts:
        return RolePorts(
            roles=self.roles,
            status=self.status,
            storage=self._storage,
            token=lambda: f"token-{next(self._tokens):026}",
            replset="rs0",
            clock=self.clock,
            patience_s=patience_s,
            log=log.get(),
        )

    def _storage(self, label: str | None) -> RoleStorage:
        if label not in {None, "main"}:
            raise PermanentError("unknown_storage", "no")
        return RoleStorage(
            label="main",
            bucket="acme",
            trust_policy=external,
            permission_policy=Policy(statements=()),
            assume=self.iam.assume,
        )


@pytest.fixture
def site() -> Site:
    """One agent with keys of a user."""
    return Site()


def done(job: Job) -> Mapping[str, object]:
    """Run a job from its plan to its end."""
    job.plan()
    return job.run()


def refusal(job: Job) -> PermanentError:
    """Return what the plan of a job is rejected with."""
    with pytest.raises(PermanentError) as caught:
        job.plan()
    return caught.value


def failure(job: Job) -> AgentError:
    """Return what a planned job ends with."""
    job.plan()
    with pytest.raises(AgentError) as caught:
        job.run()
    return caught.value


class TestBegin:
    """Without a role's ARN."""

    def test_an_operator_gets_everything_that_iam_needs(self, site: Site) -> None:
        """The result says what the document says."""
        result = done(site.authorize())
        found = site.only()
        assert found.state is RoleState.IN_PROGRESS
        assert found.principals == (USER,)
        assert found.role_name == "backstay-acme"
        for name in ("authorization", "external_id", "trust_policy", "permission_policy"):
            assert result[name] == getattr(found, name)
        assert result["warnings"] == []

    def test_it_is_resumed_with_the_same_external_id(self, site: Site) -> None:
        """By the storage, or by its id."""
        first = done(site.authorize())
        assert done(site.authorize(storage="main")) == first
        assert done(site.authorize(authorization=site.only().authorization)) == first

    def test_a_coordinator_that_died_after_the_write_is_followed(self, site: Site) -> None:
        """Its successor runs the job without planning."""
        site.authorize().run()
        site.authorize().run()
        assert len(site.roles.authorizations()) == 1

    def test_what_changed_since_is_a_warning(self, site: Site) -> None:
        """An agent with other keys came, one that cannot tell, and another name is asked for."""
        done(site.authorize())
        site.agent("b:1", OTHER)
        site.agent("c:1", None)
        warnings = done(site.authorize(role_name="mine"))["warnings"]
        assert isinstance(warnings, list)
        for warning, sign in zip(warnings, (OTHER, "c:1", "backstay-acme"), strict=True):
            assert sign in warning

    def test_without_any_identity_nothing_is_begun(self, site: Site) -> None:
        """The agents that cannot tell are named."""
        site.agent("a:1", None)
        error = refusal(site.authorize())
        assert error.code == "no_identity"
        assert "a:1" in error.message
        assert not site.roles.by_id

    def test_an_unknown_storage_is_rejected(self, site: Site) -> None:
        """As in every command."""
        assert refusal(site.authorize(storage="other")).code == "unknown_storage"

    def test_an_unknown_authorization_is_rejected(self, site: Site) -> None:
        """Also one of another storage."""
        assert refusal(site.authorize(authorization="x")).code == "unknown_authorization"
        done(site.authorize())
        known = site.only().authorization
        error = refusal(site.authorize(authorization=known, storage="other"))
        assert error.code == "unknown_authorization"


class TestComplete:
    """With a role's ARN."""

    def test_a_role_that_works_is_authorized(self, site: Site) -> None:
        """It was assumed with the external id; the object it was tried with is gone."""
        done(site.authorize())
        result = done(site.authorize(role_arn=ARN))
        found = site.only()
        assert (found.state, found.role_arn) == (RoleState.AUTHORIZED, ARN)
        assert site.iam.asked == [(ARN, found.external_id), (ARN, None)]
        assert {"put", "get", "list", "delete"} == {method for method, _ in site.iam.store.calls}
        assert site.iam.store.objects == {}
        assert result["configuration"] == (
            f'role: {{arn: "{ARN}", external_id: "{found.external_id}"}}'
        )
        assert result["warnings"] == []

    def test_a_role_that_asks_for_no_external_id_is_a_warning(self, site: Site) -> None:
        """It works, and anybody whom it trusts may be led to use it."""
        done(site.authorize())
        site.iam.demands_external_id = False
        warnings = done(site.authorize(role_arn=ARN))["warnings"]
        assert isinstance(warnings, list)
        assert ["without the external id" in each for each in warnings] == [True]

    def test_a_refused_role_stays_in_progress_with_its_error(self, site: Site) -> None:
        """And may be tried again; then the error is gone."""
        done(site.authorize())
        site.iam.refusals = [DENIED]
        error = failure(site.authorize(role_arn=ARN))
        assert error.code == "role_denied"
        assert "trust policy" in error.hint
        told = site.only().last_error
        assert told is not None
        assert (told.code, told.hint) == (error.code, error.hint)
        done(site.authorize(role_arn=ARN))
        assert site.only().last_error is None

    @pytest.mark.parametrize("method", ["put", "get", "list", "delete"])
    def test_what_the_role_may_not_do_ends_it(self, site: Site, method: str) -> None:
        """Nothing is left of the trial that can be removed."""

        def forbid(_call: int, called: str, _key: str) -> None:
            if called == method:
                raise PermanentError("storage_denied", f"no {method}", hint="allow it")

        done(site.authorize())
        site.iam.store.fault = forbid
        error = failure(site.authorize(role_arn=ARN))
        assert (error.code, error.message, error.hint) == (
            "storage_denied",
            f"no {method}",
            "allow it",
        )
        assert bool(site.iam.store.objects) == (method == "delete")
        assert site.only().state is RoleState.IN_PROGRESS

    def test_a_refusal_is_tried_again_while_iam_may_be_late(self, site: Site) -> None:
        """Neither trust nor permissions are everywhere at once."""
        done(site.authorize())
        late = ("storage_denied", "storage_encryption")
        site.iam.refusals = [DENIED, DENIED, *(PermanentError(code, "no") for code in late)]
        done(site.authorize(patience_s=1, role_arn=ARN))
        assert site.only().state is RoleState.AUTHORIZED

    def test_other_errors_end_it_at_once(self, site: Site) -> None:
        """Wrong keys do not become right."""
        done(site.authorize())
        site.iam.refusals = [PermanentError("credentials_wrong", "no")]
        assert failure(site.authorize(patience_s=60, role_arn=ARN)).code == "credentials_wrong"

    def test_a_passing_failure_is_left_to_the_next_try(self, site: Site) -> None:
        """It says nothing of the role."""
        done(site.authorize())
        site.iam.refusals = [TransientError("credentials_unavailable", "STS is away")]
        assert isinstance(failure(site.authorize(role_arn=ARN)), TransientError)
        assert site.only().last_error is None

    def test_the_wait_ends_with_the_job(self, site: Site) -> None:
        """A cancel does not wait for IAM."""
        done(site.authorize())
        site.iam.refusals = [DENIED] * 1000
        job = site.authorize(patience_s=60, role_arn=ARN)
        job.plan()
        site.stop.set("canceled")
        with pytest.raises(Stopped):
            job.run()

    def test_nothing_in_progress_is_rejected(self, site: Site) -> None:
        """The external id must be known before the role is made."""
        assert refusal(site.authorize(role_arn=ARN)).code == "nothing_in_progress"

    def test_a_coordinator_that_died_after_the_move_is_followed(self, site: Site) -> None:
        """The successor tries the role out once more, and says the same."""
        done(site.authorize())
        first = site.authorize(role_arn=ARN)
        result = done(first)
        assert site.authorize(role_arn=ARN).run() == result
        named = site.authorize(role_arn=ARN, authorization=site.only().authorization)
        assert done(named) == result

    def test_an_authorization_has_one_role(self, site: Site) -> None:
        """Another one is another authorization."""
        done(site.authorize())
        done(site.authorize(role_arn=ARN))
        job = site.authorize(role_arn=f"{ARN}-2", authorization=site.only().authorization)
        assert refusal(job).code == "already_authorized"

    def test_one_that_was_deleted_meanwhile_does_not_come_back(self, site: Site) -> None:
        """The job ends, and there is nothing."""
        done(site.authorize())
        job = site.authorize(role_arn=ARN)
        job.plan()
        site.iam.store.fault = lambda _call, _method, _key: site.roles.by_id.clear()
        with pytest.raises(PermanentError) as caught:
            job.run()
        assert caught.value.code == "unknown_authorization"
        assert not site.roles.by_id


class TestDeauthorize:
    """Giving up, and forgetting."""

    def test_one_in_progress_is_deleted(self, site: Site) -> None:
        """By its id; a role of the same name that is used does not matter."""
        done(site.authorize())
        site.agent("a:1", USER, role=ARN)
        known = site.only().authorization
        assert done(site.deauthorize(authorization=known)) == {"removed": [known], "roles": []}
        assert not site.roles.by_id

    def test_a_role_that_nobody_uses_is_forgotten(self, site: Site) -> None:
        """By its ARN."""
        done(site.authorize())
        done(site.authorize(role_arn=ARN))
        assert done(site.deauthorize(role_arn=ARN))["roles"] == [ARN]
        assert not site.roles.by_id

    def test_a_role_that_a_storage_uses_is_kept(self, site: Site) -> None:
        """Storage and agents are named."""
        done(site.authorize())
        done(site.authorize(role_arn=ARN))
        site.agent("b:1", USER, role=ARN)
        error = refusal(site.deauthorize(role_arn=ARN))
        assert error.code == "role_in_use"
        assert "main on b:1" in error.message
        with pytest.raises(PermanentError, match="main on b:1"):
            site.deauthorize(role_arn=ARN).run()
        assert site.only().role_arn == ARN

    def test_an_agent_that_is_gone_does_not_keep_a_role(self, site: Site) -> None:
        """Its status is old."""
        done(site.authorize())
        done(site.authorize(role_arn=ARN))
        site.agent("b:1", USER, role=ARN)
        gone = site.status.by_agent["b:1"]
        old = an_agent("b:1", site.clock.now() - timedelta(minutes=1), access=gone.access)
        site.status.by_agent["b:1"] = old
        done(site.deauthorize(role_arn=ARN))

    def test_what_is_not_there_is_rejected(self, site: Site) -> None:
        """With the id that was named."""
        error = refusal(site.deauthorize(authorization="x1"))
        assert error.code == "unknown_authorization"
        assert "x1" in error.message

    def test_a_coordinator_that_died_after_removing_is_followed(self, site: Site) -> None:
        """The command ends done."""
        done(site.authorize())
        known = site.only().authorization
        done(site.deauthorize(authorization=known))
        assert site.deauthorize(authorization=known).run() == {"removed": [], "roles": []}

    def test_one_that_was_completed_meanwhile_is_kept(self, site: Site) -> None:
        """Whoever wanted to give it up must look again."""
        done(site.authorize())
        found = site.only()
        job = site.deauthorize(authorization=found.authorization)
        site.meanwhile = lambda: site.roles.authorize(found.authorization, ARN, 1)
        with pytest.raises(PermanentError) as caught:
            job.run()
        assert caught.value.code == "authorization_changed"


def test_the_lease_is_proved_before_each_write(site: Site) -> None:
    """Begin, refuse, authorize, remove: one check each."""
    done(site.authorize())
    site.iam.refusals = [DENIED]
    failure(site.authorize(role_arn=ARN))
    done(site.authorize(role_arn=ARN))
    done(site.deauthorize(role_arn=ARN))
    assert site.checks == 4
