"""MLPerf's LoadGen driving a call through its Python binding, and the same queries timed by the bench's clock.

Timed is the call alone. What LoadGen's latency has beyond that is its binding's way to our function and back, which a
system that does nothing shows.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edge_rai.bench.clock import SystemClock
from edge_rai.bench.series import Series

_SAMPLES = 256


@dataclass(frozen=True, slots=True)
class Driven:
    """One run of LoadGen.

    Attributes:
        said: What LoadGen's summary says, by the name of the line.
        series: The same queries by our clock; in offline one query is a batch.
    """

    said: dict[str, float]
    series: Series

    def percentile_ns(self, percent: float) -> float:
        """Of LoadGen."""
        return self.said[f"{percent:.2f} percentile latency (ns)"]


def single_stream(call: Callable[[int], object], folder: Path, *, duration_ms: int, usual_ns: float) -> Driven:
    """LoadGen asks one query after another.

    Args:
        call: Given the number of the sample, below 256.
        folder: For LoadGen's logs.
        duration_ms: At least.
        usual_ns: About how long a call takes; LoadGen prepares as many queries.
    """
    loadgen = import_module("mlperf_loadgen")
    complete, response = loadgen.QuerySamplesComplete, loadgen.QuerySampleResponse
    now_ns, times = SystemClock.now_ns, array("q")

    def answer(ids: list[int], samples: list[int]) -> None:
        began = now_ns()
        call(samples[0])
        ended = now_ns()
        complete([response(ids[0], 0, 0)])
        times.append(began)
        times.append(ended)

    settings = _settings(loadgen, "SingleStream", duration_ms)
    settings.single_stream_expected_latency_ns = round(usual_ns)
    settings.min_query_count = 100
    return Driven(_run(loadgen, answer, settings, folder), _series(times, 1))


def offline(call: Callable[[int], object], rows: int, folder: Path, *, batches: int) -> Driven:
    """LoadGen gives all samples at once, and they are answered in batches.

    Args:
        call: Answers a batch; given its number.
        rows: A batch.
        folder: For LoadGen's logs.
        batches: How many; all of them are whole, or LoadGen's rows a second would be fewer than were answered.
    """
    loadgen = import_module("mlperf_loadgen")
    complete, response = loadgen.QuerySamplesComplete, loadgen.QuerySampleResponse
    now_ns, times = SystemClock.now_ns, array("q")

    def answer(ids: list[int], _: list[int]) -> None:
        for first in range(0, len(ids), rows):
            began = now_ns()
            call(first // rows)
            ended = now_ns()
            complete([response(number, 0, 0) for number in ids[first : first + rows]])
            times.append(began)
            times.append(ended)

    settings = _settings(loadgen, "Offline", 1)
    settings.min_query_count = batches * rows
    driven = Driven(_run(loadgen, answer, settings, folder), _series(times, rows))
    assert len(driven.series.latency_ns) == batches
    assert driven.said["samples_per_query"] == batches * rows
    return driven


def _series(times: array[int], rows: int) -> Series:
    """Of moments when queries began and ended, in turn."""
    began, ended = np.array(times, np.int64).reshape(-1, 2).T
    return Series("LoadGen's", rows, np.zeros(len(began), np.int32), began, began, ended)


def _settings(loadgen: Any, scenario: str, duration_ms: int) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, scenario)
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = duration_ms
    return settings


def _run(loadgen: Any, answer: Callable[[list[int], list[int]], None], settings: Any, folder: Path) -> dict[str, float]:
    logs = loadgen.LogSettings()
    logs.log_output.outdir = str(folder)
    logs.log_output.copy_summary_to_stdout = False
    logs.log_mode = loadgen.LoggingMode.EndOfTestOnly
    system = loadgen.ConstructFastSUT(answer, lambda: None)
    library = loadgen.ConstructQSL(_SAMPLES, _SAMPLES, lambda _: None, lambda _: None)
    try:
        loadgen.StartTestWithLogSettings(system, library, settings, logs)
    finally:
        loadgen.DestroyQSL(library)
        loadgen.DestroyFastSUT(system)
    lines = re.findall(r"^(\S.*?) *: ([\d.e+]+)$", (folder / "mlperf_log_summary.txt").read_text(), re.MULTILINE)
    return {name: float(value) for name, value in lines}
