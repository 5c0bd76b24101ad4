"""Model to model: each pass says what it requires and what it ensures, and is held to it (contract.py)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

# By the name that recipes call them: the module with the function of that name that makes the pass. They are imported
# when used: each takes its share of the runtimes' tools with it.
_MODULES = {
    "lower": "passes.lower",
    "prune": "passes.prune",
    "static_int8": "passes.quantize",
    "mixed_int8": "passes.quantize",
    "dynamic_int8": "passes.quantize",
    "float16": "passes.quantize",
    "int4_weights": "passes.quantize",
    "tflite_int8": "targets.tflite.quantize",
    "tflite_int16": "targets.tflite.quantize",
    "tflite_dynamic_int8": "targets.tflite.quantize",
    "tflite_float16": "targets.tflite.quantize",
}
NAMES = tuple(_MODULES)
# Those that work on a TFLite file.
REWRITES = frozenset(name for name, module in _MODULES.items() if module.startswith("targets.tflite"))


def make(name: str, written: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Any:
    """A pass with its parameters; of a name in REWRITES, a rewrite.

    Args:
        name: One of NAMES.
        written: What the recipe sets.
        defaults: What holds where the recipe is silent; what the pass has no parameter for is left out.

    Raises:
        ValueError: There is no such pass, or it has no such parameter, or cannot take its value.
    """
    if name not in _MODULES:
        raise ValueError(f"there is no pass {name!r}; there are {', '.join(NAMES)}")
    factory = getattr(import_module(f"edge_rai_converters.{_MODULES[name]}"), name)
    known = inspect.signature(factory).parameters
    unknown = [key for key in written if key not in known]
    if unknown:
        raise ValueError(f"pass {name!r} has no parameter {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    parameters = {key: value for key, value in (defaults or {}).items() if key in known}
    try:
        return factory(**{**parameters, **written})
    except (TypeError, ValueError) as error:
        raise ValueError(f"pass {name!r}: {error}") from error
