from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ScopeMetrics

from edge_rai.counts import DriftState, FeatureCounts
from edge_rai.errors import SpoolError
from edge_rai.events import Expired, Windows
from edge_rai.fleet.decode import decode
from edge_rai.fleet.request import read_request
from edge_rai.telemetry import otlp
from support.telemetry import FEATURES, INSTANCE, counts, snapshot


def scope_of(body: bytes) -> ScopeMetrics:
    (resource_metrics,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    (scope_metrics,) = resource_metrics.scope_metrics
    return scope_metrics


def metrics_of(body: bytes) -> dict[str, Metric]:
    return {metric.name: metric for metric in scope_of(body).metrics}


def encode(**changes: object) -> bytes:
    return otlp.encode(snapshot(**changes), FEATURES)


def by_attribute(metric: Metric) -> dict[str, int]:
    return {point.attributes[0].value.string_value: point.as_int for point in metric.sum.data_points}


def test_same_snapshot_gives_same_compressed_bytes_without_time_stamp() -> None:
    first, second = otlp.compress(encode()), otlp.compress(encode())
    assert first == second
    assert first[4:8] == bytes(4)  # RFC 1952: MTIME


def said_of(body: bytes) -> dict[str, str]:
    """Of the scope."""
    return {pair.key: pair.value.string_value for pair in scope_of(body).scope.attributes}


def test_identity_travels_in_resource_and_scope() -> None:
    (resource_metrics,) = ExportMetricsServiceRequest.FromString(encode(sequence=18)).resource_metrics
    about = {pair.key: pair.value.string_value for pair in resource_metrics.resource.attributes}
    assert about == {
        "service.name": "edge_rai",
        "service.instance.id": "00112233445566778899aabbccddeeff",
        "edge.model": "ab" * 6,
        "edge.guard": "cd" * 6,
    }
    assert resource_metrics.scope_metrics[0].scope.name == "edge_rai"
    assert said_of(encode(epoch=0x12ABCDEF01, sequence=18))["edge.batch"].startswith("12abcdef01:12:")


def test_guard_program_is_named_where_a_feature_has_its_reference() -> None:
    bare = otlp.encode(snapshot(features=snapshot().features[2:]), FEATURES[2:])
    (resource_metrics,) = ExportMetricsServiceRequest.FromString(bare).resource_metrics
    assert "edge.guard" not in {pair.key for pair in resource_metrics.resource.attributes}


def test_promised_number_of_points_is_the_number_sent() -> None:
    sent = sum(len(getattr(metric, metric.WhichOneof("data")).data_points) for metric in scope_of(encode()).metrics)
    assert int(said_of(encode())["edge.batch"].split(":")[2], 16) == sent > 0


def test_what_is_zero_is_left_out_and_calls_are_always_told() -> None:
    metrics = metrics_of(encode())
    assert by_attribute(metrics["edge.verdict"]) == {"accept": 20, "reject": 4}
    assert by_attribute(metrics["edge.reason"]) == {"not_finite": 3, "above_range": 1}
    assert by_attribute(metrics["edge.source"]) == {"primary": 20, "default": 4}
    assert by_attribute(metrics["edge.feature.not_finite"]) == {"radius": 3, "flags": 2}
    nothing = encode(reasons=counts([0] * 9), rows_by_verdict=counts([0, 0, 0]), calls=0, errors=0)
    assert not {"edge.reason", "edge.verdict"} & metrics_of(nothing).keys()
    assert {"edge.calls", "edge.errors"} <= metrics_of(nothing).keys()


def test_reason_of_a_newer_library_keeps_its_number() -> None:
    assert by_attribute(metrics_of(encode(reasons=counts([0] * 60 + [5])))["edge.reason"]) == {"code_60": 5}


def test_latency_buckets_have_the_bounds_that_otlp_defines_for_them() -> None:
    (point,) = metrics_of(encode())["edge.duration"].exponential_histogram.data_points
    base = 2 ** (2**-point.scale)
    upper = [base ** (point.positive.offset + i + 1) for i in range(len(point.positive.bucket_counts))]
    assert list(point.positive.bucket_counts) == [9, 0, 0, 3]
    np.testing.assert_allclose([upper[0], upper[3]], [2 ** (120 / 8), 2 ** (123 / 8)])
    assert (point.zero_count, point.zero_threshold) == (1, 1.0)
    assert (point.count, point.sum) == (13, 456_789)
    (point,) = metrics_of(encode(latency=counts([0, 3])))["edge.duration"].exponential_histogram.data_points
    assert (point.zero_count, point.zero_threshold) == (0, 0)


def test_snapshot_without_calls_has_an_empty_latency_histogram() -> None:
    body = encode(latency=np.zeros(400, np.uint64), latency_sum_ns=0)
    (point,) = metrics_of(body)["edge.duration"].exponential_histogram.data_points
    assert (point.count, list(point.positive.bucket_counts)) == (0, [])


def test_every_metric_is_a_delta_and_only_z_sum_may_fall() -> None:
    for name, metric in metrics_of(encode()).items():
        data = getattr(metric, metric.WhichOneof("data"))
        assert data.aggregation_temporality == 1, name  # AGGREGATION_TEMPORALITY_DELTA
        if metric.WhichOneof("data") == "sum":
            assert data.is_monotonic == (name != "edge.feature.z_sum"), name


def test_reference_travels_with_the_bounds_of_the_values() -> None:
    metrics = metrics_of(encode())
    values = metrics["edge.feature.value"].histogram.data_points
    references = metrics["edge.feature.reference"].histogram.data_points
    assert [list(point.bucket_counts) for point in values] == [[5, 6, 7, 3], [20, 4]]
    assert [list(point.bucket_counts) for point in references] == [[25, 25, 26, 24], [50, 50]]
    for value, reference in zip(values, references, strict=True):
        assert value.explicit_bounds == reference.explicit_bounds
        assert not value.HasField("sum")
    assert list(values[1].explicit_bounds) == [0.1]


def test_feature_without_reference_reports_only_what_was_not_finite() -> None:
    carrying = [
        metric.name
        for metric in scope_of(encode()).metrics
        for point in getattr(metric, metric.WhichOneof("data")).data_points
        if any(pair.value.string_value == "flags" for pair in point.attributes)
    ]
    assert carrying == ["edge.feature.not_finite"]


def times_of(body: bytes) -> tuple[int, int]:
    (point,) = metrics_of(body)["edge.calls"].sum.data_points
    return point.start_time_unix_nano, point.time_unix_nano


def test_window_began_its_length_before_its_end_whatever_was_done_to_the_clock() -> None:
    set_forward = encode(start_unix_ns=7, end_unix_ns=10**18, duration_ns=60)
    assert times_of(set_forward) == (10**18 - 60, 10**18)
    set_back = encode(start_unix_ns=10**18, end_unix_ns=5_000, duration_ns=60)
    assert times_of(set_back) == (4_940, 5_000)
    for body in (set_forward, set_back):
        assert decoded_duration(body) == 60
        assert "edge.duration_ns" not in said_of(body)


def test_length_that_no_time_tells_is_told() -> None:
    before_1970 = encode(start_unix_ns=-9, end_unix_ns=-3, duration_ns=6)
    assert times_of(before_1970) == (0, 0)
    assert decoded_duration(before_1970) == 6
    several = encode(windows=(Windows(7, 0, 3),), start_unix_ns=100, end_unix_ns=10_000, duration_ns=60)
    assert times_of(several) == (100, 10_000)
    assert decoded_duration(several) == 60


def decoded_duration(body: bytes) -> int:
    [(batch, _)], refusals = decode(read_request(body))
    assert refusals == []
    return batch.duration_ns


def gauges_of(body: bytes) -> dict[str, list[tuple[str, float]]]:
    """Feature and value of each point of each gauge."""
    return {
        metric.name: [
            (point.attributes[0].value.string_value if point.attributes else "", point.as_double or point.as_int)
            for point in metric.gauge.data_points
        ]
        for metric in scope_of(body).metrics
        if metric.WhichOneof("data") == "gauge"
    }


def test_state_of_the_watch_is_told_and_of_features_only_what_an_alarm_is_about() -> None:
    assert gauges_of(encode()) == {}
    assert gauges_of(encode(drift=DriftState(5000, 0.25, alarm=False))) == {
        "edge.drift.evidence": [("", 0.25)],
        "edge.drift.rows": [("", 5000)],
        "edge.drift.alarm": [("", 0)],
    }
    radius, *others = snapshot().features
    alarmed = encode(drift=DriftState(80, 1e6, alarm=True), features=(radius._replace(drift_evidence=3e6), *others))
    assert gauges_of(alarmed) == {
        "edge.drift.evidence": [("", 1e6), ("radius", 3e6)],
        "edge.drift.rows": [("", 80)],
        "edge.drift.alarm": [("", 1)],
    }
    [(batch, _)], refusals = decode(read_request(alarmed))
    assert (batch.drift_evidence, batch.drift_rows, batch.drift_alarm, refusals) == (1e6, 80, True, [])


@pytest.mark.parametrize(
    "changes",
    [
        {"calls": 2**63},
        {"epoch": 2**63},
        {"rows_by_verdict": counts([2**63, 0, 0])},
        {"latency": counts([2**63])},
        {"features": (FeatureCounts(counts([2**63, 0, 0, 0]), 0, 0, 0), *snapshot().features[1:])},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_count_that_otlp_cannot_hold_is_an_error_of_the_spool(changes: dict[str, object]) -> None:
    with pytest.raises(SpoolError, match="does not fit"):
        encode(**changes)


def test_snapshot_of_another_guard_program_is_refused() -> None:
    with pytest.raises(SpoolError, match="3 features, its guard program has 2"):
        otlp.encode(snapshot(), FEATURES[:2])
    with pytest.raises(SpoolError, match="'radius' has 4 bins in the snapshot and 2"):
        otlp.encode(snapshot(), (FEATURES[1]._replace(name="radius"), *FEATURES[1:]))


small = st.integers(0, 2**40)


@settings(deadline=None)
@given(
    calls=small,
    latency=st.lists(small, max_size=60),
    verdicts=st.lists(small, min_size=3, max_size=3),
    reasons=st.lists(small, max_size=14),
    bins=st.lists(small, min_size=4, max_size=4),
    z_sum=st.integers(-(2**62), 2**62),
    identity=st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 2)),  # the next window has a number, too
)
def test_collector_reads_exactly_what_the_device_counted(
    calls: int,
    latency: list[int],
    verdicts: list[int],
    reasons: list[int],
    bins: list[int],
    z_sum: int,
    identity: tuple[int, int],
) -> None:
    body = encode(
        calls=calls,
        latency=counts(latency),
        rows_by_verdict=counts(verdicts),
        reasons=counts(reasons),
        epoch=identity[0],
        sequence=identity[1],
        features=(FeatureCounts(counts(bins), 3, z_sum, 17), *snapshot().features[1:]),
    )
    [(batch, points)], refusals = decode(read_request(body))
    assert refusals == []
    assert points == sum(map(otlp.count_points, scope_of(body).metrics))
    assert (batch.instance, batch.epoch, batch.sequence) == (INSTANCE, *identity)
    assert (batch.calls, batch.errors, batch.latency_sum_ns) == (calls, 1, 456_789)
    assert [batch.tallies.get(("verdict", name), 0) for name in ("accept", "flag", "reject")] == verdicts
    assert sorted(n for (kind, _), n in batch.tallies.items() if kind == "reason") == sorted(filter(None, reasons))
    assert batch.latency == tuple(np.trim_zeros(latency, "b"))
    features = {one.name: one for one in batch.features}
    radius = features["radius"]
    assert (radius.counts, radius.not_finite, radius.z_sum, radius.z_sum_squares) == (tuple(bins), 3, z_sum, 17)
    assert radius.reference.counts == (25, 25, 26, 24)
    assert features["flags"].counts == ()


def test_empty_body_is_a_receipt_and_a_web_page_is_none() -> None:
    assert otlp.read_answer(b"") == (0, "")
    for body in (b"<html>Welcome to the hotel</html>", b'{"partialSuccess":{}}', b"OK"):
        with pytest.raises(ValueError, match="not an OTLP"):
            otlp.read_answer(body)


def test_answer_and_status_survive_the_wire() -> None:
    assert otlp.read_answer(otlp.write_answer(otlp.Answer(3, "split"))) == (3, "split")
    assert otlp.write_answer(otlp.Answer(0, "")) == b""
    assert otlp.write_status("hi") == b"\x12\x02hi"  # google.rpc.Status: string message = 2
    assert otlp.read_status(b"\x08\x03\x12\x02no") == "no"  # with int32 code = 1 before it
    assert otlp.read_status(b"plain text") == ""


def test_what_expired_and_the_windows_of_a_merged_batch_are_told() -> None:
    expired = (Expired(2, 1, 30, 40, 5), Expired(0, 0, 0, 0, 0), Expired(1, 0, 3, 4, 0), Expired(0, 0, 0, 0, 7))
    windows = (Windows(7, 0, 3), Windows(9, 4, 1))
    body = encode(expired=expired, windows=windows)
    metrics = metrics_of(body)
    assert by_attribute(metrics["edge.expired.rows"]) == {"quota": 40, "refused": 4}
    assert by_attribute(metrics["edge.expired.events"]) == {"quota": 5, "memory": 7}
    assert by_attribute(metrics["edge.expired.unknown"]) == {"quota": 1}
    assert said_of(body)["edge.windows"] == "7:0+3 9:4+1"
    assert "edge.windows" not in said_of(encode())
    assert decode(read_request(body))[1] == []  # our collector takes it
