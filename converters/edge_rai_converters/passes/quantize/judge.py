"""Which layers are quantized and which stay float: one decision, whatever the format of the model.

Calibration rows are divided: most give the ranges, the others judge. Each layer is quantized alone, and the harm it
does to the answers to the judging rows gives its rank; then, from all quantized, the worst returns to float, and the
next, until the answers are good enough. How many that takes is found by halving, since a large network has many layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Generic

import numpy as np
import numpy.typing as npt

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.answered import Answered, answered
from edge_rai_converters.compare import Answers, allowed_difference, compare, find_decision
from edge_rai_converters.data import Array, Rows
from edge_rai_converters.passes.contract import Feed, Material, Model, NotApplicableError
from edge_rai_converters.runner import Running

# One row of so many judges, but not more than the most, nor more than these many values.
_ONE_OF, _MOST_ROWS, _MOST_VALUES = 4, 512, 1 << 23
_RANGES_SHARE = 0.3
_LAYERS_SAID = 12


class Judge(Generic[Model]):
    """Holds forms of a model against the float model's answers to the judging rows.

    Args:
        model: In float.
        opened: Runs a form.
        rows: The judging ones, per input (count, *call).
        batched: The model answers row by row.
        max_drop: Judging rows whose class may change, percent; one row may in any case. Of a model that answers no
            class, and of outputs beside it, no value may move by more than 5 % of its output's range, or than max_drop
            percent where that is more.
    """

    def __init__(
        self, model: Model, opened: Callable[[Model], Running], rows: Rows, batched: bool, max_drop: float
    ) -> None:
        self._opened: Callable[[Model], Running] = opened
        self._count = len(next(iter(rows.values())))
        self._may_differ, self._may_move = max(1.0, max_drop / 100 * self._count), allowed_difference(max_drop)
        self._expected = answered(opened(model), rows, np.arange(self._count), batched=batched)
        self._decision = find_decision(self._expected.outputs, None)
        self._variance = {name: _variance(self._expected, name) for name in self._expected.outputs}

    def harm(self, model: Model) -> float:
        """The answers' error, root mean square, as a share of their standard deviation; of the worst output.

        Infinite for a form that its runtime cannot open: LiteRT has no kernel for scales too far apart.
        """
        squares = dict.fromkeys(self._variance, 0.0)
        try:
            for mine, theirs in self._beside(model):
                for name in squares:
                    squares[name] += _squares(mine[name], theirs[name])
        except UnsupportedModelError:
            return inf
        outputs = self._expected.outputs
        return max(
            sqrt(total / (self._count * outputs[name].size * self._variance[name])) for name, total in squares.items()
        )

    def accepts(self, model: Model) -> bool:
        """Whether the answers are within the budget, and there are any."""
        try:
            found = compare(self._beside(model), self._expected.outputs, self._decision, None)
        except UnsupportedModelError:
            return False
        differing = 0.0 if found.agreement is None else 1 - found.agreement
        return round(self._count * differing) <= self._may_differ and found.quantity_difference <= self._may_move

    def _beside(self, model: Model) -> Iterator[tuple[Answers, Answers]]:
        return self._expected.by(self._opened(model)).beside(self._expected)


@dataclass(frozen=True)
class Sweep(Generic[Model]):
    """Many forms of one model that differ in which layers are float.

    Attributes:
        form: The model with those layers, by name, in float and all others quantized.
        judge: Of the forms.
        material: Told how far the sweep is; ranges came before it.
    """

    form: Callable[[set[str]], Model]
    judge: Judge[Model]
    material: Material

    def best(self, names: Sequence[str]) -> tuple[Model, str]:
        """The form with the fewest of the worst layers in float that the judge accepts, and what each harms, in words.

        Args:
            names: Of the layers.

        Raises:
            NotApplicableError: It does not even accept the least harmful layer alone.
        """
        harm = {}
        for index, name in enumerate(names):
            harm[name] = self.judge.harm(self.form(set(names) - {name}))
            self.material.progress(_RANGES_SHARE + (1 - _RANGES_SHARE) * (index + 1) / (len(names) + 1))
        worst_first = sorted(harm, key=lambda name: -harm[name])
        said = ", ".join(f"{name} {harm[name]:.2g}" for name in worst_first[:_LAYERS_SAID])
        return self._within_budget(worst_first), said

    def _within_budget(self, worst_first: Sequence[str]) -> Model:
        model = self.form(set())
        if self.judge.accepts(model):
            return model
        refused, accepted = 0, len(worst_first) - 1  # how many are float
        best = self.form(set(worst_first[:accepted]))
        if not self.judge.accepts(best):
            last = worst_first[-1]
            raise NotApplicableError(f"even with {last!r} alone in int8 more answers change than the budget allows")
        while accepted - refused > 1:
            count = (refused + accepted) // 2
            model = self.form(set(worst_first[:count]))
            if self.judge.accepts(model):
                accepted, best = count, model
            else:
                refused = count
        return best


def divided(material: Material) -> tuple[Material, Rows]:
    """What gives the ranges, and the rows that judge, as ``Runner.answers`` takes them.

    Raises:
        NotApplicableError: There are too few rows.
    """
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


def _squares(mine: Array, theirs: Array | float) -> float:
    return float(np.sum((mine.astype(np.float64) - theirs) ** 2))


def _variance(answers: Answered, name: str) -> float:
    """Of all values of an output; 1 where they are all the same."""
    values = sum(part[name].size for part in answers.parts())
    mean = sum(float(np.sum(part[name], dtype=np.float64)) for part in answers.parts()) / values
    return sum(_squares(part[name], mean) for part in answers.parts()) / values or 1.0


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
