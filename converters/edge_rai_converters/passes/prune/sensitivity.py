"""How much of each group to keep: what each alone costs, then as many together as the original's answers allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_rai_converters.passes.contract import NotApplicableError
from edge_rai_converters.passes.prune.attempt import Attempts
from edge_rai_converters.passes.prune.importance import Measure
from edge_rai_converters.passes.prune.surgery import count_to_keep, parameters

_LEVELS = (0.75, 0.5, 0.25)
# A step that costs nothing measurable still costs something.
_LEAST_DAMAGE = 1e-12


@dataclass(frozen=True, slots=True)
class _Step:
    """One group goes from one level to the next."""

    group: int
    share: float
    saved: float
    damage: float


def find_shares(
    attempts: Attempts, measure: Measure, max_drop: float, part: float, progress: Callable[[float], None]
) -> dict[int, float]:
    """The share of each group to keep so that the pruned model agrees with the original.

    Each group is tried alone at three levels. Steps are then put in order, most parameters saved for the damage first,
    and the longest beginning of that order is searched for, by halving, that still agrees when all are taken together.

    Args:
        attempts: Of the model.
        measure: By which channels are chosen.
        max_drop: Points of agreement that may be lost, of 100.
        part: Of the steps found, the share that is taken.
        progress: Told the share that is done.

    Raises:
        NotApplicableError: Not even the first step agrees, or of the steps that do the part is none.
    """
    order = _ordered(attempts, measure, lambda share: progress(0.6 * share))
    least = 1 - max_drop / 100
    passes, fails = 0, len(order) + 1
    tried, most = 0, len(order).bit_length()
    while fails - passes > 1:
        middle = (passes + fails) // 2 if tried else len(order)
        agreement, _ = attempts.closeness(attempts.made(_shares(order[:middle]), measure))
        passes, fails = (middle, fails) if agreement >= least else (passes, middle)
        tried += 1
        progress(0.6 + 0.4 * min(1.0, tried / (most + 1)))
    if not passes:
        raise NotApplicableError(f"whichever channels go, more than the allowed {max_drop:g} % of the answers change")
    if not int(part * passes):
        raise NotApplicableError(f"{part:.0%} of what can go is nothing")
    return _shares(order[: int(part * passes)])


def _ordered(attempts: Attempts, measure: Measure, progress: Callable[[float], None]) -> list[_Step]:
    """Greedily, among the next steps of all groups."""
    waiting = {}
    for done, group in enumerate(attempts.prunable):
        waiting[group] = _steps(attempts, group, measure)
        progress((done + 1) / len(attempts.prunable))
    order = []
    while any(waiting.values()):
        best = max((steps[0] for steps in waiting.values() if steps), key=lambda step: step.saved / step.damage)
        order.append(waiting[best.group].pop(0))
    return order


def _steps(attempts: Attempts, group: int, measure: Measure) -> list[_Step]:
    classes = attempts.channels.groups[group]
    whole = parameters(attempts.original)
    steps: list[_Step] = []
    count, saved, damage = len(classes.classes), 0.0, 0.0
    for share in _LEVELS:
        left = count_to_keep(classes, share)
        if left == count:
            continue
        model = attempts.alone(group, share, measure)
        now_saved, now_damage = whole - parameters(model), -attempts.closeness(model)[1]
        steps.append(_Step(group, share, now_saved - saved, max(now_damage - damage, _LEAST_DAMAGE)))
        count, saved, damage = left, now_saved, max(damage, now_damage)
    return steps


def _shares(steps: list[_Step]) -> dict[int, float]:
    return {step.group: step.share for step in steps}
