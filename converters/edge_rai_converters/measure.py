"""What a candidate costs on this machine: latency beside the float model's, interleaved, and resident memory.

Times and memory differ from run to run. They stand in the evidence, and in a bundle made to be reproducible nowhere.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_rai.bench.interleave import Contender, Timing, interleave
from edge_rai.bundle import Format
from edge_rai_converters.data import Rows
from edge_rai_converters.runner import Running

_MOST_ROUNDS, _BLOCK, _FEWEST_ROUNDS = 100, 20, 11
_BUDGET_NS = 700_000_000
# In processes of their own, which have opened the runtime but no model when they look first.
_CHILD = """
import sys, numpy{runtime}
peak = lambda: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
feed = dict(numpy.load(sys.argv[2]))
feed = {{name[1:]: values for name, values in feed.items()}}
before = peak()
{call}
print(1024 * (peak() - before))
"""
_CHILDREN: Mapping[Format, str] = {
    "onnx": _CHILD.format(
        runtime=", onnxruntime",
        call="""
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 4
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
session.run(None, {given.name: feed[given.name] for given in session.get_inputs()})
""",
    ),
    "tflite": _CHILD.format(
        runtime="\nfrom ai_edge_litert.interpreter import Interpreter",
        call="""
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
for name, detail in interpreter.get_signature_runner().get_input_details().items():
    interpreter.set_tensor(detail["index"], feed[name])
interpreter.invoke()
""",
    ),
}


@dataclass(frozen=True, eq=False, slots=True)
class Contestant:
    """A model to measure.

    Attributes:
        name: The caller's.
        target: Format of the file.
        model: The file.
        running: The same, opened.
        original: Name of the one whose time its own is a share of.
    """

    name: str
    target: Format
    model: bytes
    running: Running
    original: str


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one call with one row, on one thread.

    Attributes:
        p10_ns: Latency, nanoseconds; a tenth of the calls took less.
        p50_ns: Median.
        p90_ns: Nine tenths took less.
        speed_up: Median over the rounds of the time of the float model in the same format over this one's, of the same
            round.
        speed_up_low: Lower end of its 95 % confidence interval.
        speed_up_high: Upper end.
        peak_memory: What opening the model and one call add to a process's peak resident memory, bytes; None where it
            could not be measured.
    """

    p10_ns: int
    p50_ns: int
    p90_ns: int
    speed_up: float
    speed_up_low: float
    speed_up_high: float
    peak_memory: int | None

    @property
    def faster(self) -> bool:
        """Than the float model, beyond the noise of this measurement."""
        return self.speed_up_low > 1.0

    @property
    def slower(self) -> bool:
        """Likewise."""
        return self.speed_up_high < 1.0


def measure(contestants: Sequence[Contestant], feed: Rows) -> dict[str, Cost]:
    """Calls the models in turn for about as long as the time budget allows.

    Args:
        contestants: The models.
        feed: Arguments of one call of one row.
    """
    bare = {entry.name: entry.running.bare(feed) for entry in contestants}
    start = time.perf_counter_ns()
    for call in bare.values():
        call()
    calls = max(_FEWEST_ROUNDS, _BUDGET_NS // max(1, time.perf_counter_ns() - start))  # of each
    block = max(1, min(_BLOCK, calls // _FEWEST_ROUNDS))
    contenders: dict[str, Contender] = {name: _contender(call) for name, call in bare.items()}
    timings = interleave(contenders, rounds=min(_MOST_ROUNDS, calls // block), block=block)
    return {
        entry.name: _cost(
            timings[entry.name],
            timings[entry.original],
            peak_memory(entry.model, entry.running.arguments(feed), entry.target),
        )
        for entry in contestants
    }


def peak_memory(model: bytes, arguments: Rows, target: Format = "onnx") -> int | None:
    """What opening a model and calling it once adds to a fresh process's peak resident memory, bytes.

    None where the process cannot tell, or did not live.

    Args:
        model: The file.
        arguments: Of the call, in the model's own types.
        target: Format of the file.
    """
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        path, feed = Path(folder, "model"), Path(folder, "feed.npz")
        path.write_bytes(model)
        # numpy's savez has parameters of its own, which an input may be called like.
        named: dict[str, Any] = {f"_{name}": values for name, values in arguments.items()}
        np.savez(feed, **named)
        command = [sys.executable, "-c", _CHILDREN[target], str(path), str(feed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else None


def _cost(timing: Timing, original: Timing, memory: int | None) -> Cost:
    ratios = np.sort(np.median(original.samples_ns, axis=1) / np.median(timing.samples_ns, axis=1))
    low, high = _median_interval(len(ratios))
    p10, p50, p90 = (int(timing.percentile_ns(percent)) for percent in (10, 50, 90))
    return Cost(p10, p50, p90, float(np.median(ratios)), float(ratios[low]), float(ratios[high]), memory)


def _median_interval(count: int) -> tuple[int, int]:
    """Places of the order statistics between which the median lies in 95 % of cases, whatever the distribution."""
    half = 0.98 * math.sqrt(count)
    low = max(0, math.floor(count / 2 - half))
    return low, min(count - 1, math.ceil(count / 2 + half))


def _contender(call: Callable[[], object]) -> Contender:
    return lambda _: call()
