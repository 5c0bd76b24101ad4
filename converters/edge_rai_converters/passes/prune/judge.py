"""How near a pruned model is to the original on calibration rows that nothing was fitted to."""

from __future__ import annotations

import onnx

from edge_rai_converters.answered import Answered, rows_a_call
from edge_rai_converters.compare import compare, find_decision
from edge_rai_converters.passes.prune.sample import Sample
from edge_rai_converters.runner import Runner

_ROWS_A_CALL = 64


class Judge:
    """Compares with one original.

    Args:
        original: The model as it came.
        sample: Whose rows that are kept apart to ask.
    """

    def __init__(self, original: onnx.ModelProto, sample: Sample) -> None:
        runner = _runner(original)
        most = min(_ROWS_A_CALL, rows_a_call(runner, sample.apart[0]))
        self._wanted = Answered(runner, lambda: sample.calls(sample.apart, most), batched=sample.batched)
        self._decision = find_decision(self._wanted.outputs, None)

    def closeness(self, model: onnx.ModelProto) -> tuple[float, float]:
        """Share of rows with the same class, or of quantities within 5 %, the lesser; minus the mean difference."""
        pairs = self._wanted.by(_runner(model)).beside(self._wanted)
        found = compare(pairs, self._wanted.outputs, self._decision, None)
        shares = [share for share in (found.agreement, found.share_within) if share is not None]
        return min(shares, default=1.0), -found.mean_difference


def _runner(model: onnx.ModelProto) -> Runner:
    return Runner(model.SerializeToString(), "a pruned form of the model")
