"""The values that cross the public interface: verdicts, answers, tensor and feature descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


class Verdict(IntEnum):
    """What the guard says of a row, in order of severity."""

    ACCEPT = 0
    FLAG = 1
    REJECT = 2


class Source(IntEnum):
    """Who answered a row; NONE: no rule had an answer, floats are NaN, signed integers -1, others zero."""

    PRIMARY = 0
    FALLBACK_MODEL = 1
    LAST_GOOD = 2
    DEFAULT = 3
    ABSTAIN = 4
    NONE = 5


class ReasonCode(IntEnum):
    """Why a row or a whole call was flagged or rejected."""

    DTYPE = 0
    RANK = 1
    SHAPE = 2
    ROWS = 3
    NOT_FINITE = 4
    BELOW_RANGE = 5
    ABOVE_RANGE = 6
    OUTPUT_NOT_FINITE = 7
    OUTPUT_SHAPE = 8
    ROWS_DEPEND = 9
    CATEGORY = 10
    NOT_INTEGRAL = 11
    MISSING = 12
    STUCK = 13
    STEP = 14
    MEAN = 15
    STDDEV = 16
    CLIPPED = 17
    LENGTH = 18
    CHARACTER = 19
    NOT_MONOTONIC = 20
    AGE = 21
    OUT_OF_DISTRIBUTION = 22
    STATE_NOT_FINITE = 23
    OUTPUT_RANGE = 24
    OUTPUT_SUM = 25
    CONFIDENCE = 26
    MARGIN = 27
    ENTROPY = 28
    DEADLINE = 29
    BREAKER_OPEN = 30
    RATE_LIMITED = 31
    HELD = 32
    INFERENCE = 33
    DRIFT = 34


class Breaker(IntEnum):
    """Whether the circuit breaker lets the model be asked."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Reason(NamedTuple):
    """One finding of the guard.

    Attributes:
        code: What was found.
        subject: Name of the feature, input or output.
        value: What came.
        limit: What it was held to; NaN where there is no limit.
        row: Row within the batch, -1 for the whole call.
        element: Index of the first offending value within the row, in C order.
    """

    code: ReasonCode
    subject: str
    value: float
    limit: float
    row: int
    element: int

    def __str__(self) -> str:
        where = "" if self.row < 0 else f"row {self.row}: "
        value, limit = _figures(self.value, self.limit)
        return f"{where}{self.subject} {self._sentence().format(value=value, limit=limit, element=self.element)}"

    def _sentence(self) -> str:
        if not self.value and self.code is ReasonCode.SHAPE:
            return "is empty on axis {element}"
        if not self.value and self.limit == 1 and self.code is ReasonCode.ROWS:
            return "is empty: 0 rows"
        if self.value != self.value and self.code is ReasonCode.CATEGORY:  # of text no number can tell
            return "is none of its categories"
        return _SENTENCES[self.code]


def _figures(value: float, limit: float) -> tuple[str, str]:
    """In six digits where these tell the two apart and leave out no whole number; otherwise in all they have."""
    short = [f"{number:g}" for number in (value, limit)]
    alike = short[0] == short[1] and value != limit
    whole = [repr(number).removesuffix(".0") for number in (value, limit)]
    loses = [alike or 1e6 <= abs(number) < 1e16 for number in (value, limit)]
    return whole[0] if loses[0] else short[0], whole[1] if loses[1] else short[1]


_SENTENCES = {
    ReasonCode.DTYPE: "has data type {value}, expected {limit}",
    ReasonCode.RANK: "has rank {value}, expected {limit}",
    ReasonCode.SHAPE: "has {value} on axis {element}, expected {limit} (of a free axis: at most)",
    ReasonCode.ROWS: "has {value} rows, another input {limit}",
    ReasonCode.NOT_FINITE: "not finite: {value}",
    ReasonCode.BELOW_RANGE: "below range: {value} (limit {limit})",
    ReasonCode.ABOVE_RANGE: "above range: {value} (limit {limit})",
    ReasonCode.OUTPUT_NOT_FINITE: "output not finite: {value}",
    ReasonCode.OUTPUT_SHAPE: "came back with {value} on axis {element}, expected {limit}",
    ReasonCode.ROWS_DEPEND: "shows that rows depend on each other, and one of them is rejected",
    ReasonCode.CATEGORY: "is none of its categories: {value}",
    ReasonCode.NOT_INTEGRAL: "has a fraction: {value}",
    ReasonCode.MISSING: "is missing and became {limit}",
    ReasonCode.STUCK: "has been the same for {value} rows (window {limit})",
    ReasonCode.STEP: "moved by {value} since the value before (limit {limit})",
    ReasonCode.MEAN: "has a mean of {value} (limit {limit})",
    ReasonCode.STDDEV: "has a standard deviation of {value} (limit {limit})",
    ReasonCode.CLIPPED: "is clipped in a share of {value} of its values (limit {limit})",
    ReasonCode.LENGTH: "has {value} characters (limit {limit})",
    ReasonCode.CHARACTER: "has a character that is not allowed, code point {value} (-1: not UTF-8)",
    ReasonCode.NOT_MONOTONIC: "goes back: {value} after {limit}",
    ReasonCode.AGE: "is {value} seconds old (limit {limit})",
    ReasonCode.OUT_OF_DISTRIBUTION: "is far from the reference: squared distance {value} (limit {limit})",
    ReasonCode.STATE_NOT_FINITE: "not finite: {value}; the recurrent state begins anew",
    ReasonCode.OUTPUT_RANGE: "output out of range: {value} (limit {limit})",
    ReasonCode.OUTPUT_SUM: "sums to {value} (limit {limit})",
    ReasonCode.CONFIDENCE: "is not confident: {value} (limit {limit})",
    ReasonCode.MARGIN: "has a margin of {value} (limit {limit})",
    ReasonCode.ENTROPY: "has an entropy of {value} nats (limit {limit})",
    ReasonCode.DEADLINE: "took {value} ns (deadline {limit} ns)",
    ReasonCode.BREAKER_OPEN: "was not asked: the circuit breaker is open",
    ReasonCode.RATE_LIMITED: "was not asked: {value} rows came and the rate limit had {limit} left",
    ReasonCode.HELD: "is held off: {value} good rows since the fallback took over (limit {limit})",
    ReasonCode.INFERENCE: "failed to run",
    ReasonCode.DRIFT: "has drifted: evidence {value} (average run length {limit})",
}


class TensorSpec(NamedTuple):
    """A model's input or output: name, numpy dtype name, shape with None for a free axis.

    The shape is () of a scalar, and of what the model declares no shape for.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class QuantizedSpec(TensorSpec):
    """An input or output of integers that stand for numbers: number = scale * (integer - zero_point).

    Attributes:
        scale: Of one integer to the next.
        zero_point: That stands for 0.
    """

    scale: float
    zero_point: int

    @classmethod
    def of(cls, spec: TensorSpec, scale: float, zero_point: int) -> QuantizedSpec:
        """The same input or output, with what its integers stand for."""
        quantized = cls(*spec)
        quantized.scale, quantized.zero_point = scale, zero_point
        return quantized


class Feature(NamedTuple):
    """What a guard program knows of one feature.

    Attributes:
        name: As in the policy.
        low: Inclusive lower limit, -inf when there is none.
        high: Inclusive upper limit, inf when there is none.
        mean: Of the reference.
        stddev: Of the reference, 0 when constant.
        unit: For people; empty when there is none.
        reference_rows: Rows the reference was learned from, 0 without a reference.
        edges: (bins - 1,) upper inclusive edges of all bins but the last.
        counts: (bins,) values of the reference in each bin; empty without a reference.
    """

    name: str
    low: float
    high: float
    mean: float
    stddev: float
    unit: str
    reference_rows: int
    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.uint64]


class Answer:
    """What one call of predict said.

    Attributes:
        verdict: The worst over the rows; of a call that was rejected without a row, REJECT.
        source: The one furthest from the model over the rows; of a call that was rejected without a row, NONE.
        outputs: The model's outputs by name; rejected rows hold the fallback's answer. The caller's to keep. Tensors
            are arrays, of strings object arrays of str, of bfloat16 those of ml_dtypes where it is installed and else
            uint16 with its bits; sequences are lists, maps dicts, and an optional that holds nothing is None.
        rows: Rows judged; 1 when the policy is not batched.
        row_verdicts: (rows,) uint8, the Verdict of each row: ``row_verdicts == Verdict.REJECT`` is a mask, and
            ``Verdict(row_verdicts[0]).name`` a name.
        row_sources: (rows,) uint8, the Source of each row, to be read in the same way.
        reasons: Every finding: one a row, feature and kind, and at most 65,536 of them.
        review_ids: (rows,) uint64, what a row is called in the review queue, 0 where it is not there.
        receipts: (rows,) uint64, what ``Session.record_outcome`` is told with a row's truth; 0 where the model did not
            answer it, and empty where the policy observes no outcomes.
    """

    # An answer begins as a plain acceptance of one row: nothing but the outputs has to be set.
    outputs: dict[str, Any]
    rows: int = 1
    verdict: Verdict = Verdict.ACCEPT
    source: Source = Source.PRIMARY
    _findings: Sequence[Reason] = ()
    # As C has them; empty: all as in a plain acceptance.
    _verdicts: bytes = b""
    _sources: bytes = b""
    _review_ids: bytes = b""

    @cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """Every finding: one a row, feature and kind, and at most 65,536 of them."""
        return tuple(self._findings)

    @cached_property
    def row_verdicts(self) -> npt.NDArray[np.uint8]:
        """(rows,) Verdict of each row."""
        return self._of_rows(self._verdicts, np.uint8)

    @cached_property
    def row_sources(self) -> npt.NDArray[np.uint8]:
        """(rows,) Source of each row."""
        return self._of_rows(self._sources, np.uint8)

    @cached_property
    def review_ids(self) -> npt.NDArray[np.uint64]:
        """(rows,) what a row is called in the review queue, 0 where it is not there."""
        return self._of_rows(self._review_ids, np.uint64)

    @cached_property
    def receipts(self) -> npt.NDArray[np.uint64]:
        """(rows,) what an outcome is told with; empty where the policy observes none."""
        return np.zeros(0, dtype=np.uint64)

    def _of_rows(self, values: bytes, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.frombuffer(values, dtype).copy() if values else np.zeros(self.rows, dtype)

    def __repr__(self) -> str:
        return f"Answer({self.verdict.name}, {self.source.name}, rows={self.rows}, reasons={len(self._findings)})"


class ReviewItem(NamedTuple):
    """A row that the model must not answer and that waits for somebody's decision.

    Attributes:
        id: For ``Session.override``; the same as in ``Answer.review_ids``.
        unix_ns: Wall clock when it was asked.
        reasons: Why it was rejected.
        inputs: By name, of this row alone; axis 0 is 1 where the model has rows. Copies.
    """

    id: int
    unix_ns: int
    reasons: tuple[ReasonCode, ...]
    inputs: dict[str, npt.NDArray[Any]]
