"""Metrics: documents, alert rules and dashboard name what agents serve, and all of it."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Final

import promql_parser
import pytest
import yaml

from agent.metrics.catalogue import ALL, PREFIX, REPLSET, Definition
from tests.docs import documents
from tests.docs.documents import OPERATIONS
from tests.docs.sources import ROOT
from tests.docs.test_names import anchors

FOLDER: Final = ROOT / "deploy/prometheus"
# What Prometheus adds to every sample.
_TARGET: Final = {"instance", "job"}
_GRAFANA: Final = {"$replset": "rs0", "$__rate_interval": "5m"}
_SELECTOR: Final = re.compile(r"label_values\((\w+), (\w+)\)")
_ANCHOR: Final = re.compile(r"docs/operations\.md#([a-z-]+)")
Json = Mapping[str, Any]


def rules() -> list[Json]:
    """Return every alert rule."""
    found = yaml.safe_load((FOLDER / "backstay.rules.yaml").read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def dashboard() -> Json:
    """Return the dashboard for Grafana."""
    found: Json = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
    return found


def queries() -> Iterator[str]:
    """Yield every query of the dashboard, with values in the place of its variables."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            query: str = target["expr"]
            for name, value in _GRAFANA.items():
                query = query.replace(name, value)
            assert "$" not in query
            yield query


def served() -> dict[str, set[str]]:
    """Return the labels of each sample that agents serve, by its name."""
    found: dict[str, set[str]] = {}
    for each in ALL:
        for name, more in _samples(each):
            found[name] = {REPLSET, *each.labels, *more, *_TARGET}
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes"):
        found[name] = {REPLSET, *_TARGET}
    return {**found, "up": _TARGET}


def _samples(known: Definition) -> Iterator[tuple[str, set[str]]]:
    if known.kind != "histogram":
        yield known.full_name, set()
        return
    yield f"{known.full_name}_count", set()
    yield f"{known.full_name}_sum", set()
    yield f"{known.full_name}_bucket", {"le"}


def selected(query: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the metrics that a query reads, each with the labels that it asks for."""
    found: list[promql_parser.VectorSelector] = []

    def visit(each: promql_parser.Expr) -> bool:
        if isinstance(each, promql_parser.VectorSelector):
            found.append(each)
        return True

    promql_parser.walk(promql_parser.parse(query), visit)
    for each in found:
        yield each.name or "", {one.name for one in each.matchers.matchers}


def wrong(query: str) -> list[str]:
    """Return what a query reads that no agent serves."""
    known, found = served(), list(selected(query))
    assert found, query
    return [
        f"{name} {labels}"
        for name, labels in found
        if name not in known or not labels <= known[name]
    ]


def test_a_query_for_what_is_not_there_is_found_out() -> None:
    """By its name, and by its labels; and one that is none at all."""
    assert not wrong('max(backstay_problems{level="error"}) > 0')
    assert wrong("backstay_no_such_metric")
    assert wrong('sum(rate(backstay_storage_retries_total{bucket="b"}[5m]))')
    with pytest.raises(ValueError, match=r".+"):
        wrong("max by (replset backstay_problems")


def test_every_metric_has_a_row() -> None:
    """With its labels, in docs/operations.md, Metrics; and no row is of a metric that is gone."""
    rows = list(documents.rows(documents.section(OPERATIONS, "Metrics")))
    shown = {documents.named(row[0]): tuple(documents.all_named(row[1])) for row in rows}
    assert {each.full_name: each.labels for each in ALL} == shown
    assert all(row[2] for row in rows)


@pytest.mark.parametrize("known", ALL, ids=lambda each: each.full_name)
def test_every_name_keeps_the_conventions(known: Definition) -> None:
    """Base units, and "total" at the end of a counter. Source: Prometheus, metric naming."""
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", known.name)
    assert not re.search(r"_(s|ms|minutes|hours|days|kb|mb|percent|total)(_|$)", known.name)
    assert known.full_name.endswith("_total") == (known.kind == "counter")
    assert known.help.endswith((".", "failed."))
    assert not {"bucket", "key", "database", "namespace", "backup", "id"} & set(known.labels)


def test_every_alert_asks_for_what_is_served() -> None:
    """An alert on a metric that nobody serves would never call."""
    found = rules()
    names = [each["alert"] for each in found]
    assert len(names) == len(set(names)) > 10
    assert {each["alert"]: wrong(each["expr"]) for each in found} == {name: [] for name in names}


def test_every_alert_says_what_to_do() -> None:
    """How bad it is, what it is, what next, and a section of the operator's document."""
    known = anchors(ROOT / OPERATIONS)
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert {"summary", "description", "runbook"} == set(rule["annotations"])
        target = _ANCHOR.fullmatch(rule["annotations"]["runbook"])
        assert target is not None
        assert target[1] in known


def test_the_stories_of_the_rules_are_of_what_is_served() -> None:
    """And each alert is part of one, by its name or as one of all."""
    text = (FOLDER / "backstay.rules.test.yaml").read_text(encoding="utf-8")
    for story in yaml.safe_load(text)["tests"]:
        for series in story["input_series"]:
            assert not wrong(series["series"])


def test_the_scrape_example_loads_the_rules() -> None:
    """Under the job's name that a rule asks for."""
    found = yaml.safe_load((FOLDER / "scrape.example.yaml").read_text(encoding="utf-8"))
    assert ["backstay.rules.yaml"] == found["rule_files"]
    (job,) = found["scrape_configs"]
    assert any(f'up{{job="{job["job_name"]}"}}' in rule["expr"] for rule in rules())


def test_every_query_of_the_dashboard_asks_for_what_is_served() -> None:
    """A panel on a metric that nobody serves would stay empty, and look safe."""
    found = list(queries())
    assert len(found) > 20
    assert [] == [each for query in found for each in wrong(query)]


def test_every_metric_of_the_cluster_is_seen_somewhere() -> None:
    """In a rule or on the dashboard; but what others are made of."""
    texts = [*queries(), *(rule["expr"] for rule in rules())]
    seen = {name for query in texts for name, _ in selected(query)}
    unseen = {name for name in served() if name.startswith(PREFIX)} - seen
    allowed = re.compile(
        r"_(sum|count|bucket)$|recoverable_|archive_(last|gaps)|backups_stored|tasks_claimed"
        r"|processed_bytes"
    )
    assert set() == {name for name in unseen if not allowed.search(name)}


def test_the_dashboard_is_one() -> None:
    """As Grafana imports it: ids differ, panels lie beside each other, variables are there."""
    found = dashboard()
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= set(found)
    panels = found["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    for one, two in combinations((each["gridPos"] for each in panels), 2):
        beside = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
        below = one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
        assert beside or below, (one, two)
    assert all(0 <= each["gridPos"]["x"] <= 24 - each["gridPos"]["w"] for each in panels)
    sources = {each["datasource"]["uid"] for each in panels if each["type"] != "row"}
    assert {"${datasource}"} == sources
    variables = {each["name"]: each for each in found["templating"]["list"]}
    assert {"datasource", "replset"} == set(variables)
    asked = _SELECTOR.fullmatch(variables["replset"]["definition"])
    assert asked is not None
    assert asked[2] in served()[asked[1]]
