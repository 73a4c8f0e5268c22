"""The authorize_role command: begin, show again, or complete."""

from collections.abc import Mapping

from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.core.flow import Shared
from agent.jobs.roles.ports import RolePorts
from agent.jobs.roles.trial import Trial
from agent.model.commands import AuthorizeRole
from agent.model.keys import role_probe
from agent.model.outcome import failure_of
from agent.model.progress import Progress
from agent.model.roles import (
    Authorization,
    Identities,
    RoleState,
    Wanted,
    begun,
    default_name,
    identities,
    settings_line,
)
from agent.ports import Job, JobContext, RoleStorage


class AuthorizeRoleJob:
    """One ``authorize_role`` command.

    Every step may be done again: beginning finds what was begun, and a role that was authorized is
    tried out once more.
    """

    def __init__(self, context: JobContext, request: AuthorizeRole, ports: RolePorts) -> None:
        self._context = context
        self._request = request
        self._ports = ports
        self._progress = Shared(Progress(phase="planning"))

    def plan(self) -> None:
        """Find out what the command means, and for a beginning, whom the role must trust."""
        found, storage = self._chosen()
        if found is None:
            self._trusted(storage)

    def progress(self) -> Progress:
        """Return that it is under way: it takes seconds."""
        return self._progress.get()

    def may_cancel(self) -> bool:
        """Nothing is half done: always."""
        return True

    def give_up(self) -> None:
        """Leave everything: what is in progress stays so."""

    def run(self) -> Mapping[str, object]:
        """Begin, or show what was begun; with a role's ARN, try it out and authorize it."""
        self._progress.set(Progress(phase="checking"))
        found, storage = self._chosen()
        if found is None:
            found = self._begun(storage)
        if self._request.role_arn is None:
            return self._shown(found)
        return self._completed(found, storage, self._request.role_arn)

    # -- which one

    def _chosen(self) -> tuple[Authorization | None, RoleStorage]:
        """Return the authorization that is meant, None if it is to be begun; and its storage."""
        known = self._ports.roles.authorizations()
        named, role_arn = self._request.authorization, self._request.role_arn
        if named is not None:
            found = next((each for each in known if each.authorization == named), None)
            if found is None or self._request.storage not in {None, found.storage}:
                raise unknown(named)
            return self._fitting(found), self._ports.storage(found.storage)
        storage = self._ports.storage(self._request.storage)
        of_storage = [each for each in known if each.storage == storage.label]
        for each in of_storage:
            if each.state is RoleState.IN_PROGRESS:
                return each, storage
        # That of this very command, perhaps, whose end an earlier coordinator did not write.
        for each in of_storage:
            if role_arn is not None and each.role_arn == role_arn:
                return each, storage
        if role_arn is not None:
            raise PermanentError(
                "nothing_in_progress",
                f"no authorization of a role is in progress for the storage {storage.label}",
                hint="insert authorize_role without role_arn first: it gives the external id",
            )
        return None, storage

    def _fitting(self, found: Authorization) -> Authorization:
        role_arn = self._request.role_arn
        if found.role_arn is not None and role_arn not in {None, found.role_arn}:
            raise PermanentError(
                "already_authorized",
                f"the authorization {found.authorization} is that of the role {found.role_arn}",
                hint="begin another one for the other role",
            )
        return found

    # -- beginning

    def _begun(self, storage: RoleStorage) -> Authorization:
        principals = self._trusted(storage).principals
        external_id = self._ports.token()
        wanted = Wanted(
            authorization=self._ports.token()[:8],
            external_id=external_id,
            storage=storage.label,
            role_name=self._request.role_name or default_name(storage.bucket),
            principals=principals,
            trust_policy=storage.trust_policy(principals, external_id),
            permission_policy=storage.permission_policy,
        )
        self._context.held()
        found = self._ports.roles.begin(begun(wanted), self._context.token)
        passing(Point.ROLE_BEGUN)
        self._ports.log.info("role begun", authorization=found.authorization, storage=found.storage)
        return found

    def _trusted(self, storage: RoleStorage) -> Identities:
        found = self._identities(storage.label)
        if found.principals:
            return found
        raise PermanentError(
            "no_identity",
            f"no agent can tell as whom it reaches the storage {storage.label}, so nobody can be"
            f" named in the role's trust policy: {', '.join(found.unknown) or 'no agent is there'}",
            hint="give the agents keys of a user or a role, and a way to STS; the access in their"
            " status shows what they know; an account's root user may not assume roles",
        )

    def _identities(self, label: str) -> Identities:
        status = self._ports.status
        return identities(status.agents(), label, status.server_now())

    def _shown(self, found: Authorization) -> Mapping[str, object]:
        return {
            "authorization": found.authorization,
            "storage": found.storage,
            "state": found.state.value,
            "external_id": found.external_id,
            "principals": list(found.principals),
            "trust_policy": found.trust_policy,
            "permission_policy": found.permission_policy,
            "cli": {"create": list(found.cli.create), "adapt": list(found.cli.adapt)},
            "role_arn": found.role_arn,
            "warnings": self._left_out(found),
        }

    def _left_out(self, found: Authorization) -> list[str]:
        """Return what has changed since the policies were made."""
        now = self._identities(found.storage)
        warnings = [
            f"the trust policy does not name {each}, which an agent is now; delete this"
            " authorization and begin again, or add it"
            for each in now.principals
            if each not in found.principals
        ]
        if now.unknown:
            warnings.append(
                f"it is not known whose keys {', '.join(now.unknown)} has; the trust policy must"
                " name that identity too"
            )
        name = self._request.role_name
        if name not in {None, found.role_name}:
            warnings.append(f"this was begun with the name {found.role_name}, not {name}")
        return warnings

    # -- completing

    def _completed(
        self, found: Authorization, storage: RoleStorage, role_arn: str
    ) -> Mapping[str, object]:
        try:
            is_guarded = self._tried(found, storage, role_arn)
        except PermanentError as error:
            self._context.held()
            self._ports.roles.refuse(found.authorization, failure_of(error), self._context.token)
            raise
        self._context.held()
        passing(Point.ROLE_TRIED)
        roles, token = self._ports.roles, self._context.token
        if not roles.authorize(found.authorization, role_arn, token):
            raise unknown(found.authorization)
        passing(Point.ROLE_AUTHORIZED)
        self._ports.log.info("role authorized", authorization=found.authorization, role=role_arn)
        warnings = self._left_out(found)
        if not is_guarded:
            warnings.append(
                "the role can be assumed without the external id too: let its trust policy demand"
                " it, as the one of this authorization does"
            )
        return {
            "authorization": found.authorization,
            "storage": found.storage,
            "state": RoleState.AUTHORIZED.value,
            "role_arn": role_arn,
            "configuration": settings_line(role_arn, found.external_id),
            "warnings": warnings,
        }

    def _tried(self, found: Authorization, storage: RoleStorage, role_arn: str) -> bool:
        trial = Trial(
            storage=storage,
            role_arn=role_arn,
            external_id=found.external_id,
            key=role_probe(self._ports.replset, found.authorization),
        )
        try:
            return trial.run(self._ports.clock, self._context.stop, self._ports.patience_s)
        except PermanentError as error:
            if error.code != "role_denied":
                raise
            raise PermanentError(
                error.code,
                error.message,
                hint="let the role's trust policy be that of this authorization, with its external"
                " id; if the role is in another account, allow the agents' own identity"
                " sts:AssumeRole on it; if that identity is a role with a path, put the path"
                " into its ARN in the trust policy",
            ) from error


def unknown(authorization: str) -> PermanentError:
    """Return the error for an authorization that is not there."""
    return PermanentError(
        "unknown_authorization",
        f"there is no authorization {authorization}, or it is one of another storage",
        hint="backstay roles lists them; so do the documents of kind role in status",
    )


def _proof(context: JobContext, request: AuthorizeRole, ports: RolePorts) -> Job:
    return AuthorizeRoleJob(context, request, ports)
