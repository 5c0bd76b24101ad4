"""What a step is: from model to model, with what it requires and what it ensures; ``apply`` holds it to both.

A pass is a step on an ONNX model; a rewrite one on the bytes of a TFLite model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy.typing as npt
import onnx

Feed = dict[str, npt.NDArray[Any]]
Target = Literal["x86", "arm"]
Model = TypeVar("Model", onnx.ModelProto, bytes)


class NotApplicableError(Exception):
    """A step has nothing to offer for this model; the message says why, and goes on after "because"."""


class PassError(Exception):
    """A step did not keep what it ensures: its defect, not the model's; the message names both."""


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
        note: Told what is worth knowing of a step's work, a topic and a sentence, by steps whose models have no room
            for it.
    """

    calibration: Callable[[], Iterator[Feed]]
    rows: int
    batched: bool
    target: Target = "x86"
    seed: int = 0
    progress: Callable[[float], None] = lambda _: None
    note: Callable[[str, str], None] = lambda *_: None


# What is wrong with the second model, which a step made of the first: a phrase, "" when nothing is. Of a requirement
# both are the model that the step is given.
Check = Callable[[Model, Model, Material], str]


@dataclass(frozen=True)
class Claim(Generic[Model]):
    """Something that holds of a model, or of a model and what became of it."""

    name: str
    check: Check[Model]


@dataclass(frozen=True)
class Step(Generic[Model]):
    """One step.

    Attributes:
        name: As recipes and evidence call it.
        run: The step; it must not modify its argument. Raises NotApplicableError where it has nothing to offer.
        requires: What must hold of the model it is given.
        ensures: What holds of its result, provided that.
        optional: Where it has nothing to offer, the model goes on as it is.
    """

    name: str
    run: Callable[[Model, Material], Model]
    requires: tuple[Claim[Model], ...] = ()
    ensures: tuple[Claim[Model], ...] = ()
    optional: bool = False


Property = Claim[onnx.ModelProto]
Pass = Step[onnx.ModelProto]
Rewrite = Step[bytes]


def apply(steps: Sequence[Step[Model]], model: Model, material: Material) -> Model:
    """Takes the model through the steps, and checks before and after each what it requires and ensures.

    Raises:
        NotApplicableError: A step that is not optional requires what does not hold, or has nothing to offer.
        PassError: A step modified its argument, or did not ensure what it says.
    """
    for step in steps:
        model = _applied(step, model, material) or model
    return model


def _applied(step: Step[Model], model: Model, material: Material) -> Model | None:
    """The model after the step; None where it is optional and has nothing to offer."""
    try:
        return _held(step, model, material)
    except NotApplicableError:
        if step.optional:
            return None
        raise


def _held(step: Step[Model], model: Model, material: Material) -> Model:
    for required in step.requires:
        objection = required.check(model, model, material)
        if objection:
            raise NotApplicableError(objection)
    before = _bytes(model)
    result = step.run(model, material)
    if _bytes(model) != before:
        raise PassError(f"pass {step.name} modified its argument")
    for ensured in step.ensures:
        objection = ensured.check(model, result, material)
        if objection:
            raise PassError(f"pass {step.name} does not ensure that {ensured.name}: {objection}")
    return result


def _bytes(model: onnx.ModelProto | bytes) -> bytes:
    return model if isinstance(model, bytes) else model.SerializeToString(deterministic=True)
