"""The README's table of figures against what was saved of the runs that measured them, in benchmarks/results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

NETWORKS = ("ResNet-8", "MobileNetV1 0.25", "DS-CNN", "auto-encoder", "U-Net", "transformer encoder", "LSTM classifier")
NUMBER = r"(?<![\w.])(-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?)"


@dataclass(frozen=True)
class Results:
    """What was saved."""

    folder: Path

    def figure(self, name: str, *keys: str) -> Any:
        found = json.loads((self.folder / "figures.json").read_text())["figures"][name]
        for key in keys:
            found = found[key]
        return found

    def medians(self, what: str, *subjects: str) -> list[float]:
        return [self.figure(f"{what}, {subject}", "p50") for subject in subjects]

    def found(self, file: str, pattern: str) -> list[list[float]]:
        """The numbers of each line that matches."""
        text = (self.folder / file).read_text(encoding="utf-8")
        lines = [one if isinstance(one, tuple) else (one,) for one in re.findall(pattern, text, re.MULTILINE)]
        assert lines, f"benchmarks/results/{file} has no line like {pattern}"
        return [[float(number.replace(",", "")) for number in line] for line in lines]


def guard_alone(results: Results) -> list[float]:
    lines = {line[:34].strip(): line[34:].split() for line in results.figure("guard alone in C")}
    row, value = 3, 4
    return [
        float(lines["30 features, sketched"][row]),
        float(lines["30 features, sketched"][value]),
        float(lines["and Mahalanobis"][row]),
        float(lines["and watched"][value]),
        float(lines["and watched, learning"][value]),
    ]


def fresh(results: Results) -> list[list[float]]:
    names = [f"fresh process to first answer, MLP 64-32{kind}" for kind in ("", " int8")]
    peaks = [[results.figure(name, "peak_mb", which) for name in names] for which in ("guarded", "bare")]
    return [[results.figure(name, "guarded_over_bare", "p50") for name in names], *peaks]


def allocations(results: Results) -> list[float]:
    names = [f"allocations, MLP 64-32{kind}, {rows} rows a call" for kind in ("", " int8") for rows in (1, 64)]
    return [sum(results.figure(name, "allocations") for name in names)]


def image(results: Results) -> list[float]:
    found = results.figure("image 3x224x224, guarded over numpy's min and max")
    return [found["guarded_p50_us"], found["numpy_p50_us"], found["ratio"]["p50"]]


def drift(results: Results) -> list[float]:
    (found,) = results.found("drift.txt", r"^edge_rai +(\S+) +(\d+) .*?\) +(\d+) .*?\) +(\d+) .*?\) +(\d+) ")
    return found


def deadline(results: Results) -> list[float]:
    return [results.figure("deadline of 10 ms, lateness, us", percent) / 1e3 for percent in ("p50", "p90", "p99")]


def gate(results: Results) -> list[list[float]]:
    (worst,) = results.found("gate.txt", r"324 kinds: .* greatest ([\d.]+)%")
    (used,) = results.found("gate.txt", r"^300 cells: (\d+) ms of one processor, median (\d+) ms")
    return [worst, used]


def pruned(results: Results) -> list[float]:
    found = results.found("prune.txt", r"digits, .* half: (\S+) points lost, (\S+) times smaller, (\S+) times faster")
    lost, smaller, faster = zip(*found, strict=True)
    return [*lost, median(smaller), median(faster)]


def written(results: Results) -> list[list[float]]:
    (found,) = zip(
        *(results.found("tflite.txt", rf"^{name} +([\d.]+) .* (\S+e-\d+)") for name in NETWORKS), strict=True
    )
    ms, difference = zip(*found, strict=True)
    return [[one / 1e3 for one in ms], [max(difference)]]


def operators(results: Results) -> list[float]:
    cases, agree, refused, wrong, crashed = results.found("tflite.txt", r"^all" + r" +(\d+)" * 5 + "$")[0]
    assert wrong == crashed == 0
    return [agree, cases, refused]


def damaged(results: Results) -> list[float]:
    shares = r" +([\d.]+)%" * 5
    (_, *_, crashed, hung), (_, *_, plain_crashed, plain_hung) = results.found("tflite.txt", rf"^all +(10000){shares}")
    assert crashed == 0
    return [100 * plain_crashed, 100 * plain_hung, 100 * hung]


def telemetry(results: Results, *names: str) -> list[float]:
    return [results.figure(f"telemetry: {name}", "ours") for name in names]


# The row, by how it begins, and what its numbers are, in their order; of a list, all must lie in the range shown.
FIGURES: dict[str, Callable[[Results], list[Any]]] = {
    "guarded `predict` with the full policy": lambda of: of.medians("guarded over bare in Python", "MLP 64-32"),
    "the same, int8; logistic regression": lambda of: of.medians(
        "guarded over bare in Python", "MLP 64-32 int8", "logistic regression"
    ),
    "the same in C": lambda of: of.medians("guarded over bare in C", "MLP 64-32", "MLP 64-32 int8"),
    "two threads at once": lambda of: of.medians(
        "two threads, guarded over bare calls a second", "MLP 64-32", "MLP 64-32 int8"
    ),
    "guard alone in C": guard_alone,
    "finite and range over a 3x224x224": image,
    "allocations by this library": allocations,
    "fresh process to first answer": fresh,
    "drift, one feature": drift,
    "release gate": gate,
    "deadline of 10 ms": lambda of: [
        of.figure("deadline of 10 ms, lateness, us", p) / 1e3 for p in ("p50", "p90", "p99")
    ],
    "telemetry after gzip": lambda of: telemetry(
        of,
        "a minute's 7 metrics, 9 points, as a named batch, bytes",
        "a decision in a batch of 500, bytes",
        "a feature of 32 bins in a batch file, bytes",
    ),
    "events a second that are durable": lambda of: telemetry(
        of,
        "durable events a second, a commit every 50 ms",
        "one event more in a call in C; to the SDK's queue in Python, us",
        "resident memory of a spool of 256 KiB, KiB",
    ),
    "one batch file": lambda of: [of.figure("batch file, 30 features, 4,260 rows", key) for key in ("bytes", "gzip")],
    "digits, 50 % of the channels": pruned,
    "TFLite written from ONNX": written,
    "ONNX's own operator tests": operators,
    "10,000 damaged `.tflite` files": damaged,
    "guarded `predict` less bare set": lambda of: of.medians(
        "LiteRT, guarded less bare, us", "MLP 30-64-32", "MLP 64-256-256-10"
    ),
}


@pytest.fixture(scope="module")
def results(root: Path) -> Results:
    return Results(root / "benchmarks" / "results")


@pytest.fixture(scope="module")
def rows(root: Path) -> dict[str, str]:
    """What was measured by `make bench` or `make proof`, and what the README says of it."""
    text = (root / "README.md").read_text(encoding="utf-8").partition("## Measured")[2].partition("\n## ")[0]
    lines = (line.strip("|").split("|") for line in text.splitlines() if line.startswith("|"))
    cells = [[cell.strip() for cell in line] for line in lines]
    return {what: measured for what, measured, by in cells if re.fullmatch(r"`make (bench|proof)`", by)}


def shown(cell: str) -> list[tuple[float, float]]:
    """The numbers of a cell, each as the range that is shown by it: half of its last digit on either side."""
    ranges = []
    for low, high in re.findall(rf"{NUMBER}(?: to {NUMBER})?", cell):
        ends = [one.replace(",", "") for one in (low, high or low)]
        half = [0.5 * 10 ** -float(digits_after(one)) for one in ends]
        ranges.append((float(ends[0]) - half[0], float(ends[1]) + half[1]))
    return ranges


def digits_after(number: str) -> int:
    mantissa, _, exponent = number.partition("e")
    return len(mantissa.partition(".")[2]) - int(exponent or 0)


def test_a_cell_shows_numbers_and_ranges_to_their_last_digit() -> None:
    assert shown("0.58 to 0.62; 1,167 of int8; -0.1") == [
        pytest.approx((0.575, 0.625)),
        pytest.approx((1166.5, 1167.5)),
        pytest.approx((-0.15, -0.05)),
    ]
    assert shown("within 2e-6") == [pytest.approx((1.5e-6, 2.5e-6))]


def test_every_row_that_was_measured_is_held_against_what_was_saved(rows: dict[str, str]) -> None:
    assert {next((name for name in FIGURES if what.startswith(name)), what) for what in rows} == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_readme_says_what_was_saved(name: str, rows: dict[str, str], results: Results) -> None:
    (cell,) = (measured for what, measured in rows.items() if what.startswith(name))
    saved = [one if isinstance(one, list) else [one] for one in FIGURES[name](results)]
    ranges = shown(cell)
    assert len(ranges) == len(saved), f"the README says {cell!r}; saved is {saved}"
    for (low, high), values in zip(ranges, saved, strict=True):
        assert low <= min(values), f"the README says {cell!r}; saved is {saved}"
        assert max(values) <= high, f"the README says {cell!r}; saved is {saved}"


def test_readme_names_the_machine_of_the_figures(root: Path, results: Results) -> None:
    fixed = json.loads((results.folder / "figures.json").read_text())["machine"]
    versions = fixed["versions"]
    where = (root / "README.md").read_text(encoding="utf-8").partition("## Measured\n\n")[2].partition(";")[0]
    python = fixed["python"].split()[-1]
    assert f"{fixed['cores']} cores, Python {python}, ONNX Runtime {versions['onnxruntime']}, " in where
    assert f"numpy {versions['numpy']}" in where
    assert fixed["cpu"] in where
