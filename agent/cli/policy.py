"""``backstay policy``: the least that AWS must allow, as JSON to paste."""

from dataclasses import dataclass, replace
from pathlib import Path

import click

from agent.aws import policy as policies
from agent.cli import trusts
from agent.cli.console import Program
from agent.cli.exits import Exit
from agent.cli.options import storage_option, verb
from agent.cli.screen import Screen
from agent.cli.session import guarded
from agent.core.errors import PermanentError
from agent.model.iam import Policy
from agent.settings import S3Settings, Settings


@click.command(short_help="Print the least IAM policy for a storage, or whom its role trusts.")
@storage_option
@click.option(
    "--versioned",
    "is_versioned",
    is_flag=True,
    help="For a bucket with versioning: deny what would end old versions.",
)
@click.option(
    "--require-encryption",
    "is_encryption_required",
    is_flag=True,
    help="Deny uploads without the configured encryption (AES256 if none is).",
)
@click.option(
    "--kms",
    "has_kms_key",
    is_flag=True,
    help="The bucket encrypts by a KMS key that the configuration does not name.",
)
@click.option(
    "--restore-only", "is_restore_only", is_flag=True, help="Nothing that writes or deletes."
)
@click.option(
    "--bucket-policy",
    is_flag=True,
    help="Instead, a policy for the bucket: deny anybody's uploads without the encryption.",
)
@click.option(
    "--assume-role",
    is_flag=True,
    help="Instead, what the identity that assumes storage.s3.role needs.",
)
@click.option(
    "--role-trust",
    type=click.Choice(["ec2", "ecs", "eks", "pods", "external"]),
    help="Instead, the trust policy of a role: for EC2 instances, ECS tasks, a service account of"
    " EKS (IRSA), the same by Pod Identity, or other identities with an external id.",
)
@click.option(
    "--oidc-provider",
    metavar="ARN",
    type=trusts.Form(trusts.PROVIDER, "arn:aws:iam::123456789012:oidc-provider/oidc.eks..."),
    help="For eks: the cluster's OIDC provider in IAM.",
)
@click.option(
    "--namespace",
    metavar="NAME",
    help=f"For eks and pods: of the pods.  [default: {trusts.NAMESPACE}]",
)
@click.option(
    "--service-account",
    metavar="NAME",
    help=f"For eks and pods: of the pods.  [default: {trusts.SERVICE_ACCOUNT}]",
)
@click.option(
    "--principal",
    "principals",
    multiple=True,
    metavar="ARN",
    type=trusts.Form(trusts.PRINCIPAL, "arn:aws:iam::123456789012:role/mongodb-hosts"),
    help="For external: who may assume the role; repeatable.",
)
@click.option(
    "--external-id",
    metavar="TEXT",
    type=trusts.Form(trusts.EXTERNAL_ID, "2 to 1224 letters, digits and +=,.@:/-"),
    help="For external.  [default: storage.s3.role.external_id]",
)
@verb
@click.pass_context
def policy(
    context: click.Context,
    /,
    *,
    config: Path | None,
    is_json: bool,
    storage: str | None,
    bucket_policy: bool,
    assume_role: bool,
    role_trust: str | None,
    oidc_provider: str | None,
    namespace: str | None,
    service_account: str | None,
    principals: tuple[str, ...],
    external_id: str | None,
    **scope: bool,
) -> None:
    """Print the least IAM policy for this configuration, as JSON to paste.

    It goes to standard output, and nothing else does: backstay policy > policy.json. Neither
    MongoDB nor AWS is asked.
    """
    program = context.find_object(Program)
    assert program is not None, "the group sets it"  # noqa: S101 - for the type checker
    screen = Screen(is_json=is_json)
    wanted = _Wanted(
        scope=policies.Scope(**scope),
        trusted=trusts.Trust(
            kind=role_trust or "",
            oidc_provider=oidc_provider,
            namespace=namespace,
            service_account=service_account,
            principals=principals,
            external_id=external_id,
        ),
        is_bucket=bucket_policy,
        is_source=assume_role,
    )
    _refuse_contradictions(wanted)

    def work() -> int:
        s3 = _bucket(program.load(config or program.config_path()), storage)
        return _print(screen, wanted, s3, program.region_of(s3))

    context.exit(guarded(screen, work))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Which policy is to be printed; without a word on another, the permissions."""

    scope: policies.Scope
    trusted: trusts.Trust
    is_bucket: bool
    is_source: bool

    @property
    def is_of_permissions(self) -> bool:
        return not (self.is_bucket or self.is_source or self.trusted.kind)

    def policy(self, s3: S3Settings, region: str | None) -> Policy:
        """Return it. Raises: PermanentError ``bad_command`` if the settings lack what it needs."""
        if self.trusted.kind:
            return trusts.policy_of(self.trusted, s3, region)
        if self.is_source:
            return _source(s3)
        if self.is_bucket:
            return policies.bucket_policy(s3, region)
        return policies.permissions(s3, region, self.scope)


def _print(screen: Screen, wanted: _Wanted, s3: S3Settings, region: str | None) -> int:
    click.echo(wanted.policy(s3, region).text())
    if region is None:
        screen.note("The region is not known: this is for regions outside China and GovCloud.")
    if s3.role is not None and wanted.is_of_permissions:
        screen.note(f"For {s3.role.arn}; whoever assumes it needs --assume-role.")
    _remark(screen, s3, wanted.scope, is_bucket=wanted.is_bucket)
    return Exit.DONE


def _refuse_contradictions(wanted: _Wanted) -> None:
    scope = wanted.scope
    others = {
        "--bucket-policy": wanted.is_bucket,
        "--assume-role": wanted.is_source,
        "--role-trust": bool(wanted.trusted.kind),
    }
    chosen = [name for name, is_chosen in others.items() if is_chosen]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} print different policies; choose one")
    # The bucket's policy is nothing but that requirement: saying so again is no contradiction.
    extra = replace(scope, is_encryption_required=False) if wanted.is_bucket else scope
    if chosen and extra != policies.PLAIN:
        raise click.UsageError(
            f"{chosen[0]} prints another policy than the permissions, to which --versioned,"
            " --require-encryption, --kms and --restore-only belong; print them one by one"
        )
    wanted.trusted.refuse_strangers()


def _bucket(settings: Settings, label: str | None) -> S3Settings:
    wanted = label or settings.storage.label
    found = [each for each in settings.storages if each.label == wanted]
    if not found:
        raise PermanentError(
            "unknown_storage",
            f"no storage is labelled {wanted!r}",
            hint=f"configured: {', '.join(sorted(each.label for each in settings.storages))}",
        )
    s3 = found[0].s3
    if s3 is None:
        raise PermanentError("bad_command", f"the storage {wanted} is a directory, not a bucket")
    return s3


def _source(s3: S3Settings) -> Policy:
    if s3.role is None:
        raise PermanentError(
            "bad_command",
            "this storage assumes no role",
            hint="set storage.s3.role, or leave --assume-role out",
        )
    return policies.may_assume(s3.role.arn)


def _remark(screen: Screen, s3: S3Settings, scope: policies.Scope, *, is_bucket: bool) -> None:
    """Say on standard error what the policy asks of whoever uses it."""
    if scope.is_restore_only:
        screen.note("Agents with this policy need oplog.enabled: false; their backups fail.")
    if is_bucket:
        screen.note("A bucket has one policy: add the statements to those that are there.")
    is_demanded = scope.is_encryption_required or is_bucket
    if is_demanded and s3.server_side_encryption is None:
        screen.note(
            "This configuration asks for no encryption, so its uploads will be denied: set"
            " storage.s3.server_side_encryption: {algorithm: AES256}.",
            "yellow",
        )
