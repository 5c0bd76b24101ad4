"""Recipes: which passes, in which order, make a candidate. They are data (recipes/*.toml); users may add theirs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from edge_rai.bundle import Quantization
from edge_rai_converters import passes
from edge_rai_converters.passes.contract import Pass

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Quantize = Literal["auto", "int8", "int8-dynamic", "fp16", "int4", "none"]
Prune = float | Literal["auto", "none"]

FLOAT = "float"
# What each wish for a quantization is satisfied by; the first of "auto" is the model as it came.
_WISHES: Mapping[str, tuple[Quantization, ...]] = {
    "auto": ("none", "static_int8_qdq"),
    "int8": ("static_int8_qdq",),
    "int8-dynamic": ("dynamic_int8",),
    "fp16": ("float16",),
    "int4": ("int4_weights",),
    "none": ("none",),
}
_KEYS = {"name": str, "summary": str, "order": int, "quantization": str, "prunes": bool, "steps": list}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a candidate is made.

    Attributes:
        name: Of the candidate too.
        summary: One phrase for people.
        order: The simpler of two has the lower one.
        quantization: What its result is, as the manifest says it.
        prunes: It takes channels away.
        steps: Names of passes, the parameters that the recipe sets, and whether they may have nothing to offer.
    """

    name: str
    summary: str
    order: int
    quantization: Quantization
    prunes: bool
    steps: tuple[tuple[str, Mapping[str, Any], bool], ...]

    def passes(self, defaults: Mapping[str, Any]) -> list[Pass]:
        """The steps, with the conversion's wishes where the recipe sets no parameter.

        Raises:
            ValueError: A step is no pass, or has other parameters; names the recipe.
        """
        try:
            return [
                replace(passes.make(name, written, defaults), optional=optional)
                for name, written, optional in self.steps
            ]
        except ValueError as error:
            raise ValueError(f"recipe {self.name!r}: {error}") from error


def built_in() -> list[Recipe]:
    """The recipes that come with the package, the simplest first."""
    entries = [entry for entry in (files(__package__) / "recipes").iterdir() if entry.name.endswith(".toml")]
    found = [_parsed(entry.read_text("utf-8"), entry.name) for entry in entries]
    return sorted(found, key=lambda recipe: recipe.order)


def read(path: str | Path) -> Recipe:
    """Reads a user's recipe.

    Raises:
        ValueError: It is no recipe; names the file and what is wrong.
        OSError: It cannot be read.
    """
    try:
        text = Path(path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text in UTF-8") from error
    return _parsed(text, str(path))


def chosen(recipes: Sequence[Recipe], prune: Prune, quantize: Quantize) -> list[Recipe]:
    """The recipes of candidates that may be chosen when this is asked for.

    Raises:
        ValueError: The wishes are none that exist.
    """
    if quantize not in _WISHES:
        raise ValueError(f"quantize is {quantize!r}; expected one of {', '.join(_WISHES)}")
    prunes = {"auto": (False, True), "none": (False,)}.get(prune) if isinstance(prune, str) else (True,)
    if prunes is None or (not isinstance(prune, str) and not 0 < prune < 1):
        raise ValueError(f"prune is {prune!r}; expected 'auto', 'none' or the share of channels to remove, 0 to 1")
    return [r for r in recipes if r.quantization in _WISHES[quantize] and r.prunes in prunes]


def _parsed(text: str, where: str) -> Recipe:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: not TOML: {error}") from error
    document.setdefault("steps", [])
    for key, kind in _KEYS.items():
        if type(document.get(key)) is not kind:
            raise ValueError(f"{where}: {key} must be given, as {kind.__name__}")
    unknown = document.keys() - _KEYS
    if unknown:
        raise ValueError(f"{where}: there is no key {min(unknown)!r}; there are {', '.join(_KEYS)}")
    if document["quantization"] not in get_args(Quantization):
        raise ValueError(f"{where}: quantization must be one of {', '.join(get_args(Quantization))}")
    steps = []
    for step in document.pop("steps"):
        if not isinstance(step, dict) or step.get("pass") not in passes.NAMES:
            raise ValueError(f"{where}: each of steps must have a pass, one of {', '.join(passes.NAMES)}")
        parameters = {key: value for key, value in step.items() if key not in ("pass", "optional")}
        steps.append((step["pass"], parameters, step.get("optional", False) is True))
    return Recipe(**document, steps=tuple(steps))
