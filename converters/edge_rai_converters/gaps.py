"""Missing values as a policy has them: where they may be, and what the model sees in their place."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import numpy as np
import numpy.typing as npt

from edge_rai.policy import InputRule, Policy
from edge_rai_converters import data, formats
from edge_rai_converters.data import Array, ChangedRows, Rows


def may_be_nan(policy: Policy, moved: Collection[str] = ()) -> dict[str, npt.NDArray[np.bool_]]:
    """By input, the features whose missing value is NaN; broadcasts to one call of the model as data are for it.

    Args:
        policy: Says what is missing.
        moved: Inputs whose channels are last for the device and first in the data.
    """
    masks = {}
    for rule in policy.inputs:
        mask = np.array([f.missing is not None and f.missing.value is None for f in rule.features])
        mask = mask.reshape([-1 if place == rule.feature_axis else 1 for place in range(len(rule.shape))])
        masks[rule.name] = formats.channels_first(mask) if rule.name in moved else mask
    return masks


def as_shown(policy: Policy | None, rows: Rows) -> Rows:
    """What the model sees: missing values have become what the policy says.

    Args:
        policy: Of the guard; None: the rows stay as they are.
        rows: By input (N, *call).
    """
    shown = dict(rows)
    for rule in policy.inputs if policy else ():
        if any(feature.missing is not None and feature.missing.becomes is not None for feature in rule.features):
            array = rows[rule.name]
            shown[rule.name] = ChangedRows(array, partial(_replaced, rule), array.shape, array.dtype)
    return shown


def _replaced(rule: InputRule, part: Array) -> Array:
    """Some rows with what the policy puts in the place of missing values."""
    seen = np.array(part)
    for place, feature in enumerate(rule.features):
        missing = feature.missing
        if missing is not None and missing.becomes is not None:
            values = seen if rule.feature_axis is None else np.moveaxis(seen, rule.feature_axis + 1, 0)[place]
            values[data.is_missing(feature, values)] = missing.becomes
    return seen
