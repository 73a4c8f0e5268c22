"""What authorizations of roles keep to: one in progress for a storage, compare-and-set, fencing."""

from dataclasses import replace

import pytest

from agent.core.errors import LeaseLost
from agent.core.flow import Pipe, Stop, WorkerGroup
from agent.model.iam import Policy
from agent.model.outcome import Failure
from agent.model.roles import LEGAL_MOVES, Authorization, RoleState, Wanted, begun
from agent.model.status import StorageAccess
from tests.contract.conftest import Control
from tests.fakes.clock import VirtualClock
from tests.fakes.status import an_agent

ARN = "arn:aws:iam::111122223333:role/backstay"
OTHER_ARN = "arn:aws:iam::111122223333:role/other"
DENIED = Failure(code="role_denied", message="no", hint="mend the trust")


def wanted(name: str, storage: str = "main") -> Authorization:
    """Return an authorization that nobody has written yet."""
    return begun(
        Wanted(
            authorization=name,
            external_id=f"external-{name}",
            storage=storage,
            role_name="backstay",
            principals=("arn:aws:iam::111122223333:user/agent",),
            trust_policy=Policy(statements=()),
            permission_policy=Policy(statements=()),
        )
    )


def only(control: Control) -> Authorization:
    """Return the authorization that is there."""
    (found,) = control.roles.authorizations()
    return found


class TestBegin:
    """One authorization in progress for each storage."""

    def test_what_was_begun_is_read_again(self, control: Control) -> None:
        """With the server's times, and nothing else changed."""
        found = control.roles.begin(wanted("a"), 7)
        assert only(control) == found
        assert found.created_at == found.updated_at
        assert found.created_at is not None
        assert replace(found, created_at=None, updated_at=None) == wanted("a")

    def test_beginning_twice_gives_the_first(self, control: Control) -> None:
        """Two commands, or two coordinators: the external id stays the same."""
        first = control.roles.begin(wanted("a"), 7)
        assert control.roles.begin(wanted("b"), 8) == first
        assert only(control) == first

    def test_many_at_once_begin_one(self, control: Control) -> None:
        """Whoever was first, everybody gets the same."""
        found: Pipe[Authorization] = Pipe(9, Stop())
        with WorkerGroup("begin", Stop()) as group:
            for number in range(8):
                new = wanted(f"a{number}")
                group.start(lambda new=new: found.put(control.roles.begin(new, 7)), str(number))  # type: ignore[misc]
        found.close()
        assert list(found) == [only(control)] * 8

    def test_beginning_may_be_repeated(self, control: Control) -> None:
        """An answer was lost; what happened since is kept."""
        first = control.roles.begin(wanted("a"), 7)
        assert control.roles.begin(wanted("a"), 7) == first
        control.roles.authorize("a", ARN, 7)
        assert control.roles.begin(wanted("a"), 7).state is RoleState.AUTHORIZED
        assert only(control).role_arn == ARN

    def test_storages_do_not_hinder_each_other(self, control: Control) -> None:
        """Each may have one in progress; they come oldest first."""
        for name, storage in (("b", "main"), ("a", "offsite")):
            control.roles.begin(wanted(name, storage), 7)
        assert [each.authorization for each in control.roles.authorizations()] == ["b", "a"]

    def test_a_storage_may_have_another_after_the_first(self, control: Control) -> None:
        """An authorized one is not in the way."""
        control.roles.begin(wanted("a"), 7)
        control.roles.authorize("a", ARN, 7)
        assert control.roles.begin(wanted("b"), 7).authorization == "b"


class TestMoves:
    """In progress, authorized, gone."""

    def test_the_moves_are_those_of_the_table(self) -> None:
        """Nothing leads back."""
        assert LEGAL_MOVES[RoleState.AUTHORIZED] == {None}
        assert RoleState.IN_PROGRESS not in LEGAL_MOVES[RoleState.IN_PROGRESS]

    def test_authorizing_sets_role_and_time_and_forgets_the_error(self, control: Control) -> None:
        """Repeating it changes nothing; another role is refused."""
        control.roles.begin(wanted("a"), 7)
        control.roles.refuse("a", DENIED, 7)
        assert only(control).last_error == DENIED
        assert control.roles.authorize("a", ARN, 7)
        found = only(control)
        assert (found.state, found.role_arn) == (RoleState.AUTHORIZED, ARN)
        assert found.last_error is None
        assert found.authorized_at is not None
        assert control.roles.authorize("a", ARN, 8)
        assert not control.roles.authorize("a", OTHER_ARN, 8)
        assert only(control) == found

    def test_what_is_gone_is_not_authorized(self, control: Control) -> None:
        """Somebody deleted it in the middle of the trial; nothing comes back."""
        assert not control.roles.authorize("a", ARN, 7)
        control.roles.refuse("a", DENIED, 7)
        assert control.roles.authorizations() == []

    def test_an_authorized_one_keeps_no_error(self, control: Control) -> None:
        """A late failure of another coordinator's trial does not count."""
        control.roles.begin(wanted("a"), 7)
        control.roles.authorize("a", ARN, 7)
        control.roles.refuse("a", DENIED, 8)
        assert only(control).last_error is None

    def test_removing_may_be_repeated(self, control: Control) -> None:
        """One that is gone is removed."""
        found = control.roles.begin(wanted("a"), 7)
        assert control.roles.remove(found, 7)
        assert control.roles.remove(found, 7)
        assert control.roles.authorizations() == []

    def test_one_that_moved_on_is_not_removed(self, control: Control) -> None:
        """Whoever wanted to give up what was in progress must look again."""
        found = control.roles.begin(wanted("a"), 7)
        control.roles.authorize("a", ARN, 7)
        assert not control.roles.remove(found, 7)
        assert only(control).state is RoleState.AUTHORIZED


def test_an_older_coordinator_changes_nothing(control: Control) -> None:
    """A document that has seen a larger token refuses it, whatever the change."""
    control.roles.begin(wanted("a"), 7)
    control.roles.refuse("a", DENIED, 9)
    found = only(control)
    with pytest.raises(LeaseLost):
        control.roles.authorize("a", ARN, 8)
    with pytest.raises(LeaseLost):
        control.roles.refuse("a", DENIED, 8)
    with pytest.raises(LeaseLost):
        control.roles.remove(found, 8)
    assert only(control) == found


def test_nobody_takes_an_authorization_for_an_agent(control: Control) -> None:
    """Both are documents of one collection; and agents tell as whom they reach storages."""
    access = (StorageAccess(storage="main", identity="arn:aws:iam::1:user/a", role=ARN),)
    agent = an_agent("a:1", VirtualClock().now(), access=access)
    control.roles.begin(wanted("a"), 7)
    control.status.write_agent(agent)
    (found,) = control.status.agents()
    assert (found.name, found.access) == ("a:1", access)
    assert only(control).authorization == "a"
