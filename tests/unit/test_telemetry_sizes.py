"""What a device stores and sends takes the bytes that were promised; that of a decision is in test_events.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from edge_rai import load
from edge_rai.policy import FeatureReference, FeatureRule, InputRule, OutputRule, Policy, Reference
from edge_rai.telemetry import otlp
from support import telemetry
from support.bundles import write_bundle

FEATURES, BINS = 30, 32


def test_seven_metrics_of_a_minute_take_at_most_460_bytes_beside_what_tells_batches_apart() -> None:
    chance, latency = np.random.default_rng(1), np.zeros(321, np.uint64)
    slots = np.clip(np.round(chance.normal(16, 5, 600)), 0, 32).astype(int)
    np.add.at(latency, 100 + np.concatenate([slots, np.arange(33)]), 1)
    message = otlp.encode(telemetry.snapshot(features=(), latency=latency), (), "0.1.0")
    request = ExportMetricsServiceRequest.FromString(message)
    metrics = request.resource_metrics[0].scope_metrics[0].metrics
    assert len(metrics) == 7
    assert len(metrics[-1].exponential_histogram.data_points[0].positive.bucket_counts) == 33
    del request.resource_metrics[0].resource.attributes[1:]  # instance and digests
    del request.resource_metrics[0].scope_metrics[0].scope.attributes[:]
    assert len(otlp.compress(request.SerializeToString())) <= 460


def test_feature_of_32_bins_takes_at_most_100_bytes_of_a_batch_file(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", FEATURES]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", values[:1], values[1:])
    model = tmp_path / "same.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)
    rules = tuple(FeatureRule(f"feature {i}") for i in range(FEATURES))
    policy = Policy(
        format_version=1,
        batched=True,
        inputs=(InputRule("x", "float32", (-1, FEATURES), (4096, FEATURES), feature_axis=1, features=rules),),
        outputs=(OutputRule("y", "float32", (-1, FEATURES)),),
    )
    edges, counts = np.linspace(-2, 2, BINS - 1), np.full(BINS, 100, np.uint64)
    references = tuple(FeatureReference("x", rule.name, 3200, 0.0, 1.0, edges, counts) for rule in rules)
    golden = {"x": np.zeros((1, FEATURES), np.float32)}
    path = write_bundle(tmp_path / "same.erai", model, policy, golden, Reference(references))
    chance = np.random.default_rng(2)
    for rows in (60, 4096):
        spool = tmp_path / f"{rows}"
        with load(path, spool=spool) as session:
            session.predict(chance.standard_normal((rows, FEATURES)).astype(np.float32))
            session.flush()
        (batch,) = spool.glob("*.batch")
        assert len(otlp.compress(batch.read_bytes())) <= 100 * FEATURES
