"""A headless Chromium, driven over its DevTools protocol through two pipes: no port, no library.

The protocol: https://chromedevtools.github.io/devtools-protocol/; with --remote-debugging-pipe commands are read from
descriptor 3, answers and events are written to descriptor 4, each a JSON object with a zero byte behind it.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Of one answer, also on a machine ten times slower.
_PATIENCE_S = 120.0
_OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # which containers and the superuser cannot have; it is our own page
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
)


def installed() -> str | None:
    """The browser's path; None: there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One tab. Use `opened`."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command, and what it gives back."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    def show(self, page: Path, *, width: int, height: int = 800, scheme: str = "light", media: str = "") -> None:
        """Loads a page on a screen of that size."""
        phone = width < 500
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.send("Emulation.setScrollbarsHidden", hidden=True)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", media=media, features=features)
        self.events.clear()
        self.send("Page.navigate", url=page.as_uri())
        until = time.monotonic() + _PATIENCE_S
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            assert time.monotonic() < until, f"{page} was not loaded within {_PATIENCE_S:g} s"
            self._receive()

    def value(self, expression: str) -> Any:
        """What an expression gives in the page, whose own policy does not bind us."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self) -> bytes:
        """The whole page, PNG."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.send(
            "Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True, optimizeForSpeed=True
        )
        return base64.b64decode(shot["data"])

    def printed(self) -> bytes:
        """The page on A4, PDF, with its headings as the outline."""
        sent = self.send(
            "Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True, generateDocumentOutline=True
        )
        return base64.b64decode(sent["data"])

    def complaints(self) -> list[str]:
        """What the console says since the page was shown, errors of every source among it."""
        said = [event for event in self.events if event["method"] in _COMPLAINTS]
        return [json.dumps(event["params"])[:500] for event in said]

    def requests(self) -> list[str]:
        """Whatever the page asked for since it was shown, itself among it."""
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"the browser did not answer within {_PATIENCE_S:g} s"
            received = os.read(self._answers, 1 << 20)
            assert received, "the browser ended"
            self._buffer += received
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message


_COMPLAINTS = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


@contextmanager
def opened(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own; it and whatever it started is gone afterwards."""
    path = installed()
    assert path, "there is no browser"
    to_browser, from_us = _pipe()
    to_us, from_browser = _pipe()
    log = str(profile.parent / "browser.log")
    child = os.posix_spawn(
        path,
        [path, *_OPTIONS, f"--user-data-dir={profile}"],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, to_browser, 3),
            (os.POSIX_SPAWN_DUP2, from_browser, 4),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setpgroup=0,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Browser(from_us, to_us)
    finally:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(from_us)
        os.close(to_us)


def _pipe() -> tuple[int, int]:
    """Its ends, neither of them a number that the browser's are to have."""
    ends = os.pipe()
    found = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return found[0], found[1]
