"""The example for Kubernetes: its parts fit each other, the program and the documents."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from agent.cli import trusts
from agent.metrics.server import PATH, address_of
from agent.settings import RoleSettings, load
from agent.settings.load import DEFAULT_CONFIG, URI_VARIABLE
from tests.docs import documents
from tests.docs.sources import ROOT

EXAMPLE: Final = ROOT / "deploy/kubernetes/backstay.yaml"
ACCESS: Final = "docs/aws-access.md"
Resource = dict[str, Any]


def resources() -> dict[str, Resource]:
    """Return the resources of the example by their kinds, of which each is there once."""
    found = list(yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8")))
    by_kind = {each["kind"]: each for each in found}
    assert len(by_kind) == len(found)
    return by_kind


def pod() -> Resource:
    """Return the pod's specification."""
    spec: Resource = resources()["StatefulSet"]["spec"]["template"]["spec"]
    return spec


def container(name: str) -> Resource:
    """Return a container of the pod."""
    (found,) = (each for each in pod()["containers"] if each["name"] == name)
    assert isinstance(found, dict)
    return found


def test_the_configuration_is_one(tmp_path: Path) -> None:
    """The agent reads it where it looks by itself, and it has no key."""
    (name, text), *others = resources()["ConfigMap"]["data"].items()
    assert not others
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    settings = load(path, {})
    assert settings.storage.s3 is not None
    assert settings.storage.s3.credentials is None
    (mount,) = container("backstay")["volumeMounts"]
    assert Path(mount["mountPath"]) / name == DEFAULT_CONFIG
    (volume,) = (each for each in pod()["volumes"] if each["name"] == mount["name"])
    assert volume["configMap"]["name"] == resources()["ConfigMap"]["metadata"]["name"]


def test_the_service_account_is_the_one_that_the_role_trusts() -> None:
    """By the names that `backstay policy --role-trust eks` takes by itself."""
    account = resources()["ServiceAccount"]
    assert trusts.SERVICE_ACCOUNT == account["metadata"]["name"] == pod()["serviceAccountName"]
    arn = account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    assert arn == RoleSettings(arn=arn).arn
    named = {
        each["metadata"].get("namespace", each["metadata"]["name"]) for each in resources().values()
    }
    assert {trusts.NAMESPACE} == named


def test_the_document_shows_the_same_service_account() -> None:
    """What is copied from either works."""
    shown = [yaml.safe_load(text) for text in documents.fenced(documents.read(ACCESS), "yaml")]
    accounts = [each for each in shown if each.get("kind") == "ServiceAccount"]
    own = resources()["ServiceAccount"]
    assert [own["metadata"]] == [each["metadata"] for each in accounts]


@pytest.mark.parametrize("name", ["mongod", "backstay"])
def test_containers_may_do_little(name: str) -> None:
    """As the namespace's policy demands, and with bounds on memory."""
    found, shared = container(name), pod()["securityContext"]
    own = found["securityContext"]
    assert (False, True) == (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"])
    assert {"drop": ["ALL"]} == own["capabilities"]
    assert shared["runAsNonRoot"]
    assert {"type": "RuntimeDefault"} == shared["seccompProfile"]
    assert found["resources"]["limits"]["memory"]
    assert found["resources"]["requests"]["cpu"]


def test_the_image_is_what_the_example_runs() -> None:
    """Its user, its entry point, and the verb that is added."""
    text = (ROOT / "deploy/kubernetes/Dockerfile").read_text(encoding="utf-8")
    user = container("backstay")["securityContext"]["runAsUser"]
    assert f"USER {user}\n" in text
    assert f"--uid {user} " in text
    assert 'ENTRYPOINT ["backstay"]' in text
    assert ["run"] == container("backstay")["args"]
    assert URI_VARIABLE in [each["name"] for each in container("backstay")["env"]]


def test_the_metrics_are_where_prometheus_looks(tmp_path: Path) -> None:
    """The annotations, the port of the container and the configuration agree."""
    path = tmp_path / "config.yaml"
    path.write_text(resources()["ConfigMap"]["data"]["config.yaml"], encoding="utf-8")
    listen = load(path, {}).metrics.listen
    assert listen is not None
    host, port = address_of(listen)
    assert "0.0.0.0" == host  # noqa: S104 - a pod has an address of its own
    assert port in [each["containerPort"] for each in container("backstay")["ports"]]
    told = resources()["StatefulSet"]["spec"]["template"]["metadata"]["annotations"]
    expected = {"scrape": "true", "port": str(port), "path": PATH}
    assert {f"prometheus.io/{name}": each for name, each in expected.items()} == told


def test_the_members_have_the_names_that_the_service_gives() -> None:
    """The line that makes the replica set names the pods as DNS does."""
    spec = resources()["StatefulSet"]["spec"]
    service, namespace = resources()["Service"]["metadata"]["name"], trusts.NAMESPACE
    assert spec["serviceName"] == service
    readme = documents.read("deploy/kubernetes/README.md")
    assert f"`mongodb-${{n}}.{service}.{namespace}.svc.cluster.local:27017`" in readme
    members = re.search(r"members: \[([\d, ]+)\]", readme)
    assert members is not None
    assert spec["replicas"] == len(members[1].split(","))
    replset = container("mongod")["args"]
    assert f'_id: "{replset[replset.index("--replSet") + 1]}"' in readme


def test_every_storage_in_the_documents_is_one(tmp_path: Path) -> None:
    """What is shown as a part of a configuration can be loaded as one."""
    blocks = [
        yaml.safe_load(text)
        for path in documents.all_documents()
        for text in documents.fenced(path.read_text(encoding="utf-8"), "yaml")
    ]
    shown = [each for each in blocks if "storage" in each]
    assert len(shown) > 3
    for number, block in enumerate(shown):
        path = tmp_path / f"{number}.yaml"
        block.setdefault("mongodb", {"uri": "mongodb://127.0.0.1:27017/"})
        path.write_text(yaml.safe_dump(block), encoding="utf-8")
        assert load(path, {}).storage.type == "s3"
