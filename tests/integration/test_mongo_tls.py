"""TLS to MongoDB: whoever is asked must prove to be who was meant, unless an operator waives it."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import ReadPreference

from agent.core.errors import ConfigError, TransientError
from agent.mongo.connect import OwnNode, open_cluster, open_node, own_node, unverified
from agent.mongo.errors import translated
from tests.fakes.http_server import Answer, serving
from tests.testbed.agents import Agent, Agents, AgentSpec, filesystem_storage
from tests.testbed.mongod import PASSWORD, TLS_FILES, USER
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec

_AUTHORITY = TLS_FILES / "authority.pem"
_AGENT = TLS_FILES / "agent.pem"
# As the server writes the subject of that certificate.
_SUBJECT = "CN=agent,OU=agents,O=Backstay tests"
_TRUSTED = f"tls=true&tlsCAFile={_AUTHORITY}"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def encrypted() -> Iterator[ReplicaSet]:
    """Two nodes that speak TLS alone; the second's certificate is for another host."""
    spec = ReplicaSetSpec(nodes=2, auth=True, certificate=TLS_FILES / "node.pem", priorities=[1, 0])
    with ReplicaSet.start(spec) as replica_set:
        second = replica_set.nodes[1]
        second.stop()
        second.certificate = TLS_FILES / "elsewhere.pem"
        second.start()
        replica_set.wait_until_healthy()
        yield replica_set


def _uri(replica_set: ReplicaSet, options: str, node: int = 0) -> str:
    address = replica_set.nodes[node].address
    return f"mongodb://{USER}:{PASSWORD}@{address}/?authSource=admin&{options}"


def _ask(uri: str) -> OwnNode:
    with open_node(uri) as client:
        return own_node(client)


def _refusal(uri: str) -> TransientError:
    with pytest.raises(TransientError) as caught:
        _ask(uri)
    assert "mongodb_unreachable" == caught.value.code
    assert PASSWORD not in caught.value.message
    return caught.value


def test_a_certificate_that_proves_nothing_is_not_believed(encrypted: ReplicaSet) -> None:
    """Neither of another authority, nor for another host; each with its own mend."""
    assert _ask(_uri(encrypted, _TRUSTED)).name == encrypted.nodes[0].address
    for unknown in ("tls=true", f"tls=true&tlsCAFile={TLS_FILES / 'stranger.pem'}"):
        assert "tlsCAFile" in _refusal(_uri(encrypted, unknown)).hint
    other_host = _refusal(_uri(encrypted, _TRUSTED, node=1))
    assert "must name the address" in other_host.hint
    _refusal(_uri(encrypted, "tls=false"))


def test_a_certificate_that_has_expired_is_not_believed() -> None:
    """Of whatever server; mongod itself does not start with one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS_FILES / "expired.pem")
    with serving(lambda _request: Answer(), context) as server:
        address = server.url.removeprefix("https://")
        error = _refusal(f"mongodb://{USER}:{PASSWORD}@{address}/?{_TRUSTED}")
    assert "certificate that is valid" in error.hint


def test_every_member_is_verified(encrypted: ReplicaSet) -> None:
    """Also the ones that are found through the agent's own node."""
    uri = _uri(encrypted, _TRUSTED)
    own = _ask(uri)
    assert 2 == len(own.hosts)
    with open_cluster(uri, own.hosts, own.replset) as cluster:
        assert cluster.admin.command("ping")["ok"]
        shop = cluster.get_database("shop", read_preference=ReadPreference.SECONDARY)
        with pytest.raises(TransientError), translated():
            shop["orders"].find_one()
        seen = cluster.topology_description.server_descriptions().values()
        (error,) = [str(each.error) for each in seen if each.error is not None]
    assert encrypted.nodes[1].address in error
    assert "not valid for" in error


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (_TRUSTED, ()),
        ("tlsInsecure=true", ("tlsInsecure",)),
        ("tls=true&TLSALLOWINVALIDCERTIFICATES=true", ("tlsAllowInvalidCertificates",)),
        ("tls=true&tlsAllowInvalidHostnames=true", ("tlsAllowInvalidHostnames",)),
        ("tls=true&tlsAllowInvalidHostnames=false", ()),
    ],
)
def test_options_that_waive_the_proof_are_known(options: str, expected: tuple[str, ...]) -> None:
    """Whatever their case; what is switched off waives nothing."""
    assert expected == unverified(f"mongodb://127.0.0.1:27017/?{options}")


def test_an_agent_logs_in_by_its_certificate(encrypted: ReplicaSet, tmp_path: Path) -> None:
    """Without any password, and backs up over verified TLS; nothing is left open."""
    root = encrypted.client()
    root["shop"]["orders"].insert_one({"_id": 1})
    root["$external"].command("createUser", _SUBJECT, roles=[{"role": "root", "db": "admin"}])
    address = encrypted.nodes[0].address
    key_file = tmp_path / "agent.pem"
    key_file.write_bytes(_AGENT.read_bytes())
    key_file.chmod(0o600)
    uri = (
        f"mongodb://{address}/?authMechanism=MONGODB-X509&authSource=$external"
        f"&tls=true&tlsCAFile={_AUTHORITY}&tlsCertificateKeyFile={key_file}"
    )
    storage = tmp_path / "storage"
    storage.mkdir()
    spec = AgentSpec(
        node=encrypted.nodes[0],
        storage=filesystem_storage(storage),
        # The other node cannot be asked.
        settings={"mongodb": {"uri": uri}, "backup": {"use_primary": "always"}},
    )
    with Agents(encrypted, [agent := Agent.start(spec)]) as agents:
        agents.wait_until_reporting()
        done = agent.verb("backup", "--json")
        assert 0 == done.exit_status, done.stdout + agent.text()[-3000:]
        key_file.chmod(0o644)
        rows = _rows(agent, "--json")
        assert "left open" not in agent.text()
    assert ("trust", "ok") in rows
    assert ("files", "warning") in rows


def test_what_is_waived_is_told(encrypted: ReplicaSet, tmp_path: Path) -> None:
    """It works, since an operator asked for it; the log and each check say what it costs."""
    uri = _uri(encrypted, f"{_TRUSTED}&tlsAllowInvalidHostnames=true", node=1)
    spec = AgentSpec(
        node=encrypted.nodes[1],
        storage=filesystem_storage(tmp_path),
        settings={"mongodb": {"uri": uri}},
    )
    with Agents(encrypted, [agent := Agent(spec)]) as agents:
        agent.config.chmod(0o604)
        agent.restart()
        agents.wait_until_reporting()
        told = {
            line["test"]: line["reason"] for line in agent.logs() if line["event"] == "left open"
        }
        rows = _rows(agent, "--local", "--json")
    assert {"files", "trust"} == set(told)
    assert "tlsAllowInvalidHostnames" in told["trust"]
    assert f"{agent.config} (the configuration): every user" in told["files"]
    assert {("files", "warning"), ("trust", "warning"), ("node", "ok")} <= rows


def _rows(agent: Agent, *options: str) -> set[tuple[str, str]]:
    done = agent.verb("check", *options)
    document = json.loads(done.stdout)
    return {(row["test"], row["outcome"]) for row in document.get("result", document)["rows"]}


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("mongodb://a:1/?tls=true&tlsCAFile=/not/there.pem", "/not/there.pem: No such file"),
        ("mongodb://a:1/?tls=true&tlsCertificateKeyFile=/not/there.pem", "/not/there.pem"),
        (f"mongodb://a:1/?tls=true&tlsCAFile={__file__}", "of no use"),
        (f"mongodb://a:1/?tls=true&tlsCertificateKeyFile={_AUTHORITY}", "Private key"),
        ("mongodb://a:1/?tls=true&tls=false", "tls twice"),
        ("mongodb://user:hunt?er2@a:1/", "not a MongoDB URI"),
        ("mongodb://user:hunt?ertwo=@a:1/?tls=true", "not a MongoDB URI"),
        ("mongodb://user:hunt?er2=x@a:1/?tls=true", "not a MongoDB URI"),
    ],
)
def test_tls_that_cannot_be_had_is_a_mistake_that_is_named(uri: str, words: str) -> None:
    """No traceback, no silent way around it, and no part of a password."""
    with pytest.raises(ConfigError) as caught:
        _ask(uri)
    assert "mongodb_uri" == caught.value.code
    assert words in caught.value.message
    assert "er2" not in caught.value.message
    assert "ertwo" not in caught.value.message
