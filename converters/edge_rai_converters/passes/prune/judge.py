"""How near a pruned model is to the original on calibration rows that nothing was fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edge_rai_converters.compare import compare, find_decision
from edge_rai_converters.passes.prune.sample import Sample
from edge_rai_converters.runner import Runner, is_numeric

_ROWS_A_CALL = 64


class Judge:
    """Compares with one original.

    Args:
        original: The model as it came.
        sample: Whose rows that are kept apart to ask.
    """

    def __init__(self, original: onnx.ModelProto, sample: Sample) -> None:
        self._sample = sample
        self._wanted = self._answers(original)
        self._decision = find_decision(self._wanted, None)

    def closeness(self, model: onnx.ModelProto) -> tuple[float, float]:
        """Share of rows with the same class, or of values within 5 % where there is none; minus the mean difference."""
        found = compare(self._answers(model), self._wanted, self._decision, None)
        share = found.agreement if found.agreement is not None else found.share_within
        return 1.0 if share is None else share, -found.mean_difference

    def _answers(self, model: onnx.ModelProto) -> dict[str, npt.NDArray[Any]]:
        runner = Runner(model.SerializeToString(), "a pruned form of the model")
        calls = [runner.call(feed) for feed in self._sample.calls(self._sample.apart, _ROWS_A_CALL)]
        join = np.concatenate if self._sample.batched else np.stack
        return {name: join([call[name] for call in calls]) for name in calls[0] if is_numeric(calls[0][name])}
