"""Outputs that are maps become matrices, before anything else looks at the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rai_converters.data import Rows
from edge_rai_converters.passes.contract import Material, NotApplicableError, apply
from edge_rai_converters.passes.zipmap import classes_of_maps, without_zipmap
from edge_rai_converters.runner import Runner
from edge_rai_converters.sources import SourceModel
from edge_rai_converters.sources.onnx import checked

# By output, the class of each column, which was the key in every map.
Columns = Mapping[str, tuple[int | str, ...]]
# In the manifest's provenance.
PREPARATION = "zipmap_removed"


def without_maps(original: SourceModel) -> tuple[SourceModel, Columns]:
    """The model with a matrix for each output that was a list of maps, under its name; and what the columns are.

    A model without such an output, or with one that is used within it, comes back as it is.

    Args:
        original: Not modified; the digest stays that of what was read.

    Raises:
        BundleError: The result is not valid.
        UnsupportedModelError: It uses something that is not supported.
    """
    nothing_to_run = Material(lambda: iter(()), rows=0, batched=True)
    try:
        proto = apply([without_zipmap()], original.proto, nothing_to_run)
    except NotApplicableError:
        return original, {}
    data = proto.SerializeToString(deterministic=True)
    source = checked(original.path, data, proto, original.sha256, original.kind)
    return source, classes_of_maps(original.proto)


class MapsRunner(Runner):
    """The model as it came, whose maps are read column by column: what a form without them is held against.

    Args:
        model: Its bytes.
        where: What messages call it.
        columns: Of the outputs that are lists of maps.
    """

    def __init__(self, model: bytes, where: str, columns: Columns) -> None:
        super().__init__(model, where)
        self._columns = columns

    def call(self, feed: Rows) -> dict[str, Any]:
        """One inference; an array an output also for what is a list of maps."""
        found = super().call(feed)
        for name, keys in self._columns.items():
            found[name] = np.array([[row[key] for key in keys] for row in found[name]], np.float32)
        return found
