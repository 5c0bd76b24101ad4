"""Missing values that a model itself knows what to do with: they are no fault of the data then.

Whether it does is looked at while it runs rows with some. NaN may end in operators that are there for that: an imputer,
IsNaN and what chooses by it, trees that were taught where a missing value goes. An arg-max, a comparison or a tree that
was never taught makes an answer of NaN too, but by accident. Of an object the library is asked first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from edge_rai.errors import PolicyError
from edge_rai.policy import Policy
from edge_rai.types import TensorSpec
from edge_rai_converters.data import Array, Dataset, all_chunks
from edge_rai_converters.errors import DataError
from edge_rai_converters.runner import Runner
from edge_rai_converters.sources import SourceModel
from edge_rai_converters.sources.trees import is_trees

_KNOWING = frozenset({"Imputer", "IsNaN"})
# Of several values these take some, and leave others: the missing one may be among the latter.
_CHOOSING = frozenset(
    {"ArrayFeatureExtractor", "Compress", "Gather", "GatherElements", "GatherND", "Shape", "Size", "Slice", "Split"}
    | {"Where"}
)
_TAUGHT = "nodes_missing_value_tracks_true"
_BOOSTED = ("xgboost", "lightgbm")
# Rows that are run one by one: for each feature, and of all.
_ROWS_A_FEATURE, _MOST_ROWS = 8, 512
_SHOWN = 8


def may_be_missing(source: SourceModel, inputs: Sequence[TensorSpec]) -> dict[str, npt.NDArray[np.bool_]]:
    """By input, a mask that lets every NaN pass, for models that may know missing values; else nothing.

    Args:
        source: The model.
        inputs: That data are for.
    """
    if source.keeps_gaps is None and not any(_knows(source, node) for node in source.proto.graph.node):
        return {}
    return {spec.name: np.ones((1,) * len(spec.shape), np.bool_) for spec in inputs if spec.dtype.startswith("float")}


def check_written(policy: Policy, source: SourceModel) -> None:
    """Refuses a policy that gives NaN to a model which lost in its export what it is to make of that.

    Raises:
        PolicyError: It does; names the first feature.
    """
    for rule in policy.inputs:
        for feature in rule.features:
            gap = feature.missing
            if gap is not None and gap.value is None and gap.becomes is None and source.keeps_gaps is False:
                raise PolicyError(
                    f"{source.path}: the policy lets the model see missing values of {feature.name!r}, and its export "
                    "to ONNX answers them otherwise than it does; say in the policy what they become"
                )


def check_known(path: str | Path, source: SourceModel, dataset: Dataset) -> None:
    """Holds a model to what it makes of the missing values in its data; where there are none it is not run.

    Args:
        path: Of the data, for messages.
        source: The model, in the layout of the data.
        dataset: Its rows.

    Raises:
        DataError: Some answer is NaN, or comes of NaN by accident; names the first row of which that is so.
    """
    rows = list(_rows_with_gaps(dataset))
    if not rows:
        return
    whole = onnx.ModelProto()
    whole.CopyFrom(source.proto)
    made = [name for node in whole.graph.node for name in node.output if name]
    del whole.graph.output[:]
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)  # ONNX Runtime infers their types
    runner = Runner(whole.SerializeToString(), str(path))
    for row in rows:
        given = {name: np.asarray(array[row]) for name, array in dataset.rows.items()}
        why = _accident(source, {**given, **runner.call(given)})
        if why:
            raise DataError(
                f"{path}: {_listed(dataset, given)} missing in {dataset.place(row)}, and {why}; remove or impute "
                "missing values, or say in a policy what becomes of them"
            )


def _rows_with_gaps(dataset: Dataset) -> Iterator[int]:
    """Indices of rows with NaN, some for each value of a row that is ever missing."""
    count = 0
    for array in dataset.rows.values():
        if array.dtype.kind != "f":
            continue
        seen = np.zeros(int(np.prod(array.shape[1:])), np.int64)
        for start, part in all_chunks(array):
            gaps = np.isnan(part.reshape(len(part), -1))
            for row in np.flatnonzero(gaps.any(axis=1)):
                if count < _MOST_ROWS and (seen[gaps[row]] < _ROWS_A_FEATURE).any():
                    seen += gaps[row]
                    count += 1
                    yield start + int(row)


def _accident(source: SourceModel, tensors: dict[str, Array]) -> str:
    """What of one call shows that the model does not know missing values, a phrase; "" where nothing does."""
    with_gaps = {
        name
        for name, values in tensors.items()
        if isinstance(values, np.ndarray) and values.dtype.kind == "f" and np.isnan(values).any()
    }
    graph = source.proto.graph
    if source.keeps_gaps is False:
        return "the model's export to ONNX answers that otherwise than the model itself"
    if with_gaps & {output.name for output in graph.output}:
        return "the model answers NaN to that"
    for node in () if source.keeps_gaps else graph.node:  # the library refuses what its model does not know
        ends = with_gaps.intersection(node.input) and not with_gaps.intersection(node.output)
        if ends and node.op_type not in _CHOOSING and not _knows(source, node):
            return (
                f"the model's operator {node.op_type} makes something of NaN without having been taught what it means"
            )
    return ""


def _knows(source: SourceModel, node: onnx.NodeProto) -> bool:
    if is_trees(node):
        taught = any(attribute.name == _TAUGHT and any(attribute.ints) for attribute in node.attribute)
        return taught or source.kind in _BOOSTED
    return node.op_type in _KNOWING


def _listed(dataset: Dataset, given: dict[str, Array]) -> str:
    """The values of a row that are missing, and the verb behind them."""
    names: list[str] = []
    for name, values in given.items():
        places = np.flatnonzero(np.isnan(values)) if values.dtype.kind == "f" else ()
        known = dataset.feature_names
        names += [known[place] if known else f"{name}[{place}]" if values.size > 1 else name for place in places]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more + (" is" if len(names) == 1 else " are")
