"""The hands of a campaign: begin and end each act of a plan, and put everything right after it."""

import signal
import threading
import time
from collections.abc import Callable

import pymongo
from bson.timestamp import Timestamp
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from agent.model.leases import ARCHIVER, COORDINATOR
from tests.campaign.lined_set import LinedNode, LinedReplicaSet
from tests.campaign.plan import Act, Kind, Place
from tests.campaign.skew import skew
from tests.campaign.storage_line import StorageLine
from tests.system.protected import END_STATES, Protected
from tests.testbed.agents import Agent
from tests.testbed.clients import Client, Document
from tests.testbed.waiting import eventually

_DISK_FULL = 14031
# More than a small oplog holds.
_ROLLING_MB = 24
_ASKING_S = 3.0
_ROLLING_S = 20.0
# SIGTERM is promised to be obeyed in 10 s; a busy machine gets some more.
_END_S = 20.0
# Within what a storage takes for signed, and beyond; both ways.
_SKEWS_S = (-3600, -40, 40, 3600)
_NOBODY = "nobody"


class Faults:
    """Does what a plan says; every act is told, with what came of it."""

    def __init__(
        self, cluster: Protected, replica_set: LinedReplicaSet, line: StorageLine, told: list[str]
    ) -> None:
        self._cluster = cluster
        self._nodes = replica_set.lined
        self._agents = [cluster.agents.beside(node) for node in replica_set.lined]
        self._line = line
        self._told = told
        self._inner: list[Client] = [
            MongoClient(each.inner_uri, serverSelectionTimeoutMS=1000, socketTimeoutMS=6000)
            for each in self._nodes
        ]
        self._struck: dict[Place, int] = {}
        self._down: set[int] = set()
        self._copies = 0
        self._logged: dict[int, int] = {}
        #: What broke a promise while it was done.
        self.wrong: list[str] = []

    def close(self) -> None:
        """Close the clients."""
        for client in self._inner:
            client.close()

    def begin(self, act: Act) -> None:
        """Begin an act."""
        self._struck[act.place] = self._target_of(act)
        begin: dict[Place, Callable[[Act, int], object]] = {
            Place.AGENT: self._begin_agent,
            Place.NODE: self._begin_node,
            Place.STORAGE: self._begin_storage,
            Place.OPERATOR: self._order,
        }
        try:
            came = begin[act.place](act, self._struck[act.place])
        except (PyMongoError, AssertionError) as error:
            came = f"did not come to pass: {type(error).__name__} {str(error)[:120]}"
        self._told.append(f"{act}  -> {self._struck[act.place]} {came or ''}".rstrip())

    def end(self, act: Act) -> None:
        """End an act that lasts."""
        match act.place:
            case Place.AGENT:
                self._put_agent_right(self._struck[act.place])
            case Place.NODE:
                self._put_node_right(self._struck[act.place])
            case Place.STORAGE:
                self._line.fault = None
            case Place.OPERATOR:
                pass

    def calm(self) -> None:
        """Put everything right, and wait until the set is whole."""
        self._line.fault = None
        for number in range(len(self._nodes)):
            self._put_node_right(number)
            self._put_agent_right(number)
        self._cluster.replica_set.wait_until_healthy()

    def revive(self) -> None:
        """Start agents again that ended by themselves, as a service manager does."""
        for number, agent in enumerate(self._agents):
            if not agent.is_running and number not in self._down:
                last = (agent.text().splitlines() or [""])[-1]
                self._told.append(f"         agent {number} ended by itself: {last[:300]}")
                self._start(number)

    # ------------------------------------------------------------------ agents

    def _target_of(self, act: Act) -> int:
        name = {Kind.COORDINATOR_KILLED: COORDINATOR, Kind.ARCHIVER_KILLED: ARCHIVER}.get(act.kind)
        if name is not None:
            return self._holder(name, act.target)
        if act.kind in {Kind.PRIMARY_ISOLATED, Kind.STEP_DOWN, Kind.STEP_DOWN_IN_TASK}:
            return self._primary(act.target)
        return act.target

    def _holder(self, name: str, otherwise: int) -> int:
        try:
            with pymongo.timeout(_ASKING_S):
                lease = self._cluster.control["leases"].find_one({"_id": name}) or {}
        except PyMongoError:
            return otherwise
        holder = lease.get("holder", _NOBODY)
        names = [each.spec.node.address for each in self._agents]
        return names.index(holder) if holder in names else otherwise

    def _begin_agent(self, act: Act, target: int) -> str | None:
        agent = self._agents[target]
        match act.kind:
            case Kind.AGENT_STOPPED | Kind.AGENT_STOPPED_LONG:
                agent.send(signal.SIGSTOP)
            case Kind.AGENT_SKEWED:
                seconds = _SKEWS_S[int(act.at_s * 10) % len(_SKEWS_S)]
                skew(agent, seconds)
                return f"by {seconds:+d} s"
            case Kind.AGENT_RESTARTED:
                return self._restart(agent, target)
            case _:
                self._down.add(target)
                agent.kill()
        return None

    def _restart(self, agent: Agent, target: int) -> str:
        if not agent.is_running:
            self._start(target)
            return "was not there"
        began = time.monotonic()
        try:
            status = agent.terminate(_END_S)
        except AssertionError as error:
            self.wrong.append(f"agent {target} did not end by SIGTERM: {error}")
            status = -9
        took = time.monotonic() - began
        # One that has not said a word yet may end by the signal itself: it holds nothing.
        is_new = len(agent.text()) == self._logged.get(target, 0)
        if status != 0 and not (is_new and status == -signal.SIGTERM):
            self.wrong.append(
                f"agent {target} ended with {status} by SIGTERM: {agent.text()[-500:]}"
            )
        self._start(target)
        return f"ended in {took:.1f} s"

    def _put_agent_right(self, target: int) -> None:
        agent = self._agents[target]
        self._down.discard(target)
        skew(agent, 0)
        if agent.is_running:
            agent.send(signal.SIGCONT)
        else:
            self._start(target)

    def _start(self, target: int) -> None:
        self._logged[target] = len(self._agents[target].text())
        self._agents[target].restart()

    # ------------------------------------------------------------------ nodes

    def _primary(self, otherwise: int) -> int:
        for number, client in enumerate(self._inner):
            try:
                with pymongo.timeout(1):
                    if client.admin.command("hello").get("isWritablePrimary"):
                        return number
            except PyMongoError:
                continue
        return otherwise

    def _begin_node(self, act: Act, target: int) -> str | None:
        node = self._nodes[target]
        match act.kind:
            case Kind.NODE_KILLED:
                node.kill()
            case Kind.NODE_FROZEN:
                node.pause()
            case Kind.NODE_RESTARTED:
                node.stop()
                node.start(wait=False)
            case Kind.STEP_DOWN | Kind.STEP_DOWN_IN_TASK:
                return self._step_down(target, in_task=act.kind is Kind.STEP_DOWN_IN_TASK)
            case Kind.PRIMARY_ISOLATED:
                return self._isolate(target)
            case Kind.DISK_FULL:
                self._disk(is_full=True)
            case Kind.OPLOG_ROLLS:
                self._roll()
            case _:
                _disturb(node, act.kind)
        return None

    def _step_down(self, target: int, *, in_task: bool) -> str:
        seen = ""
        if in_task:
            seen = "in a task" if self._sees_a_task() else "no task came"
        try:
            self._inner[target].admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=2)
        except PyMongoError as error:
            return f"{seen} {type(error).__name__}"
        return seen

    def _sees_a_task(self) -> bool:
        try:
            eventually(
                lambda: self._cluster.control["tasks"].find_one({"state": "running"}), 3, 0.01
            )
        except (AssertionError, PyMongoError):
            return False
        return True

    def _isolate(self, target: int) -> str:
        """Cut a primary off, and let it take writes that it will have to forget."""
        self._nodes[target].line.cut()
        taken = 0
        alone = self._inner[target]["lost"].get_collection("lost", write_concern=WriteConcern(1))
        for _ in range(10):
            try:
                alone.insert_one({})
            except PyMongoError:
                break
            taken += 1
        return f"took {taken} writes"

    def _roll(self) -> None:
        """Write more than a small oplog holds; every node follows, lest one be left behind."""
        everywhere = WriteConcern(w=len(self._nodes), wtimeout=10_000)
        junk = self._cluster.client["junk"].get_collection("junk", write_concern=everywhere)
        with pymongo.timeout(_ROLLING_S):
            junk.insert_one({})
            for _ in range(_ROLLING_MB):
                junk.insert_one({"much": b"\0" * 2**20})

    def _disk(self, *, is_full: bool) -> None:
        data: Document = {
            "failCommands": ["insert"],
            "errorCode": _DISK_FULL,
            "appName": "backstay",
        }
        how: Document = {"mode": "alwaysOn", "data": data} if is_full else {"mode": "off"}
        for client in self._inner:
            try:
                with pymongo.timeout(3):
                    client.admin.command({"configureFailPoint": "failCommand", **how})
            except PyMongoError:
                continue

    def _put_node_right(self, target: int) -> None:
        node = self._nodes[target]
        node.line.mend()
        if node.is_running:
            node.resume()
        else:
            node.start(wait=False)
        self._disk(is_full=False)

    # ------------------------------------------------------------------ storage, orders

    def _begin_storage(self, act: Act, _target: int) -> None:
        self._line.fault = act.kind

    def _order(self, act: Act, _target: int) -> object:
        """Insert a command, as an operator would; a set without a primary takes none."""
        with pymongo.timeout(_ASKING_S):
            options = self._options(act)
            if options is None:
                return "nothing to do it to"
            order = self._cluster.control["commands"].insert_one(options).inserted_id
        return f"{order} {options}"

    def _options(self, act: Act) -> Document | None:
        match act.kind:
            case Kind.BACKUP | Kind.PRUNE | Kind.CHECK:
                return {"command": act.kind.value}
            case Kind.CANCEL:
                left: Document = {"state": {"$nin": list(END_STATES)}, "command": {"$ne": "cancel"}}
                open_ = self._cluster.control["commands"].find_one(left)
                return open_ and {"command": "cancel", "target": open_["_id"]}
            case Kind.COPY_OF_THE_PAST:
                seconds = int(time.time()) - 4
                return {**self._copy(), "to": Timestamp(seconds, 1)}
        backups = sorted(each["_id"]["id"] for each in self._cluster.control["backups"].find())
        if not backups:
            return None
        match act.kind:
            case Kind.COPY:
                return {**self._copy(), "backup": backups[-1]}
            case Kind.COPY_OVER_COPY:
                return {**self._copy(again=True), "backup": backups[0]}
            case Kind.DELETE:
                return {"command": "delete", "backup": backups[0]}
            case _:
                return {"command": "verify", "backup": backups[-1], "depth": "content"}

    def _copy(self, *, again: bool = False) -> Document:
        if not (again and self._copies):
            self._copies += 1
        rename = [{"from": "shop.*", "to": f"copy_{self._copies}.*"}]
        order: Document = {"command": "restore", "namespaces": ["shop.*"], "rename": rename}
        return {**order, "overwrite": True} if again else order


def _disturb(node: LinedNode, kind: Kind) -> None:
    match kind:
        case Kind.LINE_CUT:
            node.line.cut()
        case Kind.LINE_RESET:
            node.line.reset()
        case Kind.LINE_DELAYED:
            node.line.delay_s = 0.3
        case Kind.LINE_THROTTLED:
            node.line.bytes_per_s = 100_000
        case _:
            node.line.is_silent = True


def drive(faults: Faults, acts: tuple[Act, ...], length_s: float) -> None:
    """Do all acts of a plan at their times, or as soon after them as the acts before let it."""
    pause = threading.Event()
    began = time.monotonic()
    steps = sorted(
        [(act.at_s, 0, act) for act in acts]
        + [(act.ends_s, 1, act) for act in acts if act.lasts_s],
        key=lambda step: (step[0], step[1], step[2].kind),
    )
    for at_s, is_end, act in steps:
        while (left := at_s - (time.monotonic() - began)) > 0:
            pause.wait(min(left, 1.0))
            faults.revive()
        (faults.end if is_end else faults.begin)(act)
    left = length_s - (time.monotonic() - began)
    pause.wait(max(left, 0.0))
