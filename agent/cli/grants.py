"""The mongosh script that makes a database user with the least privileges."""

import json
from string import Template
from typing import Final, Literal

Purpose = Literal["backup", "restore"]
_Value = dict[str, object]

# Source: MongoDB manual, "Built-In Roles". `backup` may read every collection and the oplog and
# write oplog notes; `clusterMonitor` may ask for the state of the replica set.
_BACKUP_ROLES: Final = ("backup", "clusterMonitor")
_RESTORE_ROLES: Final = (
    "restore",
    "backup",
    "clusterMonitor",
    "readWriteAnyDatabase",
    "dbAdminAnyDatabase",
)
# The role `backup` may not read the definitions of views (seen on 6.0).
_READ_VIEWS: Final[_Value] = {
    "resource": {"db": "", "collection": "system.views"},
    "actions": ["find"],
}
# What applyOps asks for when an entry names a collection by its UUID.
_RESTORE_ACTIONS: Final = ("applyOps", "useUUID", "forceUUID")
_ROLE_NAMES: Final = {"backup": "backstayBackup", "restore": "backstayRestore"}
_INTENTS: Final = {
    "backup": "makes backups: it reads everything and writes only to $control",
    "restore": "makes backups and restores them: it may write to every database",
}

_SCRIPT: Final = Template("""\
// Creates the role $role and the user $user,
// who $intent.
// Run it as a user administrator, at a terminal, since it asks for the password:
//   mongosh "mongodb://HOST/?replicaSet=NAME" --file THIS_FILE
// It may be run again: the role is brought up to date, the user keeps password and other roles.
{
  const admin = db.getSiblingDB("admin");
  const role = $role_text;
  const user = $user_text;
  const privileges = [
    $privileges
  ];
  const inherited = [
    $roles
  ];
  if (admin.getRole(role) === null) {
    admin.createRole({ role: role, privileges: privileges, roles: inherited });
  } else {
    admin.updateRole(role, { privileges: privileges, roles: inherited });
  }
  if (admin.getUser(user) === null) {
    admin.createUser({ user: user, pwd: passwordPrompt(), roles: [role] });
  } else {
    admin.grantRolesToUser(user, [role]);
  }
  const roles = admin.getUser(user).roles.map((each) => each.role);
  print("user " + user + " of database admin has the roles: " + roles.join(", "));
}
""")


def script(purpose: Purpose, *, user: str, control: str) -> str:
    """Return the script for a user who makes backups, or also restores them.

    ``control`` is the name of the control database. Idempotent when run.
    """
    names = _BACKUP_ROLES if purpose == "backup" else _RESTORE_ROLES
    inherited: list[_Value] = [{"role": name, "db": "admin"} for name in names]
    if purpose == "backup":
        # readWriteAnyDatabase and dbAdminAnyDatabase of the other role include these.
        inherited.extend({"role": name, "db": control} for name in ("readWrite", "dbAdmin"))
    privileges: list[_Value] = [_READ_VIEWS]
    if purpose == "restore":
        privileges.append({"resource": {"cluster": True}, "actions": list(_RESTORE_ACTIONS)})
    role = _ROLE_NAMES[purpose]
    return _SCRIPT.substitute(
        role=role,
        user=" ".join(user.split()),
        intent=Template(_INTENTS[purpose]).substitute(control=control),
        role_text=json.dumps(role),
        user_text=json.dumps(user),
        privileges=_lines(privileges),
        roles=_lines(inherited),
    )


def _lines(values: list[_Value]) -> str:
    return ",\n    ".join(json.dumps(value) for value in values)
