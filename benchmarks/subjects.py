"""What is measured: models of the breast-cancer data's 30 features, each in a bundle with a full policy."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_rai.bundle import read
from edge_rai.policy import parse_policy, policy_to_toml
from edge_rai_converters import convert

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "breast_cancer"))
from train import train

# Name: widths of the hidden layers, and whether its weights are int8. A model without a width is the trained network.
SUBJECTS = {
    "logistic regression": ((), "none"),
    "MLP 64-32": (None, "none"),
    "MLP 64-32 int8": (None, "int8"),
    "MLP 1024-1024-512": ((1024, 1024, 512), "none"),
}


@cache
def bundle(subject: str) -> Path:
    """The subject's bundle: learned limits, histograms and distance, and checks of the output."""
    folder = Path(mkdtemp(prefix="edge-rai-bench-"))
    model, calibration, *_ = train(folder)
    widths, mode = SUBJECTS[subject]
    if widths is not None:
        onnx.save(network(widths), model)
    learned = folder / "learned.erai"
    convert(model, calibration, learned, labels="y", prune="none", quantize=mode, max_drop=100)
    rules = parse_policy(read(learned).files["policy.toml"].decode())
    outputs = [replace(rule, range=(0.0, 1.0), sum=(0.999, 1.001), confidence=0.5) for rule in rules.outputs]
    (folder / "policy.toml").write_text(policy_to_toml(replace(rules, outputs=tuple(outputs))), encoding="utf-8")
    path = folder / "full.erai"
    convert(
        model, calibration, path, labels="y", prune="none", quantize=mode, max_drop=100, policy=folder / "policy.toml"
    )
    return path


def model_and_row(subject: str, folder: Path) -> tuple[Path, np.ndarray]:
    """The bundle's model as a file, and one row that the guard accepts."""
    found = read(bundle(subject))
    model = folder / "model.onnx"
    model.write_bytes(found.files[found.manifest.primary.path])
    golden = found.manifest.golden.inputs[0]
    rows = np.frombuffer(found.files[golden.path], golden.dtype).reshape(golden.shape)
    return model, rows[:1].copy()


def network(widths: tuple[int, ...]) -> onnx.ModelProto:
    """An untrained network of the same signature: 30 features, two shares."""
    generator = np.random.default_rng(0)
    nodes, constants, last = [], {}, "features"
    for i, (inputs, outputs) in enumerate(zip((30, *widths), (*widths, 2), strict=True)):
        constants[f"w{i}"] = (generator.normal(size=(inputs, outputs)) / inputs).astype(np.float32)
        constants[f"b{i}"] = np.zeros(outputs, np.float32)
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"sum{i}"]))
        last = f"sum{i}"
        if i < len(widths):
            nodes.append(helper.make_node("Relu", [last], [f"hidden{i}"]))
            last = f"hidden{i}"
    nodes.append(helper.make_node("Softmax", [last], ["shares"], axis=1))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", 30])],
        [helper.make_tensor_value_info("shares", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
