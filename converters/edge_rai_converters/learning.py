"""What is learned from a model and reference data: policy, reference, distances, and the float model's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_rai.errors import InferenceError, PolicyError, UnsupportedModelError
from edge_rai.policy import FallbackRule, FeatureReference, Policy, Reference, StateRule, load_policy
from edge_rai.types import TensorSpec
from edge_rai_converters import data, distance, formats, sources
from edge_rai_converters.answered import Answered, answered
from edge_rai_converters.compare import Output
from edge_rai_converters.data import Array, Dataset, Known, Rows
from edge_rai_converters.data.labels import model_classes, model_numbers
from edge_rai_converters.data.named import counted
from edge_rai_converters.data.times import Times, read_times
from edge_rai_converters.distance import DistanceReport, LearnedDistance, learn_distances, relearn_distances
from edge_rai_converters.errors import DataError
from edge_rai_converters.gaps import as_shown, may_be_nan
from edge_rai_converters.given import DATA, MODEL, check_there
from edge_rai_converters.maps import PREPARATION, Columns, MapsRunner, without_maps
from edge_rai_converters.missing_values import check_known, check_written, may_be_missing
from edge_rai_converters.observed import with_usual
from edge_rai_converters.profile import Traits, check_columns, check_policy, learn_policy, paired, written_names
from edge_rai_converters.progress import Progress, silent
from edge_rai_converters.reference import learn_features
from edge_rai_converters.runner import Runner, is_batched
from edge_rai_converters.sample import fitted_with, sample_of
from edge_rai_converters.seasons import Season, Shown, find_seasons, with_seasons, written_seasons
from edge_rai_converters.shares import check_shares
from edge_rai_converters.sources import SourceModel
from edge_rai_converters.sources.onnx import with_free_rows
from edge_rai_converters.states import find_states, zeros
from edge_rai_converters.strides import find_strides, watched
from edge_rai_converters.wishes import Wishes

DEFAULT_RATE = 0.01


@dataclass(frozen=True, eq=False, slots=True)
class Learned:
    """A model with its data and what was learned from both.

    Attributes:
        source: The model; where it had maps for outputs, as it is with matrices in their place.
        dataset: The data as a device would be given it.
        shown: The same as the model sees it: missing values are what the policy makes of them.
        runner: Of the model.
        policy: Learned or written.
        reference: Of drift and distances.
        calibration: Indices of the rows learned from.
        held_back: Indices of the others.
        answers: Of the model, as it came, to the latter; outputs of numbers only.
        distances: One an input that has one.
        without_distance: By input, why it has none.
        columns: Of the outputs that were maps.
        times: (rows,) seconds since 1970; None: nobody said when rows came.
    """

    source: SourceModel
    dataset: Dataset
    shown: Rows
    runner: Runner
    policy: Policy
    reference: Reference
    calibration: npt.NDArray[np.int64]
    held_back: npt.NDArray[np.int64]
    answers: Answered
    distances: tuple[DistanceReport, ...]
    without_distance: Mapping[str, str]
    columns: Columns
    times: Times | None

    @property
    def unrecorded(self) -> tuple[str, ...]:
        """Outputs that are no tensors of numbers: they are not compared and have no golden vectors."""
        return tuple(spec.name for spec in self.source.outputs if spec.name not in self.answers.outputs)


def learn(model: object, data_path: str | Path, wishes: Wishes | None = None, progress: Progress = silent) -> Learned:
    """Reads a model and its data, and learns policy and reference from the rows that calibrate.

    Args:
        model: A file or an object, see ``sources.read``; it is not modified.
        data_path: See ``data.load``; no array for a recurrent state.
        wishes: What else is asked for.
        progress: Told what happens next.

    Raises:
        BundleError: The model is not valid.
        UnsupportedModelError: It uses something that is not supported.
        PolicyError: The given policy is not valid or not for this model.
        ValueError: The data does not fit the model.
        MissingFileError: A file is not there.
        OSError: A file cannot be read.
    """
    wishes = wishes or Wishes()
    _check_there(model, data_path, wishes)
    progress(f"reading {model if isinstance(model, str | Path) else type(model).__name__}")
    given = _given(model, data_path, wishes)
    runner = _opened(given.source)
    reading = f"reading {data_path}"
    progress(reading)
    dataset = _load(data_path, given, wishes, lambda share: progress(reading, share))
    try:
        if given.written is None:
            check_known(data_path, given.source, dataset)
        return _learned(given, runner, data_path, dataset, wishes, progress)
    except InferenceError as error:
        raise DataError(f"{data_path}: the model fails on these rows, so give some that it takes: {error}") from error


def _opened(source: SourceModel) -> Runner:
    try:
        return Runner(source.data, str(source.path))
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{error}; no device could run it either: mend the model") from error


@dataclass(frozen=True, eq=False, slots=True)
class _Given:
    """What was given beside data, and what the model is in the bundle.

    Attributes:
        original: The model as it came.
        source: With matrices in the place of maps, and images in the layout that was asked for.
        columns: Of the outputs that were maps.
        moved: Inputs whose channels were put last.
        written: The policy.
        states: Of the model.
        one_by_one: It takes one row, and the rows of a call are run one after another.
    """

    original: SourceModel
    source: SourceModel
    columns: Columns
    moved: tuple[str, ...]
    written: Policy | None
    states: tuple[StateRule, ...]
    one_by_one: bool


def _given(model: object, data_path: str | Path, wishes: Wishes) -> _Given:
    original = sources.read(model, sample=sample_of(model, data_path, wishes.labels, wishes.columns, wishes.times))
    source, columns = without_maps(original)
    formats.check(source, wishes.targets)
    written = None if wishes.policy is None else load_policy(wishes.policy)
    states = written.states if written else find_states(source, wishes.states)
    moved: tuple[str, ...] = ()
    if wishes.layout == "nhwc":
        source, moved = formats.with_channels_last(source, [state.input for state in states])
    if written is not None:
        check_policy(written, source.inputs, source.outputs)
        check_written(written, source)
        _check_fallback(written, wishes.fallback_model)
        _check_times(written, wishes.times)
        for names in (wishes.columns or (), original.features):  # the model's order is the last word
            written = paired(written, names, [state.input for state in states])
    # Rows of one call have no order, so a model with states takes one a call; and so does one whose policy says it.
    free = source if states or (written is not None and not written.batched) else with_free_rows(source)
    return _Given(original, free, columns, moved, written, states, one_by_one=free is not source)


def _learned(
    given: _Given, runner: Runner, data_path: str | Path, dataset: Dataset, wishes: Wishes, progress: Progress
) -> Learned:
    """What the float model answers to the held-back rows, and the rules of the others."""
    shown = as_shown(given.written, dataset.rows)
    calibration, held_back = dataset.split()
    by_row = given.one_by_one or is_batched(given.source, runner, replace(dataset, rows=shown))
    batched = _batched(given.written, by_row)
    progress(f"running the float model on {len(held_back)} held-back rows")
    answers = answered(_reference(given, runner), shown, held_back, batched=batched)
    outputs = answers.outputs  # which runs the model
    progress(f"learning limits and reference from {len(calibration)} rows")
    rules, found = _rules(given, dataset, calibration, outputs, batched, wishes)
    rules, reports, without = _apply(rules, found, dataset.rows, held_back)
    features = learn_features(rules, dataset.rows, calibration)
    if wishes.average_run_length is not None:
        progress("finding how far apart rows know nothing of each other")
    times = None if wishes.times is None else read_times(wishes.times, data_path, len(dataset))
    rules, seasons = _in_time(rules, features, dataset, times, wishes)
    rules = rules if wishes.average_run_length is None else with_usual(rules, outputs)
    features = (*features, *(season.reference for season in seasons))
    distances = tuple(entry.reference for entry in found.values() if not isinstance(entry, str))
    return Learned(
        source=given.source,
        dataset=dataset,
        shown=shown,
        runner=runner,
        policy=rules,
        reference=Reference(features, distances),
        calibration=calibration,
        held_back=held_back,
        answers=answers,
        distances=reports,
        without_distance=without,
        columns=given.columns,
        times=times,
    )


def _in_time(
    rules: Policy, features: Sequence[FeatureReference], dataset: Dataset, times: Times | None, wishes: Wishes
) -> tuple[Policy, tuple[Season, ...]]:
    """The rules with what is watched, at which strides, and what of it follows the hours."""
    shown = None if times is None else Shown(dataset.rows, times, *dataset.split())
    if wishes.average_run_length is None:
        seasons = () if shown is None else written_seasons(rules, shown)
        return with_seasons(rules, seasons), seasons
    strides = find_strides(rules, features, dataset.rows)
    seasons = () if shown is None else find_seasons(rules, shown, strides)
    for season in seasons:
        strides |= {season.rule.of: 0, season.rule.name: season.stride}
    rules = replace(rules, observe=tuple(season.rule for season in seasons))
    return watched(rules, strides, wishes.average_run_length), seasons


def _reference(given: _Given, runner: Runner) -> Runner:
    """What every form is held against: the model as it came, where it takes the same rows."""
    if given.columns and not given.moved:
        return MapsRunner(given.original.data, str(given.source.path), given.columns)
    return runner


def _check_there(model: object, data_path: str | Path, wishes: Wishes) -> None:
    check_there(model, MODEL)
    check_there(data_path, DATA)
    check_there(wishes.policy, "a policy, as edge-rai profile writes it")
    check_there(wishes.fallback_model, "an .onnx model that answers rejected rows")


def _check_times(written: Policy, times: str | Path | Array | None) -> None:
    seasonal = [rule.name for rule in written.observe if rule.kind == "seasonal"]
    if seasonal and times is None:
        raise PolicyError(f"the policy observes {seasonal[0]!r}, and nothing says when rows came; give their times")
    if times is not None and not seasonal:
        raise PolicyError("the policy observes nothing seasonal, so nobody would ask for times; leave them out")


def _batched(written: Policy | None, batched: bool) -> bool:
    if written is not None and written.batched and not batched:
        states = "; a model with states whose rows are on another axis than the first is converted with batched = false"
        raise PolicyError(
            "the policy says batched = true, but the model does not answer one row for each input row"
            + states * bool(written.states)
        )
    return batched if written is None else written.batched


def _rules(
    given: _Given,
    dataset: Dataset,
    calibration: npt.NDArray[np.int64],
    outputs: Mapping[str, Output],
    batched: bool,
    wishes: Wishes,
) -> tuple[Policy, Mapping[str, LearnedDistance | str]]:
    """Written or learned, and by input its distance or why it has none."""
    rate = DEFAULT_RATE if wishes.rate is None else wishes.rate
    if given.written is not None:
        check_shares(given.written, outputs)
        return given.written, relearn_distances(given.written, dataset.rows, calibration, rate)
    source, traits = given.source, _traits(given, dataset, outputs, batched, wishes)
    rules = learn_policy(source.inputs, source.outputs, dataset.rows, traits, calibration)
    return rules, learn_distances(rules, dataset.rows, calibration, wishes.distance or "auto", rate)


def _traits(given: _Given, dataset: Dataset, outputs: Mapping[str, Output], batched: bool, wishes: Wishes) -> Traits:
    unbounded = frozenset(name for name, output in outputs.items() if not output.finite)
    defaults = any(spec.dtype.startswith(("float", "int")) for spec in given.source.outputs)
    chain = FallbackRule(("model", "default") if defaults else ("model",))
    chains = () if wishes.fallback_model is None else (chain,)
    return Traits(batched, dataset.feature_names, unbounded, given.states, chains)


def _load(path: str | Path, given: _Given, wishes: Wishes, progress: Callable[[float], None]) -> Dataset:
    """The data, read in the layout of the model as it came, with the channels of what is moved behind it."""
    source, carried = given.original, {state.input for state in given.states}
    inputs = [spec for spec in source.inputs if spec.name not in carried]
    if not inputs:
        why = "every input of the model is a state, so that" if carried else "the model has no input, and"
        raise DataError(f"{path}: {why} no row of the data reaches it; give a model that takes rows")
    named = str(wishes.times) if isinstance(wishes.times, str | Path) else None
    dataset = data.load(
        path,
        inputs,
        wishes.labels,
        missing=may_be_missing(source, inputs) if given.written is None else may_be_nan(given.written, given.moved),
        images=wishes.images,
        feature_names=wishes.columns,
        classes=model_classes(source.proto.graph) or model_numbers(source.proto.graph),
        as_truths=wishes.as_truths,
        known=_known(given, inputs),
        without=() if named is None else (named,),
        progress=progress,
    )
    if dataset.feature_names is not None:
        check_columns(path, dataset.feature_names, source.features, given.written, inputs[0].name)
    known = {**dataset.rows, **zeros(source.inputs, given.states, given.written, len(dataset))}
    rows = formats.rows_with_channels_last({spec.name: known[spec.name] for spec in source.inputs}, given.moved)
    preparation = dict(dataset.preparation)
    if given.moved:
        preparation["layout"] = "NHWC"
    if given.columns:
        preparation[PREPARATION] = {name: list(keys) for name, keys in given.columns.items()}
    not_taken = tuple(name for name in dataset.not_taken if name != named)
    return replace(dataset, rows=rows, preparation=preparation, not_taken=not_taken)


def _known(given: _Given, inputs: Sequence[TensorSpec]) -> Known | None:
    """Who names the columns of a single input: the model, and else the policy."""
    fitted = fitted_with(given.original.features)
    if given.written is None or len(inputs) > 1 or (fitted is not None and not counted(fitted.names)):
        return fitted
    names = next(written_names(rule) for rule in given.written.inputs if rule.name == inputs[0].name)
    return Known(names, "the policy names") if names else fitted


def _check_fallback(written: Policy, fallback_model: str | Path | None) -> None:
    asks = any("model" in rule.chain for rule in written.fallback)
    if asks and fallback_model is None:
        raise PolicyError('the policy\'s fallback chain has "model", but there is no fallback model; give one')
    if fallback_model is not None and not asks:
        raise PolicyError(f'no fallback chain of the policy has "model", so nobody would ask {fallback_model}')


def _apply(
    rules: Policy, found: Mapping[str, LearnedDistance | str], rows: Rows, held_back: npt.NDArray[np.int64]
) -> tuple[Policy, tuple[DistanceReport, ...], dict[str, str]]:
    """The rules with their distances; a written one keeps its threshold, and states the rate that was found of it."""
    inputs, reports, without = [], [], {}
    for given in rules.inputs:
        rule = given
        learned = found.get(rule.name)
        if isinstance(learned, str):
            without[rule.name] = learned
        elif learned is not None:
            chosen = rule.distance or learned.rule
            reports.append(distance.report(rule, chosen, learned, rows[rule.name], held_back))
            rate = reports[-1].false_rejection_rate
            rule = replace(rule, distance=replace(chosen, false_rejection_rate=rate))
        inputs.append(rule)
    return replace(rules, inputs=tuple(inputs)), tuple(reports), without
