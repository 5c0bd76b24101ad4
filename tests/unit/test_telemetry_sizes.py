"""What a device stores and sends takes the bytes that were promised; that of a decision is in test_events.py."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from edge_rai import load
from edge_rai.counts import FeatureCounts, Snapshot
from edge_rai.policy import FeatureReference, FeatureRule, InputRule, OutputRule, Policy, Reference
from edge_rai.telemetry import otlp
from support import telemetry
from support.bundles import write_bundle

FEATURES, BINS = 30, 32


def busy_minutes(chance: np.random.Generator) -> Iterator[Snapshot]:
    """Minutes of devices that reject some rows: 633 calls of durations in 33 buckets, a breaker that opened, or a value
    that is not finite; of identities, clocks and counts as they come."""
    while True:
        latency, rejected = np.zeros(321, np.uint64), int(chance.integers(1, 300))
        slots = np.clip(np.round(chance.normal(16, 5, 600)), 0, 32).astype(int)
        np.add.at(latency, int(chance.integers(80, 160)) + np.concatenate([slots, np.arange(33)]), 1)
        end, opened = int(chance.integers(1, 2**60)), bool(chance.integers(2))
        yield telemetry.snapshot(
            int(chance.integers(10_000)),
            instance=chance.bytes(16).hex(),
            epoch=int(chance.integers(1, 1000)) << 32 | int(chance.integers(2**32)),
            start_unix_ns=end - 60 * 10**9,
            end_unix_ns=end,
            duration_ns=60 * 10**9 + int(chance.integers(10**6)),
            model_digest=chance.bytes(32).hex(),
            guard_digest=chance.bytes(32).hex(),
            calls=633,
            errors=0,
            rows_by_verdict=telemetry.counts([633 - rejected, 0, rejected]),
            rows_by_source=telemetry.counts([633 - rejected, 0, 0, rejected]),
            reasons=telemetry.counts([0, 0, 0, 0, rejected]),
            decisions=telemetry.counts([int(opened)]),
            latency=latency,
            latency_sum_ns=int(chance.integers(10**6, 10**10)),
            features=(FeatureCounts(telemetry.counts([]), 0 if opened else rejected, 0, 0),),
        )


def test_seven_metrics_of_a_minute_with_their_identity_take_at_most_460_bytes() -> None:
    feature = (telemetry.FEATURES[2]._replace(name="x"),)
    for snapshot in islice(busy_minutes(np.random.default_rng(1)), 200):
        message = otlp.encode(snapshot, feature)
        (scope,) = ExportMetricsServiceRequest.FromString(message).resource_metrics[0].scope_metrics
        assert len(scope.metrics) == 7
        (duration,) = (metric for metric in scope.metrics if metric.name == otlp.PREDICT_DURATION)
        assert len(duration.exponential_histogram.data_points[0].positive.bucket_counts) == 33
        assert len(otlp.compress(message)) <= 460


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
