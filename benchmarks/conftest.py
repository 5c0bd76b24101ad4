"""Where benchmarks leave their figures, benchmarks/results/figures.json, and raw samples, samples.npz beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rai.bench.machine import Watcher

_RESULTS = Path(__file__).parent / "results"


@pytest.fixture(scope="session")
def figures() -> Iterator[dict[str, Any]]:
    """By name; written when the last benchmark is over. A run of some benchmarks leaves the figures of the others."""
    watcher, found = Watcher(), {}
    yield found
    machine = watcher.machine()
    path = _RESULTS / "figures.json"
    known = json.loads(path.read_text())["figures"] if path.exists() else {}
    report = {
        "made": time.strftime("%Y-%m-%d"),
        "machine": machine.fixed,
        "others_share": machine.after["others_share"],
        "figures": dict(sorted({**known, **_rounded(found)}.items())),
    }
    path.write_text(json.dumps(report, indent=1) + "\n")


@pytest.fixture(scope="session")
def samples() -> Iterator[dict[str, np.ndarray]]:
    """Arrays by name, written when the last benchmark is over."""
    found: dict[str, np.ndarray] = {}
    yield found
    np.savez_compressed(_RESULTS / "samples.npz", **found)


def _rounded(value: Any) -> Any:
    """To four digits: more is noise."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
