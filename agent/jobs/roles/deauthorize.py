"""The deauthorize_role command: give an authorization up, or forget one that nobody uses."""

from collections.abc import Mapping, Sequence

from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.core.flow import Shared
from agent.jobs.roles.authorize import unknown
from agent.jobs.roles.ports import RolePorts
from agent.model.commands import DeauthorizeRole
from agent.model.progress import Progress
from agent.model.roles import Authorization, users_of
from agent.ports import Job, JobContext


class DeauthorizeRoleJob:
    """One ``deauthorize_role`` command."""

    def __init__(self, context: JobContext, request: DeauthorizeRole, ports: RolePorts) -> None:
        self._context = context
        self._request = request
        self._ports = ports
        self._progress = Shared(Progress(phase="planning"))

    def plan(self) -> None:
        """Check that it is there, and that no storage uses the role."""
        meant = self._meant()
        if not meant:
            raise unknown(self._request.authorization or str(self._request.role_arn))
        for each in meant:
            self._check_unused(each)

    def progress(self) -> Progress:
        """Return that it is under way: it takes a moment."""
        return self._progress.get()

    def may_cancel(self) -> bool:
        """Nothing is half done: always."""
        return True

    def give_up(self) -> None:
        """Leave everything."""

    def run(self) -> Mapping[str, object]:
        """Remove what is meant; what an earlier coordinator has removed already is no error."""
        self._progress.set(Progress(phase="cleaning"))
        meant = self._meant()
        for each in meant:
            self._check_unused(each)
            self._context.held()
            passing(Point.ROLE_BEFORE_REMOVED)
            if not self._ports.roles.remove(each, self._context.token):
                raise PermanentError(
                    "authorization_changed",
                    f"the authorization {each.authorization} was completed meanwhile",
                    hint="look at it with backstay roles, and insert the command again",
                )
            passing(Point.ROLE_REMOVED)
            self._ports.log.info("role forgotten", authorization=each.authorization)
        return {
            "removed": [each.authorization for each in meant],
            "roles": sorted({each.role_arn for each in meant if each.role_arn is not None}),
        }

    def _meant(self) -> Sequence[Authorization]:
        named, role_arn = self._request.authorization, self._request.role_arn
        return [
            each
            for each in self._ports.roles.authorizations()
            if each.authorization == named or (role_arn is not None and each.role_arn == role_arn)
        ]

    def _check_unused(self, found: Authorization) -> None:
        if found.role_arn is None:
            return
        status = self._ports.status
        used = users_of(found.role_arn, status.agents(), status.server_now())
        if used:
            where = "; ".join(f"{label} on {', '.join(names)}" for label, names in used.items())
            raise PermanentError(
                "role_in_use",
                f"the role {found.role_arn} is used by storages: {where}",
                hint="take the role out of the s3 block of these storages, or name another one,"
                " restart the agents, and insert the command again",
            )


def _proof(context: JobContext, request: DeauthorizeRole, ports: RolePorts) -> Job:
    return DeauthorizeRoleJob(context, request, ports)
