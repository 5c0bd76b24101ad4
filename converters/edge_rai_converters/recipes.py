"""Recipes: which passes, in which order, make a candidate. They are data (recipes/*.toml); users may add theirs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from edge_rai.bundle import Format, Quantization
from edge_rai_converters import passes
from edge_rai_converters.given import check_there
from edge_rai_converters.passes.contract import Pass, Rewrite

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Quantize = Literal["auto", "int8", "int8-dynamic", "fp16", "int4", "int16", "none"]
Prune = float | Literal["auto", "none"]

FLOAT = "float"
# The model as it came, in each format.
FLOATS: Mapping[Format, str] = {"onnx": FLOAT, "tflite": "tflite-float"}
# What each wish for a quantization is satisfied by; the first of "auto" is the model as it came.
_WISHES: Mapping[Format, Mapping[Quantize, tuple[Quantization, ...]]] = {
    "onnx": {
        "auto": ("none", "static_int8_qdq"),
        "int8": ("static_int8_qdq",),
        "int8-dynamic": ("dynamic_int8",),
        "fp16": ("float16",),
        "int4": ("int4_weights",),
        "none": ("none",),
    },
    "tflite": {
        "auto": ("none", "static_int8"),
        "int8": ("static_int8",),
        "int8-dynamic": ("dynamic_int8",),
        "fp16": ("float16",),
        "int16": ("static_int16",),
        "none": ("none",),
    },
}
_KEYS = {
    "name": str,
    "target": str,
    "summary": str,
    "order": int,
    "quantization": str,
    "prunes": bool,
    "steps": list,
}
_IN_WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "[[steps]]"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a candidate is made.

    Attributes:
        name: Of the candidate too.
        target: The format of its result.
        summary: One phrase for people.
        order: The simpler of two has the lower one.
        quantization: What its result is, as the manifest says it.
        prunes: It takes channels away.
        steps: Names of passes, the parameters that the recipe sets, and whether they may have nothing to offer. A model
            for TFLite is written behind its last pass; what comes then are rewrites of that file.
    """

    name: str
    target: Format
    summary: str
    order: int
    quantization: Quantization
    prunes: bool
    steps: tuple[tuple[str, Mapping[str, Any], bool], ...]

    def passes(self, defaults: Mapping[str, Any]) -> list[Pass]:
        """The steps on the ONNX model, with the conversion's wishes where the recipe sets no parameter.

        Raises:
            ValueError: A step is no pass, or has other parameters; names the recipe.
        """
        return self._made(defaults, [step for step in self.steps if step[0] not in passes.REWRITES])

    def rewrites(self, defaults: Mapping[str, Any]) -> list[Rewrite]:
        """The steps on the TFLite model; otherwise as ``passes``."""
        return self._made(defaults, [step for step in self.steps if step[0] in passes.REWRITES])

    def _made(self, defaults: Mapping[str, Any], steps: Sequence[tuple[str, Mapping[str, Any], bool]]) -> list[Any]:
        try:
            return [
                replace(passes.make(name, written, defaults), optional=optional) for name, written, optional in steps
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
        MissingFileError: It is not there.
        OSError: It cannot be read.
    """
    check_there(path, "a recipe in TOML")
    try:
        text = Path(path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text in UTF-8; save it as that") from error
    return _parsed(text, str(path))


def chosen(
    recipes: Sequence[Recipe], prune: Prune, quantize: Quantize, targets: Sequence[Format] = ("onnx",)
) -> list[Recipe]:
    """The recipes of candidates that may be chosen when this is asked for.

    Raises:
        ValueError: The wishes are none that exist, or none for one of the targets.
    """
    known = dict.fromkeys(wish for wishes in _WISHES.values() for wish in wishes)
    if quantize not in known:
        raise ValueError(f"quantize is {quantize!r}; expected one of {', '.join(known)}")
    for target in targets:
        if quantize not in _WISHES[target]:
            raise ValueError(f"quantize is {quantize!r}, which is not for {target}: {', '.join(_WISHES[target])} are")
    prunes = {"auto": (False, True), "none": (False,)}.get(prune) if isinstance(prune, str) else (True,)
    if prunes is None or (not isinstance(prune, str) and not 0 < prune < 1):
        raise ValueError(
            f"prune is {prune!r}; expected 'auto', 'none' or the share of channels to remove, above 0 and below 1"
        )
    return [
        recipe
        for recipe in recipes
        if recipe.target in targets
        and recipe.quantization in _WISHES[recipe.target][quantize]
        and recipe.prunes in prunes
    ]


def _parsed(text: str, where: str) -> Recipe:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: not TOML: {error}") from error
    document = {"steps": [], "target": "onnx", **document}
    unknown = document.keys() - _KEYS
    if unknown:
        raise ValueError(f"{where}: there is no key {min(unknown)!r}; there are {', '.join(_KEYS)}")
    for key, kind in _KEYS.items():
        if type(document.get(key)) is not kind:
            raise ValueError(f"{where}: {key} must be given, as {_IN_WORDS[kind]}")
    for key, choice in (("quantization", get_args(Quantization)), ("target", get_args(Format))):
        if document[key] not in choice:
            raise ValueError(f"{where}: {key} must be one of {', '.join(choice)}")
    return Recipe(**{**document, "steps": _steps(document["steps"], document["target"], where)})


def _steps(written: Sequence[Any], target: Format, where: str) -> tuple[tuple[str, Mapping[str, Any], bool], ...]:
    known = passes.NAMES if target == "tflite" else [name for name in passes.NAMES if name not in passes.REWRITES]
    steps: list[tuple[str, Mapping[str, Any], bool]] = []
    for step in written:
        if not isinstance(step, dict) or step.get("pass") not in known:
            raise ValueError(f"{where}: each of steps must have a pass, one of {', '.join(known)}")
        if steps and steps[-1][0] in passes.REWRITES and step["pass"] not in passes.REWRITES:
            raise ValueError(f"{where}: {step['pass']} works on ONNX, so it comes before {steps[-1][0]}")
        parameters = {key: value for key, value in step.items() if key not in ("pass", "optional")}
        steps.append((step["pass"], parameters, step.get("optional", False) is True))
    return tuple(steps)
