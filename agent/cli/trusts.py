"""What a trust policy is made of at the command line."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import click

from agent.aws import trust
from agent.model.iam import Policy
from agent.settings import S3Settings

NAMESPACE: Final = "mongodb"
SERVICE_ACCOUNT: Final = "backstay"
PROVIDER: Final = re.compile(r"arn:[a-z-]+:iam::\d{12}:oidc-provider/\S+")
# Source: STS API Reference, "AssumeRole", ExternalId.
EXTERNAL_ID: Final = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
PRINCIPAL: Final = re.compile(r"\d{12}|arn:[a-z-]+:(iam|sts)::\d{12}:\S+")
# Which options belong to which kind of trust.
_TRUST_OPTIONS: Final[Mapping[str, Sequence[str]]] = {
    "--oidc-provider": ("eks",),
    "--namespace": ("eks", "pods"),
    "--service-account": ("eks", "pods"),
    "--principal": ("external",),
    "--external-id": ("external",),
}


class Form(click.ParamType[str]):
    """A text of a certain form."""

    name = "text"

    def __init__(self, form: re.Pattern[str], example: str) -> None:
        self._form = form
        self._example = example

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the text, or fail with an example."""
        text = str(value).strip()
        if self._form.fullmatch(text) is None:
            self.fail(f"{text!r} is not written as {self._example}", param, ctx)
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom a role is to trust."""

    kind: str
    oidc_provider: str | None
    namespace: str | None
    service_account: str | None
    principals: tuple[str, ...]
    external_id: str | None

    def refuse_strangers(self) -> None:
        """Refuse options of another kind of trust. Raises: click.UsageError."""
        given = {
            "--oidc-provider": self.oidc_provider,
            "--namespace": self.namespace,
            "--service-account": self.service_account,
            "--principal": self.principals,
            "--external-id": self.external_id,
        }
        for name, value in given.items():
            if value and self.kind not in _TRUST_OPTIONS[name]:
                raise click.UsageError(
                    f"{name} is for --role-trust {' and '.join(_TRUST_OPTIONS[name])}"
                )


def policy_of(trusted: Trust, s3: S3Settings, region: str | None) -> Policy:
    """Return the trust policy that was asked for. Raises: click.UsageError."""
    namespace = trusted.namespace or NAMESPACE
    account = trusted.service_account or SERVICE_ACCOUNT
    makers: Mapping[str, Callable[[], Policy]] = {
        "ec2": lambda: trust.instances(region),
        "ecs": trust.ecs_tasks,
        "eks": lambda: trust.service_account(
            _needed(
                trusted.oidc_provider,
                "--role-trust eks needs --oidc-provider; aws iam"
                " list-open-id-connect-providers lists those of the account",
            ),
            namespace,
            account,
        ),
        "pods": lambda: trust.pods(namespace, account),
        "external": lambda: _external(trusted, s3),
    }
    return makers[trusted.kind]()


def _external(trusted: Trust, s3: S3Settings) -> Policy:
    if not trusted.principals:
        raise click.UsageError("--role-trust external needs --principal: who may assume the role")
    configured = None if s3.role is None else s3.role.external_id
    external_id = _needed(
        trusted.external_id or configured,
        "--role-trust external needs --external-id, or storage.s3.role.external_id in the"
        " configuration",
    )
    return trust.external(trusted.principals, external_id)


def _needed(value: str | None, message: str) -> str:
    if value is None:
        raise click.UsageError(message)
    return value
