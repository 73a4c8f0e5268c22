"""The verb that prints policies: JSON alone on standard output, without anybody being asked."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from agent.aws import policy, trust
from agent.aws.policy import Scope
from agent.settings import S3Settings, Settings
from tests.unit.cli.terminal import SETTINGS, Terminal

PROVIDER = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
HOSTS = "arn:aws:iam::111122223333:role/mongodb-hosts"
BOTH = ["--principal", HOSTS, "--principal", "444455556666"]
ROLE = {"arn": "arn:aws:iam::444455556666:role/backstay", "external_id": "8d0f4c1e"}


def settings(**s3: Any) -> Settings:
    """Return the terminal's settings with another bucket, and a directory beside it."""
    raw = SETTINGS.model_dump(mode="json", exclude_none=True, include={"storage"})
    raw["mongodb"] = {"uri": "mongodb://127.0.0.1:27017/"}
    raw["storage"]["s3"].update(s3)
    raw["extra_storages"] = [
        {"label": "nfs", "type": "filesystem", "filesystem": {"path": "/srv"}},
        {"label": "far", "type": "s3", "s3": {"bucket": "far-away", "region": "us-gov-west-1"}},
    ]
    return Settings.model_validate(raw)


def bucket(**more: Any) -> S3Settings:
    """Return the main bucket of these settings."""
    s3 = settings(**more).storage.s3
    assert s3 is not None
    return s3


def printed(terminal: Terminal, *options: str) -> Mapping[str, Any]:
    """Return the policy that the verb prints."""
    done = terminal("policy", *options)
    assert 0 == done.exit_code, done.output
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def terminal() -> Terminal:
    """A terminal on which nothing can be reached: the verb opens no console."""
    return Terminal(settings=settings(role=ROLE))


@pytest.mark.parametrize(
    ("options", "scope"),
    [
        ([], Scope()),
        (["--versioned"], Scope(is_versioned=True)),
        (["--require-encryption"], Scope(is_encryption_required=True)),
        (["--kms"], Scope(has_kms_key=True)),
        (["--restore-only"], Scope(is_restore_only=True)),
        (
            ["--versioned", "--require-encryption", "--kms"],
            Scope(is_versioned=True, is_encryption_required=True, has_kms_key=True),
        ),
    ],
)
def test_permissions_are_printed(terminal: Terminal, options: list[str], scope: Scope) -> None:
    """Each option is one difference, and they go together."""
    made = policy.permissions(bucket(), "eu-west-1", scope)
    assert made.document() == printed(terminal, *options)
    assert made.document() == printed(terminal, "--json", *options)
    assert [] == terminal.console.inserted


def test_the_policy_of_a_bucket_is_another(terminal: Terminal) -> None:
    """It binds everybody; who reads is told that a bucket has one."""
    done = terminal("policy", "--bucket-policy", "--require-encryption")
    assert policy.bucket_policy(bucket(), "eu-west-1").document() == json.loads(done.stdout)
    assert "A bucket has one policy" in done.stderr
    assert "asks for no encryption" in done.stderr


def test_the_policy_is_of_the_storage_that_is_named(terminal: Terminal) -> None:
    """In the partition of its region."""
    assert "arn:aws-us-gov:s3:::far-away/*" in str(printed(terminal, "--storage", "far"))


def test_who_assumes_the_role_has_a_policy_too(terminal: Terminal) -> None:
    """The role is the configured one."""
    assert policy.may_assume(ROLE["arn"]).document() == printed(terminal, "--assume-role")


@pytest.mark.parametrize(
    ("options", "made"),
    [
        (["ec2"], trust.instances("eu-west-1")),
        (["ecs"], trust.ecs_tasks()),
        (["eks", "--oidc-provider", PROVIDER], None),
        (
            ["pods", "--namespace", "data", "--service-account", "mongo"],
            trust.pods("data", "mongo"),
        ),
        (["external", "--principal", HOSTS], trust.external([HOSTS], "8d0f4c1e")),
        (
            ["external", *BOTH, "--external-id", "another"],
            trust.external([HOSTS, "444455556666"], "another"),
        ),
    ],
)
def test_trust_is_printed(terminal: Terminal, options: list[str], made: Any) -> None:
    """The external id comes from the configuration unless another is given."""
    expected = made or trust.service_account(PROVIDER, "mongodb", "backstay")
    assert expected.document() == printed(terminal, "--role-trust", *options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--role-trust", "eks"], "needs --oidc-provider"),
        (["--role-trust", "eks", "--oidc-provider", "oidc.eks"], "is not written as arn:"),
        (["--role-trust", "external"], "needs --principal"),
        (["--role-trust", "external", "--principal", "me"], "is not written as arn:"),
        (["--role-trust", "external", "--external-id", "a b"], "is not written as 2 to 1224"),
        (["--role-trust", "ec2", "--principal", HOSTS], "--principal is for --role-trust external"),
        (["--namespace", "data"], "--namespace is for --role-trust eks and pods"),
        (["--role-trust", "ec2", "--versioned"], "print them one by one"),
        (["--role-trust", "ec2", "--bucket-policy"], "choose one"),
        (["--bucket-policy", "--kms"], "print them one by one"),
        (["--storage", "tape"], "no storage is labelled 'tape'"),
        (["--storage", "nfs"], "is a directory"),
    ],
)
def test_what_makes_no_sense_is_refused(terminal: Terminal, options: list[str], says: str) -> None:
    """Nothing is printed that could be pasted by mistake."""
    done = terminal("policy", *options)
    assert done.exit_code in {1, 2}
    assert "" == done.stdout
    assert says in " ".join(done.stderr.split())


def test_without_a_role_or_an_external_id_there_is_nothing_to_print() -> None:
    """What is missing is named."""
    plain = Terminal(settings=settings())
    assert "assumes no role" in plain("policy", "--assume-role").stderr
    done = plain("policy", "--role-trust", "external", "--principal", HOSTS)
    assert "needs --external-id" in done.stderr


def test_a_region_that_is_not_known_is_said() -> None:
    """The partition is then a guess."""
    terminal = Terminal(settings=settings(region=None))
    done = terminal("policy")
    assert "region is not known" in done.stderr
    assert "arn:aws:s3:::acme-backups" in done.stdout


def test_whose_permissions_they_are_is_said(terminal: Terminal) -> None:
    """With a role they are the role's, not those of the host."""
    assert ROLE["arn"] in terminal("policy").stderr
    assert "" == terminal("policy", "--assume-role").stderr
    assert "" == terminal("policy", "--json").stderr


def test_a_reader_is_told_what_it_cannot_do(terminal: Terminal) -> None:
    """Its archive and its backups would fail all the time."""
    assert "oplog.enabled: false" in terminal("policy", "--restore-only").stderr
