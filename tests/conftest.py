"""Settings of hypothesis, and the bundles and spools that tests of several rooms begin with."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from edge_rai import load
from edge_rai.policy import Drift, FeatureReference, FeatureRule, InputRule, OutputRule, Policy, Reference
from support.bundles import write_bundle
from support.models import save_linear

# Shared machines stall: a slow example is not a fault, nor is one slowly drawn. In CI a failure must be the change's,
# so the examples stay.
settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("anywhere"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "anywhere")

# Output is as wide as where nobody says how wide: processes that share the tests are told a terminal's width.
os.environ.pop("COLUMNS", None)

NAMES = ("radius", "texture", "area")


@pytest.fixture(scope="session")
def linear_policy() -> Policy:
    """Three features within +-10, and [0.25, 0.75] for rejected rows."""
    return Policy(
        format_version=1,
        batched=True,
        inputs=(
            InputRule(
                name="x",
                dtype="float32",
                shape=(-1, 3),
                max_shape=(1024, 3),
                feature_axis=1,
                features=tuple(FeatureRule(name, -10.0, 10.0) for name in NAMES),
            ),
        ),
        outputs=(OutputRule(name="y", dtype="float32", shape=(-1, 2), default=(0.25, 0.75)),),
    )


@pytest.fixture(scope="session")
def linear_reference() -> Reference:
    """Four bins a feature, of 100 rows with mean 0.5 and standard deviation 2."""
    edges, counts = np.array([-1, 0.5, 2], np.float32), np.array([20, 30, 30, 20], np.uint64)
    return Reference(tuple(FeatureReference("x", name, 100, 0.5, 2.0, edges, counts) for name in NAMES))


@pytest.fixture(scope="session")
def linear_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare .onnx: (N, 3) "x" to (N, 2) "y"."""
    return save_linear(tmp_path_factory.mktemp("linear") / "linear.onnx")


@pytest.fixture(scope="session")
def linear_bundle(linear_model: Path, linear_policy: Policy, linear_reference: Reference) -> Path:
    """linear_model under linear_policy with linear_reference, as one zip."""
    golden = {"x": np.array([[1, 2, 3], [-1, 0, 1]], np.float32)}
    return write_bundle(linear_model.with_suffix(".erai"), linear_model, linear_policy, golden, linear_reference)


@pytest.fixture(scope="session")
def watched_bundle(
    tmp_path_factory: pytest.TempPathFactory, linear_model: Path, linear_policy: Policy, linear_reference: Reference
) -> Path:
    """The same, watched for drift."""
    path, golden = tmp_path_factory.mktemp("watched") / "watched.erai", {"x": np.zeros((1, 3), np.float32)}
    return write_bundle(path, linear_model, replace(linear_policy, drift=Drift(1e5)), golden, linear_reference)


@pytest.fixture
def batch_spool(linear_bundle: Path, tmp_path: Path) -> Path:
    """A spool with three batches of one session; the second also counts a NaN and a value out of range."""
    rows = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)
    bad = rows.copy()
    bad[1, 2], bad[3, 0] = np.nan, 11
    with load(linear_bundle, spool=tmp_path / "spool") as session:
        for batch in (rows, bad, rows[:3]):
            session.predict(batch)
            session.flush()
    return tmp_path / "spool"
