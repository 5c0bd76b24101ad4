"""One model, pruned in whatever way is asked for, and how near each result is to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log

import onnx

from edge_rai_converters.passes.contract import Material, NotApplicableError
from edge_rai_converters.passes.prune.channels import Channels, narrowed, trace
from edge_rai_converters.passes.prune.importance import Evidence, Measure
from edge_rai_converters.passes.prune.judge import Judge
from edge_rai_converters.passes.prune.reconstruct import repair
from edge_rai_converters.passes.prune.sample import Sample
from edge_rai_converters.passes.prune.surgery import Kept, count_to_keep, cut, keep_all
from edge_rai_converters.passes.prune.tidy import tidied

_LEAST_ROWS = 16
# A share so small that a group would keep as few channels as it may.
_LEAST_SHARE = 1e-9
# By what the width is divided in one step; what goes is chosen anew, on the refitted model, for the next.
_STEP = 1.6


@dataclass(frozen=True, eq=False, slots=True)
class Form:
    """A model that has lost the channels that are not kept, and been refitted."""

    model: onnx.ModelProto
    kept: Kept


class Attempts:
    """Pruned forms of one model.

    Args:
        model: Not modified.
        material: Calibration rows to fit and to judge by.
        seed: Of the places of images that are fitted to.

    Raises:
        NotApplicableError: It has no channels that could go, or there are too few rows.
    """

    def __init__(self, model: onnx.ModelProto, material: Material, seed: int) -> None:
        if material.rows < _LEAST_ROWS:
            raise NotApplicableError(
                f"{_LEAST_ROWS} calibration rows are the least to refit what is left by, and there are {material.rows}"
            )
        self.original = tidied(model)
        self.channels = trace(self.original)
        groups = self.channels.groups
        self.prunable = [
            index for index, group in enumerate(groups) if count_to_keep(group, _LEAST_SHARE) < len(group.classes)
        ]
        if not self.prunable:
            raise NotApplicableError(_why_nothing_goes(self.channels))
        self._sample = Sample(material, seed)
        self._whole = Form(self.original, keep_all(self.channels))
        self._evidence = Evidence(self.original, self.channels, self._whole.kept, self._sample)
        self._judge = Judge(model, self._sample)

    def closeness(self, model: onnx.ModelProto) -> tuple[float, float]:
        """To the original, on rows that only ``finished`` fits to; see Judge."""
        return self._judge.closeness(model)

    def at_once(self, shares: Mapping[int, float], measure: Measure) -> onnx.ModelProto:
        """Keeps these shares of groups."""
        return self._narrower(self._whole, self._evidence, shares, measure).model

    def alone(self, group: int, share: float, measure: Measure) -> onnx.ModelProto:
        """Prunes one group, and refits only the layers that read it."""
        classes = set(self.channels.groups[group].classes.tolist())
        readers = [
            index
            for index, layer in enumerate(self.channels.layers)
            if layer.sources is not None and classes.intersection(self.channels.roots[layer.sources].tolist())
        ]
        return self._narrower(self._whole, self._evidence, {group: share}, measure, readers).model

    def finished(self, shares: Mapping[int, float], measures: Sequence[Measure]) -> onnx.ModelProto:
        """Keeps these shares, step by step; each step by the measure that leaves the answers nearest to the original's.

        Args:
            shares: Of groups, by their index.
            measures: To choose from.
        """
        form, evidence = self._whole, self._evidence
        steps = max(1, ceil(log(1 / min(shares.values())) / log(_STEP)))
        for step in range(1, steps + 1):
            wanted = {group: share ** (step / steps) for group, share in shares.items()}
            forms = [self._narrower(form, evidence, wanted, measure) for measure in measures]
            form = max(forms, key=lambda form: self.closeness(form.model)) if len(forms) > 1 else forms[0]
            if step < steps:
                evidence = Evidence(form.model, self.channels, form.kept, self._sample)
        rows = [*self._sample.fitted, *self._sample.apart]
        repair(self.original, form.model, self.channels, form.kept, self._sample, rows)
        return form.model

    def _narrower(
        self,
        form: Form,
        evidence: Evidence,
        shares: Mapping[int, float],
        measure: Measure,
        layers: Sequence[int] | None = None,
    ) -> Form:
        counts = {group: count_to_keep(self.channels.groups[group], share) for group, share in shares.items()}
        kept = evidence.keep(counts, measure)
        result = cut(form.model, narrowed(self.channels, form.kept), kept)
        repair(self.original, result, self.channels, kept, self._sample, self._sample.fitted, layers)
        return Form(result, kept)


def _why_nothing_goes(channels: Channels) -> str:
    if not channels.layers:
        return "it has no Conv, Gemm or MatMul with constant weights"
    through = f", or through {', '.join(sorted(channels.stops))}" if channels.stops else ""
    return f"it has no layer of more than 8 channels but those that lead to an output{through}"
