"""Whom a role must trust, who uses it, and the lines that set it up."""

import json
import shlex
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from agent.core.errors import PermanentError
from agent.model.commands import AuthorizeRole, DeauthorizeRole, parse
from agent.model.iam import Policy, Statement
from agent.model.roles import (
    RoleState,
    Wanted,
    begun,
    default_name,
    identities,
    principal_of,
    settings_line,
    users_of,
)
from agent.model.status import AgentStatus, StorageAccess
from tests.fakes.status import an_agent

NOW = datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC)
USER = "arn:aws:iam::111122223333:user/ops/agent"
SESSION = "arn:aws:sts::111122223333:assumed-role/backup-host/i-0abc"
ROLE = "arn:aws:iam::111122223333:role/backup-host"
TRUST = Policy(
    statements=(
        Statement(sid="Trust", actions=("sts:AssumeRole",), principal={"AWS": (ROLE, USER)}),
    )
)
PERMISSIONS = Policy(
    statements=(
        Statement(
            sid="Permit",
            actions=("s3:GetObject",),
            resources=('arn:aws:s3:::b/it\'s $(here) "now" ü/*',),
        ),
    )
)
TARGET = "arn:aws:iam::444455556666:role/backstay"


def reaching(
    name: str, identity: str | None, *, role: str | None = None, age_s: float = 0
) -> AgentStatus:
    """Return an agent that tells as whom it reaches the main storage."""
    access = (StorageAccess(storage="main", identity=identity, role=role),)
    return an_agent(name, NOW - timedelta(seconds=age_s), access=access)


class TestPrincipals:
    """Whom a trust policy names."""

    @pytest.mark.parametrize(
        ("identity", "principal"),
        [
            (USER, USER),
            (SESSION, ROLE),
            (
                "arn:aws-us-gov:sts::111122223333:assumed-role/A@b/session-1",
                "arn:aws-us-gov:iam::111122223333:role/A@b",
            ),
            ("arn:aws:iam::111122223333:root", None),
        ],
    )
    def test_identities_become_principals(self, identity: str, principal: str | None) -> None:
        """The session of a role becomes the role; an account's root may not assume any."""
        assert principal_of(identity) == principal

    def test_each_principal_is_named_once(self) -> None:
        """Agents with sessions of one role are one principal; those that are gone are none."""
        agents = [
            reaching("a:1", SESSION),
            reaching("b:1", SESSION.replace("i-0abc", "i-0def")),
            reaching("c:1", USER),
            reaching("d:1", None),
            an_agent("e:1", NOW),
            reaching("f:1", "arn:aws:iam::111122223333:user/gone", age_s=60),
        ]
        found = identities(agents, "main", NOW)
        assert found.principals == (ROLE, USER)
        assert found.unknown == ("d:1", "e:1")

    def test_other_storages_do_not_count(self) -> None:
        """They may have keys of their own."""
        assert identities([reaching("a:1", USER)], "offsite", NOW).principals == ()


def test_who_uses_a_role_is_told_by_storage() -> None:
    """Of the agents that are there."""
    agents = [
        reaching("a:1", USER, role=TARGET),
        reaching("b:1", USER, role=TARGET),
        reaching("c:1", USER, role=ROLE),
        reaching("d:1", USER),
        reaching("e:1", USER, role=TARGET, age_s=60),
    ]
    assert users_of(TARGET, agents, NOW) == {"main": ["a:1", "b:1"]}


class TestBeginning:
    """What an operator gets."""

    def wanted(self, role_name: str = "backstay-b") -> Wanted:
        """Return what an authorization with an awkward prefix is made from."""
        return Wanted(
            authorization="a1",
            external_id="x",
            storage="main",
            role_name=role_name,
            principals=(ROLE,),
            trust_policy=TRUST,
            permission_policy=PERMISSIONS,
        )

    def test_policies_are_json_texts(self) -> None:
        """To be pasted into the console."""
        made = begun(self.wanted())
        assert json.loads(made.trust_policy) == TRUST.document()
        assert json.loads(made.permission_policy) == PERMISSIONS.document()
        assert (made.state, made.role_arn) == (RoleState.IN_PROGRESS, None)

    @pytest.mark.parametrize(
        ("way", "operation", "option"),
        [
            ("create", "create-role", "--assume-role-policy-document"),
            ("adapt", "update-assume-role-policy", "--policy-document"),
        ],
    )
    def test_a_shell_reads_the_lines_as_they_were_meant(
        self, way: str, operation: str, option: str
    ) -> None:
        """Quotes, dollar signs and spaces of a prefix included."""
        lines = getattr(begun(self.wanted()).cli, way)
        trusting, permitting, showing = (shlex.split(line) for line in lines)
        assert trusting[:5] == ["aws", "iam", operation, "--role-name", "backstay-b"]
        assert trusting[5] == option
        assert json.loads(trusting[6]) == TRUST.document()
        assert permitting[2] == "put-role-policy"
        assert json.loads(permitting[-1]) == PERMISSIONS.document()
        assert showing[2] == "get-role"
        assert not any("\n" in line for line in lines)

    def test_a_name_is_never_too_long_for_iam(self) -> None:
        """A bucket's may have 63 characters."""
        assert default_name("acme") == "backstay-acme"
        assert len(default_name("b" * 63)) == 64


@pytest.mark.parametrize("external_id", ["12345678", "1e5", "true", "abc", "0x12"])
def test_the_line_of_the_configuration_keeps_texts(external_id: str) -> None:
    """YAML would take some external ids for numbers."""
    line = settings_line(TARGET, external_id)
    assert yaml.safe_load(line) == {"role": {"arn": TARGET, "external_id": external_id}}


class TestCommands:
    """What operators insert."""

    def test_a_beginning_needs_nothing(self) -> None:
        """The main storage is meant."""
        assert parse({"command": "authorize_role"}) == AuthorizeRole()

    def test_jobs_that_write_data_do_not_wait_for_roles(self) -> None:
        """They run beside each other."""
        assert not AuthorizeRole.writes_data
        assert not DeauthorizeRole.writes_data

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"command": "authorize_role", "role_arn": "backstay"}, "role_arn must be the ARN"),
            (
                {"command": "authorize_role", "role_arn": "arn:aws:iam::1:role/short-account"},
                "role_arn must be the ARN",
            ),
            (
                {"command": "authorize_role", "role_arn": "arn:aws:iam::111122223333:user/x"},
                "role_arn must be the ARN",
            ),
            ({"command": "authorize_role", "role_name": "a b"}, "role_name must be up to 64"),
            ({"command": "authorize_role", "role_name": "x" * 65}, "role_name must be up to 64"),
            (
                {"command": "authorize_role", "role_name": "x", "role_arn": TARGET},
                "'role_name' to begin or 'role_arn' to complete",
            ),
            ({"command": "deauthorize_role"}, "needs either 'authorization' or 'role_arn'"),
            (
                {"command": "deauthorize_role", "authorization": "a", "role_arn": TARGET},
                "needs either 'authorization' or 'role_arn'",
            ),
        ],
    )
    def test_mistakes_are_named(self, options: dict[str, object], named: str) -> None:
        """With the option that is wrong."""
        with pytest.raises(PermanentError) as caught:
            parse(options)
        assert caught.value.code == "bad_command"
        assert named in caught.value.message
