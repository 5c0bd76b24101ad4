"""The gate's report as a page: what is on it, and how it looks in a browser, on a phone and on paper."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from edge_rai import cli
from edge_rai.documents.page import card_page
from edge_rai_converters.gate_page.document import gate_page
from edge_rai_converters.gate_page.words import change, figure_of
from support import browser
from support.browser import Browser
from support.gate_reports import everything
from support.json_schema import faults
from support.page_checks import ASTRAY, CONTRAST, HEADINGS, INVISIBLE, OPEN_ALL, OVERLAPPING, SCREENS

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/formats/gate.schema.json").read_text())
SECTIONS = [
    *(
        "Certificate",
        "Leads, which are no verdicts",
        "Slices",
        "Gaps between groups",
        "Calibration",
        "Confusion",
        "Degradation",
        "Shift",
    ),
    *("For a person to look at", "Measured"),
]
in_a_browser = pytest.mark.skipif(
    browser.installed() is None, reason=f"no browser is installed: none of {', '.join(browser.NAMES)} (apt: chromium)"
)


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return everything()


@pytest.fixture(scope="module")
def written(report: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gate") / "gate.html"
    path.write_bytes(gate_page(report))
    return path


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser.opened(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


def text_of(page: bytes) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.decode())).replace("\u00a0", " ").split())


def headings(page: bytes) -> list[str]:
    return re.findall(r"<h2>([^<]*)</h2>", page.decode())


def test_report_with_everything_is_as_its_schema_says(report: dict[str, Any]) -> None:
    assert list(faults(report, SCHEMA)) == []
    assert {cell["verdict"] for cell in report["cells"]} == {"pass", "fail", "inconclusive"}


def test_page_has_a_section_for_everything_and_every_cell_with_its_limits(report: dict[str, Any]) -> None:
    page = gate_page(report)
    assert headings(page) == ["What does not pass", *SECTIONS]
    text = text_of(page)
    assert "R. Maier answers for it until 2099-01-01: few rows; more in March." in text
    assert "batch: no counterexample in 1,000 queries" in text
    for cell in report["cells"]:
        name = re.escape(f"<title>{cell['metric']} of {cell['slice']}</title>")
        assert re.search(name, page.decode()), cell
        if cell["metric"] != "brier":
            assert f"{100 * cell['loss_high']:.2f}), margin".replace("-", "\N{MINUS SIGN}") in text
    harmed = next(entry for entry in report["confusion"] if entry["slice"] == "sex=F, group=B")
    assert f"{harmed['original'][1][0]} \N{RIGHTWARDS ARROW} {harmed['candidate'][1][0]}" in text


def test_page_of_a_plain_report_has_no_section_for_what_is_not_there(report: dict[str, Any]) -> None:
    optional = ("certificate", "leads", "robustness", "shift", "audit_queue", "confusion")
    plain = {**report, "facts": {}, "fairness": [], "calibration": [], "something_later": {"a": 1}}
    plain = {key: value for key, value in plain.items() if key not in optional}
    assert headings(gate_page(plain)) == ["What does not pass", "Slices", "Measured"]


def test_unknown_ends_and_names_from_data_are_shown_as_they_are(report: dict[str, Any]) -> None:
    cell = {**report["cells"][0], "slice": "name=<b>|\u202e", "loss": None, "loss_low": None, "loss_high": None}
    page = gate_page({**report, "cells": [cell]}).decode()
    assert "<b>" not in page
    assert "\u202e" not in page
    assert "? (? to ?)" in text_of(page.encode())


def test_shares_under_a_corruption_are_written_as_shares() -> None:
    assert figure_of("accuracy under noise", 0.75) == "75.00\u00a0%"
    assert change("monotone[age]", 0.041) == "4.10\u00a0points"
    assert figure_of("error under noise", 0.75) == "0.75"


def test_many_classes_show_the_mistakes_that_changed_most(report: dict[str, Any]) -> None:
    classes = [f"class {place}" for place in range(20)]
    before = [[10 * (one == other) for other in range(20)] for one in range(20)]
    after = [row[:] for row in before]
    after[3][7] = 5
    entry = {"slice": "all rows", "classes": classes, "original": before, "candidate": after}
    text = text_of(gate_page({**report, "confusion": [entry]}))
    assert "is decided original candidate class 3 class 7 0 5" in text


def test_command_writes_the_page_beside_what_it_prints(tumours: Path, tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text("format_version = 1\n[margins]\naccuracy = 0.1\n")
    model, data = str(tumours / "mlp.onnx"), str(tumours / "data.npz")
    arguments = ["gate", model, "--against", model, "--data", data, "--labels", "y"]
    arguments += ["--policy", str(tmp_path / "gate.toml"), "--html"]
    assert cli.main([*arguments, str(tmp_path / "gate.html")]) == 0
    assert "Pass: 1 of 1 cell pass" in text_of((tmp_path / "gate.html").read_bytes())
    assert cli.main([*arguments, str(tmp_path / "no" / "gate.html")]) == 4
    assert cli.main([*arguments, str(tmp_path)]) == 4


@in_a_browser
@pytest.mark.parametrize("screen", SCREENS)
def test_everything_lies_within_the_screen_and_nothing_is_complained_of(
    tab: Browser, written: Path, screen: str
) -> None:
    width, scheme = SCREENS[screen]
    tab.show(written, width=width, scheme=scheme)
    assert tab.complaints() == []
    assert [url for url in tab.requests() if not url.startswith("data:")] == [written.as_uri()]
    tab.value(OPEN_ALL)
    assert tab.value("innerWidth") == width
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value(ASTRAY) == []
    assert tab.value(INVISIBLE) == 0
    assert tab.value(OVERLAPPING) == 0
    assert tab.value(CONTRAST) >= 4.5


@in_a_browser
def test_paper_has_every_section_and_every_table(tab: Browser, written: Path) -> None:
    tab.show(written, width=794, media="print", scheme="dark")
    assert tab.value("[...document.querySelectorAll('table')].every(one => one.checkVisibility())")
    assert tab.value("document.documentElement.scrollWidth") <= 794
    assert tab.value(HEADINGS) == ["What does not pass", *SECTIONS]
    printed = tab.printed()
    assert printed.startswith(b"%PDF-")


@in_a_browser
def test_a_card_as_a_page_fits_a_phone_and_asks_for_nothing(tab: Browser, tmp_path: Path) -> None:
    path = tmp_path / "card.html"
    wide = f"# {'W' * 200}\n\n| {'a | ' * 30}\n|{'---|' * 30}\n| {'word ' * 9}| {'`' + 'f' * 64 + '`'} |\n"
    path.write_bytes(card_page(wide, "card"))
    tab.show(path, width=360)
    assert tab.complaints() == []
    assert tab.requests() == [path.as_uri()]
    assert tab.value("document.documentElement.scrollWidth") <= 360
