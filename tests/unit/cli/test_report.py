"""The page for a browser: what it says, what it draws, and the file that it becomes."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.cli.report.charts import coverage_chart
from agent.cli.report.days import Covered, months_of
from agent.cli.report.page import page_of
from agent.cli.report.render import html
from agent.cli.report.scale import byte_values, duration_values, moments
from agent.cli.report.write import write
from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Recoverable
from tests.fakes import pictures
from tests.fakes.console import NOW
from tests.unit.cli.terminal import Terminal, a_backup, a_cluster, an_agent

_SECONDS = int(NOW.timestamp())


def _range(begin_ago: timedelta, last_ago: timedelta) -> Recoverable:
    begin, last = (int(_SECONDS - each.total_seconds()) for each in (begin_ago, last_ago))
    return Recoverable(begin=ClusterTime(begin, 1), last=ClusterTime(last, 1))


@pytest.mark.parametrize("name", pictures.ALL)
def test_page_is_complete_by_itself(name: str) -> None:
    """Nothing is fetched, nothing is run, whatever the state."""
    text = html(page_of(pictures.ALL[name](), "0.1.0"))
    for foreign in ("<script", "http://", "https://", "url(", "@import", '<link rel="style'):
        assert foreign not in text


def test_page_begins_with_the_answer() -> None:
    """As the status does: since when, why, and what to do."""
    page = page_of(pictures.in_trouble(), "0.1.0")
    assert ("bad", "Not safe since 2026-11-21 17:15:12 UTC (3 hours)") == (page.tone, page.answer)
    assert page.reasons.startswith("Nobody archives the oplog. Still there: every second from ")
    assert page.advice
    assert "good" == page_of(pictures.nightly(), "0.1.0").tone


def test_whatever_comes_from_the_database_is_escaped() -> None:
    """Notes, tags, patterns and messages are written by people and programs alike."""
    text = html(page_of(pictures.in_trouble(), "0.1.0"))
    assert "<script" not in text
    assert 4 <= text.count("&lt;script&gt;alert")


def test_page_without_backups_says_what_to_do() -> None:
    """No charts of nothing."""
    for picture in (pictures.nothing(), pictures.fresh()):
        page = page_of(picture, "0.1.0")
        assert (None, ()) == (page.history, page.backups)
        assert '<svg class="chart' not in html(page)
        assert "backstay backup" in html(page)


def test_a_year_of_hourly_backups_stays_a_small_page() -> None:
    """Bars and marks stand for many backups, and the table for the newest."""
    page = page_of(pictures.hourly_for_a_year(), "0.1.0")
    assert page.history is not None
    assert page.history.sizes["wide"].is_grouped
    assert len(page.history.coverage["wide"].marks) <= 1_016
    assert 8_760 == len(page.backups) + len(page.more_backups) + page.older_count
    assert len(html(page)) < 400_000


def test_a_gap_is_drawn_however_short() -> None:
    """A second in a year is some pixels wide, and says from when to when it is."""
    ranges = [
        _range(timedelta(days=365), timedelta(days=100)),
        _range(timedelta(days=100) - timedelta(seconds=1), timedelta(seconds=3)),
    ]
    chart = coverage_chart([], ranges, NOW - timedelta(days=365), NOW, 328)
    (gap,) = chart.gaps
    assert gap.width >= 3
    assert "2026-08-13 20:15:12 UTC to 2026-08-13 20:15:13 UTC: cannot be restored" == gap.title


def test_lag_is_no_gap_and_a_stopped_archive_is_one() -> None:
    """What is still on its way is not lost."""

    def gaps(ago: timedelta) -> int:
        ranges = [_range(timedelta(hours=9), ago)]
        return len(coverage_chart([], ranges, NOW - timedelta(hours=9), NOW, 328).gaps)

    assert (0, 1) == (gaps(timedelta(minutes=5)), gaps(timedelta(minutes=6)))


def test_a_damaged_backup_is_not_hidden_by_its_neighbours() -> None:
    """Its mark is drawn last, and stands for all in its pixel."""
    page = page_of(pictures.in_trouble(), "0.1.0")
    assert page.history is not None
    for chart in page.history.coverage.values():
        assert [True] == [mark.is_damaged for mark in chart.marks if mark.is_damaged]
        assert chart.marks[-1].title == "backup 20261113T030007Z is damaged"


def test_days_are_whole_in_part_or_not_at_all() -> None:
    """By what can be restored of them; a day is whole only without any gap."""
    ranges = [
        _range(timedelta(days=4), timedelta(days=2, hours=3)),
        _range(timedelta(hours=30), timedelta(seconds=5)),
    ]
    (month,) = months_of(ranges, [NOW], NOW - timedelta(days=4), NOW)
    found = [day.covered for day in month.days]
    whole, part = Covered.WHOLE, Covered.PART
    assert [whole, whole, part, part, whole] == found
    assert "November 2026: 3 of 5 days wholly, 2 in part" == month.summary
    assert 1 == month.days[-1].backups
    (month,) = months_of([], [], NOW - timedelta(days=1), NOW)
    assert {Covered.NONE} == {day.covered for day in month.days}


def test_months_begin_on_their_weekday() -> None:
    """The first cell stands below its day of the week; long histories end with now."""
    months = months_of([], [], NOW - timedelta(days=2_000), NOW)
    assert ("November 2026", 21) == (months[-1].title, len(months[-1].days))
    # 2026-11-01 was a Sunday.
    assert (6, 396) == (months[-1].blanks, sum(len(month.days) for month in months))


@pytest.mark.parametrize(
    ("span", "labels"),
    [
        (timedelta(minutes=3), ["20:13", "20:14", "20:15"]),
        (timedelta(hours=20), ["06:00", "12:00", "18:00"]),
        (timedelta(days=3), ["Nov 19", "Nov 20", "Nov 21"]),
        (timedelta(days=36), ["Oct 26", "Nov 9"]),
        (timedelta(days=300), ["Apr 2026", "Jul 2026", "Oct 2026"]),
        (timedelta(days=3_000), ["Jan 2020", "Jan 2025"]),
    ],
)
def test_time_is_labelled_at_round_times(span: timedelta, labels: list[str]) -> None:
    """Never more labels than there is room for."""
    found = moments(NOW - span, NOW, 4)
    assert labels == [tick.label for tick in found]
    assert all(0 <= tick.at <= 1 for tick in found)


def test_time_that_does_not_pass_has_no_labels() -> None:
    """As where the only backup is of this very second."""
    assert () == moments(NOW, NOW, 4)


def test_values_are_labelled_in_units_people_read() -> None:
    """From zero to a round number beyond the largest."""
    assert ["0 B", "1 B"] == [tick.label for tick in byte_values(0).ticks]
    assert ["0 GB", "20 GB", "40 GB", "60 GB"] == [tick.label for tick in byte_values(4.2e10).ticks]
    assert "6000 PB" == byte_values(5e18).ticks[-1].label
    found = duration_values(1_000)
    assert ["0 s", "5 min", "10 min", "15 min", "20 min"] == [tick.label for tick in found.ticks]
    assert (1.0, 1_200.0) == (found.ticks[-1].at, found.top)


@pytest.fixture
def terminal() -> Terminal:
    """A terminal on a replica set in good order."""
    terminal = Terminal()
    terminal.console.agent_list = [an_agent()]
    terminal.console.entry_list = [a_backup()]
    terminal.console.documents.cluster_document = a_cluster()
    return terminal


def test_report_writes_a_file_instead_of_an_older_one(terminal: Terminal, tmp_path: Path) -> None:
    """Whole or not at all, readable like any file one makes, and nothing else is left behind."""
    file = tmp_path / "safe.html"
    file.write_text("older")
    file.chmod(0o644)
    ended = terminal("report", "--html", str(file))
    assert (0, f"written: {file}\n") == (ended.exit_code, ended.stdout)
    assert file.read_text(encoding="utf-8").endswith("</html>\n")
    assert [file] == list(tmp_path.iterdir())
    assert 0o044 & stat.S_IMODE(file.stat().st_mode) == 0o044


def test_report_to_standard_output_is_the_page_alone(terminal: Terminal) -> None:
    """It can be piped into a mail."""
    shown = terminal("report", "--html", "-").stdout
    assert shown.startswith("<!doctype html>")
    assert shown.endswith("</html>\n")


def test_report_as_json_tells_what_was_written(terminal: Terminal, tmp_path: Path) -> None:
    """Scripts learn the answer without reading the page."""
    shown = terminal.json("report", "--html", str(tmp_path / "safe.html"))
    assert (str(tmp_path / "safe.html"), True) == (shown["file"], shown["safe"])


def test_report_that_cannot_be_written_is_an_error(terminal: Terminal, tmp_path: Path) -> None:
    """The directory is missing: exit status 1, and a hint."""
    ended = terminal("report", "--html", str(tmp_path / "no" / "safe.html"))
    assert 1 == ended.exit_code
    assert "hint: does the directory exist" in ended.stderr


def test_only_ordinary_files_are_replaced(tmp_path: Path) -> None:
    """A device or a directory stays what it is."""
    with pytest.raises(PermanentError, match="no ordinary file"):
        write(Path("/dev/null"), "text")
    with pytest.raises(PermanentError, match="no ordinary file"):
        write(tmp_path, "text")


def test_a_report_is_for_whom_the_umask_says(tmp_path: Path) -> None:
    """Once it has its name; nothing is left beside it, also if it cannot get that."""
    before = os.umask(0o027)
    try:
        write(tmp_path / "safe.html", "text")
    finally:
        os.umask(before)
    assert 0o640 == (tmp_path / "safe.html").stat().st_mode & 0o777
    with pytest.raises(PermanentError, match="cannot be written"):
        write(tmp_path / ("x" * 250), "text")
    assert [tmp_path / "safe.html"] == list(tmp_path.iterdir())


def test_times_of_the_page_are_utc() -> None:
    """And it says so."""
    assert UTC == NOW.tzinfo
    page = page_of(pictures.nightly(), "0.1.0")
    assert datetime.fromisoformat(page.made_at.replace(" UTC", "+00:00")) == NOW
