"""What is served, read as Prometheus reads it."""

from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agent.metrics.catalogue import ALL, PREFIX, REPLSET, WORK
from agent.metrics.counts import Counts
from agent.metrics.exposed import Exposed
from agent.metrics.figures import Figure
from agent.model.states import State
from tests.fakes.clock import VirtualClock
from tests.testbed.scraping import Scraped
from tests.unit.metrics.test_figures import BARE, a_backup


class Told:
    """The metrics of one agent."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.counts = Counts(["main", "other"], self.clock)
        own = (Figure("coordinator", 1), Figure("storage_up", 0, {"storage": "main"}))
        self.exposed = Exposed("rs0", self.counts, lambda: own)

    def ask(self) -> Scraped:
        """Return what is served now."""
        return Scraped(generate_latest(self.exposed).decode())


def test_every_sample_has_the_name_of_the_replica_set() -> None:
    """Also those of the process; and no sample tells when a counter was made."""
    told = Told()
    told.counts.count_request("PutObject", "2xx", 0.2)
    found = told.ask()
    assert {"rs0"} == {each.labels.get(REPLSET) for each in found.samples}
    assert not [each for each in found.names if each.endswith("_created")]
    assert "process_resident_memory_bytes" in found.names
    assert 0 == found.value("backstay_storage_up", storage="main")


def test_what_happens_is_counted() -> None:
    """By the labels that it has."""
    told = Told()
    counts = told.counts
    counts.count_request("PutObject", "2xx", 0.2)
    counts.count_request("PutObject", "none", 3.0)
    counts.count_bytes("main", "written", 100)
    counts.count_bytes("main", "written", 20)
    counts.count_bytes("other", "read", 7)
    counts.count_retry("other")
    counts.count_claim()
    counts.count_task("given_back", 0.3)
    counts.count_command("verify", State.FAILED, 12.0, 4000)
    counts.count_command("check", State.DONE, 1.0, None)
    found = told.ask()
    assert 1 == found.value("backstay_s3_requests_total", operation="PutObject", status="none")
    assert 2 == found.value("backstay_s3_request_duration_seconds_count", operation="PutObject")
    assert 3.2 == found.value("backstay_s3_request_duration_seconds_sum")
    assert 120 == found.value("backstay_storage_written_bytes_total", storage="main")
    assert 7 == found.value("backstay_storage_read_bytes_total", storage="other")
    assert 1 == found.value("backstay_storage_retries_total", storage="other")
    assert 1 == found.value("backstay_tasks_claimed_total")
    assert 1 == found.value("backstay_task_duration_seconds_count", end="given_back")
    labels = {"command": "verify", "state": "failed"}
    assert 12 == found.value("backstay_command_duration_seconds_sum", **labels)
    assert 4000 == found.value("backstay_command_processed_bytes_total")
    assert 1 == found.value("backstay_command_duration_seconds_count", command="check")


def test_what_alerts_look_at_begins_at_zero() -> None:
    """An increase from nothing at all is none: the first failure would not be noticed."""
    found = Told().ask()
    for command in ("backup", "restore", "verify"):
        for state in ("done", "failed"):
            labels = {"command": command, "state": state}
            assert 0 == found.value("backstay_command_duration_seconds_count", **labels)
    for label in ("main", "other"):
        assert 0 == found.value("backstay_storage_retries_total", storage=label)
        assert 0 == found.value("backstay_storage_written_bytes_total", storage=label)


def test_the_cluster_is_told_by_its_coordinator_alone() -> None:
    """From its first look until it leads no more."""
    told = Told()
    assert "backstay_cluster_state" not in told.ask().names
    told.counts.tell_cluster(BARE, [a_backup(500)])
    told.clock.move(10)
    found = told.ask()
    assert 500 == found.value("backstay_last_backup_timestamp_seconds")
    seen_at = told.clock.now().timestamp() - 10
    assert seen_at == found.value("backstay_status_updated_timestamp_seconds")
    told.counts.forget_cluster()
    assert "backstay_cluster_state" not in told.ask().names


def test_two_agents_count_apart() -> None:
    """Nothing is global: one process may hold several, as tests do."""
    one, two = Told(), Told()
    one.counts.count_claim()
    assert 1 == one.ask().value("backstay_tasks_claimed_total")
    assert 0 == two.ask().value("backstay_tasks_claimed_total")


def test_what_is_counted_is_called_as_the_catalogue_says() -> None:
    """Help and kind too."""
    told = Told()
    told.counts.count_request("PutObject", "2xx", 0.2)
    told.counts.count_task("done", 0.1)
    told.counts.count_command("backup", State.DONE, 1, 1)
    kinds = {each.name: each.type for each in told.exposed.collect()}
    helps = {each.name: each.documentation for each in told.exposed.collect()}
    for each in WORK:
        assert each.kind == kinds[PREFIX + each.name]
        assert each.help == helps[PREFIX + each.name]
    assert len({each.full_name for each in ALL}) == len(ALL)


def test_the_form_of_today_is_well_made_too() -> None:
    """What Prometheus asks for by itself is read by a parser that is strict."""
    told = Told()
    told.counts.tell_cluster(BARE, [a_backup(500)])
    told.counts.count_request("PutObject", "2xx", 0.2)
    text: str = openmetrics(told.exposed).decode()  # type: ignore[no-untyped-call]
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    found = {sample.name for each in families for sample in each.samples}
    assert {each.name for each in told.ask().samples} == found
