"""Guard programs: reading them, and composing them from rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_rai import errors
from edge_rai._ffi import ffi, lib
from edge_rai._native.library import DTYPE_CODES, DTYPES, Detail, array, sha256, text
from edge_rai.types import Feature, TensorSpec

if TYPE_CHECKING:
    import numpy.typing as npt

_KINDS = ("double[]", "double[]", "float[]", "float[]")
_CHECK = "ERAI_CHECK_"
_CHECKS = {name[len(_CHECK) :].lower(): getattr(lib, name) for name in dir(lib) if name.startswith(_CHECK)}


def _spec(rule: Any) -> TensorSpec:
    shape = tuple(None if rule.shape[i] < 0 else int(rule.shape[i]) for i in range(rule.rank))
    return TensorSpec(text(rule.name), DTYPES.get(rule.dtype, "object"), shape)


def _feature(rule: Any) -> Feature:
    return Feature(
        name=text(rule.name),
        low=float(rule.low),
        high=float(rule.high),
        mean=float(rule.mean),
        stddev=float(rule.stddev),
        unit=text(rule.unit) if rule.unit else "",
        reference_rows=int(rule.reference_rows),
        edges=array(rule.edges, max(rule.bins - 1, 0), np.float64),
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


def read_observed(guard: Any, features: Sequence[Feature]) -> tuple[tuple[str, ...], bool]:
    """Names of what is observed of each row, and whether outcomes are observed; the last of the features."""
    count = lib.erai_guard_observations(guard)
    rule = ffi.new("erai_observation_rule *")
    outcomes = False
    if count:
        lib.erai_guard_observation(guard, count - 1, rule)
        outcomes = rule.kind in (lib.ERAI_OBSERVE_WRONG, lib.ERAI_OBSERVE_ERROR)
    names = tuple(feature.name for feature in features[len(features) - count :])
    return names[: count - outcomes], outcomes


def read_seasonal(guard: Any, features: Sequence[Feature]) -> dict[str, str]:
    """By the name of a feature that is held against the hour of the day or of the week, what is observed of it."""
    of_input, rule = ffi.new("erai_input_rule *"), ffi.new("erai_observation_rule *")
    first = [0]
    for place in range(lib.erai_guard_inputs(guard)):
        lib.erai_guard_input(guard, place, of_input)
        first.append(first[-1] + of_input.feature_count)
    found = {}
    count = lib.erai_guard_observations(guard)
    for place, feature in enumerate(features[len(features) - count :]):
        lib.erai_guard_observation(guard, place, rule)
        if rule.kind == lib.ERAI_OBSERVE_SEASONAL:
            found[features[first[rule.index] + rule.element].name] = feature.name
    return found


class GuardProgram:
    """A guard program read from bytes that may come from anybody.

    Attributes:
        digest: SHA-256 of the bytes, hexadecimal.
        batched: Whether axis 0 counts rows.
        inputs: The model's inputs.
        outputs: The model's outputs.
        features: Over all inputs, then what is observed, in the order of snapshots.

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


def _feature_rule(
    texts: tuple[str, str, str],
    limits: tuple[float, float],
    moments: tuple[float, float, int],
    bins: tuple[npt.NDArray[np.float64], npt.NDArray[np.uint64]],
) -> tuple[Any, tuple[Any, ...]]:
    """An erai_feature_rule, and what has to be held as long as it is used: a field of a struct keeps nothing alive."""
    edges, counts = np.ascontiguousarray(bins[0], np.float64), np.ascontiguousarray(bins[1], np.uint64)
    if len(counts) and len(edges) != len(counts) - 1:
        raise errors.PolicyError(f"feature '{texts[0]}': {len(edges)} edges for {len(counts)} bins")
    names = [ffi.new("char[]", given.encode()) for given in texts]
    rule = ffi.new("erai_feature_rule *")
    rule.struct_size = ffi.sizeof("erai_feature_rule")
    rule.name, rule.unit, rule.stand_in = names
    rule.low, rule.high = limits
    rule.mean, rule.stddev, rule.reference_rows = moments
    edge_buffer, count_buffer = ffi.from_buffer("double[]", edges), ffi.from_buffer("uint64_t[]", counts)
    rule.edges, rule.counts, rule.bins = edge_buffer, count_buffer, len(counts)
    return rule, (names, edge_buffer, count_buffer)


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
        empty: bool,
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
        rule.flags = lib.ERAI_RULE_FINITE * finite | lib.ERAI_RULE_FLAG_RANGE * flag_range | lib.ERAI_RULE_EMPTY * empty
        rule.feature_axis = -1 if feature_axis is None else feature_axis
        rule.sketch_stride = sketch_stride
        detail = Detail()
        detail.check(lib.erai_policy_add_input(self._policy, rule, detail.buffer))

    def add_feature(
        self,
        *,
        name: str,
        unit: str,
        stand_in: str,
        low: float,
        high: float,
        mean: float,
        stddev: float,
        reference_rows: int,
        edges: npt.NDArray[np.float64],
        counts: npt.NDArray[np.uint64],
    ) -> None:
        """Adds a feature of the input added last; empty edges and counts: no reference."""
        rule, held = _feature_rule((name, unit, stand_in), (low, high), (mean, stddev, reference_rows), (edges, counts))
        detail = Detail()
        detail.check(lib.erai_policy_add_feature(self._policy, rule, detail.buffer))
        del held

    def add_observation(
        self,
        *,
        kind: int,
        index: int,
        element: int,
        limit: float,
        bound: float,
        name: str,
        mean: float,
        stddev: float,
        reference_rows: int,
        edges: npt.NDArray[np.float64],
        counts: npt.NDArray[np.uint64],
        slot_means: Sequence[float] = (),
        slot_scales: Sequence[float] = (),
    ) -> None:
        """Adds an observation, after all inputs; see erai_observation_rule in edge_rai.h."""
        if len(slot_means) != len(slot_scales):
            raise errors.PolicyError(
                f"observation '{name}': {len(slot_means)} means of slots, {len(slot_scales)} scales"
            )
        observed = ffi.new("erai_observation_rule *")
        observed.struct_size = ffi.sizeof("erai_observation_rule")
        observed.kind, observed.index, observed.element = kind, index, element
        observed.limit, observed.bound = limit, bound
        means, scales = ffi.new("double[]", list(slot_means)), ffi.new("double[]", list(slot_scales))
        observed.slots, observed.slot_means, observed.slot_scales = len(slot_means), means, scales
        rule, held = _feature_rule(
            (name, "", ""), (-math.inf, math.inf), (mean, stddev, reference_rows), (edges, counts)
        )
        detail = Detail()
        detail.check(lib.erai_policy_add_observation(self._policy, observed, rule, detail.buffer))
        del held

    def add_output(
        self,
        *,
        name: str,
        dtype: str,
        shape: Sequence[int | None],
        finite: bool,
        default: Sequence[float] | None,
        logits: bool = False,
    ) -> None:
        """Adds an output whose rank and fixed extents are enforced; default: one value, or one a row's element."""
        label = ffi.new("char[]", name.encode())
        dims = ffi.new("int64_t[]", [-1 if extent is None else extent for extent in shape])
        row = ffi.new("double[]", list(default or ()))
        rule = ffi.new("erai_output_rule *")
        rule.struct_size = ffi.sizeof("erai_output_rule")
        rule.name, rule.shape, rule.rank = label, dims, len(shape)
        rule.dtype = DTYPE_CODES.get(dtype, 0)
        rule.flags = lib.ERAI_RULE_FINITE * finite | lib.ERAI_RULE_LOGITS * logits
        rule.flags |= lib.ERAI_RULE_NO_TENSOR if dtype == "object" else lib.ERAI_RULE_SHAPE
        if default is not None:
            rule.flags |= lib.ERAI_RULE_HAS_DEFAULT
            rule.default_row, rule.default_size = row, len(row)
        detail = Detail()
        detail.check(lib.erai_policy_add_output(self._policy, rule, detail.buffer))

    def add_check(
        self,
        kind: str,
        *,
        verdict: int,
        low: float = -math.inf,
        high: float = math.inf,
        limit: float = 0.0,
        window: int = 0,
        values: Sequence[float] = (),
        texts: Sequence[str] = (),
    ) -> None:
        """Adds a check of the feature or output added last; see erai_check_kind in edge_rai.h for what each means."""
        rule = ffi.new("erai_check_rule *")
        rule.struct_size = ffi.sizeof("erai_check_rule")
        rule.kind, rule.verdict = _CHECKS[kind], verdict
        rule.low, rule.high, rule.limit, rule.window = low, high, limit, window
        numbers = ffi.new("double[]", list(values))
        strings = [ffi.new("char[]", given.encode()) for given in texts]
        pointers = ffi.new("char *[]", strings)
        rule.values, rule.texts, rule.count = numbers, pointers, len(values) or len(texts)
        detail = Detail()
        detail.check(lib.erai_policy_add_check(self._policy, rule, detail.buffer))

    def set_distance(
        self,
        *,
        mean: npt.NDArray[np.float64],
        scale: npt.NDArray[np.float64],
        projection: npt.NDArray[np.float32],
        weights: npt.NDArray[np.float32],
        rest: float,
        threshold: float,
        false_rejection_rate: float,
        verdict: int,
    ) -> None:
        """Gives the input added last, after its features, a distance; see erai_distance_rule in edge_rai.h.

        Args:
            mean: (features,)
            scale: (features,)
            projection: (directions, features)
            weights: (directions,)
            rest: Weight of the squared length.
            threshold: Of the squared distance.
            false_rejection_rate: As measured on rows like the reference.
            verdict: When the distance is above it.
        """
        arrays = [np.ascontiguousarray(given, np.float64) for given in (mean, scale)]
        arrays += [np.ascontiguousarray(given, np.float32) for given in (projection, weights)]
        if projection.shape != (len(weights), len(mean)) or mean.shape != scale.shape:
            raise errors.PolicyError(f"distance: a projection of shape {projection.shape} for {len(mean)} features")
        rule = ffi.new("erai_distance_rule *")
        rule.struct_size = ffi.sizeof("erai_distance_rule")
        held = [ffi.from_buffer(kind, given) for kind, given in zip(_KINDS, arrays, strict=True)]
        rule.mean, rule.scale, rule.projection, rule.weights = held
        rule.directions, rule.verdict, rule.rest = len(weights), verdict, rest
        rule.threshold, rule.false_rejection_rate = threshold, false_rejection_rate
        detail = Detail()
        detail.check(lib.erai_policy_set_distance(self._policy, rule, detail.buffer))

    def set_drift(
        self, *, average_run_length: float, effect: float, verdict: int, strides: Sequence[int], outside: Sequence[int]
    ) -> None:
        """Watches features for drift, one entry each over all inputs; see erai_drift_rule in edge_rai.h."""
        values = ffi.new("uint32_t[]", list(strides))
        counts = ffi.new("uint64_t[]", list(outside))
        rule = ffi.new("erai_drift_rule *")
        rule.struct_size = ffi.sizeof("erai_drift_rule")
        rule.average_run_length, rule.effect, rule.verdict = average_run_length, effect, verdict
        rule.strides, rule.outside, rule.features = values, counts, len(values)
        detail = Detail()
        detail.check(lib.erai_policy_set_drift(self._policy, rule, detail.buffer))

    def set_events(self, *, keep: int, sample_one_in: int, forms: Sequence[int]) -> None:
        """Keeps decisions, with these forms of the features, one each over all inputs; see erai_events_rule."""
        values = ffi.new("uint8_t[]", list(forms))
        rule = ffi.new("erai_events_rule *")
        rule.struct_size = ffi.sizeof("erai_events_rule")
        rule.keep, rule.sample_one_in, rule.forms, rule.features = keep, sample_one_in, values, len(values)
        detail = Detail()
        detail.check(lib.erai_policy_set_events(self._policy, rule, detail.buffer))

    def add_fallback(self, *, reasons: Sequence[int], chain: Sequence[int]) -> None:
        """Adds a fallback rule: reason codes (none: any) and sources in their order."""
        steps = ffi.new("uint32_t[]", list(chain))
        rule = ffi.new("erai_fallback_rule *")
        rule.struct_size = ffi.sizeof("erai_fallback_rule")
        rule.reasons = sum(1 << code for code in set(reasons)) if reasons else 2**64 - 1
        rule.chain, rule.steps = steps, len(chain)
        detail = Detail()
        detail.check(lib.erai_policy_add_fallback(self._policy, rule, detail.buffer))

    def set_decision(self, *, provider: str, flags: Sequence[str], **numbers: float) -> None:
        """Sets when the model is asked: fields of erai_decision_rule in edge_rai.h, flags without ERAI_DECISION_."""
        name = ffi.new("char[]", provider.encode()) if provider else ffi.NULL
        rule = ffi.new("erai_decision_rule *")
        rule.struct_size = ffi.sizeof("erai_decision_rule")
        rule.provider = name
        for field, value in numbers.items():
            setattr(rule, field, value)
        for flag in flags:
            rule.flags |= getattr(lib, f"ERAI_DECISION_{flag.upper()}")
        detail = Detail()
        detail.check(lib.erai_policy_set_decision(self._policy, rule, detail.buffer))

    def add_state(self, *, input: str, output: str, row_axis: int | None) -> None:  # noqa: A002
        """Adds a recurrent state; see erai_state_rule in edge_rai.h."""
        names = [ffi.new("char[]", given.encode()) for given in (input, output)]
        rule = ffi.new("erai_state_rule *")
        rule.struct_size = ffi.sizeof("erai_state_rule")
        rule.input, rule.output = names
        rule.row_axis = -1 if row_axis is None else row_axis
        detail = Detail()
        detail.check(lib.erai_policy_add_state(self._policy, rule, detail.buffer))

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
