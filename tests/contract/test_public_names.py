"""What `import edge_rai` offers, by name; a name that goes breaks somebody."""

from __future__ import annotations

import inspect

import pytest

import edge_rai
from support.children import run_python

NAMES = {
    *(
        "Alarm",
        "Answer",
        "Batcher",
        "Direction",
        "Watch",
        "WatchedFeature",
        "Breaker",
        "BundleError",
        "Certificate",
        "DecisionCount",
        "DeliveryError",
        "EdgeRaiError",
        "Feature",
    ),
    "DriftReport",
    *("FeatureCounts", "FeatureDrift", "InferenceError", "InputRejectedError", "IntegrityError", "ManualClock"),
    *(
        "NativeError",
        "PolicyError",
        "ProviderError",
        "QuantileSettings",
        "QuantileSketch",
        "Reason",
        "ReasonCode",
        "ReviewItem",
        "RuntimeMissingError",
    ),
    *(
        "Session",
        "Snapshot",
        "Source",
        "SpoolError",
        "SpoolSettings",
        "StoppedError",
        "StoreError",
        "TensorSpec",
        "UnreadableError",
    ),
    *("UnreadableError", "UnsupportedModelError", "UploadSettings", "Verdict", "load"),
}
SESSION = {
    *("inputs", "states", "outputs", "features", "batched", "rows_independent", "observations", "stopped", "breaker"),
    *(
        "predict",
        "snapshot",
        "drift",
        "observe",
        "record_outcome",
        "watch",
        "quantiles",
        "on_alarm",
        "certificate",
        "estimated_accuracy",
        "reset_watch",
        "watch_state",
        "continue_watch",
        "flush",
        "reset",
        "stop",
        "resume",
        "review",
        "override",
        "close",
    ),
}


def test_public_names_are_these() -> None:
    assert set(edge_rai.__all__) == NAMES
    assert list(edge_rai.__all__) == sorted(edge_rai.__all__)
    for name in NAMES:
        assert inspect.getdoc(getattr(edge_rai, name)), name
    with pytest.raises(AttributeError, match="module 'edge_rai' has no attribute 'Batchers'"):
        _ = edge_rai.Batchers


def test_public_names_of_a_session_are_these() -> None:
    attributes = {name for name in dir(edge_rai.Session) if not name.startswith("_")}
    assert attributes == SESSION - {
        "inputs",
        "states",
        "outputs",
        "features",
        "batched",
        "rows_independent",
        "observations",
    }


def test_what_few_need_is_imported_when_asked_for() -> None:
    code = """
        import edge_rai
        costly = {"edge_rai.batcher", "concurrent.futures", "logging", "ml_dtypes", "pydantic", "onnxruntime"}
        print(sorted(costly & set(sys.modules)))
        edge_rai.Batcher
        print("edge_rai.batcher" in sys.modules)
        from edge_rai import *
        print(Batcher.__name__)
    """
    child = run_python("\n".join(line.strip() for line in code.splitlines()))
    assert child.stdout.splitlines() == ["[]", "True", "Batcher"], child.stderr
