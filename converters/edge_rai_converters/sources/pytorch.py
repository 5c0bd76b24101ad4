"""PyTorch's modules, through its own exporter (torch.export, the one called dynamo)."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.sources.exported import (
    MOST_ROWS,
    OPSET,
    Array,
    Exported,
    Sample,
    exporting,
    imported,
    without_gaps,
)
from edge_rai_converters.words import first_line


def export(model: Any, sample: Sample | None, name: str) -> Exported:
    """The module in ONNX, as it answers in evaluation mode; axis 0 of every input is free.

    Args:
        model: A module; not modified.
        sample: An array an input, rows on axis 0. The names are the inputs' names; where they are those of forward's
            parameters they are given by name, else in their order.
        name: For messages.

    Raises:
        MissingExtraError: torch or onnxscript is not installed.
        UnsupportedModelError: torch cannot export it.
    """
    torch = imported("torch")
    imported("onnxscript")
    if not isinstance(model, torch.nn.Module):
        raise UnsupportedModelError(f"{name}: of PyTorch's objects only a torch.nn.Module is a model; give that")
    if not sample:
        raise UnsupportedModelError(f"{name}: the shapes of its inputs are not known; give a sample of its rows")
    with exporting(name, "torch.onnx"):
        module = copy.deepcopy(model).cpu().eval()
        known = without_gaps({key: np.asarray(array) for key, array in sample.items()}, name)
        rows = {key: _tensor(torch, array[:MOST_ROWS], module) for key, array in known.items()}
        names = [key for key in inspect.signature(module.forward).parameters if key in rows]
        by_name = len(names) == len(rows)
        names = names if by_name else list(rows)
        try:
            with torch.no_grad():
                answers = module(**rows) if by_name else module(*rows.values())
        except Exception as error:  # a module raises whatever it likes
            raise UnsupportedModelError(
                f"{name}: it fails on the first rows of the data: {first_line(error)}; give an array for each input, "
                "as it takes it"
            ) from error
        program = _exported(torch, module, {key: rows[key] for key in names}, by_name=by_name)
    feed = {key: tensor.numpy() for key, tensor in rows.items()}
    return Exported(program.model_proto, feed, [leaf.numpy() for leaf in torch.utils._pytree.tree_leaves(answers)])


def _exported(torch: Any, module: Any, rows: dict[str, Any], *, by_name: bool) -> Any:
    """What torch makes of the module; rows of each input, in the order of its arguments or by their names."""
    free = [{0: torch.export.Dim("rows")} for _ in rows]
    # Two of them, as the exporter takes a length of 1 for a constant.
    two = {key: array[torch.arange(2) % len(array)] for key, array in rows.items()}
    return torch.onnx.export(
        module,
        () if by_name else tuple(two.values()),
        kwargs=two if by_name else None,
        dynamo=True,
        dynamic_shapes=dict(zip(two, free, strict=True)) if by_name else tuple(free),
        input_names=list(two),
        opset_version=OPSET,
        verbose=False,
    )


def _tensor(torch: Any, array: Array, module: Any) -> Any:
    """Floats in the type of the module's weights."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if not tensor.is_floating_point():
        return tensor
    weights = (weight.dtype for weight in module.parameters() if weight.is_floating_point())
    return tensor.to(next(weights, torch.float32))
