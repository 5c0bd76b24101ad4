"""The page in a browser: on a desktop, on a phone, in the dark, on paper. Skipped where there is no Chromium."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from edge_rai.bench.page.document import page
from support import browser
from support.bench_pages import everything, result_of, single_stream
from support.browser import Browser
from support.page_checks import ASTRAY, CONTRAST, HEADINGS, INVISIBLE, OPEN_ALL, OVERLAPPING, SCREENS

pytestmark = pytest.mark.skipif(
    browser.installed() is None, reason=f"no browser is installed: none of {', '.join(browser.NAMES)} (apt: chromium)"
)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser.opened(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_bytes(page(everything()))
    return path


@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_is_drawn_without_a_complaint_or_a_request(tab: Browser, written: Path, screen: str) -> None:
    width, scheme = SCREENS[screen]
    tab.show(written, width=width, scheme=scheme)
    shot = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    colors = shot.getcolors(1 << 24)
    assert len(colors) > 50, "a page without text or drawings has a few colors"
    paper = (255, 255, 255) if scheme == "light" else (20, 24, 28)
    assert max(colors)[1] == paper
    assert 0.02 < 1 - max(colors)[0] / (shot.width * shot.height) < 0.6
    assert tab.complaints() == []
    assert tab.requests() == [written.as_uri()]


@pytest.mark.parametrize("screen", SCREENS)
def test_everything_lies_within_the_screen_and_can_be_read(tab: Browser, written: Path, screen: str) -> None:
    width, scheme = SCREENS[screen]
    tab.show(written, width=width, scheme=scheme)
    tab.value(OPEN_ALL)
    assert tab.value("innerWidth") == width
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value(ASTRAY) == []
    assert tab.value(INVISIBLE) == 0
    assert tab.value(OVERLAPPING) == 0
    assert tab.value(CONTRAST) >= 4.5


def test_a_name_without_end_does_not_make_the_page_wider(tab: Browser, tmp_path: Path) -> None:
    models = ("a" * 300 + ".erai", "<b>" + "W" * 200)
    path = tmp_path / "long.html"
    path.write_bytes(
        page(replace(result_of(single_stream(models=models, duration_s=2), models=models), warnings=models))
    )
    tab.show(path, width=360)
    tab.value(OPEN_ALL)
    assert tab.value("document.documentElement.scrollWidth") <= 360


def test_a_script_in_a_page_would_not_run(tab: Browser, written: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.html"
    path.write_bytes(written.read_bytes().replace(b"</main>", b"<script>document.title = 'run'</script></main>"))
    tab.show(path, width=800)
    assert tab.value("document.title") != "run"
    assert any("Content Security Policy" in said for said in tab.complaints())


def test_paper_has_every_section_and_every_table(tab: Browser, written: Path) -> None:
    tab.show(written, width=794, media="print", scheme="dark")
    assert tab.value("[...document.querySelectorAll('table')].every(one => one.checkVisibility())")
    assert tab.value("getComputedStyle(document.body).color") == "rgb(29, 35, 41)"
    assert tab.value("document.documentElement.scrollWidth") <= 794
    headings = tab.value(HEADINGS)
    tab.show(written, width=794)
    printed = tab.printed()
    assert printed.startswith(b"%PDF-")
    assert 3 <= len(re.findall(rb"/Type */Page\b", printed)) <= 12
    titles = [title.decode("latin-1") for title in re.findall(rb"/Title *\(([^)]*)\)", printed)]
    assert len(headings) > 9
    assert [heading for heading in headings if heading not in titles] == []
