"""A report in a real browser, without a network, in light and in dark."""

import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from studies import plan, run

from specreason.eval.report.make import made
from specreason.eval.report.page import page
from specreason.eval.store import Store

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    os.environ.get("CHROMIUM"),
)  # fmt: skip
RESULTS = Path(__file__).parents[2] / "docs" / "results"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (apt install chromium)")


def noted(where: list[str], what: str) -> Callable[[Any], None]:
    def note(thing: Any) -> None:
        where.append(getattr(thing, what))

    return note


@contextmanager
def shown(report: Path, scheme: str) -> Generator[tuple[Any, list[Any]]]:
    """The report's page and the boxes of its figures; it may ask for nothing and complain of nothing."""
    playwright: Any = pytest.importorskip("playwright.sync_api")
    asked: list[str] = []
    told: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(color_scheme=scheme, viewport={"width": 1200, "height": 900}, offline=True)
        opened.on("request", noted(asked, "url"))
        opened.on("console", noted(told, "text"))
        opened.goto(report.as_uri())
        figures = opened.locator("figure svg")
        yield opened, [figures.nth(n).bounding_box() for n in range(figures.count())]
        browser.close()
    assert asked
    assert all(url.startswith("file:") for url in asked)
    assert not told


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("report", sorted(RESULTS.glob("*.html")), ids=lambda path: path.stem)
def test_a_published_report_is_readable_offline(report: Path, tmp_path: Path, scheme: str) -> None:
    with shown(report, scheme) as (opened, boxes):
        too_wide = opened.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        opened.screenshot(path=tmp_path / f"{report.stem}-{scheme}.png", full_page=True)
    assert len(boxes) >= 5
    assert all(box["width"] > 300 and box["height"] > 50 for box in boxes)
    assert not too_wide


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_is_readable_offline(tmp_path: Path, scheme: str) -> None:
    run(tmp_path / "s.sqlite", plan(samples=2, thresholds=(0, 7)))
    with Store(tmp_path / "s.sqlite") as store:
        (tmp_path / "s.html").write_text(page(made(store, "base", traces=2)), encoding="utf-8")
    with shown(tmp_path / "s.html", scheme) as (opened, boxes):
        page_colour = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        text_colour = opened.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
        opened.locator("details summary").first.click()
        trace_is_shown = opened.get_by_text("Base adds to 4.").first.is_visible()
        opened.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    assert len(boxes) >= 7
    assert all(box["width"] > 300 and box["height"] > 50 for box in boxes)
    assert page_colour == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 24, 27)")
    assert text_colour == ("rgb(27, 27, 27)" if scheme == "light" else "rgb(232, 232, 232)")
    assert trace_is_shown
    assert (tmp_path / f"{scheme}.png").stat().st_size > 20_000
