"""A thread that uploads a spool: the agent without a process of its own."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from pathlib import Path

from edge_rai.errors import EdgeRaiError
from edge_rai.telemetry.agent import UploadReport, upload, upload_forever
from edge_rai.telemetry.receiver import Receiver
from edge_rai.telemetry.settings import UploadSettings

_log = logging.getLogger(__name__)


class _StoppedError(Exception):
    """Ends the thread between two passes."""


class Uploader:
    """Makes a pass every ``interval_s``, and later after those that could not deliver; see ``agent.upload``.

    What goes wrong is told to the log: predictions have no part in it. A pass that runs when the thread is stopped goes
    on to its end in the background, or is lost with the process, which costs nothing: what has no receipt stays.
    """

    def __init__(self, spool: str | os.PathLike[str], settings: UploadSettings | str) -> None:
        """Starts the thread; the spool is there.

        Raises:
            ValueError: The settings are none to upload with; says why.
            OSError: A file that they name cannot be read.
        """
        self._spool = Path(spool)
        self._settings = UploadSettings(settings) if isinstance(settings, str) else settings
        Receiver(self._settings, None)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edge_rai upload", daemon=True)
        self._thread.start()

    def stop(self, wait_s: float = 0.0) -> None:
        """Ends the thread after the pass that runs, for which this waits so long. Any number of times."""
        self._ended.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        with suppress(_StoppedError):
            upload_forever(self._one_pass, interval_s=self._settings.interval_s, sleep=self._sleep)

    def _one_pass(self) -> UploadReport:
        try:
            report = upload(self._spool, self._settings)
        except (EdgeRaiError, OSError, ValueError) as error:
            _log.warning("nothing was uploaded: %s", error)
            return UploadReport()
        if report.error:
            _log.warning("%s; %d batch files are kept in the spool", report.error, report.kept)
        return report

    def _sleep(self, seconds: float) -> None:
        if self._ended.wait(seconds):
            raise _StoppedError
