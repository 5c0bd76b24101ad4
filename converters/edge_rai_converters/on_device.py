"""Asks the device's own code how far rows are from a reference, so that a threshold is held to what it will compute."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from edge_rai.bundle import (
    FORMAT_VERSION,
    SUFFIX,
    Golden,
    GoldenTensor,
    Manifest,
    ModelFile,
    Provenance,
    golden_bytes,
    write_bundle,
)
from edge_rai.policy import (
    Distance,
    DistanceReference,
    FeatureRule,
    InputRule,
    OutputRule,
    Policy,
    Reference,
    compile_policy,
)
from edge_rai.session import load
from edge_rai.types import ReasonCode, TensorSpec

Values = npt.NDArray[np.float64]

_VALUES = 1 << 20
# A call has one reason a row, and keeps so many of them.
_MOST_ROWS = 1 << 15


def distances_on_device(reference: DistanceReference, values: Values) -> Values:
    """(rows,) squared distances as ``erai_admit`` computes them, to the bit: in an order that no processor changes.

    A session whose threshold is next to nothing rejects every row that is not the mean itself, with its distance as
    the reason. Rows of any other data type have the same distances, because the device takes a value less the mean in
    float64 whatever it was.

    Args:
        reference: The distance.
        values: (rows, features), finite; a NaN is a missing value and counts as the mean.

    Raises:
        EdgeRaiError: The native library refuses the reference.
    """
    filled = np.where(np.isnan(values), reference.mean, values)
    most_rows = max(1, min(_MOST_ROWS, _VALUES // filled.shape[1]))
    squared = np.zeros(len(filled))
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        path = Path(folder, f"distance{SUFFIX}")
        _write(path, reference, most_rows)
        with load(path) as session:
            for first in range(0, len(filled), most_rows):
                for reason in session.predict(filled[first : first + most_rows]).reasons:
                    if reason.code == ReasonCode.OUT_OF_DISTRIBUTION:
                        squared[first + reason.row] = reason.value
    return squared


def _write(path: Path, reference: DistanceReference, most_rows: int) -> None:
    """A bundle of the distance and a model that returns its input; its golden vector is the mean."""
    features = len(reference.mean)
    columns = tuple(FeatureRule(f"f{place}") for place in range(features))
    given = InputRule(
        "rows",
        "float64",
        (-1, features),
        (most_rows, features),
        finite=False,
        feature_axis=1,
        features=columns,
        distance=Distance(sys.float_info.min),
    )
    policy = Policy(1, True, (given,), (OutputRule("copy", "float64", (-1, features), finite=False),))
    model = _model(features)
    files = {
        "copy.onnx": model,
        "guard.bin": compile_policy(policy, Reference((), (replace(reference, input="rows"),))),
        "mean.bin": golden_bytes(reference.mean),
    }
    digest = hashlib.sha256(model).hexdigest()
    inputs, outputs = (GoldenTensor(name, "mean.bin", "float64", (1, features)) for name in ("rows", "copy"))
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name="distance",
        models=(ModelFile("primary", "copy.onnx", "onnx", "none", True, digest, len(model)),),
        inputs=(TensorSpec("rows", "float64", (None, features)),),
        outputs=(TensorSpec("copy", "float64", (None, features)),),
        golden=Golden(0.0, (inputs,), (outputs,)),
        provenance=Provenance("copy.onnx", digest, hashlib.sha256(files["mean.bin"]).hexdigest(), {}),
        requirements={},
    )
    write_bundle(path, files, manifest)


def _model(features: int) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["rows"], ["copy"])],
        "copy",
        [helper.make_tensor_value_info("rows", TensorProto.DOUBLE, ["N", features])],
        [helper.make_tensor_value_info("copy", TensorProto.DOUBLE, ["N", features])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())
