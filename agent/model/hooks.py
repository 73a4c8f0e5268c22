"""Hooks: which programs run when, and what they are told; pure."""

from collections.abc import Mapping
from typing import Final, Literal

from agent.model.commands import Backup, Request, Restore
from agent.model.outcome import Failure
from agent.model.states import State

HookName = Literal["before_backup", "after_backup", "before_restore", "after_restore"]

BEFORE: Final[Mapping[type[Request], HookName]] = {
    Backup: "before_backup",
    Restore: "before_restore",
}
AFTER: Final[Mapping[type[Request], HookName]] = {
    Backup: "after_backup",
    Restore: "after_restore",
}


def variables(
    name: HookName,
    command_id: object,
    request: Request,
    state: State,
    *,
    result: Mapping[str, object] | None = None,
    failure: Failure | None = None,
) -> dict[str, str]:
    """Return what a hook finds in its environment; what is not known is not there."""
    found = {
        "BACKSTAY_EVENT": name,
        "BACKSTAY_COMMAND": request.command,
        "BACKSTAY_COMMAND_ID": str(command_id),
        "BACKSTAY_STATE": state.value,
    }
    if backup := _backup(request, result or {}):
        found["BACKSTAY_BACKUP_ID"] = str(backup)
    if failure is not None:
        found["BACKSTAY_ERROR_CODE"] = failure.code
        # An environment cannot hold one.
        found["BACKSTAY_ERROR_MESSAGE"] = failure.message.replace("\0", " ")
    return found


def _backup(request: Request, result: Mapping[str, object]) -> object:
    """Return the id of the backup that was made, or restored, if it is known."""
    plan = result.get("plan")
    planned = plan.get("backup") if isinstance(plan, Mapping) else None
    wanted = request.backup if isinstance(request, Restore) else None
    return result.get("backup") or planned or wanted
