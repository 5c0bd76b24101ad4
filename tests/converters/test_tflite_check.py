"""A written file is loaded in LiteRT, apart, and compared with the model it was written from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.targets.tflite import probed, verify, write
from support.random_nodes import normal
from support.written import Array, expected, network, node

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

RNG = np.random.default_rng(11)
FEEDS = [{"x": normal(RNG, 1, 3, 8, 8)} for _ in range(3)]


def small(scale: float = 1.0) -> onnx.ModelProto:
    nodes = [
        node("Conv", "x w", "a"),
        node("Relu", "a", "b"),
        node("GlobalAveragePool", "b", "c"),
        node("Log", "c", "y"),
    ]
    weights = scale * np.linspace(-1, 1, 108, dtype=np.float32).reshape(4, 3, 3, 3)
    return network(nodes, {"x": ["rows", 3, 8, 8]}, "y b", {"w": weights.astype(np.float32)})


def test_a_written_model_is_close_and_its_delegated_part_is_told_from_the_rest() -> None:
    model = small()
    for layout in ("keep", "nhwc"):
        written = write(model, layout=layout)  # type: ignore[arg-type]
        checked = verify(model, written, FEEDS)
        assert set(checked.differences) == {"y", "b"}
        assert 0 < max(checked.differences.values()) < 1e-6
        assert checked.delegated == 1
        assert checked.plain == ()


def test_operators_outside_of_the_delegate_are_named() -> None:
    nodes = [node("Relu", "x", "a"), node("Pad", "a around", "b", mode="reflect"), node("Relu", "b", "y")]
    model = network(nodes, {"x": [1, 3, 8, 8]}, "y", {"around": np.array([0, 0, 1, 1, 0, 0, 1, 1])})
    checked = verify(model, write(model), FEEDS)
    assert (checked.delegated, checked.plain) == (2, ("MIRROR_PAD",))


def test_a_model_that_answers_otherwise_is_refused_with_how_much() -> None:
    with pytest.raises(
        UnsupportedModelError, match=r"output '[yb]': .* by \d\.\de[-+]\d\d of its scale, where 1e-04 is"
    ):
        verify(small(scale=1.001), write(small()), FEEDS)


def test_integers_must_be_equal() -> None:
    model = network([node("ArgMax", "x", "y", axis=1)], {"x": [1, 3, 8, 8]}, "y", {})
    other = network(
        [node("ArgMax", "x", "y", axis=1, select_last_index=0), node("Neg", "x", "z")], {"x": [1, 3, 8, 8]}, "y", {}
    )
    assert verify(other, write(model), FEEDS).differences == {"y": 0.0}
    negated = network([node("Neg", "x", "n"), node("ArgMax", "n", "y", axis=1)], {"x": [1, 3, 8, 8]}, "y", {})
    with pytest.raises(UnsupportedModelError, match=r"\d+% of its values differ"):
        verify(negated, write(model), FEEDS)


def test_values_that_are_not_finite_must_be_the_same_ones() -> None:
    model = network([node("Log", "x", "y")], {"x": [1, 3, 8, 8]}, "y", {})
    logarithms = verify(model, write(model), [{"x": np.maximum(feed["x"], 0)} for feed in FEEDS])
    assert logarithms.differences["y"] < 1e-6
    other = network([node("Exp", "x", "y")], {"x": [1, 3, 8, 8]}, "y", {})
    with pytest.raises(UnsupportedModelError, match="other values are not finite"):
        verify(model, write(other), FEEDS[:1])


def test_other_operators_than_were_written_are_named() -> None:
    model = small()
    written = write(model)
    other = replace(written, operators=tuple("EXP" if code == "LOG" else code for code in written.operators))
    with pytest.raises(UnsupportedModelError, match="LiteRT runs other operators than were written: LOG"):
        verify(model, other, FEEDS)


def test_a_file_that_does_not_load_is_refused_with_the_reason() -> None:
    written = write(small())
    with pytest.raises(UnsupportedModelError, match="TFLite: the written model: LiteRT refuses it: "):
        verify(small(), replace(written, model=written.model[:100]), FEEDS)


def test_a_file_that_takes_the_runtime_down_takes_nobody_else_down() -> None:
    """A stride of 0 is a division by 0 in the kernel of transposed convolutions."""
    x = FEEDS[0]["x"]
    model = network([node("ConvTranspose", "x w", "y")], {"x": x}, "y", {"w": normal(RNG, 3, 4, 3, 3)})
    written = write(model, layout="nhwc")
    assert written.operators == ("TRANSPOSE_CONV",)
    with pytest.raises(UnsupportedModelError, match="LiteRT was ended by SIGFPE when it loaded or ran it"):
        probed(_without_stride(written.model))


def _without_stride(file: bytes) -> bytes:
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    model = schema.ModelT.InitFromPackedBuf(bytearray(file), 0)
    model.subgraphs[0].operators[0].builtinOptions.strideW = 0
    builder = Builder(1 << 12)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_any_tflite_file_can_be_called_by_its_signature() -> None:
    model = small()
    answers: tuple[dict[str, Array], ...] = probed(write(model).model, FEEDS).answers
    wanted = [expected(model, feed)["y"] for feed in FEEDS]
    assert np.allclose([answer["y"] for answer in answers], wanted, rtol=1e-5)
