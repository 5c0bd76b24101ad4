"""Simulated drift: shifts put into a user's own rows, and how soon a session's watch finds them.

Every run draws a stream from the rows anew. Where features are looked at once in so many rows, because rows depend on
those before, streams are made of pieces of the rows as they follow each other, and otherwise of rows one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_rai.policy.order import OF_ORDER
from edge_rai.types import Breaker, Verdict

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge_rai._native import ManualClock
    from edge_rai.drift import Watch
    from edge_rai.session import Session
    from edge_rai.times import Times
    from edge_rai.types import TensorSpec

    Table = npt.NDArray[np.float64]
    Places = npt.NDArray[np.int64]
    # The stream of one feature from the change on, and all rows of it that there are: the stream changed.
    Change = Callable[[Table, Table, np.random.Generator], Table]

# Rules that a drawn stream breaks for no reason of its own, or of what came in the stream before: see ``undisturbed``.
# A value that is stuck is one of the shifts.
OUT_OF_PLACE = OF_ORDER - {"stuck"}
ROWS_BEFORE = 1000
_ROWS_A_CALL = 16  # what is observed of a call is watched when the call has ended
_PIECE = 50  # of strides
_RAMP, _PERIOD = 1000, 400  # rows
_LONGEST_NS = 10**12  # in a drawn stream rows follow others that came years apart; 64 bits hold 18 million of these


class NotATableError(ValueError):
    """The model, or what is watched of it, is none that shifts can be put into."""


class Moments:
    """When rows came, and the clock of the session that they are shown to.

    Args:
        clock: Of the session.
        times: (rows,) seconds since 1970.
    """

    def __init__(self, clock: ManualClock, times: Times) -> None:
        self._clock, self._times = clock, times

    def __len__(self) -> int:
        return len(self._times)

    def come(self, row: int) -> None:
        """The clock shows when this row came, and has gone on by the time since the row before, 17 minutes at most."""
        unix_ns = round(float(self._times[row]) * 1e9)
        self._clock.monotonic_ns += min(abs(unix_ns - self._clock.unix_ns), _LONGEST_NS)
        self._clock.unix_ns = unix_ns


class Delay(NamedTuple):
    """How one shift was found.

    Attributes:
        shift: What was done to one feature.
        runs: Each with a feature of its own, in turn.
        early: Of these, with an alarm before the change; they say nothing of it.
        found: With an alarm after it.
        median: Rows from the change to the alarm, where at least half of the runs had one; else None.
        ninth: So many rows or fewer in nine of ten; None: fewer were found.
        rejected: Share of the rows after the change that the guard rejected, whatever the watch says.
    """

    shift: str
    runs: int
    early: int
    found: int
    median: int | None
    ninth: int | None
    rejected: float


class Simulation(NamedTuple):
    """What a policy's watch does with a user's own rows.

    Attributes:
        average_run_length: That the policy states.
        rows: That streams are drawn from.
        runs: Of each shift, and of none.
        rows_before: Before each change.
        most_rows: After it, at most.
        quiet_rows: Of each stream without a change.
        false_alarms: Such streams with an alarm; at most runs x quiet_rows / average_run_length on average.
        delays: One a shift.
    """

    average_run_length: float
    rows: int
    runs: int
    rows_before: int
    most_rows: int
    quiet_rows: int
    false_alarms: int
    delays: tuple[Delay, ...]


def _known(rows: Table) -> Table:
    return rows[np.isfinite(rows)]


def _swapped(stream: Table, rows: Table, _: np.random.Generator) -> Table:
    values, counts = np.unique(_known(rows), return_counts=True)
    one, other = values[np.argsort(-counts, kind="stable")[:2]]
    return np.where(stream == one, other, np.where(stream == other, one, stream))


def _without(stream: Table, _: Table, random: np.random.Generator) -> Table:
    return np.where(random.random(len(stream)) < 0.1, np.nan, stream)


def _spread(stream: Table, rows: Table, _: np.random.Generator) -> Table:
    middle = float(np.mean(_known(rows)))
    return np.asarray(middle + 1.5 * (stream - middle))


def _always(_: Places) -> float:
    return 1.0


def _stuck(stream: Table, _: Table, __: np.random.Generator) -> Table:
    return np.full_like(stream, stream[0])


def _scaled(stream: Table, _: Table, __: np.random.Generator) -> Table:
    return 10 * stream


def _shuffled(stream: Table, rows: Table, random: np.random.Generator) -> Table:
    return random.permutation(rows)[np.arange(len(stream)) % len(rows)]


def _turned(stream: Table, rows: Table, random: np.random.Generator) -> Table:
    """The values as they are distributed, the greatest in the place of the least: what correlated does so inversely."""
    known = np.sort(_known(rows))
    low, high = (np.searchsorted(known, stream, side=side) for side in ("left", "right"))
    places = low + (random.random(len(stream)) * (high - low)).astype(np.int64)  # any of those that are equal
    return np.where(np.isfinite(stream), known[len(known) - 1 - np.minimum(places, len(known) - 1)], stream)


def _moved(by: float, when: Callable[[Places], Any] = _always) -> Change:
    """By standard deviations of the feature, times what is said of rows counted from the change."""

    def change(stream: Table, rows: Table, _: np.random.Generator) -> Table:
        return np.asarray(stream + by * float(np.std(_known(rows))) * when(np.arange(len(stream))))

    return change


SHIFTS: dict[str, Change] = {
    "mean +0.5 sd": _moved(0.5),
    "mean -0.5 sd": _moved(-0.5),
    "mean +1 sd": _moved(1.0),
    "spread x1.5": _spread,
    f"+1 sd over {_RAMP} rows": _moved(1.0, lambda row: np.minimum(row / _RAMP, 1.0)),
    f"+1 sd in half of each {_PERIOD} rows": _moved(1.0, lambda row: row % _PERIOD < _PERIOD // 2),
    "stuck": _stuck,
    "unit x10": _scaled,
    "a tenth missing": _without,
    "two values swapped": _swapped,
    "order of its own": _shuffled,
    "correlations turned around": _turned,
}
_NEEDS_NAN = "a tenth missing"
_OF_FEW_VALUES = "two values swapped"
_FEW = 32


class _Rows:
    """A user's rows as one table of a column a feature, and back."""

    def __init__(self, session: Session, arrays: Mapping[str, Any]) -> None:
        self._specs = session.inputs
        flat = [np.asarray(arrays[spec.name]) for spec in self._specs]
        if not session.batched or any(array.dtype.kind not in "fiu" for array in flat):
            raise NotATableError("simulation needs a model whose rows are judged one by one, of numbers alone")
        self._extents = [array.shape[1:] for array in flat]
        if min(map(len, flat)) < 2:
            raise ValueError(f"{min(map(len, flat))} rows; streams are drawn from two or more")
        tables = [array.reshape(len(array), -1).astype(np.float64) for array in flat]
        self._ends = np.cumsum([table.shape[1] for table in tables])
        if self._ends[-1] != len(session.features) - session.observations:
            raise NotATableError("simulation needs inputs with one value a feature and row, as a table has them")
        self.table: Table = np.concatenate(tables, axis=1)

    def floating(self, feature: int) -> bool:
        """Whether it can be missing."""
        return self._specs[int(np.searchsorted(self._ends, feature, side="right"))].dtype.startswith("float")

    def calls(self, table: Table, together: int) -> Iterator[dict[str, Any]]:
        """What ``predict`` takes, so many rows at a time."""
        for first in range(0, len(table), together):
            parts = np.split(table[first : first + together], self._ends[:-1], axis=1)
            yield {
                spec.name: _typed(part.reshape(len(part), *extent), spec)
                for spec, part, extent in zip(self._specs, parts, self._extents, strict=True)
            }


def _typed(values: Table, spec: TensorSpec) -> Any:
    if spec.dtype.startswith(("int", "uint")):
        limits = np.iinfo(spec.dtype)
        most = float(limits.max)  # of 64 bits the next power of two
        most = most if int(most) <= limits.max else float(np.nextafter(most, 0))
        return np.clip(np.rint(values), limits.min, most).astype(spec.dtype)
    with np.errstate(over="ignore"):  # a shift of the greatest numbers makes them infinite
        return values.astype(spec.dtype)


def simulate(
    session: Session,
    arrays: Mapping[str, Any],
    *,
    moments: Moments | None = None,
    runs: int = 20,
    most_rows: int = 5000,
    quiet_rows: int = 20000,
    seed: int = 0,
    told: Callable[[str, float], None] | None = None,
) -> Simulation:
    """Measures what the policy's watch does with rows that drift, and with rows that do not.

    Takes about as long as the model takes for runs x (quiet_rows + shifts x (ROWS_BEFORE + most_rows)) rows. What the
    watch has come to before is lost. The same of fresh sessions and equal arguments.

    Args:
        session: Whose policy has [drift], and no rule of ``OUT_OF_PLACE``; nobody else asks it, and it has no spool.
        arrays: Rows by input name, at least two.
        moments: When each of them came, which a session has to know that holds features against the hour. Then rows
            are shown one by one.
        runs: Of each shift, and of none.
        most_rows: After each change.
        quiet_rows: Of each stream without one.
        seed: Of all that is drawn.
        told: What begins, and the share of all that is done.

    Raises:
        ValueError: The policy watches nothing, the model is none that this can be done with, it is not said when rows
            came, or an alarm opens the breaker, behind which nothing can be measured.
    """
    watched = session.watch()
    if watched is None:
        raise ValueError(
            "the policy watches nothing for drift: it has no [drift]; `edge-rai profile --ordered` adds it"
        )
    rows = _Rows(session, arrays)
    if moments is None and session.seasonal:
        raise ValueError(f"feature {next(iter(session.seasonal))!r} is held against the hour; give moments")
    if moments is not None and len(moments) != len(rows.table):
        raise ValueError(f"{len(moments)} moments for {len(rows.table)} rows; give one a row")
    names = [feature.name for feature in session.features]
    given = names[: len(names) - session.observations]
    looked_at = {one.name for one in watched.features}
    places = [place for place, name in enumerate(given) if {name, session.seasonal.get(name)} & looked_at]
    if not places:
        raise NotATableError("simulation changes features of the input, and none of these is watched for drift")
    trial = _Trial(session, rows, moments, places, max(f.stride for f in watched.features))
    tell = told or _silent
    tell("no shift", 0.0)
    alarms = [trial.run(None, 0, quiet_rows, np.random.default_rng((seed, run))) for run in range(runs)]
    delays = []
    for place, name in enumerate(SHIFTS, 1):
        tell(name, place / (len(SHIFTS) + 1))
        if delay := trial.delay(name, place, runs, most_rows, seed):
            delays.append(delay)
    session.reset_watch()
    found = sum(alarm is not None for alarm, _ in alarms)
    return Simulation(
        watched.average_run_length, len(rows.table), runs, ROWS_BEFORE, most_rows, quiet_rows, found, tuple(delays)
    )


def _silent(_: str, __: float) -> None:
    pass


class _Trial(NamedTuple):
    """A session, what it is shown, and which features may change."""

    session: Session
    rows: _Rows
    moments: Moments | None
    watched: list[int]
    stride: int

    def delay(self, name: str, number: int, runs: int, most_rows: int, seed: int) -> Delay | None:
        """None where no feature can change like this."""
        able = [feature for feature in self.watched if self._can(name, feature)]
        if not able:
            return None
        ends, rejected = [], []
        for run in range(runs):
            random = np.random.default_rng((seed, number, run))
            alarm, share = self.run(name, able[run % len(able)], ROWS_BEFORE + most_rows, random)
            ends.append(np.inf if alarm is None else alarm - ROWS_BEFORE)
            rejected.append(share)
        late = np.sort([end for end in ends if end > 0])
        return Delay(
            name,
            runs,
            runs - len(late),
            int(np.isfinite(late).sum()),
            _at(late, 0.5),
            _at(late, 0.9),
            float(np.mean(rejected)),
        )

    def _can(self, name: str, feature: int) -> bool:
        if name == _NEEDS_NAN:
            return self.rows.floating(feature)
        different = len(np.unique(_known(self.rows.table[:, feature])))
        return 1 < different <= _FEW if name == _OF_FEW_VALUES else different > 0

    def run(self, name: str | None, feature: int, length: int, random: np.random.Generator) -> tuple[int | None, float]:
        """A stream past the watch: rows until the alarm, and the share rejected after the change."""
        places = drawn(len(self.rows.table), length, self.stride, random)
        stream = self.rows.table[places]
        if name is not None:
            column = SHIFTS[name](stream[ROWS_BEFORE:, feature], self.rows.table[:, feature], random)
            stream[ROWS_BEFORE:, feature] = column
        self.session.reset_watch()
        if self.session.breaker is Breaker.OPEN:
            raise ValueError(
                "the circuit breaker is open, so that the model is not asked; simulate with a policy whose breaker "
                "does not open on drift"
            )
        begun, seen, after, rejected = _of(self.session).rows, 0, 0, 0
        for call in self.rows.calls(stream, _ROWS_A_CALL if self.moments is None else 1):
            if self.moments is not None:
                self.moments.come(int(places[seen]))
            answer = self.session.predict(call)
            verdicts = answer.row_verdicts
            late = verdicts[max(ROWS_BEFORE - seen, 0) :]
            seen, after = seen + len(verdicts), after + len(late)
            rejected += int((late == Verdict.REJECT).sum())
            if alarm := _of(self.session).alarm:
                return alarm.row - begun, rejected / max(after, 1)
        return None, rejected / max(after, 1)


def drawn(count: int, length: int, stride: int, random: np.random.Generator) -> Places:
    """(length,) rows of a stream: one by one, or where rows depend on each other in pieces as they follow each other.

    Args:
        count: Rows that there are.
        length: Of the stream.
        stride: The greatest of the watched features: rows so far apart know nothing of each other.
        random: Draws.
    """
    if stride == 1:
        return random.integers(count, size=length)
    piece = min(_PIECE * stride, count)
    starts = random.integers(count, size=-(-length // piece))
    return ((starts[:, None] + np.arange(piece)) % count).ravel()[:length]


def _of(session: Session) -> Watch:
    watch = session.watch()
    assert watch is not None
    return watch


def _at(rising: Any, share: float) -> int | None:
    """The order statistic that a share of the runs does not exceed."""
    place = int(np.ceil(share * len(rising))) - 1
    return int(rising[place]) if place >= 0 and np.isfinite(rising[place]) else None
