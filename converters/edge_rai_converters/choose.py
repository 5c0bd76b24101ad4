"""Which candidate goes into the bundle: the cheapest within the budgets, the simplest among equals; and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from edge_rai_converters.compare import allowed_difference
from edge_rai_converters.errors import AccuracyDropError, BudgetError
from edge_rai_converters.measure import Cost

if TYPE_CHECKING:
    from edge_rai_converters.candidates import Candidate

# Topic of a candidate's note: what was tried of less pruning.
GENTLER = "gentler"
# Without labels nobody knows which of two different classes is right: some more may differ than be wrong.
_MORE_DISAGREEMENT = 1.0
_MIN_SAVING = 0.10
# Points: 0.91 - 0.90 is a little more than 0.01.
_ROUNDING = 1e-9
# Sizes that differ by less are the same for a device.
_EQUAL_SIZE = 0.05


@dataclass(frozen=True, slots=True)
class Budgets:
    """What the chosen model must keep.

    Attributes:
        max_drop: Greatest loss of accuracy on the held-back rows, percentage points; without labels, of agreement,
            where one point more is allowed. Quantities may differ by 5 % of their output's range, or as many percent.
        latency_ms: Of one call with one row on this machine and one thread, median; None: any.
        size: Of the model file, bytes; None: any.
    """

    max_drop: float
    latency_ms: float | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What goes into the bundle and one sentence why.

    Attributes:
        recipe: Of the chosen candidate.
        reason: Why it.
        objections: Why none of the others.
    """

    recipe: str
    reason: str
    objections: Mapping[str, str]

    def unsaid(self) -> list[str]:
        """Each objection with all that it is to, but for those that the reason has."""
        return [line for line in _once(self.objections, list(self.objections)) if line not in self.reason]


def choose(
    candidates: Sequence[Candidate], failed: Mapping[str, str], asked: Sequence[str], budgets: Budgets, wish: str
) -> Choice:
    """Decides. Only a budget of latency, and a tie in size, look at times; all else is the same whenever it is asked.

    Args:
        candidates: Of one target, the float model first.
        failed: Why recipes gave no candidate, by name.
        asked: Recipes that may be chosen.
        budgets: What must be kept.
        wish: What was asked for, in the user's words.

    Raises:
        AccuracyDropError: What was asked for is not to be had within the budget of accuracy.
        BudgetError: Nothing keeps the budgets of size and latency.
    """
    original = candidates[0]
    free = original.recipe in asked  # nothing is insisted on: the float model will do
    objections = {entry.recipe: _objection(original, entry, budgets, free) for entry in candidates}
    kept = [entry for entry in candidates if entry.recipe in asked and not objections[entry.recipe]]
    said = {name: why for name, why in {**objections, **failed}.items() if why}
    if not kept:
        raise _nothing(said, asked, wish, free=free, made=any(name not in failed for name in asked))
    if free:
        kept, slower = _without_slower(original, kept)
        said |= slower
    smallest = min(entry.size for entry in kept)
    equals = [entry for entry in kept if entry.size <= (1 + _EQUAL_SIZE) * smallest]
    best = _fastest(equals)
    reason = _reason(original, best, said, asked, wish, free)
    passed_over = {entry.recipe: _second_to(best, entry) for entry in kept if entry is not best}
    return Choice(best.recipe, reason, {**passed_over, **said})


def _objection(original: Candidate, entry: Candidate, budgets: Budgets, free: bool) -> str:
    """Why a candidate cannot be chosen, a phrase after its name; "" when it can."""
    if budgets.size is not None and entry.size > budgets.size:
        return f"is {entry.size:,} bytes, more than the {budgets.size:,} allowed"
    if budgets.latency_ms is not None and entry.cost and entry.cost.p50_ns > 1e6 * budgets.latency_ms:
        return f"takes {entry.cost.p50_ns / 1e6:.3g} ms a call, more than the {budgets.latency_ms:g} allowed"
    if entry is original:
        return ""
    lost = too_much_lost(original, entry, budgets.max_drop)
    if lost:
        return "; ".join(filter(None, (lost, entry.notes.get(GENTLER))))
    if not free:
        return ""
    if not entry.rows_independent and original.rows_independent:
        return "makes a row's answer depend on the other rows of its batch"
    return _no_gain(original, entry)


def too_much_lost(original: Candidate, entry: Candidate, max_drop: float) -> str:
    """Why the answers to the held-back rows are not good enough, a phrase after the candidate's name; "" if they are.

    Args:
        original: The float model.
        entry: Another form of it.
        max_drop: See ``Budgets``.
    """
    measured, drop = entry.comparison, _drop(original, entry)
    if not isfinite(measured.largest_difference):
        return "is not finite in answers where the float model is, or the other way round"
    if drop is not None and drop > max_drop + _ROUNDING:
        return f"loses {drop:.2f} points of accuracy on the held-back rows, more than the {max_drop:g} allowed"
    if drop is None and measured.agreement is not None:
        other, most = 100 * (1 - measured.agreement), max_drop + _MORE_DISAGREEMENT
        if other > most + _ROUNDING:
            return f"gives another class in {other:.1f} % of the held-back rows, more than the {most:g} allowed"
    if measured.quantity_difference <= (limit := allowed_difference(max_drop)):
        return ""
    share = 100 * measured.quantity_difference
    return f"differs by up to {share:.1f} % of an output's range, more than the {100 * limit:g} allowed"


def _without_slower(original: Candidate, kept: Sequence[Candidate]) -> tuple[list[Candidate], dict[str, str]]:
    """Candidates slower than the float model beyond doubt go, where one that is not saves bytes as well."""
    good = [entry for entry in kept if not (entry.cost and entry.cost.slower)]
    instead = next((entry for entry in good if entry is not original), None)
    if instead is None:
        return list(kept), {}
    slower = {
        entry.recipe: f"is slower than {original.recipe} ({_speed_up(entry.cost)}), and {instead.recipe} is not"
        for entry in kept
        if entry.cost and entry.cost.slower
    }
    return good, slower


def _no_gain(original: Candidate, entry: Candidate) -> str:
    saves = entry.size <= (1 - _MIN_SAVING) * original.size
    if saves or (entry.cost and entry.cost.faster):
        return ""
    what = f"saves less than {100 * _MIN_SAVING:.0f} % ({original.size:,} to {entry.size:,} bytes)"
    if entry.cost is None:
        return what
    return f"{what} and is not measurably faster ({_speed_up(entry.cost)})"


def _speed_up(cost: Cost) -> str:
    return f"{cost.speed_up:.2f} times as fast, {cost.speed_up_low:.2f} to {cost.speed_up_high:.2f}"


def _drop(original: Candidate, entry: Candidate) -> float | None:
    before, after = original.comparison.accuracy, entry.comparison.accuracy
    return None if before is None or after is None else 100 * (before - after)


def _fastest(equals: Sequence[Candidate]) -> Candidate:
    """Of candidates from the simplest on, the first, unless another is faster beyond doubt."""
    best = equals[0]
    for entry in equals[1:]:
        if entry.cost and best.cost and entry.cost.speed_up_low > best.cost.speed_up_high:
            best = entry
    return best


def _second_to(best: Candidate, entry: Candidate) -> str:
    """Why one that keeps all budgets was not taken."""
    if entry.size > (1 + _EQUAL_SIZE) * best.size:
        return f"keeps the budgets, but {best.recipe} is {100 * (1 - best.size / entry.size):.0f} % smaller"
    if entry.cost and best.cost and best.cost.speed_up_low > entry.cost.speed_up_high:
        return f"keeps the budgets, but {best.recipe} is about as small and faster"
    return f"keeps the budgets, but {best.recipe} is about as small and simpler"


def _once(said: Mapping[str, str], asked: Sequence[str]) -> list[str]:
    """Each reason once, with all candidates that it holds for: what a step cannot do, no recipe with it can."""
    names: dict[str, list[str]] = {}
    for name in asked:
        if name in said:
            names.setdefault(said[name], []).append(name)
    return [f"{', '.join(those)} {why}" for why, those in names.items()]


def _nothing(said: Mapping[str, str], asked: Sequence[str], wish: str, *, free: bool, made: bool) -> Exception:
    whys = "; ".join(_once(said, asked))
    if free:
        return BudgetError(f"no candidate keeps the budgets: {whys}; allow more, or give a smaller model")
    alone = "leave --prune and --quantize out, and what pays is found"
    mend = f"allow more with --max-drop, or {alone}" if made else alone
    return AccuracyDropError(f"{wish} was asked for, but {whys}; {mend}")


def _reason(
    original: Candidate, best: Candidate, said: Mapping[str, str], asked: Sequence[str], wish: str, free: bool
) -> str:
    if best is original:
        others = _once(said, asked)
        return f"{original.recipe} is kept because {'; '.join(others)}" if others else f"{wish} was asked for"
    saving = 100 * (1 - best.size / original.size)
    gain = f"{saving:.0f} % smaller" if saving > 0 else f"{-saving:.0f} % larger"
    if best.cost and best.cost.faster:
        gain += f", {_speed_up(best.cost)}"
    why = "" if free else f"{wish} was asked for; "
    return f"{why}{best.recipe} is {gain}, {_as_good(original, best)}"


def _as_good(original: Candidate, best: Candidate) -> str:
    measured, drop = best.comparison, _drop(original, best)
    # Without labels nobody knows that the numbers are scores of classes and no quantities.
    most = measured.relative_difference if drop is None else measured.quantity_difference
    differs = f"differs by at most {100 * most:.1f} % of an output's range"
    if measured.agreement is None:
        return differs
    said = [f"gives the same class in {100 * measured.agreement:.1f} % of the held-back rows"]
    if drop is not None:
        said.append(f"accuracy {-drop:+.2f} points" if drop else "accuracy is the same")
    return "; ".join([*said, differs] if most else said)
