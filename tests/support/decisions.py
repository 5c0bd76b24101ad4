"""Models that fail, dawdle or answer at once, under a policy of decisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from edge_rai import DecisionCount, ManualClock, Session, load
from edge_rai.policy import Decision, FallbackRule, FeatureRule, InputRule, OutputRule, Policy
from support.bundles import write_bundle
from support.models import FLOAT, save

Floats = npt.NDArray[np.float32]
Open = Callable[..., Session]


def rows(*values: float) -> Floats:
    """(N, 1)"""
    return np.array(values, np.float32)[:, None]


def failing_model(path: Path) -> Path:
    """(N, 1) of 0 to 8 returned as it came; ONNX Runtime fails where a value is above 3."""
    nodes = [
        helper.make_node("Cast", ["x"], ["at"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "at"], ["y"]),
    ]
    table = {"table": np.arange(4, dtype=np.float32)}
    return save(path, nodes, [("x", FLOAT, ["N", 1])], [("y", FLOAT, ["N", 1])], table)


def slow_model(path: Path) -> Path:
    """(N, 1) returned as it came, after 2000 products of (300, 300) matrices for each 1 of the greatest value."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["m", "m"], ["product"]),
            helper.make_node("Clip", ["product", "zero", "one"], ["m_out"]),
            helper.make_node("Identity", ["go"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("m", FLOAT, [300, 300]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("m_out", FLOAT, [300, 300]),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "times"], ["products"]),
        helper.make_node("Cast", ["products"], ["count"], to=TensorProto.INT64),
        helper.make_node("Loop", ["count", "yes", "start"], ["end"], body=body),
        helper.make_node("ReduceMax", ["end"], ["greatest"], keepdims=0),
        helper.make_node("Mul", ["greatest", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    constants = {
        "yes": np.array(True),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "times": np.array(2000, np.float32),
        "start": np.eye(300, dtype=np.float32),
    }
    return save(path, nodes, [("x", FLOAT, ["N", 1])], [("y", FLOAT, ["N", 1])], constants)


def identity(path: Path) -> Path:
    return save(path, [helper.make_node("Identity", ["x"], ["y"])], [("x", FLOAT, ["N", 1])], [("y", FLOAT, ["N", 1])])


def constant(path: Path, value: float) -> Path:
    """A second, simpler model: (N, 1) of one value."""
    nodes = [helper.make_node("Mul", ["x", "zero"], ["none"]), helper.make_node("Add", ["none", "value"], ["y"])]
    constants = {"zero": np.array(0, np.float32), "value": np.array(value, np.float32)}
    return save(path, nodes, [("x", FLOAT, ["N", 1])], [("y", FLOAT, ["N", 1])], constants)


def count(session: Session, what: DecisionCount) -> int:
    return int(session.snapshot().decisions[what])


def opener(folder: Path, clock: ManualClock) -> Open:
    """What opens a bundle of one (N, 1) input within 0 and 8, whose output above 5 the judge rejects."""

    def make(
        *chain: Any,
        model: Callable[[Path], Path] | None = None,
        fallback: Path | None = None,
        rules: tuple[FallbackRule, ...] | None = None,
        default: float | None = -1.0,
        cache_bytes: int = 0,
        threads: int = 1,
        **decision: Any,
    ) -> Session:
        policy = Policy(
            1,
            True,
            (InputRule("x", "float32", (-1, 1), (100, 1), features=(FeatureRule("x", 0, 8),)),),
            (OutputRule("y", "float32", (-1, 1), default=() if default is None else (default,), range=(-9.0, 5.0)),),
            decision=Decision(**decision) if decision else None,
            fallback=rules if rules is not None else (FallbackRule(chain),) if chain else (),
        )
        path = (model or identity)(folder / "m.onnx")
        bundle = write_bundle(folder / "b.erai", path, policy, {"x": rows(0)}, fallback=fallback)
        return load(bundle, threads=threads, clock=clock, cache_bytes=cache_bytes)

    return make
