"""Static int8 with the layers left in float that int8 harms too much.

Calibration rows are divided: most give the ranges, the others judge. Each layer is quantized alone, and the harm it
does to the answers to the judging rows gives its rank; then, from all in int8, the worst returns to float, and the
next, until the answers are good enough. How many that takes is found by halving, since a large network has many layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edge_rai_converters.compare import MAX_RELATIVE_DIFFERENCE, Answers, compare, find_decision
from edge_rai_converters.data import Rows
from edge_rai_converters.passes.contract import Feed, Material, NotApplicableError, Pass
from edge_rai_converters.passes.properties import FLOAT, SAME_SIGNATURE, SINGLE_PRECISION, VALID
from edge_rai_converters.passes.quantize.prepare import layers_of, note, prepare
from edge_rai_converters.passes.quantize.ranges import Method, Ranges, measure_ranges
from edge_rai_converters.passes.quantize.static import (
    QDQ,
    activations,
    check_method,
    finish_int8,
    to_qdq,
)
from edge_rai_converters.runner import Runner

# One row of so many judges, but not more than the most, nor more than these many values.
_ONE_OF, _MOST_ROWS, _MOST_VALUES = 4, 512, 1 << 24
_RANGES_SHARE = 0.3
_LAYERS_SAID = 12


def mixed_int8(max_drop: float, calibration: Method = "minmax") -> Pass:
    """Quantizes every layer that the budget allows.

    Args:
        max_drop: Judging rows whose class may change, percent; one row may in any case. Of a model that answers no
            class, instead, no value may move by more than 5 % of its output's range.
        calibration: As of ``static_int8``.

    Raises:
        ValueError: There is no such calibration.
    """
    check_method(calibration)

    def run(model: onnx.ModelProto, material: Material) -> onnx.ModelProto:
        prepared = prepare(model)
        names = [node.name for node in layers_of(prepared.graph)]
        seen, apart = _divided(material)
        judge = _Judge(prepared, apart, material.batched, max_drop)
        ranges = measure_ranges(prepared, activations(prepared.graph), seen, calibration)
        sweep = _Sweep(prepared, ranges, judge, material)
        ranking = sweep.ranking(names)
        result = finish_int8(model, sweep.within_budget([name for name, _ in ranking]))
        note(result, "int8_harm", ", ".join(f"{name} {harm:.2g}" for name, harm in ranking[:_LAYERS_SAID]))
        return result

    return Pass("mixed_int8", run, requires=(FLOAT, SINGLE_PRECISION), ensures=(VALID, SAME_SIGNATURE, QDQ))


class _Judge:
    """The float model's answers to the judging rows."""

    def __init__(self, model: onnx.ModelProto, rows: Rows, batched: bool, max_drop: float) -> None:
        self._rows, self._batched = rows, batched
        self._count = len(next(iter(rows.values())))
        self._may_differ = max(1.0, max_drop / 100 * self._count)
        self._expected = self._answers(model)
        self._decision = find_decision(self._expected, None)

    def harm(self, model: onnx.ModelProto) -> float:
        """The answers' error, root mean square, as a share of their standard deviation; of the worst output."""
        answers = self._answers(model)
        return max(_relative_error(answers[name], values) for name, values in self._expected.items())

    def accepts(self, model: onnx.ModelProto) -> bool:
        """Whether the answers are within the budget."""
        found = compare(self._answers(model), self._expected, self._decision, None)
        if found.agreement is None:
            return found.relative_difference <= MAX_RELATIVE_DIFFERENCE
        return round(self._count * (1 - found.agreement)) <= self._may_differ

    def _answers(self, model: onnx.ModelProto) -> Answers:
        runner = Runner(model.SerializeToString(), "the model to judge")
        return runner.answers(self._rows, np.arange(self._count), batched=self._batched)


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Many versions of one model that differ in which layers are float."""

    prepared: onnx.ModelProto
    ranges: Ranges
    judge: _Judge
    material: Material

    def ranking(self, names: Sequence[str]) -> list[tuple[str, float]]:
        """The layers and the harm that each does alone, the most harmful first."""
        harm = {}
        for index, name in enumerate(names):
            harm[name] = self.judge.harm(self._int8(set(names) - {name}))
            self.material.progress(_RANGES_SHARE + (1 - _RANGES_SHARE) * (index + 1) / (len(names) + 1))
        return sorted(harm.items(), key=lambda entry: -entry[1])

    def within_budget(self, worst_first: Sequence[str]) -> onnx.ModelProto:
        """The first that the judge accepts, of those with ever more of the worst in float; found by halving.

        Raises:
            NotApplicableError: It does not even accept the last.
        """
        model = self._int8(set())
        if self.judge.accepts(model):
            return model
        refused, accepted = 0, len(worst_first) - 1  # how many are float
        best = self._int8(set(worst_first[:accepted]))
        if not self.judge.accepts(best):
            last = worst_first[-1]
            raise NotApplicableError(f"even with {last!r} alone in int8 more answers change than the budget allows")
        while accepted - refused > 1:
            count = (refused + accepted) // 2
            model = self._int8(set(worst_first[:count]))
            if self.judge.accepts(model):
                accepted, best = count, model
            else:
                refused = count
        return best

    def _int8(self, floats: set[str]) -> onnx.ModelProto:
        return to_qdq(self.prepared, self.ranges, floats, self.material.target)


def _relative_error(answers: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    mine, theirs = answers.astype(np.float64), expected.astype(np.float64)
    deviation = float(theirs.std())
    return float(np.sqrt(np.mean((mine - theirs) ** 2))) / (deviation if deviation > 0 else 1.0)


def _divided(material: Material) -> tuple[Material, Rows]:
    """What gives the ranges, and the rows that judge, as ``Runner.answers`` takes them."""
    first = next(iter(material.calibration()), None)
    if first is None:
        raise NotApplicableError("there are no calibration rows")
    per_row = max(1, sum(values[0].size for values in _as_rows(first, material).values()))
    step = max(_ONE_OF, -(-material.rows // min(_MOST_ROWS, max(1, _MOST_VALUES // per_row))))
    apart = [{name: values[judges] for name, values in rows.items()} for rows, judges in _numbered(material, step)]
    joined = {name: np.concatenate([part[name] for part in apart]) for name in first}
    if not len(next(iter(joined.values()))):
        raise NotApplicableError(f"of {material.rows} calibration rows none can be kept apart to judge the others by")
    judging = {name: values[:, np.newaxis] for name, values in joined.items()} if material.batched else joined

    def seen() -> Iterator[Feed]:
        for rows, judges in _numbered(material, step):
            if not judges.all():
                yield {name: values[~judges] if material.batched else values[0] for name, values in rows.items()}

    count = material.rows - len(next(iter(joined.values())))
    share = material.progress
    return replace(material, calibration=seen, rows=count, progress=lambda done: share(_RANGES_SHARE * done)), judging


def _numbered(material: Material, step: int) -> Iterator[tuple[Feed, npt.NDArray[np.bool_]]]:
    """The rows of each call and which of them judge."""
    start = 0
    for feed in material.calibration():
        rows = _as_rows(feed, material)
        count = len(next(iter(rows.values())))
        yield rows, np.arange(start, start + count) % step == step - 1
        start += count


def _as_rows(feed: Feed, material: Material) -> Feed:
    return feed if material.batched else {name: values[np.newaxis] for name, values in feed.items()}
