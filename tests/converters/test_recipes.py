from __future__ import annotations

from pathlib import Path
from typing import Literal

import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai_converters import passes, recipes
from edge_rai_converters.passes.contract import Material, NotApplicableError, Pass, PassError, apply
from edge_rai_converters.passes.properties import EXACT, FLOAT, SAME_SIGNATURE, VALID, without

MATERIAL = Material(calibration=lambda: iter(()), rows=0, batched=True)
WRITTEN = """
name = "mine"
summary = "half of the channels"
order = 20
quantization = "none"
prunes = true
[[steps]]
pass = "prune"
keep = 0.5
"""


def identity() -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_built_in_recipes_are_valid_and_begin_with_the_model_as_it_came() -> None:
    found = recipes.built_in()
    assert found[0].name == recipes.FLOAT
    assert not found[0].steps
    assert len({recipe.name for recipe in found}) == len({recipe.order for recipe in found}) == len(found)
    for recipe in found:
        assert recipe.passes({"max_drop": 1.0, "seed": 0, "keep": "auto"}) is not None


@pytest.mark.parametrize(
    ("prune", "quantize", "names"),
    [
        ("auto", "auto", ["float", "pruned", "int8", "pruned-int8"]),
        ("none", "none", ["float"]),
        ("none", "auto", ["float", "int8"]),
        (0.5, "none", ["pruned"]),
        (0.5, "int8", ["pruned-int8"]),
        ("none", "int4", ["int4"]),
        ("auto", "fp16", ["fp16", "pruned-fp16"]),
    ],
)
def test_wishes_choose_the_recipes(prune: recipes.Prune, quantize: recipes.Quantize, names: list[str]) -> None:
    assert [recipe.name for recipe in recipes.chosen(recipes.built_in(), prune, quantize)] == names


@pytest.mark.parametrize(
    ("quantize", "names"),
    [
        ("none", ["float", "pruned", "tflite-float", "tflite-pruned"]),
        ("int8", ["int8", "pruned-int8", "tflite-int8", "tflite-pruned-int8"]),
        ("fp16", ["fp16", "pruned-fp16", "tflite-fp16", "tflite-pruned-fp16"]),
    ],
)
def test_two_targets_have_the_recipes_of_both(quantize: recipes.Quantize, names: list[str]) -> None:
    found = recipes.chosen(recipes.built_in(), "auto", quantize, ("onnx", "tflite"))
    assert [recipe.name for recipe in found] == names
    for recipe in found:
        assert bool(recipe.rewrites({"max_drop": 1.0})) == (recipe.target == "tflite" and quantize != "none")


@pytest.mark.parametrize(
    ("target", "quantize", "said"),
    [
        ("onnx", "int16", "which is not for onnx: auto, int8, int8-dynamic, fp16, int4, none are"),
        ("tflite", "int4", "which is not for tflite: auto, int8, int8-dynamic, fp16, int16, none are"),
    ],
)
def test_wish_that_a_target_does_not_know_is_refused(
    target: Literal["onnx", "tflite"], quantize: recipes.Quantize, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        recipes.chosen(recipes.built_in(), "auto", quantize, (target,))


@pytest.mark.parametrize(
    ("target", "steps", "said"),
    [
        ("onnx", ["tflite_int8"], "each of steps must have a pass, one of lower, prune, static_int8"),
        ("tflite", ["tflite_int8", "prune"], "prune works on ONNX, so it comes before tflite_int8"),
        ("coreml", ["prune"], "target must be one of onnx, tflite"),
    ],
)
def test_steps_belong_to_their_target(tmp_path: Path, target: str, steps: list[str], said: str) -> None:
    head = WRITTEN.split("[[steps]]")[0] + f'target = "{target}"\n'
    (tmp_path / "mine.toml").write_text(head + "".join(f'[[steps]]\npass = "{step}"\n' for step in steps))
    with pytest.raises(ValueError, match=said):
        recipes.read(tmp_path / "mine.toml")


@pytest.mark.parametrize("prune", [0.0, 1.0, -0.5, float("nan"), "half"])
def test_share_to_prune_that_is_none_is_refused(prune: recipes.Prune) -> None:
    with pytest.raises(
        ValueError, match="expected 'auto', 'none' or the share of channels to remove, above 0 and below 1"
    ):
        recipes.chosen(recipes.built_in(), prune, "none")


def test_recipe_of_a_user_is_read_and_its_parameters_reach_the_pass(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(WRITTEN)
    recipe = recipes.read(tmp_path / "mine.toml")
    assert recipe.steps == (("prune", {"keep": 0.5}, False),)
    assert [step.name for step in recipe.passes({"seed": 0})] == ["prune"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "mine"', "name = 3", "name must be given, as text"),
        ('pass = "prune"', 'pass = "shrink"', "each of steps must have a pass, one of lower, prune"),
        ("prunes = true", 'prunes = true\ncolour = "red"', "there is no key 'colour'"),
        ('quantization = "none"', 'quantization = "int1"', "quantization must be one of none"),
        ('summary = "', 'sumary = "', "there is no key 'sumary'; there are name, target, summary"),
        ("prunes = true", "prunes = 1", "prunes must be given, as true or false"),
        ("[[steps]]", "[[steps", "not TOML"),
    ],
)
def test_recipe_that_is_none_is_refused_in_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "mine.toml").write_text(WRITTEN.replace(old, new))
    with pytest.raises(ValueError, match=said):
        recipes.read(tmp_path / "mine.toml")


def test_parameter_that_the_pass_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="pass 'prune' has no parameter 'colour'; it has keep"):
        passes.make("prune", {"colour": "red"})


def test_pass_that_does_not_keep_what_it_ensures_is_caught() -> None:
    def rename(model: onnx.ModelProto, _: Material) -> onnx.ModelProto:
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        changed.graph.output[0].name = changed.graph.node[0].output[0] = "z"
        return changed

    with pytest.raises(PassError, match="pass rename does not ensure that inputs and outputs are the same"):
        apply([Pass("rename", rename, ensures=(VALID, SAME_SIGNATURE))], identity(), MATERIAL)
    with pytest.raises(PassError, match=r"does not ensure that there is no Relu: it has Relu"):
        apply([Pass("nothing", lambda model, _: model, ensures=(without(["Relu"]),))], identity(), MATERIAL)


def test_pass_that_modifies_its_argument_is_caught() -> None:
    def meddle(model: onnx.ModelProto, _: Material) -> onnx.ModelProto:
        model.graph.name = "other"
        return model

    with pytest.raises(PassError, match="pass meddle modified its argument"):
        apply([Pass("meddle", meddle)], identity(), MATERIAL)


def test_requirement_that_does_not_hold_is_a_reason_and_not_an_error() -> None:
    quantized = identity()
    quantized.graph.node[0].op_type = "DynamicQuantizeLinear"
    with pytest.raises(NotApplicableError, match="the model is quantized already"):
        apply([Pass("int8", lambda model, _: model, requires=(FLOAT,))], quantized, MATERIAL)


def test_optional_pass_that_has_nothing_to_offer_is_passed_over() -> None:
    def refuse(_: onnx.ModelProto, __: Material) -> onnx.ModelProto:
        raise NotApplicableError("there is nothing to do")

    assert apply([Pass("nothing", refuse, optional=True)], identity(), MATERIAL) == identity()
    with pytest.raises(NotApplicableError, match="there is nothing to do"):
        apply([Pass("nothing", refuse)], identity(), MATERIAL)


def test_other_answers_are_caught() -> None:
    import numpy as np

    def negate(model: onnx.ModelProto, _: Material) -> onnx.ModelProto:
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        changed.graph.node[0].op_type = "Neg"
        return changed

    material = Material(lambda: iter([{"x": np.ones((3, 2), np.float32)}]), rows=3, batched=True)
    with pytest.raises(PassError, match="does not ensure that the answers are the same: output 'y' differs"):
        apply([Pass("negate", negate, ensures=(EXACT,))], identity(), material)
