"""What a pass is: from model to model, with what it requires and what it ensures; ``apply`` holds it to both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt
import onnx

Feed = dict[str, npt.NDArray[Any]]
Target = Literal["x86", "arm"]


class NotApplicableError(Exception):
    """A pass has nothing to offer for this model; the message says why, and goes on after "because"."""


class PassError(Exception):
    """A pass did not keep what it ensures: its defect, not the model's; the message names both."""


@dataclass(frozen=True, eq=False, slots=True)
class Material:
    """What passes may look at beside the model; the same for every pass of a conversion.

    Attributes:
        calibration: Arguments of calls of the model, afresh each time it is asked; bounded memory.
        rows: How many rows those are.
        batched: A call has its rows on axis 0, and each row is answered by itself.
        target: The CPU the result is for.
        seed: Of whatever draws.
        progress: Told the share that a step has done, 0 to 1.
    """

    calibration: Callable[[], Iterator[Feed]]
    rows: int
    batched: bool
    target: Target = "x86"
    seed: int = 0
    progress: Callable[[float], None] = lambda _: None


# What is wrong with the second model, which a pass made of the first: a phrase, "" when nothing is. Of a requirement
# both are the model that the pass is given.
Check = Callable[[onnx.ModelProto, onnx.ModelProto, Material], str]


@dataclass(frozen=True, slots=True)
class Property:
    """Something that holds of a model, or of a model and what became of it."""

    name: str
    check: Check


@dataclass(frozen=True, slots=True)
class Pass:
    """One step.

    Attributes:
        name: As recipes and evidence call it.
        run: The step; it must not modify its argument. Raises NotApplicableError where it has nothing to offer.
        requires: What must hold of the model it is given.
        ensures: What holds of its result, provided that.
        optional: Where it has nothing to offer, the model goes on as it is.
    """

    name: str
    run: Callable[[onnx.ModelProto, Material], onnx.ModelProto]
    requires: tuple[Property, ...] = ()
    ensures: tuple[Property, ...] = ()
    optional: bool = False


def apply(steps: Sequence[Pass], model: onnx.ModelProto, material: Material) -> onnx.ModelProto:
    """Takes the model through the steps, and checks before and after each what it requires and ensures.

    Raises:
        NotApplicableError: A step that is not optional requires what does not hold, or has nothing to offer.
        PassError: A step modified its argument, or did not ensure what it says.
    """
    for step in steps:
        model = _applied(step, model, material) or model
    return model


def _applied(step: Pass, model: onnx.ModelProto, material: Material) -> onnx.ModelProto | None:
    """The model after the step; None where it is optional and has nothing to offer."""
    try:
        return _held(step, model, material)
    except NotApplicableError:
        if step.optional:
            return None
        raise


def _held(step: Pass, model: onnx.ModelProto, material: Material) -> onnx.ModelProto:
    for required in step.requires:
        objection = required.check(model, model, material)
        if objection:
            raise NotApplicableError(objection)
    before = model.SerializeToString(deterministic=True)
    result = step.run(model, material)
    if model.SerializeToString(deterministic=True) != before:
        raise PassError(f"pass {step.name} modified its argument")
    for ensured in step.ensures:
        objection = ensured.check(model, result, material)
        if objection:
            raise PassError(f"pass {step.name} does not ensure that {ensured.name}: {objection}")
    return result
