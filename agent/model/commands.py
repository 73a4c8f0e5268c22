"""Commands: what operators insert, as models that also make the collection's validator."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.outcome import Failure, cut
from agent.model.roles import ROLE_ARN, ROLE_NAME
from agent.model.states import State
from agent.model.verdict import Depth


@dataclass(frozen=True, slots=True)
class Bson:
    """Names the BSON types of a field whose Python type does not tell them.

    ``text``, where it is given, is the only string that is allowed.
    """

    types: tuple[str, ...]
    text: str = ""


LATEST: Final = "latest"


def _point_in_time(value: object) -> object:
    is_date = isinstance(value, datetime) and value.tzinfo is not None
    if is_date or isinstance(value, ClusterTime) or value == LATEST:
        return value
    raise ValueError('must be a date, a Timestamp or "latest"')


CommandId = Annotated[object, Bson(("objectId", "string"))]
PointInTime = Annotated[
    datetime | ClusterTime | Literal["latest"],
    PlainValidator(_point_in_time),
    Bson(("date", "timestamp", "string"), LATEST),
]
Patterns = Annotated[tuple[str, ...], Field(min_length=1)]


def _role_arn(arn: str) -> str:
    if ROLE_ARN.match(arn) is None:
        raise ValueError("must be the ARN of a role: arn:aws:iam::123456789012:role/backstay")
    return arn


def _role_name(name: str) -> str:
    if ROLE_NAME.match(name) is None:
        raise ValueError("must be up to 64 letters, digits and characters of +=,.@_-")
    return name


RoleArn = Annotated[str, AfterValidator(_role_arn)]
RoleName = Annotated[str, AfterValidator(_role_name)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Request(_Document):
    writes_data: ClassVar[bool] = False


class Backup(_Request):
    """Make an exact copy at one cluster time."""

    writes_data: ClassVar[bool] = True
    command: Literal["backup"] = "backup"
    namespaces: Patterns | None = Field(
        None, description='which collections, such as ["shop.*"]; absent: all'
    )
    storage: str | None = Field(None, description="label of a configured storage; absent: main")
    tags: dict[str, str] | None = Field(None, description="texts to find the backup by")
    keep: bool = Field(default=False, description="true: retention never deletes this backup")
    note: str | None = Field(None, description="a text for people")


class Rename(_Document):
    """Where a restore puts what was called otherwise."""

    from_: str = Field(alias="from", description='a pattern such as "shop.*"')
    to: str = Field(description='a pattern with as many stars, such as "shop2.*"')


class Restore(_Request):
    """Bring a backup back, beside what exists, and switch at the end."""

    writes_data: ClassVar[bool] = True
    command: Literal["restore"] = "restore"
    backup: str | None = Field(None, description="id of a backup; absent: the newest")
    to: PointInTime | None = Field(
        None, description='a time to restore to: a date, a Timestamp or "latest"'
    )
    namespaces: Patterns | None = Field(
        None, description='which collections, such as ["shop.*"]; absent: all'
    )
    rename: tuple[Rename, ...] | None = Field(
        None, description='other names to restore to: [{from: "shop.*", to: "shop2.*"}]'
    )
    overwrite: bool = Field(default=False, description="true: replace what exists")
    users_and_roles: bool | None = Field(
        None, description="restore users and roles too; absent: only in a full restore"
    )
    hold_ttl: bool = Field(default=False, description="true: restore TTL indexes without expiry")
    dry_run: bool = Field(default=False, description="true: only make and show the plan")
    storage: str | None = Field(None, description="label of a configured storage; absent: main")

    @model_validator(mode="after")
    def _aims_once(self) -> Self:
        if self.backup is not None and self.to is not None:
            raise ValueError("restore takes either 'backup' or 'to', not both")
        return self


class Cancel(_Request):
    """Stop a command that waits or runs."""

    command: Literal["cancel"] = "cancel"
    target: CommandId = Field(description="_id of the command to cancel")


class Delete(_Request):
    """Delete a backup from its storage."""

    writes_data: ClassVar[bool] = True
    command: Literal["delete"] = "delete"
    backup: str = Field(description="id of a backup")
    dry_run: bool = Field(default=False, description="true: only say what would be deleted")
    force: bool = Field(default=False, description="true: even if kept, or the only one")
    storage: str | None = Field(None, description="label of a configured storage; absent: main")


class Prune(_Request):
    """Remove what the retention of the schedules lets go, and what dead jobs left."""

    writes_data: ClassVar[bool] = True
    command: Literal["prune"] = "prune"
    dry_run: bool = Field(default=False, description="true: only say what would go, and why")
    storage: str | None = Field(None, description="label of a configured storage; absent: main")


class Resync(_Request):
    """Rebuild the catalogue of backups from the storage."""

    writes_data: ClassVar[bool] = True
    command: Literal["resync"] = "resync"
    storage: str | None = Field(None, description="label of a configured storage; absent: all")


class AuthorizeRole(_Request):
    """Set a role up for a storage: first what IAM needs, then the proof that it works."""

    command: Literal["authorize_role"] = "authorize_role"
    storage: str | None = Field(None, description="label of a configured storage; absent: main")
    authorization: str | None = Field(
        None, description="id of an authorization; absent: the one of the storage in progress"
    )
    role_name: RoleName | None = Field(
        None, description="name of the role in the lines for the shell; absent: backstay-<bucket>"
    )
    role_arn: RoleArn | None = Field(
        None, description="ARN of the role, once it is set up; absent: begin, or show again"
    )

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        if self.role_name is not None and self.role_arn is not None:
            raise ValueError("authorize_role takes 'role_name' to begin or 'role_arn' to complete")
        return self


class DeauthorizeRole(_Request):
    """Forget a role that no storage uses, or give an authorization up."""

    command: Literal["deauthorize_role"] = "deauthorize_role"
    authorization: str | None = Field(None, description="id of an authorization")
    role_arn: RoleArn | None = Field(None, description="ARN of a role that was authorized")

    @model_validator(mode="after")
    def _aims_once(self) -> Self:
        if (self.authorization is None) == (self.role_arn is None):
            raise ValueError("deauthorize_role needs either 'authorization' or 'role_arn'")
        return self


class Check(_Request):
    """Let every agent test its storages, credentials and privileges."""

    command: Literal["check"] = "check"


class Verify(_Request):
    """Look whether everything that a backup needs is in its storage, and whole."""

    command: Literal["verify"] = "verify"
    backup: str = Field(description='id of a backup, or "latest" for the newest')
    depth: Depth = Field(
        "objects",
        description='"objects": all are there, by a listing; "content": read them all',
    )
    storage: str | None = Field(None, description="label of a configured storage; absent: main")


Request = (
    Backup
    | Restore
    | Cancel
    | Verify
    | Delete
    | Prune
    | Resync
    | Check
    | AuthorizeRole
    | DeauthorizeRole
)
REQUESTS: Final[dict[str, type[Request]]] = {
    "backup": Backup,
    "restore": Restore,
    "cancel": Cancel,
    "verify": Verify,
    "delete": Delete,
    "prune": Prune,
    "resync": Resync,
    "check": Check,
    "authorize_role": AuthorizeRole,
    "deauthorize_role": DeauthorizeRole,
}

# What agents add to a command's document, with the BSON types of each.
AGENT_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "state": ("string",),
    "created_at": ("date",),
    "started_at": ("date",),
    "finished_at": ("date",),
    "coordinator": ("string",),
    "lease_token": ("long",),
    "progress": ("object",),
    "result": ("object",),
    "error": ("object",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRecord:
    """A command document: ``options`` is what was inserted, without ``_id``; times are UTC.

    ``created_at`` is when it was inserted, as well as that can be told. ``odd`` are fields of
    agents as they lie there, of which no agent can have written one: such a command is refused.
    ``size_bytes`` is that of the whole document, as long as it has no state.
    """

    command_id: object
    options: Mapping[str, object]
    state: State | None
    created_at: datetime | None
    token: int
    odd: Mapping[str, object] = field(default_factory=dict)
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended, and when; ``failure`` is None unless it failed."""

    command_id: object
    state: State
    finished_at: datetime
    failure: Failure | None


def parse(options: Mapping[str, object]) -> Request:
    """Read an inserted document, past what the validator could not hold back.

    Raises: PermanentError ``bad_command`` naming each wrong field.
    """
    name = options.get("command")
    model = REQUESTS.get(name) if isinstance(name, str) else None
    if model is None:
        raise PermanentError(
            "bad_command",
            f"there is no command {cut(repr(name))}",
            hint=f"one of: {', '.join(sorted(REQUESTS))}",
        )
    try:
        return model.model_validate({key: _frozen(value) for key, value in options.items()})
    except ValidationError as error:
        faults = dict.fromkeys(_sentence(str(name), fault) for fault in error.errors())
        raise PermanentError(
            "bad_command",
            "; ".join(faults),
            hint=f"{name} takes{_options_of(model)}",
        ) from error


def _frozen(value: object) -> object:
    """Return lists as tuples, all the way down: the models are strict and frozen."""
    if isinstance(value, list | tuple):
        return tuple(_frozen(each) for each in value)
    if isinstance(value, Mapping):
        return {key: _frozen(each) for key, each in value.items()}
    return value


def _options_of(model: type[Request]) -> str:
    names = {field.alias or name for name, field in model.model_fields.items()} - {"command"}
    return f": {', '.join(sorted(names))}" if names else " no options"


_WORDS: Final[Mapping[str, str]] = {
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "dict_type": "must be a document",
    "model_type": "must be a document",
}


def _sentence(command: str, fault: ErrorDetails) -> str:
    *outer, last = fault["loc"] or ("",)
    place = ".".join(str(part) for part in (*outer, last))
    within = f"{command}: {'.'.join(map(str, outer))}" if outer else command
    match fault["type"]:
        case "extra_forbidden":
            return f"{within} has no option {last!r}"
        case "missing":
            return f"{within} needs {last!r}"
        case "literal_error":
            return f"{place} must be {fault['ctx']['expected']}"
        case "value_error":
            message = str(fault["ctx"]["error"])
            return f"{place} {message}" if place else message
        case kind:
            return f"{place} {_WORDS.get(kind, fault['msg'])}"
