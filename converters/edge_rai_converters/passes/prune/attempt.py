"""One model, pruned in whatever way is asked for, and how near each result is to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from edge_rai_converters.passes.contract import Feed, Material, NotApplicableError
from edge_rai_converters.passes.prune.channels import Channels, trace
from edge_rai_converters.passes.prune.importance import Evidence, Measure
from edge_rai_converters.passes.prune.judge import Judge
from edge_rai_converters.passes.prune.reconstruct import repair
from edge_rai_converters.passes.prune.sample import Sample
from edge_rai_converters.passes.prune.surgery import count_to_keep, cut
from edge_rai_converters.passes.prune.tidy import tidied

_LEAST_ROWS = 16
# A share so small that a group would keep as few channels as it may.
_LEAST_SHARE = 1e-9


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
        self._evidence = Evidence(self.original, self.channels, self._sample)
        self._judge = Judge(model, self._sample)

    def closeness(self, model: onnx.ModelProto) -> tuple[float, float]:
        """To the original, on rows that only ``finished`` fits to; see Judge."""
        return self._judge.closeness(model)

    def made(self, shares: Mapping[int, float], measure: Measure) -> onnx.ModelProto:
        """Keeps these shares of groups, and refits what is behind them."""
        return self._made(shares, measure, self._sample.fitted)

    def alone(self, group: int, share: float, measure: Measure) -> onnx.ModelProto:
        """Prunes one group, and refits only the layers that read it."""
        classes = set(self.channels.groups[group].classes.tolist())
        readers = [
            index
            for index, layer in enumerate(self.channels.layers)
            if layer.sources is not None and classes.intersection(self.channels.roots[layer.sources].tolist())
        ]
        return self._made({group: share}, measure, self._sample.fitted, readers)

    def finished(self, shares: Mapping[int, float], measures: Sequence[Measure]) -> onnx.ModelProto:
        """Keeps these shares, by the measure that leaves the answers nearest to the original's; fits on all rows."""
        best = measures[0]
        if len(measures) > 1:
            # Not by rows of the same class: on few rows that is a coarse measure, and chance decides.
            best = max(measures, key=lambda measure: self.closeness(self.made(shares, measure))[1])
        return self._made(shares, best, [*self._sample.fitted, *self._sample.apart])

    def _made(
        self,
        shares: Mapping[int, float],
        measure: Measure,
        rows: Sequence[Feed],
        layers: Sequence[int] | None = None,
    ) -> onnx.ModelProto:
        counts = {group: count_to_keep(self.channels.groups[group], share) for group, share in shares.items()}
        kept = self._evidence.keep(counts, measure)
        result = cut(self.original, self.channels, kept)
        repair(self.original, result, self.channels, kept, self._sample, rows, layers)
        return result


def _why_nothing_goes(channels: Channels) -> str:
    if not channels.layers:
        return "it has no Conv, Gemm or MatMul with constant float32 weights that reads a tensor of known rank"
    through = f", or through {', '.join(sorted(channels.stops))}" if channels.stops else ""
    return f"it has no layer of more than 8 channels but those that lead to an output{through}"
