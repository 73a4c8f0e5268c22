"""The page of `backstay report` in a real browser: on a desk, on a phone, by night."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.report.page import page_of
from agent.cli.report.render import html
from tests.fakes import pictures
from tests.testbed.browser import Browser, Look, browser

LOOKS = {
    "desk": Look(width=1280),
    "desk-dark": Look(width=1280, is_dark=True),
    "phone": Look(width=390),
    "phone-dark": Look(width=390, is_dark=True),
    "small-phone": Look(width=360),
    "tablet": Look(width=768),
    "small-window": Look(width=900),
}
# What is wider than the window, what text stands beyond it, what is drawn and has no size.
MEASURE = """(() => {
  const seen = (each) => each.getClientRects().length > 0;
  const beyond = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    if (!node.data.trim() || node.parentElement.closest('style, title, thead')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects())
      if (box.right > innerWidth + 0.5 || box.left < -0.5) beyond.push(node.data.trim());
  }
  const charts = [...document.querySelectorAll('svg.chart')].filter(seen);
  const overlaps = [];
  for (const chart of charts) {
    const boxes = [...chart.querySelectorAll('text')].map((each) => each.getBoundingClientRect());
    boxes.forEach((a, one) => boxes.slice(one + 1).forEach((b) => {
      if (a.left < b.right && b.left < a.right && a.top < b.bottom - 2 && b.top < a.bottom - 2)
        overlaps.push([a, b]);
    }));
  }
  return {
    width: document.documentElement.scrollWidth, window: innerWidth, beyond, overlaps,
    charts: charts.map((each) => each.getBoundingClientRect()).map((a) => [a.width, a.height]),
    named: charts.every((each) => each.getAttribute('aria-label')),
    sizes: charts.flatMap((each) => [...each.querySelectorAll('text')].map(
      (text) => text.getBoundingClientRect().height)),
    scripts: document.scripts.length,
    heading: document.querySelector('h1').textContent,
  };
})()"""
# The contrast of each text with what is behind it, by WCAG 2.
CONTRAST = """(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map(
    (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let worst = [99, ''];
  for (const each of document.querySelectorAll('body *')) {
    const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || each.closest('title') || !each.getClientRects().length) continue;
    const style = getComputedStyle(each);
    const ink = parse(each.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(each))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, each.textContent.slice(0, 60)];
  }
  return worst;
})()"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all pages."""
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page for each state that a replica set may be in."""
    directory = tmp_path_factory.mktemp("report")
    found = {}
    for name, picture in pictures.ALL.items():
        found[name] = directory / f"{name}.html"
        found[name].write_text(html(page_of(picture(), "0.1.0")), encoding="utf-8")
    return found


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", pictures.ALL)
def test_page_fits_every_window(
    chromium: Browser, pages: dict[str, Path], name: str, look: str
) -> None:
    """Nothing is wider than the window, charts have a size and a name, nobody complains."""
    page = pages[name]
    chromium.load(page, LOOKS[look])
    chromium.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
    chromium.screenshot(page.with_name(f"{name}-{look}.png"))
    found = chromium.evaluate(MEASURE)
    assert LOOKS[look].width == found["window"] == found["width"]
    assert ([], []) == (found["beyond"], found["overlaps"])
    assert all(width > 250 and height > 50 for width, height in found["charts"])
    assert (3 if pictures.ALL[name]().entries else 0) == len(found["charts"])
    assert found["named"]
    assert all(10 < height < 24 for height in found["sizes"])
    assert found["heading"].startswith(("Safe", "Not safe"))
    assert ([], 0) == (chromium.complaints, found["scripts"])
    # One file, and nothing else was asked for.
    assert [page.as_uri()] == chromium.requests


@pytest.mark.parametrize("look", ["desk", "desk-dark"])
@pytest.mark.parametrize("name", ["nothing", "nightly", "in_trouble"])
def test_every_text_can_be_read(
    chromium: Browser, pages: dict[str, Path], name: str, look: str
) -> None:
    """A contrast of 4.5 at the least, as WCAG asks for."""
    chromium.load(pages[name], LOOKS[look])
    contrast, text = chromium.evaluate(CONTRAST)
    assert contrast >= 4.5, text


def test_what_comes_from_the_database_is_text(chromium: Browser, pages: dict[str, Path]) -> None:
    """A note that is a script is shown, and does nothing."""
    chromium.load(pages["in_trouble"], LOOKS["desk"])
    assert pictures.EVIL in chromium.evaluate("document.body.innerText")
    assert 0 == chromium.evaluate("document.scripts.length")
