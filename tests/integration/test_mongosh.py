"""The helper for people who live in mongosh, loaded into a real one, as an operator's user."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from bson import json_util

from agent.core.clock import SystemClock
from agent.model.backups import BackupEntry
from agent.model.cluster_time import ClusterTime
from agent.model.commands import REQUESTS
from agent.model.schedules import MARK_FIELDS, Retention, Schedule
from agent.model.schema import schedules_validator
from agent.model.states import END_STATES
from agent.model.status import ClusterStatus, OplogStatus, Problem
from agent.model.verdict import Verdict
from agent.mongo.backups import MongoBackups
from agent.mongo.connect import open_cluster, open_node, own_node
from agent.mongo.control import prepare
from agent.mongo.status import MongoStatus
from tests.fakes.status import an_agent
from tests.testbed.clients import Client, Document
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.shell import ShellResult, TerminalShell, call_mongosh
from tests.testbed.waiting import eventually

HELPER = "deploy/mongosh/backstay.js"
_AWARE = json_util.JSONOptions(tz_aware=True)
_PASSWORD = "the-operators-password"
_USERS = {"operator": "readWrite", "onlooker": "read", "stranger": None}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def guarded() -> Iterator[ReplicaSet]:
    """A replica set of one that asks who one is, with users who have little to say."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, auth=True)) as replica_set:
        with replica_set.client() as client:
            for user, role in _USERS.items():
                roles = [{"role": role, "db": "backstay"}] if role else []
                client["admin"].command("createUser", user, pwd=_PASSWORD, roles=roles)
        yield replica_set


@pytest.fixture
def control(guarded: ReplicaSet) -> Iterator["Control"]:
    """A control database as agents prepare it, and a mongosh of the operator."""
    uri = guarded.nodes[0].uri
    with open_node(uri) as node:
        own = own_node(node)
    with open_cluster(uri, own.hosts, own.replset) as cluster:
        cluster.drop_database("backstay")
        prepare(cluster["backstay"])
        if "schedules" not in cluster["backstay"].list_collection_names():
            cluster["backstay"].create_collection("schedules", validator=schedules_validator())
        yield Control(guarded, cluster, "backstay")


class Control:
    """What the agents have written, and what somebody types."""

    def __init__(self, server: ReplicaSet, cluster: Client, name: str) -> None:
        self.server = server
        self.cluster = cluster
        self.name = name
        self.database = cluster[name]
        self.status = MongoStatus(self.database)
        self.backups = MongoBackups(self.database)

    def beside(self, name: str) -> Self:
        """Return another control database of the same server."""
        return type(self)(self.server, self.cluster, name)

    def write(
        self,
        cluster: ClusterStatus | None = None,
        *agents: str,
        age: timedelta = timedelta(hours=-1),
    ) -> None:
        """Write what agents would; not so that it would be stale before a shell has started."""
        for name in agents:
            self.status.write_agent(an_agent(name, NOW))
        if cluster is not None:
            self.status.write_cluster(cluster, 1)
        written = {"$set": {"updated_at": self.status.server_now() - age}}
        self.database["status"].update_many({}, written)

    def uri(self, user: str) -> str:
        """Return where a user's shell is opened."""
        if user == "root":
            return self.server.uri
        (node,) = self.server.nodes
        who = f"{user}:{_PASSWORD}@" if user else ""
        return f"mongodb://{who}{node.address}/{'?authSource=admin' if user else ''}"

    def run(self, code: str, user: str = "operator", *arguments: str) -> ShellResult:
        """Load the helper and evaluate some code, as one would in a script of the shell."""
        loaded = f'load("{HELPER}");\n{code}'
        return call_mongosh(self.uri(user), *arguments, "--eval", loaded)

    def values(self, *expressions: str, user: str = "operator") -> list[Any]:
        """Evaluate expressions, and return their values; of one that throws, its message."""
        calls = ", ".join(
            f"() => {{ const value = {each}; return value; }}" for each in expressions
        )
        done = self.run(
            f"for (const call of [{calls}]) {{ let value;"
            " try { value = { is: call() }; }"
            " catch (error) { value = { threw: error.message, code: error.code }; }"
            ' print("VALUE " + EJSON.stringify(value)); }',
            user,
        )
        assert 0 == done.exit_status, done.stdout + done.stderr
        found = [line[6:] for line in done.stdout.splitlines() if line.startswith("VALUE ")]
        assert len(expressions) == len(found), done.stdout + done.stderr
        values = [json_util.loads(each, json_options=_AWARE) for each in found]
        return [value.get("threw", value.get("is")) for value in values]

    def commands(self) -> list[Document]:
        """Return the commands that are there."""
        return list(self.database["commands"].find())


# ------------------------------------------------------------------ what it takes


def options_of(command: str) -> dict[str, bool]:
    """Return the options of a command, and whether each is required."""
    fields = REQUESTS[command].model_fields
    found = {info.alias or name: info.is_required() for name, info in fields.items()}
    return {name: needed for name, needed in found.items() if name != "command"}


def test_help_tells_what_the_models_take(control: Control) -> None:
    """Every command has a function; options, which are required, and meanings are the agents'."""
    names = list(REQUESTS)
    *helps, schedule, functions = control.values(
        *(f'backstay.help("{name}")' for name in names),
        'backstay.help("schedule")',
        "Object.keys(backstay)",
    )
    assert set(names) <= set(functions)
    for name, fields in zip(names, helps, strict=True):
        assert options_of(name) == {key: each["needed"] for key, each in fields.items()}
        for key, info in REQUESTS[name].model_fields.items():
            if key != "command":
                assert info.description == fields[info.alias or key]["means"]
                assert fields[info.alias or key]["type"]
    assert set(Retention.model_fields) == set(schedule["retention"]["rules"])
    fields = {info.alias or name for name, info in Schedule.model_fields.items()} - {"_id"}
    assert fields == set(schedule)


def test_help_is_for_reading_and_needs_no_control_database(control: Control) -> None:
    """The verbs with a line each, then a table of options; where there are none yet, why."""
    done = control.run(
        'print(backstay.help()); print(backstay.help(backstay.backup)); backstay.use("none");'
        'print(backstay.help("backup")); print(backstay.help("watch"))'
    )
    for name in (*REQUESTS, "status", "list", "watch", "schedule"):
        assert f"backstay.{name}(" in done.stdout
    assert "namespaces  list" in done.stdout
    assert "start an agent" in done.stdout
    assert "without id: the last one" in done.stdout
    assert "none, which no agent has prepared yet" in done.stderr


# ------------------------------------------------------------------ commands

# What is called, and the document that one would insert by hand.
ORDERS: Mapping[str, Document] = {
    "backup()": {"command": "backup"},
    'backup({namespaces: ["shop.*"], tags: {why: "x"}, keep: true, note: "n"})': {
        "command": "backup", "namespaces": ["shop.*"], "tags": {"why": "x"}, "keep": True,
        "note": "n",
    },
    'restore({to: ISODate("2026-11-21T20:15:12Z"), dry_run: true, storage: undefined})': {
        "command": "restore", "to": datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC),
        "dry_run": True,
    },
    'restore({to: "latest", rename: [{from: "a.*", to: "b.*"}]})': {
        "command": "restore", "to": "latest", "rename": [{"from": "a.*", "to": "b.*"}],
    },
    'verify("20261121T201512Z")': {"command": "verify", "backup": "20261121T201512Z"},
    'verify("20261121T201512Z", "content")': {
        "command": "verify", "backup": "20261121T201512Z", "depth": "content",
    },
    'verify({backup: "20261121T201512Z", depth: "content"})': {
        "command": "verify", "backup": "20261121T201512Z", "depth": "content",
    },
    'delete("20261121T201512Z", {dry_run: true})': {
        "command": "delete", "backup": "20261121T201512Z", "dry_run": True,
    },
    "check()": {"command": "check"},
    'resync({storage: "main"})': {"command": "resync", "storage": "main"},
    'authorize_role({storage: "main"})': {"command": "authorize_role", "storage": "main"},
    'deauthorize_role({authorization: "5f0c"})': {
        "command": "deauthorize_role", "authorization": "5f0c",
    },
    'command({_id: "mine", command: "check"})': {"_id": "mine", "command": "check"},
    'cancel("mine")': {"command": "cancel", "target": "mine"},
}  # fmt: skip


def test_commands_are_what_one_would_insert_by_hand(control: Control) -> None:
    """The `_id` comes back; a target that was typed as a text is the ObjectId that it names."""
    first, *others = ORDERS
    identity, *rest = control.values(f"backstay.{first}", *(f"backstay.{each}" for each in others))
    for expected, given in zip(ORDERS.values(), (identity, *rest), strict=True):
        document = control.database["commands"].find_one({"_id": given})
        assert {"_id": given, **expected} == document
    (canceled,) = control.values(f'backstay.cancel("{identity}")')
    document = control.database["commands"].find_one({"_id": canceled})
    assert document is not None
    assert identity == document["target"]


# What is called, and every line that is told.
REFUSALS: Mapping[str, str] = {
    'backup({namespace: ["a.*"], keep: "yes", tags: {why: 7}, overwrite: true})': """
        keep: must be true or false; you gave "yes" (true: retention never deletes this backup)
        tags.why: must be a text; you gave 7 (texts to find the backup by)
        namespace: there is no such field; did you mean "namespaces"?
        overwrite: is no option of backup; it is of: restore
    """,
    "backup({namespaces: []})": """
        namespaces: must not be empty; you gave [] (which collections, such as ["shop.*"]; \
absent: all)
    """,
    "backup({namespaces: [7]})": """
        namespaces.0: must be a text; you gave 7 (which collections, such as ["shop.*"]; \
absent: all)
    """,
    'restore({to: "yesterday", rename: [{form: "a.*", to: "b.*"}]})': """
        rename.0.form: there is no such field; did you mean "from"?
        rename.0.from: is missing (a pattern such as "shop.*")
        to: does not look right; you gave "yesterday" (a time to restore to: a date, a Timestamp \
or "latest")
    """,
    "verify()": 'backup: is missing (id of a backup, or "latest" for the newest)',
    'verify("x", "all")': 'depth: must be one of: objects, content; you gave "all"',
    "cancel(7)": """
        target: must be an ObjectId or a text; you gave 7 (_id of the command to cancel)
    """,
}
SCHEDULES_REFUSED: Mapping[str, str] = {
    '{cron: 5, command: {command: "backup"}}': """
        cron: must be a text; you gave 5 (minute, hour, day, month, weekday, such as \
"0 3 * * *"; with a command)
    """,
    '{cron: "0 3 * *", command: {command: "verify", note: "x", storge: "y"}, enabld: false}': """
        cron: does not look right; you gave "0 3 * *" (minute, hour, day, month, weekday, such \
as "0 3 * * *"; with a command)
        command.storge: there is no such field; did you mean "storage"?
        command.note: is no option of verify; it is of: backup
        command.backup: is missing (id of a backup, or "latest" for the newest)
        enabld: there is no such field; did you mean "enabled"?
    """,
    """{cron: "0 3 * * *", command: {command: "backup"}, storage: "a",
        retention: {keep_last: 0, keep_daly: 3, keep_weekly: 2.5}}""": """
        retention.keep_last: must be at least 1; you gave 0 (how many of the newest backups stay)
        retention.keep_weekly: must be a whole number; you gave 2.5 (the newest backup of each \
of so many weeks that have one stays)
        retention.keep_daly: there is no such field; did you mean "keep_daily"?
        storage: cannot stand here
    """,
    '{timezone: "UTC"}': """
        it is not whole: cron and command are missing, or retention is missing
    """,
}


def told(message: str) -> set[str]:
    """Return the sentences of a refusal."""
    head, *sentences = message.splitlines()
    assert head.endswith(" was refused:"), message
    return {each.strip() for each in sentences}


def test_every_wrong_field_has_a_sentence(control: Control) -> None:
    """With what was given, what it means, and what was meant perhaps; nothing is inserted."""
    found = control.values(
        *(f"backstay.{call}" for call in REFUSALS),
        *(f'backstay.schedule("nightly", {each})' for each in SCHEDULES_REFUSED),
        'backstay.command({command: "bakup"})',
    )
    *refused, unknown = found
    expected = [*REFUSALS.values(), *SCHEDULES_REFUSED.values()]
    for wanted, message in zip(expected, refused, strict=True):
        assert {line.strip() for line in wanted.strip().splitlines()} == told(message)
    assert "command: must be one of: " in unknown
    assert '(did you mean "backup"?); you gave "bakup"' in unknown
    assert [] == control.commands()
    assert 0 == control.database["schedules"].count_documents({})


def test_what_makes_no_sense_here_is_told_before_the_server_is_asked(control: Control) -> None:
    """Arguments that are no options, and commands and backups that are not there."""
    texts = control.values(
        'backstay.backup("shop.*")',
        'backstay.backup({command: "restore"})',
        'backstay.command("backup")',
        'backstay.cancel("6920c5d0e1f2a3b4c5d6e7f8")',
        'backstay.show("20261121T201512Z")',
        "backstay.watch()",
        'backstay.pause("nightly")',
        'backstay.help("restor")',
        'backstay.help("bananas")',
        'backstay.use("none") && backstay.backup()',
        user="root",
    )
    expected = (
        'takes its options as a document; you gave "shop.*"',
        "backstay.backup inserts backup",
        'such as {command: "backup"}',
        "there is no command 6920c5d0e1f2a3b4c5d6e7f8",
        "there is no command 20261121T201512Z",
        "no command waits or runs",
        'there is no schedule "nightly"',
        'there is no backstay.restor; did you mean "restore"?',
        "there is no backstay.bananas; there are: backup, restore,",
        "there is no control database none: ",
    )
    for part, text in zip(expected, texts, strict=True):
        assert part in text
    assert [] == control.commands()
    assert "none" not in control.cluster.list_database_names()


# ------------------------------------------------------------------ schedules


def test_a_schedule_is_made_changed_paused_and_removed(control: Control) -> None:
    """What is not named stays, the agents' marks too; null takes a field away."""
    mark = {"seen_as": "0 3 * * * UTC on", "handled_to": datetime(2026, 11, 21, tzinfo=UTC)}
    assert set(mark) == set(MARK_FIELDS)
    rest = {"cron": "0 3 * * *", "command": {"command": "backup"}}

    def document() -> Document | None:
        return control.database["schedules"].find_one({"_id": "nightly"})

    made, again = control.values(
        'backstay.schedule("nightly", {cron: "0 3 * * *", command: {command: "backup"}, '
        "retention: {keep_daily: 14}, enabled: null})",
        'backstay.schedule("nightly", {cron: "0 3 * * *"})',
    )
    assert (
        made == again == document() == {"_id": "nightly", **rest, "retention": {"keep_daily": 14}}
    )
    control.database["schedules"].update_one({"_id": "nightly"}, {"$set": mark})
    changed, paused, resumed, unknown, copied = control.values(
        'backstay.schedule("nightly", {retention: null, timezone: "Europe/Vienna"})',
        'backstay.pause("nightly")',
        'backstay.resume("nightly")',
        'backstay.resume("nigthly")',
        'backstay.schedule("nightly", '
        '{...backstay.schedules()[0], cron: "30 2 * * *", handled_to: ISODate()})',
    )
    after = {"_id": "nightly", **rest, **mark, "timezone": "Europe/Vienna"}
    assert after == changed
    assert {**after, "enabled": False} == paused
    assert {**after, "enabled": True} == resumed
    assert 'there is no schedule "nigthly"; did you mean "nightly"?' == unknown
    assert {**after, "enabled": True, "cron": "30 2 * * *"} == copied == document()
    assert ["nightly"] == control.values('backstay.unschedule("nightly")')
    assert document() is None


def test_schedules_are_a_table_with_their_next_runs(control: Control) -> None:
    """With what the coordinator tells of them."""
    trouble = replace(PROBLEM, code="schedule_clash", message="the schedules clash")
    control.write(replace(CLUSTER, problems=(trouble,)), "a:1")
    run = {"schedule": "nightly", "at": datetime(2026, 11, 22, 3, tzinfo=UTC), "command": "backup"}
    control.database["status"].update_one({"_id": "cluster"}, {"$set": {"next_runs": [run]}})
    done = control.run(
        'backstay.schedule("nightly", '
        '{cron: "0 3 * * *", command: {command: "backup", note: "x"}});'
        'backstay.schedule("old", {retention: {keep_last: 3}, timezone: "Not/There"});'
        'backstay.pause("old"); print(backstay.schedules()); print(backstay.status());'
    )
    lines = done.stdout.splitlines()
    (nightly,) = [line for line in lines if line.startswith("nightly")]
    assert ["nightly", "on", "0 3 * * *", "UTC", "backup note=x", "2026-11-22 03:00:00 UTC"] == [
        each.strip() for each in nightly.split("  ") if each
    ]
    (old,) = [line for line in lines if line.startswith("old")]
    assert {"paused", "Not/There", "keep_last=3"} <= set(old.split())
    assert "the schedules clash" in done.stdout
    assert "next runs" in done.stdout
    assert "The schedule nightly is made" in done.stderr
    assert 'does not know the time zone "Not/There"' in done.stderr


# ------------------------------------------------------------------ looking

NOW = SystemClock().now().replace(microsecond=0)
PROBLEM = Problem(
    code="backup_failed", level="error", message="the last backup failed", hint="look why",
    since=NOW - timedelta(hours=3),
)  # fmt: skip
CLUSTER = ClusterStatus(
    replset="rs0", problems=(), coordinator="a:1", last_backup=None, recoverable=(), running=None,
)  # fmt: skip


def a_backup(age: timedelta, **differences: Any) -> BackupEntry:
    """Return a backup of this age."""
    then = NOW - age
    entry = BackupEntry(
        backup_id=then.strftime("%Y%m%dT%H%M%SZ"), storage="main", replset_id="65f0", docs=120_000,
        consistent_at=ClusterTime(int(then.timestamp()), 1), stored_bytes=2**33,
        oplog_from=ClusterTime(int(then.timestamp()), 1), started_at=then, finished_at=then,
        bytes=2**35, chunks=7, collections=3, nodes=("a:1",), server_version="6.0.5",
    )  # fmt: skip
    return replace(entry, **differences)


def test_the_status_is_a_sentence_first(control: Control) -> None:
    """Nobody there; nothing backed up; safe; not safe since; nobody any more."""
    archived = OplogStatus(
        archived_to=ClusterTime(int(NOW.timestamp()), 1), archived_at=NOW, lag_s=1.8,
        window_s=93_211.0, headroom_s=93_209.0, gaps=(),
    )  # fmt: skip
    empty, fresh, safe, failing, left = (
        control.beside(name) for name in ("empty", "fresh", "safe", "failing", "left")
    )
    for each in (safe, failing, left):
        each.backups.put(a_backup(timedelta(hours=5, minutes=10)))
        each.backups.put(a_backup(timedelta(days=3)))
    fresh.write(CLUSTER, "a:1", "b:1")
    safe.write(replace(CLUSTER, oplog=archived, archiver="a:1"), "a:1", "b:1")
    failing.write(replace(CLUSTER, problems=(PROBLEM,)), "a:1")
    left.write(CLUSTER, "a:1", age=timedelta(minutes=5, seconds=30))

    code = 'backstay.use("{name}"); const {name} = backstay.status(); print({name}); '
    code += 'print("VALUE " + EJSON.stringify({name}) + " VALUE"); '
    names = [each.name for each in (empty, fresh, safe, failing, left)]
    done = control.run("".join(code.replace("{name}", name) for name in names), user="root")
    texts = done.stdout.split("VALUE")
    shown = [text.strip().splitlines() for text in texts[0:-1:2]]
    values = [json.loads(text) for text in texts[1::2]]

    assert shown[0][0].startswith("Nobody answers: no agent was ever seen in the control database")
    assert "Not safe: as far as is known, there is no backup." == shown[0][1]
    assert "Not safe: there is no backup." == shown[1][0]
    assert "What to do: backstay.backup() makes one." == shown[1][1]
    assert (
        "Safe: the newest backup is 5 hours old, all but the last 2 s of writes are archived, "
        "2 of 2 agents are there." == shown[2][0]
    )
    assert any(line.startswith("a:1 *") for line in shown[2])
    assert any("headroom 1 d 1 h" in line for line in shown[2])
    since = PROBLEM.since.strftime("%Y-%m-%d %H:%M:%S UTC")
    assert shown[3][0].startswith(f"Not safe since {since} (3 hours): the last backup failed")
    assert "What to do: look why" == shown[3][1]
    assert "error    the last backup failed (3 hours)" in shown[3]
    assert shown[4][0].startswith("Nobody answers: no agent has been heard of since ")
    assert "Not safe: as far as is known, the newest backup is 5 hours old." == shown[4][1]
    assert [False, False, True, False, False] == [each["safe"] for each in values]
    assert ["error", "ok", "ok", "error", "error"] == [each["state"] for each in values]
    assert [each[0] for each in shown] == [each["sentence"] for each in values]


def test_the_list_has_age_size_and_verdict(control: Control) -> None:
    """Newest first; a bad verdict of the content is not mended by a look at the objects."""
    at = [NOW - timedelta(hours=hours) for hours in (1, 2)]
    good = Verdict(depth="objects", checked_at=at[0], is_sound=True)
    bad = Verdict(depth="content", checked_at=at[1], is_sound=False)
    control.backups.put(a_backup(timedelta(days=4), verdicts=(good, bad), note="by hand"))
    control.backups.put(a_backup(timedelta(days=2), verdicts=(good,), keep=True))
    control.backups.put(a_backup(timedelta(days=1), namespaces=("shop.*",), tags={"why": "x"}))
    identity = a_backup(timedelta(days=4)).backup_id
    done = control.run(f'print(backstay.list()); print(backstay.show("{identity}"))')
    _, newest, kept, damaged, *shown = done.stdout.splitlines()
    assert ["1 day", "120,000", "34.4 GB", "8.6 GB", "main", "never verified"] == [
        each.strip() for each in newest.split("  ") if each
    ][1:7]
    assert newest.endswith("only shop.*; why=x")
    assert "verified (objects) 1 hour ago" in kept
    assert kept.endswith("kept")
    assert "DAMAGED, found 2 hours ago" in damaged
    assert damaged.endswith("by hand")
    assert f"backup {identity}, 4 days old, DAMAGED, found 2 hours ago" == shown[0]
    (found,) = control.values("backstay.list()[2].backup")
    assert identity == found


def test_a_command_is_followed_to_any_end(control: Control) -> None:
    """The result, or the error with its hint; the last one, if none is named."""
    error = {"code": "x", "message": "it went wrong", "hint": "mend it"}
    for state in END_STATES:
        control.database["commands"].insert_one({
            "_id": str(state),
            "command": "backup",
            "state": str(state),
            "error": error,
        })
    control.database["commands"].update_one(
        {"_id": "done"},
        {"$set": {"result": {"backup": "b", "bytes": 2048}}, "$unset": {"error": 1}},
    )
    calls = [f'print(backstay.watch("{state}"));' for state in sorted(END_STATES)]
    done = control.run("".join(calls))
    for state in sorted(END_STATES - {"done"}):
        assert f"backup {state}: it went wrong\nhint: mend it" in done.stdout
        assert f"backup {state}: it went wrong" in done.stderr
    assert "backup done\n  backup  b\n  bytes   2.0 kB" in done.stdout


# ------------------------------------------------------------------ users


def test_who_may_not_is_told_what_is_missing(control: Control) -> None:
    """Whoever has `read` may look, whoever has nothing may not, and nobody is not asked in."""
    control.write(None, "a:1")
    looks = ["backstay.status().state", "backstay.list()", "backstay.schedules()"]
    calls = [*looks, "backstay.backup()"]
    log_in = f"db.getSiblingDB('admin').auth('{{}}', '{_PASSWORD}').ok"
    found = control.values(
        *calls, log_in.format("stranger"), *calls, log_in.format("onlooker"), *calls, user=""
    )
    unknown, strange, seen = found[:4], found[5:9], found[10:]
    assert all("needs a user: log in" in each for each in unknown), unknown
    assert all("is not allowed to the user stranger" in each for each in strange), strange
    *values, refused = seen
    assert ["error", [], []] == values
    assert refused.startswith('the command "backup" is not allowed to the user onlooker')
    assert (
        'db.getSiblingDB("admin").grantRolesToUser('
        '"onlooker", [{role: "readWrite", db: "backstay"}])' in refused
    )


# ------------------------------------------------------------------ the shell


def test_it_leaves_one_name_behind_and_prints_nothing(control: Control) -> None:
    """With `--json` standard output is the value alone; the words go to standard error."""
    names = "Object.getOwnPropertyNames(globalThis)"
    code = (
        f'const before = {names}; load("{HELPER}"); const order = backstay.backup(); '
        f"({{order, names: {names}.filter((each) => !before.includes(each))}})"
    )
    done = call_mongosh(control.uri("operator"), "--json", "--eval", code)
    (command,) = control.commands()
    order = {"$oid": str(command["_id"])}
    assert {"order": order, "names": ["backstay"]} == json.loads(done.stdout), done.stderr
    assert "backup is inserted; backstay.watch() follows it" in done.stderr


def test_a_terminal_has_a_bar_in_place_and_ctrl_c_ends_the_watching_alone(
    control: Control,
) -> None:
    """As in a shell whose `.mongoshrc.js` loads it: the command goes on, the prompt is back."""
    helper = str(Path(HELPER).resolve())
    shell = TerminalShell(control.uri("operator"), f"load({json.dumps(helper)})")
    try:
        shell.type('backstay.watch(backstay.backup({note: "seen"}))\r')
        eventually(lambda: "Nobody answers" in shell.shown(), 90, message="nobody took it")
        progress = {
            "phase": "reading", "percent": 45.0, "done_bytes": 45_000_000,
            "total_bytes": 100_000_000, "eta_s": 12.0,
        }  # fmt: skip
        (command,) = control.commands()
        running = {"$set": {"state": "running", "progress": progress}}
        control.database["commands"].update_one({"_id": command["_id"]}, running)
        bar = "█████░░░░░  45 %  45.0 MB of 100.0 MB · 12 s left"
        eventually(lambda: bar in shell.shown(), 60, message="a bar")
        shell.type("\x03")
        ends = ("interrupted", "Stopping")  # mongosh says one or the other
        eventually(lambda: any(end in shell.shown() for end in ends), 60, message="it ended")
        assert "running" == control.commands()[0]["state"]
        failed = {"$set": {"state": "failed", "error": {"message": "no", "hint": "why not"}}}
        control.database["commands"].update_one({"_id": command["_id"]}, failed)

        def told_again() -> bool:
            # What is typed at once after Ctrl-C has no answer.
            shell.type("backstay.watch()\r")
            return "hint: why not" in shell.shown()

        eventually(told_again, 90, interval_s=2.0, message="the end is told")
    except AssertionError as error:
        error.add_note(shell.shown())
        raise
    finally:
        shell.close()
