"""The fleet's pages in a browser, served by a real collector. Skipped where there is no Chromium."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from edge_rai.fleet.decode_events import DeviceEvent
from edge_rai.fleet.store import Store
from support import browser
from support.browser import Browser
from support.fleets import HOUR_NS, batch_of, with_radius
from support.telemetry import FEATURES, CollectorProcess, snapshot

pytestmark = pytest.mark.skipif(
    browser.installed() is None, reason=f"no browser is installed: none of {', '.join(browser.NAMES)} (apt: chromium)"
)

HOSTILE = "<img src=x onerror=alert(1)>\"'&</title>"
LONG = "W" * 300
HEADINGS = "[...document.querySelectorAll('h2')].map(one => one.textContent)"
FOCUSED = "document.activeElement.textContent || document.activeElement.getAttribute('aria-label')"


class Address:
    """What `Browser.show` takes for a page: something with an address."""

    def __init__(self, url: str) -> None:
        self._url = url

    def as_uri(self) -> str:
        return self._url


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A collector whose store has two sites, one silent device, a gap, an event and names that mean harm."""
    folder = tmp_path_factory.mktemp("fleet")
    now = time.time_ns()
    hostile = (FEATURES[0]._replace(name=HOSTILE), FEATURES[1]._replace(name=LONG), FEATURES[2])
    store = Store(folder)
    for sequence in range(4):
        moved = with_radius([0, 0, 10, 900], sequence, instance="aa" * 16)
        said = {"site": HOSTILE, "firmware": LONG}
        store.add([batch_of(moved, hostile, **said)], now - (3 - sequence) * HOUR_NS)
    silent = batch_of(snapshot(5, instance="bb" * 16), hostile, site="Oslo", drift_evidence=1e6, drift_rows=10)
    store.add([silent], now - 30 * HOUR_NS)  # before the last midnight, wherever in the day this runs
    event = DeviceEvent("aa" * 16, 1, 1, "edge.decision", now, 14, "ab" * 6, '{"edge.field.x": "<script>1</script>"}')
    store.add([], now, [event])
    store.close()
    with CollectorProcess(folder) as collector:
        yield collector.url


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser.opened(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


def shown(tab: Browser, url: str, path: str = "/", *, width: int = 1100) -> str:
    tab.show(Address(url + path), width=width)  # type: ignore[arg-type]
    return str(tab.value("document.body.innerText"))


def follow(tab: Browser, url: str, text: str, *, width: int = 1100) -> str:
    """The page behind the first link whose text begins so."""
    where = tab.value(f"[...document.links].find(one => one.textContent.startsWith({text!r})).getAttribute('href')")
    return shown(tab, url, str(where), width=width)


def test_fleet_at_a_glance_says_what_somebody_must_know(tab: Browser, url: str) -> None:
    text = shown(tab, url)
    assert "2 devices, 1 silent for 24 hours" in text
    assert "5 windows are missing" in text
    assert "1 devices watch, 0 have an alarm that stands, 1 are named." in text
    assert tab.value(HEADINGS) == [
        "Rows rejected, by hour",
        "Features against their references",
        "Drift, by devices' own detectors",
        "Models",
        "Sites",
        "Firmware",
        "Silent, or with gaps",
        "Heard of last",
        "Last events",
    ]
    assert tab.value("document.querySelector('svg desc').textContent").startswith("4 hours with rows; at most 16.67%")


def test_links_lead_to_one_device_one_model_one_feature(tab: Browser, url: str) -> None:
    shown(tab, url)
    device = follow(tab, url, "aaaaaaaaaaaa")
    assert "not watched" in device
    assert "e-value 1e+05 after 10 rows" in shown(tab, url, "/device?instance=bb")
    assert "4 batches" in device
    assert "Share" not in device
    model = follow(tab, url, "abababababab")
    assert "Digest" in model
    assert "ab" * 6 in model
    feature = follow(tab, url, HOSTILE)
    assert "has moved from its reference by more than chance" in feature
    assert tab.value("document.querySelector('h1').textContent") == HOSTILE
    assert tab.value("document.querySelectorAll('rect.reference').length") == 4
    assert tab.value("document.querySelectorAll('rect.bar').length") == 8  # bins, and hours


def test_names_that_mean_harm_stay_text_and_nothing_is_fetched(tab: Browser, url: str) -> None:
    for path in ("/", "/device?instance=aa"):
        shown(tab, url, path)
        assert tab.complaints() == []
        assert tab.requests() == [url + path]
        assert tab.value("document.querySelectorAll('img, script, iframe, link').length") == 0
        assert HOSTILE in tab.value("document.body.textContent")


def test_pages_fit_a_phone(tab: Browser, url: str) -> None:
    shown(tab, url, width=360)
    for link in ("aaaaaaaaaaaa", "abababababab", HOSTILE):
        follow(tab, url, link, width=360)
        assert tab.value("document.documentElement.scrollWidth") <= 360
        fields = "[...document.querySelectorAll('nav input:not([type=hidden]), nav button')]"
        assert tab.value(f"{fields}.filter(one => one.offsetHeight < 32).length") == 0
        if link != HOSTILE:
            tab.show(Address(url + "/"), width=360)  # type: ignore[arg-type]
            assert tab.value("document.documentElement.scrollWidth") <= 360


def press(tab: Browser, key: str, code: int, text: str = "") -> None:
    for kind in ("keyDown", "keyUp"):
        tab.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)


def test_keyboard_alone_reaches_everything_and_finds_a_device(tab: Browser, url: str) -> None:
    shown(tab, url)
    order = []
    for _ in range(7):
        press(tab, "Tab", 9)
        order.append(tab.value(FOCUSED))
    assert order == ["Skip to the content", "Fleet", "24 hours", "7 days", "30 days", "Device", "Show"]
    style = "getComputedStyle(document.activeElement)"
    assert tab.value(f"{style}.outlineStyle + {style}.outlineWidth") == "solid3px"
    tab.value("document.querySelector('nav input').focus()")
    for letter in "bb":
        press(tab, letter, ord("B"), letter)
    tab.events.clear()
    press(tab, "Enter", 13, "\r")
    until = time.monotonic() + 120
    while tab.value("document.title") != "Device bbbbbbbbbbbb: fleet":
        assert time.monotonic() < until, tab.value("document.title")
        time.sleep(0.05)
    assert "Oslo" in tab.value("document.body.innerText")
