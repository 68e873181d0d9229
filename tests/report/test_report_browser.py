"""The page in a real browser: nothing is loaded, nothing fails, nothing overflows; it sorts, links, prints and can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_data import federated, hostile, report, two_stores

from hanse.report.html import render

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTHS = (375, 1280)
SCHEMES = ("light", "dark")
REPORTS = {"report": report, "two_stores": two_stores, "federated": federated, "hostile": hostile}


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    paths = {name: folder / f"{name}.html" for name in REPORTS}
    for name, path in paths.items():
        path.write_bytes(render(REPORTS[name]()))
    return paths


@contextmanager
def _opened(browser: Browser, path: Path, **options: Any) -> Iterator[Page]:
    """A page that complained about nothing and asked for nothing."""
    wrong: list[str] = []
    with browser.new_context(reduced_motion="reduce", **options) as context:
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: wrong.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        yield page
        assert wrong == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", REPORTS)
def test_it_loads_alone_and_fits(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    with _opened(browser, pages[name], viewport={"width": width, "height": 900}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        drawn = page.evaluate(
            """[...document.querySelectorAll('svg.chart')].map(svg => {
                const box = svg.getBoundingClientRect();
                const shapes = svg.querySelectorAll('path, line, text').length;
                return [box.left, box.right, box.height, shapes];
            })"""
        )
        seen = [d for d in drawn if d[2] > 0]
        assert len(seen) * 2 == len(drawn)  # of each picture the one for this width
        for left, right, height, shapes in seen:
            assert 0 <= left < right <= width
            assert height > 60
            assert shapes > 5


@pytest.mark.parametrize("width", WIDTHS)
def test_no_text_of_a_picture_is_cut_off(browser: Browser, pages: dict[str, Path], width: int) -> None:
    with _opened(browser, pages["report"], viewport={"width": width, "height": 900}) as page:
        outside = page.evaluate(
            """[...document.querySelectorAll('svg.chart text')].filter(text => {
                const box = text.getBoundingClientRect(), svg = text.closest('svg').getBoundingClientRect();
                return box.width && (box.left < svg.left - 2 || box.right > svg.right + 2
                                     || box.top < svg.top - 2 || box.bottom > svg.bottom + 2);
            }).map(text => text.textContent)"""
        )
        assert outside == []


def _column(page: Page, head: str) -> list[str]:
    return page.evaluate(
        """head => {
            const th = [...document.querySelectorAll('table.customers thead th')].find(t => t.textContent.trim() === head);
            return [...th.closest('table').tBodies[0].rows].map(row => row.cells[th.cellIndex].textContent.trim());
        }""",
        head,
    )


def test_tables_sort_by_click_and_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    with _opened(browser, pages["report"]) as page:
        table = page.locator("table.customers")
        scores = [float(s) for s in _column(page, "score")]
        assert scores == sorted(scores, reverse=True)
        score = table.get_by_role("columnheader", name="score")
        assert score.get_attribute("aria-sort") == "descending"
        score.get_by_role("button").click()
        assert score.get_attribute("aria-sort") == "ascending"
        assert [float(s) for s in _column(page, "score")] == sorted(scores)
        orders = table.get_by_role("columnheader", name="total_orders")
        orders.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert orders.get_attribute("aria-sort") == "descending"
        assert score.get_attribute("aria-sort") is None
        found = [float(s) for s in _column(page, "total_orders")]
        assert found == sorted(found, reverse=True)
        assert page.locator("#said").text_content() == "Sorted by total_orders, descending."
        names = table.get_by_role("columnheader", name="customer_id")
        names.get_by_role("button").focus()
        page.keyboard.press("Space")
        assert names.get_attribute("aria-sort") == "ascending"
        assert _column(page, "customer_id") == sorted(_column(page, "customer_id"))


def test_table_and_picture_lead_to_each_other(browser: Browser, pages: dict[str, Path]) -> None:
    with _opened(browser, pages["two_stores"], viewport={"width": 1280, "height": 900}) as page:
        key = "part2-customer-3"
        point = page.locator(f'.wide svg a[data-row="{key}"]')
        row = page.locator(f"tr#{key}")
        name = row.locator("a").text_content()
        assert (point.get_attribute("aria-label") or "").startswith(f"{name}, cluster 2, score ")
        row.hover()
        assert "lit" in (point.get_attribute("class") or "")
        row.locator("a").focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.dataset.row") == key
        tip = page.locator("#tip")
        assert tip.is_visible()
        assert (tip.text_content() or "").startswith(str(name))
        page.keyboard.press("Escape")
        assert not tip.is_visible()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == key
        assert page.evaluate(f"document.getElementById('{key}').getBoundingClientRect().top") < 900


def test_links_work_without_scripts(browser: Browser, pages: dict[str, Path]) -> None:
    with _opened(browser, pages["report"], java_script_enabled=False) as page:
        page.locator('.wide svg a[data-row="part1-customer-0"]').click(force=True)
        assert page.url.endswith("#part1-customer-0")


_CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  function rgba(colour) { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; }
  function luminance(c) { return [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const v = c[i] / 255; return sum + weight * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0); }
  function behind(element) { for (let e = element; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255, 255]; }
  function ratio(a, b) { const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); }
  function under(text) { // the cell of a heat map that a label stands on
    const box = text.getBoundingClientRect();
    const hit = [...text.closest('svg').querySelectorAll('path')].reverse().find(path => {
      if (getComputedStyle(path).fill === 'none') return false;
      const b = path.getBoundingClientRect(); const x = box.x + box.width / 2, y = box.y + box.height / 2;
      return b.left <= x && x <= b.right && b.top <= y && y <= b.bottom && b.width < 200; });
    return hit ? rgba(getComputedStyle(hit).fill) : behind(text.closest('figure')); }
  const low = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length || e.closest('script, .unseen, .skip')) continue;
    const inPicture = e.closest('svg.chart');
    const ink = rgba(inPicture ? getComputedStyle(e).fill : getComputedStyle(e).color);
    const r = ratio(ink, inPicture ? under(e) : behind(e));
    if (r < 4.5) low.push([e.tagName, e.textContent.slice(0, 30), r]);
  }
  return low;
}"""

_MARKS = """() => [...document.querySelectorAll('svg.chart a path')].slice(0, 1).map(p => getComputedStyle(p).fill)"""


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["report", "federated"])
def test_contrast_is_enough_in_both_schemes(browser: Browser, pages: dict[str, Path], name: str, scheme: str) -> None:
    with _opened(browser, pages[name], color_scheme=scheme, viewport={"width": 1280, "height": 900}) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert page.evaluate(_CONTRAST) == []


def test_pictures_follow_the_scheme_and_paper_is_light(browser: Browser, pages: dict[str, Path]) -> None:
    with _opened(browser, pages["report"], color_scheme="light") as page:
        light = page.evaluate(_MARKS)
        page.emulate_media(color_scheme="dark")
        dark = page.evaluate(_MARKS)
        assert light != dark
        page.emulate_media(color_scheme="dark", media="print")
        assert page.evaluate(_MARKS) == light
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(28, 34, 40)"


def test_it_prints_whole(browser: Browser, pages: dict[str, Path]) -> None:
    with _opened(browser, pages["report"], viewport={"width": 720, "height": 1000}) as page:
        page.emulate_media(media="print")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        assert not page.locator("nav").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 720
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert page.locator("details[open]").count() == 0
        paper = page.pdf(format="A4")
        assert paper.startswith(b"%PDF")
        assert len(re.findall(rb"/Type\s*/Page\b", paper)) >= 2


@pytest.mark.parametrize("name", REPORTS)
def test_a_screen_reader_finds_its_way(browser: Browser, pages: dict[str, Path], name: str) -> None:
    with _opened(browser, pages[name]) as page:
        found = page.evaluate(
            """() => ({
                lang: document.documentElement.lang,
                landmarks: ['header', 'nav', 'main', 'footer'].map(t => document.querySelectorAll('body > ' + t).length),
                headings: [...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1])),
                unnamed: [...document.querySelectorAll('svg:not([aria-hidden]), button, a, section, nav, [role=region]')].filter(e =>
                    !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.textContent.trim())).length,
                dangling: [...document.querySelectorAll('[aria-labelledby]')].filter(e =>
                    !document.getElementById(e.getAttribute('aria-labelledby'))).length,
                scopeless: document.querySelectorAll('th:not([scope])').length,
                uncaptioned: [...document.querySelectorAll('table')].filter(t => !t.caption).length,
                unruled: [...document.querySelectorAll('.scroll')].filter(s => s.tabIndex !== 0).length,
                positive: document.querySelectorAll('[tabindex]:not([tabindex="0"]):not([tabindex="-1"])').length,
            })"""
        )
        assert found["lang"] == "en"
        assert found["landmarks"] == [1, 1, 1, 1]
        headings = found["headings"]
        assert headings[0] == 1
        assert headings.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(headings))
        assert [found[k] for k in ("unnamed", "dangling", "scopeless", "uncaptioned", "unruled", "positive")] == [0] * 6


def test_the_keyboard_gets_to_the_report_first(browser: Browser, pages: dict[str, Path]) -> None:
    with _opened(browser, pages["report"]) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
        assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('main') !== null")
