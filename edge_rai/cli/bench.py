"""``edge-rai bench``: what the guard costs on this machine, against the bare runtime in the same run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rai.bench.guarded import GuardCost

_PERCENTILES = (50, 90, 99)


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser("bench", help="Measure guarded predict against the bare runtime.", description=__doc__)
    parser.add_argument("model", help="a bundle, or an .onnx or .tflite model with the default policy")
    parser.add_argument("--data", help="rows to measure with (.npz or .npy; default: the bundle's golden inputs)")
    parser.add_argument("--threads", type=int, default=1, help="threads within an operator (default: 1)")
    parser.add_argument("--rounds", type=int, default=200, help="rounds of 50 calls each (default: 200)")
    parser.add_argument("--runtime", help="onnxruntime or litert, for a bundle with models for both")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measures with one row a call."""
    from edge_rai import load
    from edge_rai.bench.guarded import guard_cost
    from edge_rai.cli.rows import read_rows

    if arguments.rounds < 1:
        raise ValueError(f"--rounds is {arguments.rounds}; expected at least 1")
    rows = None
    if arguments.data:
        with load(arguments.model) as session:
            inputs = session.inputs
        rows = read_rows(Path(arguments.data), inputs)
    cost = guard_cost(
        arguments.model, rows, threads=arguments.threads, rounds=arguments.rounds, runtime=arguments.runtime
    )
    print(json.dumps(_as_json(cost))) if arguments.json else _print(cost)
    return 0


def _as_json(cost: GuardCost) -> dict[str, Any]:
    timings = {
        name: {f"p{percent}_ns": timing.percentile_ns(percent) for percent in _PERCENTILES}
        for name, timing in cost.timings.items()
    }
    ratio = {"p50": cost.ratio.p50, "p10": cost.ratio.p10, "p90": cost.ratio.p90}
    return {"timings": timings, "guarded_over_bare": ratio, "rejected": cost.rejected}


def _print(cost: GuardCost) -> None:
    print(f"{'one row, us':12}" + "".join(f"{f'p{percent}':>10}" for percent in _PERCENTILES))
    for name, timing in cost.timings.items():
        print(f"{name:12}" + "".join(f"{timing.percentile_ns(percent) / 1000:>10.2f}" for percent in _PERCENTILES))
    ratio = cost.ratio
    print(f"guarded / bare: {ratio.p50:.2f} ({ratio.p10:.2f} to {ratio.p90:.2f} in the middle 80 % of the rounds)")
    if cost.rejected:
        print(f"{cost.rejected} guarded calls were rejected and skipped the model: this is not a fair run")
