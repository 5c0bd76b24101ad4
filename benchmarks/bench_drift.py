"""Drift: how often an alarm is false, how long a true one takes, and what watching costs a value.

Every cell draws reference and stream anew in each run, from a seed of its own. EDGE_RAI_DRIFT_RUNS multiplies the runs;
tables go to benchmarks/results/drift.txt. river is compared with where it is installed. `make bench` runs this.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from edge_rai.policy import Drift
from edge_rai_converters.strides import stride_of
from support.drift_streams import (
    LAWS,
    alarm_row,
    always,
    autoregressive,
    kolmogorov_smirnov,
    never,
    of_river,
    stability_index,
)
from support.drift_streams import wasserstein as distance

TIMES = float(os.environ.get("EDGE_RAI_DRIFT_RUNS", "1"))
CHANGES = {"mean +0.25": (0.25, 1.0), "mean +0.5": (0.5, 1.0), "mean +1": (1.0, 1.0), "spread x1.5": (0.0, 1.5)}
BARS = {"mean +0.25": 300, "mean +0.5": 80, "mean +1": 35, "spread x1.5": 100}
# With alarms in at most 8 % of 20,000 rows without a change, as the first table counts them.
LEVEL = 100_000.0


@pytest.fixture(scope="module")
def table():
    """Collects lines, and writes them at the end."""
    lines: list[str] = []
    yield lines.append
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "drift.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def random_of(*what: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(what).encode()))


def runs_of(count: int) -> int:
    return max(int(count * TIMES), 1)


@pytest.mark.parametrize(
    ("width", "rows", "length", "runs"), [(1, 1000, 20000, 100), (1, 50000, 20000, 40), (30, 5000, 10000, 40)]
)
@pytest.mark.parametrize("law", LAWS)
def test_false_alarms_are_within_the_stated_run_length(law, width, rows, length, runs, table, capsys) -> None:
    alarms, count = 0, runs_of(runs)
    for run in range(count):
        random = random_of(law, width, rows, run)
        reference, stream = LAWS[law](random, (rows, width)), LAWS[law](random, (length, width))
        alarms += alarm_row(reference, stream, Drift(1e5)) is not None
    report(table, capsys, f"{law:18}{width:4} features, reference {rows:6}", alarms, count, length / 1e5)


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_false_alarms_of_rows_that_depend_on_each_other(rho, table, capsys) -> None:
    alarms, count, length = 0, runs_of(40), 20000
    for run in range(count):
        random = random_of("ar", rho, run)
        reference, stream = autoregressive(random, rho, 10000), autoregressive(random, rho, length)
        stride = stride_of(reference[:, 0])
        assert stride > 1
        alarms += alarm_row(reference, stream, Drift(1e5, strides={"f0": stride})) is not None
    report(table, capsys, f"autoregressive {rho}, stride as found", alarms, count, length / 1e5)


def report(table, capsys, what: str, alarms: int, runs: int, bound: float) -> None:
    line = f"{what:52} false alarms {alarms / runs:.3f} of {runs} runs, bound {bound:.2f}"
    table(line)
    with capsys.disabled():
        print("\n" + line, end="")
    assert alarms / runs <= bound + 2 * np.sqrt(bound * (1 - bound) / runs)


def ours(reference: np.ndarray, stream: np.ndarray) -> int | None:
    return alarm_row(reference, stream, Drift(LEVEL))


def contenders() -> dict:
    found = {"edge_rai": ours, "KS p<.05 a window": kolmogorov_smirnov, "PSI>.1 a window": stability_index}
    found |= {"Wasserstein>.1 a window": distance, "always": always, "never": never}
    try:
        from river import drift
    except ImportError:
        print("river is not installed: its detectors are not compared with")
        return found
    adwin = drift.ADWIN
    found["river ADWIN .02"] = of_river(lambda: [adwin(delta=0.02)])
    found["river ADWIN .02 of x, x^2"] = of_river(lambda: [adwin(delta=0.02), adwin(delta=0.02)])
    found["river Page-Hinkley"] = of_river(lambda: [drift.PageHinkley()])
    return found


def test_delays_beside_others(table, capsys) -> None:
    """Reference of 5,000, change after 2,000 rows; an alarm before the change counts as false."""
    count, change, longest = runs_of(60), 2000, 4000
    head = f"{'':28}{'false in 20,000':>17}" + "".join(f"{name:>20}" for name in CHANGES)
    table(head)
    with capsys.disabled():
        print("\n" + head)
    for name, watch in contenders().items():
        alarms, cells = 0, []
        for run in range(count):
            random = random_of("quiet", run)
            alarms += watch(random.normal(size=(5000, 1)), random.normal(size=(20000, 1))) is not None
        for shift, scale in CHANGES.values():
            delays = []
            for run in range(count):
                random = random_of("change", shift, scale, run)
                reference, stream = random.normal(size=(5000, 1)), random.normal(size=(change + longest, 1))
                stream[change:] = shift + scale * stream[change:]
                row = watch(reference, stream)
                if row is None or row > change:
                    delays.append(np.inf if row is None else row - change)
            cells.append((np.median(delays) if delays else np.nan, sum(np.isinf(delays)), count - len(delays)))
        words = "".join(f"{middle:8.0f} ({missed} m {early} e)".rjust(20) for middle, missed, early in cells)
        line = f"{name:28}{alarms / count:>17.2f}{words}"
        table(line)
        with capsys.disabled():
            print(line)
        if name == "edge_rai":
            assert [cell[1] for cell in cells] == [0] * len(cells)
            assert all(cell[0] <= bar for cell, bar in zip(cells, BARS.values(), strict=True))
