"""Guard programs: reading them, and composing them from rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai import errors
from edge_rai._ffi import ffi, lib
from edge_rai._native.library import DTYPE_CODES, DTYPES, Detail, array, sha256, text
from edge_rai.types import Feature, TensorSpec


def _spec(rule: Any) -> TensorSpec:
    shape = tuple(None if rule.shape[i] < 0 else int(rule.shape[i]) for i in range(rule.rank))
    return TensorSpec(text(rule.name), DTYPES[rule.dtype], shape)


def _feature(rule: Any) -> Feature:
    return Feature(
        name=text(rule.name),
        low=float(rule.low),
        high=float(rule.high),
        mean=float(rule.mean),
        stddev=float(rule.stddev),
        reference_rows=int(rule.reference_rows),
        edges=array(rule.edges, max(rule.bins - 1, 0), np.float32),
        counts=array(rule.counts, rule.bins, np.uint64),
    )


def read_rules(guard: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...], tuple[Feature, ...]]:
    rule = ffi.new("erai_input_rule *")
    inputs = []
    for i in range(lib.erai_guard_inputs(guard)):
        lib.erai_guard_input(guard, i, rule)
        inputs.append(_spec(rule))
    rule = ffi.new("erai_output_rule *")
    outputs = []
    for i in range(lib.erai_guard_outputs(guard)):
        lib.erai_guard_output(guard, i, rule)
        outputs.append(_spec(rule))
    rule = ffi.new("erai_feature_rule *")
    features = []
    for i in range(lib.erai_guard_features(guard)):
        lib.erai_guard_feature(guard, i, rule)
        features.append(_feature(rule))
    return tuple(inputs), tuple(outputs), tuple(features)


class GuardProgram:
    """A guard program read from bytes that may come from anybody.

    Attributes:
        digest: SHA-256 of the bytes, hexadecimal.
        batched: Whether axis 0 counts rows.
        inputs: The model's inputs.
        outputs: The model's outputs.
        features: Over all inputs, in the order of snapshots.

    Raises:
        BundleError: The bytes are not a guard program that this build understands.
    """

    def __init__(self, data: bytes) -> None:
        detail = Detail()
        out = ffi.new("erai_guard **")
        detail.check(lib.erai_guard_open(ffi.from_buffer(data), len(data), out, detail.buffer))
        self.digest = sha256(data)
        self.batched = bool(lib.erai_guard_batched(out[0]))
        try:
            self.inputs, self.outputs, self.features = read_rules(out[0])
        finally:
            lib.erai_guard_close(out[0])


class PolicyBuilder:
    """Composes a guard program rule by rule. Inputs come each followed by their features; then the outputs.

    Raises:
        PolicyError: From any method, when a rule is not valid; names the rule, the value and what is allowed.
    """

    def __init__(self, *, batched: bool) -> None:
        out = ffi.new("erai_policy **")
        Detail().check(lib.erai_policy_open(batched, out))
        self._policy = ffi.gc(out[0], lib.erai_policy_close)

    def add_input(
        self,
        *,
        name: str,
        dtype: str,
        shape: Sequence[int | None],
        max_shape: Sequence[int],
        finite: bool,
        flag_range: bool,
        feature_axis: int | None,
        sketch_stride: int,
    ) -> None:
        """Adds an input; see erai_input_rule in edge_rai.h."""
        label = ffi.new("char[]", name.encode())
        dims = ffi.new("int64_t[]", [-1 if extent is None else extent for extent in shape])
        most = ffi.new("int64_t[]", list(max_shape))
        rule = ffi.new("erai_input_rule *")
        rule.struct_size = ffi.sizeof("erai_input_rule")
        rule.name, rule.shape, rule.max_shape, rule.rank = label, dims, most, len(shape)
        rule.dtype = DTYPE_CODES.get(dtype, 0)
        rule.flags = lib.ERAI_RULE_FINITE * finite | lib.ERAI_RULE_FLAG_RANGE * flag_range
        rule.feature_axis = -1 if feature_axis is None else feature_axis
        rule.sketch_stride = sketch_stride
        detail = Detail()
        detail.check(lib.erai_policy_add_input(self._policy, rule, detail.buffer))

    def add_feature(
        self,
        *,
        name: str,
        low: float,
        high: float,
        mean: float,
        stddev: float,
        reference_rows: int,
        edges: npt.NDArray[np.float32],
        counts: npt.NDArray[np.uint64],
    ) -> None:
        """Adds a feature of the input added last; empty edges and counts: no reference."""
        if len(counts) and len(edges) != len(counts) - 1:
            raise errors.PolicyError(f"feature '{name}': {len(edges)} edges for {len(counts)} bins")
        label = ffi.new("char[]", name.encode())
        edge_values = np.ascontiguousarray(edges, dtype=np.float32)
        count_values = np.ascontiguousarray(counts, dtype=np.uint64)
        rule = ffi.new("erai_feature_rule *")
        rule.struct_size = ffi.sizeof("erai_feature_rule")
        rule.name, rule.low, rule.high = label, low, high
        rule.mean, rule.stddev, rule.reference_rows = mean, stddev, reference_rows
        # The buffers must be held by name: a struct field does not keep them alive.
        edge_buffer = ffi.from_buffer("float[]", edge_values)
        count_buffer = ffi.from_buffer("uint64_t[]", count_values)
        rule.edges, rule.counts, rule.bins = edge_buffer, count_buffer, len(count_values)
        detail = Detail()
        detail.check(lib.erai_policy_add_feature(self._policy, rule, detail.buffer))

    def add_output(
        self,
        *,
        name: str,
        dtype: str,
        shape: Sequence[int | None],
        finite: bool,
        default: Sequence[float] | None,
    ) -> None:
        """Adds an output whose rank and fixed extents are enforced; default: one value, or one a row's element."""
        label = ffi.new("char[]", name.encode())
        dims = ffi.new("int64_t[]", [-1 if extent is None else extent for extent in shape])
        row = ffi.new("double[]", list(default or ()))
        rule = ffi.new("erai_output_rule *")
        rule.struct_size = ffi.sizeof("erai_output_rule")
        rule.name, rule.shape, rule.rank = label, dims, len(shape)
        rule.dtype = DTYPE_CODES.get(dtype, 0)
        rule.flags = lib.ERAI_RULE_SHAPE | lib.ERAI_RULE_FINITE * finite
        if default is not None:
            rule.flags |= lib.ERAI_RULE_HAS_DEFAULT
            rule.default_row, rule.default_size = row, len(row)
        detail = Detail()
        detail.check(lib.erai_policy_add_output(self._policy, rule, detail.buffer))

    def write(self) -> bytes:
        """The guard program's bytes; the same rules give the same bytes."""
        detail = Detail()
        size = ffi.new("size_t *")
        status = lib.erai_policy_write(self._policy, ffi.NULL, 0, size, detail.buffer)
        if status != lib.ERAI_E_SIZE:
            detail.check(status)
        buffer = ffi.new("uint8_t[]", size[0])
        detail.check(lib.erai_policy_write(self._policy, buffer, size[0], size, detail.buffer))
        return bytes(ffi.buffer(buffer))
