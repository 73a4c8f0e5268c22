"""What is for Prometheus, judged by Prometheus's own tool."""

import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from agent.metrics.counts import Counts
from agent.metrics.exposed import Exposed
from agent.metrics.figures import AgentView, ClusterView, of_agent, of_cluster
from agent.model.states import State
from tests.fakes.clock import VirtualClock
from tests.testbed import programs
from tests.unit.metrics.test_figures import full_agent, full_cluster

FOLDER = programs.REPOSITORY / "deploy/prometheus"
RULES, STORIES = "backstay.rules.yaml", "backstay.rules.test.yaml"


@pytest.fixture(scope="module")
def promtool() -> Path:
    """The tool, where it can be had."""
    try:
        return programs.promtool().path
    except programs.ProgramMissingError:
        pytest.skip("there is no promtool on this machine, and apt had none to give")


def run(*command: str | Path, text: str = "") -> tuple[int, str]:
    """Return exit status and output of a command."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_rules_are_rules(promtool: Path) -> None:
    """And so is the configuration that loads them."""
    status, output = run(promtool, "check", "rules", FOLDER / RULES)
    assert (0, True) == (status, "SUCCESS" in output), output
    scrape = FOLDER / "scrape.example.yaml"
    status, output = run(promtool, "check", "config", "--syntax-only", scrape)
    assert 0 == status, output


def test_the_rules_call_when_they_should_and_not_otherwise(promtool: Path) -> None:
    """In the stories that stand beside them."""
    status, output = run(promtool, "test", "rules", FOLDER / STORIES)
    assert (0, True) == (status, "SUCCESS" in output), output


@pytest.mark.parametrize(
    ("was", "is_now"),
    [
        ("26 * 3600", "46 * 3600"),
        ("unless on (replset)\n          (time()", "and on (replset)\n          (time()"),
        ("- time() < 180", "- time() < 18000"),
        ("max by (replset) (backstay_archive_lag_seconds) > 120\n          and", "1 > 0\n     and"),
    ],
)
def test_the_stories_notice_a_rule_that_is_wrong(
    promtool: Path, tmp_path: Path, was: str, is_now: str
) -> None:
    """A story that passes with any rule proves none."""
    text = (FOLDER / RULES).read_text(encoding="utf-8")
    assert was in text
    (tmp_path / RULES).write_text(text.replace(was, is_now, 1), encoding="utf-8")
    shutil.copy(FOLDER / STORIES, tmp_path)
    status, output = run(promtool, "test", "rules", tmp_path / STORIES)
    assert 0 != status
    assert "FAILED" in output


def test_the_metrics_are_well_made(promtool: Path) -> None:
    """Their form and their names."""
    counts = Counts(["main"], VirtualClock())
    counts.count_request("PutObject", "2xx", 0.2)
    counts.count_task("done", 0.1)
    counts.count_command("backup", State.DONE, 1, 1)
    view: ClusterView = full_cluster()
    counts.tell_cluster(view.status, view.entries)
    agent: AgentView = full_agent()
    exposed = Exposed("rs0", counts, lambda: of_agent(agent))
    text = generate_latest(exposed).decode()
    for figure in of_cluster(view):
        assert f"backstay_{figure.name}" in text
    status, output = run(promtool, "check", "metrics", text=text)
    assert (0, "") == (status, output)
