"""An export is held to its source: some exporters write another model, and say nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.sources.exported import Array, Exported, rows_with_gaps
from edge_rai_converters.words import first_line

# float32 against the float64 of a library: of the greatest value, and of rows that stand at a threshold of a tree.
_TOLERANCE = 1e-3
_ROWS_ASIDE = 0.1


def check(exported: Exported, data: bytes, name: str) -> bool | None:
    """Compares what the exported model answers to the sample with what its library does.

    Args:
        exported: The export; one without a sample is not compared.
        data: The same, in the form that is opened.
        name: Of the model, for messages.

    Returns:
        Whether it answers rows with missing values as the library does; None where the sample has none.

    Raises:
        UnsupportedModelError: ONNX Runtime cannot run it, or more than a tenth of the rows are answered otherwise.
    """
    if exported.feed is None:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, dict(exported.feed))
    except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
        raise UnsupportedModelError(f"{name}: ONNX Runtime cannot run the export: {first_line(error)}") from error
    gaps = rows_with_gaps(exported.feed)
    for answer in exported.answers:
        others = min(_others(answer, output, ~gaps) for output in outputs)
        if others > _ROWS_ASIDE:
            raise UnsupportedModelError(
                f"{name}: its export to ONNX answers {round(100 * others)} % of the sample's rows otherwise than it "
                "does: the exporter has a fault with this kind of model; train another kind, or export it yourself and "
                "give the .onnx file"
            )
    if not gaps.any():
        return None
    return all(min(_others(answer, output, gaps) for output in outputs) <= _ROWS_ASIDE for answer in exported.answers)


def _others(answer: Array, output: object, rows: npt.NDArray[np.bool_]) -> float:
    """The share of the rows that differ; of two probabilities the second may stand for both."""
    if not isinstance(output, np.ndarray):
        return 1.0
    if answer.ndim == 1 and output.ndim == 2 and output.shape[1] in (1, 2):
        output = output[:, -1]
    if answer.ndim == 2 and answer.shape[1] == 1 and output.ndim == 1:
        answer = answer[:, 0]
    if answer.shape != output.shape:
        return 1.0
    if not (answer.dtype.kind in "fiub" and output.dtype.kind in "fiub"):
        same = answer.astype(str) == output.astype(str)
    else:
        scale = float(np.abs(answer[np.isfinite(answer)]).max(initial=0.0))
        same = np.isclose(output, answer, rtol=0, atol=_TOLERANCE * scale, equal_nan=True)
    by_row = same.reshape(len(same), -1).all(axis=1)
    compared = by_row[rows] if len(by_row) == len(rows) else by_row
    return 1 - float(compared.mean()) if len(compared) else 0.0
