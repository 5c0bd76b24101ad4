"""Model to model: each pass says what it requires and what it ensures, and is held to it (contract.py)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from edge_rai_converters.passes.contract import Pass

# By the name that recipes call them: a module of this package and the function in it that makes the pass. They are
# imported when used: each takes its share of ONNX Runtime's tools with it.
_FACTORIES = {
    "lower": ("lower", "lower"),
    "prune": ("prune", "prune"),
    "static_int8": ("quantize", "static_int8"),
    "mixed_int8": ("quantize", "mixed_int8"),
    "dynamic_int8": ("quantize", "dynamic_int8"),
    "float16": ("quantize", "float16"),
    "int4_weights": ("quantize", "int4_weights"),
}
NAMES = tuple(_FACTORIES)


def make(name: str, written: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Pass:
    """A pass with its parameters.

    Args:
        name: One of NAMES.
        written: What the recipe sets.
        defaults: What holds where the recipe is silent; what the pass has no parameter for is left out.

    Raises:
        ValueError: There is no such pass, or it has no such parameter, or cannot take its value.
    """
    if name not in _FACTORIES:
        raise ValueError(f"there is no pass {name!r}; there are {', '.join(NAMES)}")
    module, function = _FACTORIES[name]
    factory = getattr(import_module(f"{__name__}.{module}"), function)
    known = inspect.signature(factory).parameters
    unknown = [key for key in written if key not in known]
    if unknown:
        raise ValueError(f"pass {name!r} has no parameter {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    parameters = {key: value for key, value in (defaults or {}).items() if key in known}
    try:
        made: Pass = factory(**{**parameters, **written})
    except (TypeError, ValueError) as error:
        raise ValueError(f"pass {name!r}: {error}") from error
    return made
