"""What exports from training libraries have in common: finding the library, keeping it quiet, equal bytes."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx.version_converter import convert_version

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.errors import DataError, MissingExtraError, missing
from edge_rai_converters.sources.onnx import MIN_OPSET, opset_of
from edge_rai_converters.words import first_line

Array = npt.NDArray[Any]
Sample = Mapping[str, Array]
# Of a sample that an export is held to.
MOST_ROWS = 64
# What exporters are asked for: known to every ONNX Runtime that a device may have.
OPSET = 18


@dataclass(frozen=True, eq=False, slots=True)
class Exported:
    """A model in ONNX, and what the library that it comes from answers.

    Attributes:
        proto: The model.
        feed: Arguments of one call, by input; None where there is no sample.
        answers: To that call, of the library itself: each is an output of the model.
    """

    proto: onnx.ModelProto
    feed: Sample | None = None
    answers: Sequence[Array] = ()


def imported(module: str) -> ModuleType:
    """A module of a package that an extra brings.

    Raises:
        MissingExtraError: It cannot be imported; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise missing(name, f"this model needs {name}, which cannot be imported ({first_line(error)})") from error


def rows_with_gaps(sample: Sample) -> npt.NDArray[np.bool_]:
    """(rows,) where a value is missing."""
    gaps = np.zeros(len(next(iter(sample.values()))), np.bool_)
    for array in sample.values():
        if array.dtype.kind == "f":
            gaps |= np.isnan(array.reshape(len(array), -1)).any(axis=1)
    return gaps


def without_gaps(sample: Sample, name: str) -> Sample:
    """The rows of a sample in which no value is missing, for models that do not know missing ones.

    Raises:
        DataError: There is none.
    """
    gaps = rows_with_gaps(sample)
    if gaps.all():
        raise DataError(f"{name}: values are missing in each of the first rows; impute them, or give rows without any")
    return {key: array[~gaps] for key, array in sample.items()} if gaps.any() else sample


@contextmanager
def exporting(name: str, library: str) -> Iterator[None]:
    """Keeps warnings, logs and prints of an exporter to itself, and makes one sentence of whatever it raises.

    Raises:
        UnsupportedModelError: The exporter failed; what is said of data passes.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), _without_output():
            warnings.simplefilter("ignore")
            yield
    except (DataError, MissingExtraError, UnsupportedModelError):
        raise
    except Exception as error:  # exporters raise whatever their parts raise
        raise UnsupportedModelError(
            f"{name}: {library} cannot export it to ONNX: {first_line(_root(error))}"
        ) from error
    finally:
        logging.disable(before)


@contextmanager
def _without_output() -> Iterator[None]:
    """Nothing reaches standard output, not even from C++, nor Python's stderr: torch prints whole graphs to both."""
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # it was closed before we began
        yield
        return
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            os.dup2(nowhere.fileno(), 1)
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _root(error: BaseException) -> BaseException:
    """What it came of: the last of torch's exceptions gives advice on how to report it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what differs from run to run or tells of the machine; with an opset that passes know.

    The argument is modified.
    """
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        versions[entry.domain] = max(entry.version, versions.get(entry.domain, 0))
    del model.opset_import[:]
    # Some exporters list them in the order of a set of strings.
    model.opset_import.extend(onnx.helper.make_opsetid(domain, versions[domain]) for domain in sorted(versions))
    model.doc_string = ""
    del model.metadata_props[:]
    _strip(model.graph)
    for function in model.functions:
        _strip(function)
    opset = opset_of(model)
    return model if opset is None or opset >= MIN_OPSET else convert_version(model, MIN_OPSET)


def _strip(part: onnx.GraphProto | onnx.FunctionProto) -> None:
    """Notes, which hold paths and lines of the user's program."""
    part.doc_string = ""
    del part.metadata_props[:]
    described: list[Any] = [*part.value_info, *part.node]
    if isinstance(part, onnx.GraphProto):
        described += [*part.input, *part.output, *part.initializer]
    for entry in described:
        entry.doc_string = ""
        del entry.metadata_props[:]
    for node in part.node:
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                _strip(graph)
