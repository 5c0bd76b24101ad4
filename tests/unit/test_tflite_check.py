"""What the structural check of a .tflite file accepts, and that a refusal names the part, its index and the value."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edge_rai import UnsupportedModelError
from edge_rai._native import check_tflite
from support.children import run_python
from support.tflite_models import Graph, write
from support.tflite_samples import SAMPLES, dense, outside

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "native/fuzz/corpus/tflite"


def refusal(data: bytes, where: str = "m.tflite", custom: tuple[str, ...] = ()) -> str:
    with pytest.raises(UnsupportedModelError) as caught:
        check_tflite(data, where, custom)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{where}: ")
    return message


@pytest.mark.parametrize("name", SAMPLES)
def test_each_kind_of_structure_is_accepted_and_runs_in_litert(name: str) -> None:
    data = write(SAMPLES[name]().model)
    check_tflite(data)
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        empty = np.full(detail["shape"], b"") if detail["dtype"] is np.bytes_ else np.zeros(detail["shape"])
        interpreter.set_tensor(detail["index"], empty.astype(detail["dtype"]))
    interpreter.invoke()


def test_weights_behind_the_flatbuffer_are_accepted_and_bounded() -> None:
    data = outside(dense())
    check_tflite(data)
    assert "buffer 2: 12 bytes from byte" in refusal(data[:-16])


def test_corpus_of_the_fuzz_target_is_what_the_samples_write() -> None:
    for path in sorted(CORPUS.glob("*.tflite")):
        made = outside(dense()) if path.stem == "outside" else write(SAMPLES[path.stem]().model)
        assert path.read_bytes() == made, path.name
    assert {path.stem for path in CORPUS.glob("*.tflite")} == {*SAMPLES, "outside"}


def tensor(index: int, **fields: Any) -> Callable[[Any], None]:
    """Changes of one tensor of the first subgraph."""

    def change(model: Any) -> None:
        for name, value in fields.items():
            setattr(model.subgraphs[0].tensors[index], name, value)

    return change


def quantization(index: int, **fields: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for name, value in fields.items():
            setattr(model.subgraphs[0].tensors[index].quantization, name, value)

    return change


def operator(index: int, **fields: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for name, value in fields.items():
            setattr(model.subgraphs[0].operators[index], name, value)

    return change


def options(index: int, **fields: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for name, value in fields.items():
            setattr(model.subgraphs[0].operators[index].builtinOptions, name, value)

    return change


def code(index: int, **fields: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for name, value in fields.items():
            setattr(model.operatorCodes[index], name, value)

    return change


def graph(**fields: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for name, value in fields.items():
            setattr(model.subgraphs[0], name, value)

    return change


def model(**fields: Any) -> Callable[[Any], None]:
    def change(changed: Any) -> None:
        for name, value in fields.items():
            setattr(changed, name, value)

    return change


def shorten(changed: Any) -> None:
    changed.buffers[1].data = changed.buffers[1].data[:-4]


def sparse_index(changed: Any) -> None:
    changed.subgraphs[0].tensors[2].sparsity.dimMetadata[1].arrayIndices.values = [0, 4, 1]


def sparse_segments(changed: Any) -> None:
    changed.subgraphs[0].tensors[2].sparsity.dimMetadata[1].arraySegments.values = [0, 4, 3]


def string_offset(changed: Any) -> None:
    data = np.array(changed.buffers[1].data)
    data[8] = 200
    changed.buffers[1].data = data


def unsigned_metadata(changed: Any) -> None:
    changed.metadata[0].buffer = 9


def signature_tensor(changed: Any) -> None:
    changed.signatureDefs[0].outputs[0].tensorIndex = 4


def pad_amount(changed: Any) -> None:
    data = np.array(changed.buffers[1].data)
    data[10] = 127
    changed.buffers[1].data = data


# For each sample: what is changed, and what the refusal says.
REFUSALS: list[tuple[str, Callable[[Any], None], str]] = [
    ("dense", model(version=4), "schema version 4; expected 3"),
    ("dense", model(subgraphs=[]), "the model has no subgraphs"),
    ("dense", model(buffers=None), "the model has no buffers"),
    ("dense", code(0, builtinCode=210), "operator code 0 is 210, which this build does not know"),
    ("dense", code(0, version=0), "operator code 0 (FULLY_CONNECTED) is of version 0"),
    ("dense", graph(tensors=None), "subgraph 0: it has no list of tensors"),
    ("dense", graph(inputs=[4]), "subgraph 0: input 0 is tensor 4 of 4"),
    ("dense", graph(inputs=[1]), "subgraph 0: input 0 is tensor 1, which has values of its own"),
    ("dense", graph(inputs=[]), "operator 0 (FULLY_CONNECTED): input 0 is tensor 0, which no input, constant or"),
    ("dense", graph(outputs=[-1]), "subgraph 0: output 0 is tensor -1 of 4"),
    ("dense", graph(operators=[]), "subgraph 0: output 0 is tensor 3, which nothing makes"),
    ("dense", operator(0, opcodeIndex=3), "operator 0 (unknown): operator code 3 of 1"),
    ("dense", operator(0, inputs=[0, 17, 2]), "operator 0 (FULLY_CONNECTED): input 1 is tensor 17 of 4"),
    ("dense", operator(0, inputs=[-1, 1, 2]), "operator 0 (FULLY_CONNECTED): input 0 is tensor -1 of 4"),
    ("dense", operator(0, inputs=[0]), "operator 0 (FULLY_CONNECTED): 1 inputs; at least 2 are needed"),
    ("dense", operator(0, inputs=[0, 1, 2, 2]), "operator 0 (FULLY_CONNECTED): 4 inputs; at most 3 are taken"),
    ("dense", operator(0, outputs=[]), "operator 0 (FULLY_CONNECTED): 0 outputs; at least 1 are needed"),
    ("dense", operator(0, outputs=[0]), "output 0 is tensor 0, which is an input, a constant or another's output"),
    ("dense", operator(0, outputs=[2]), "output 0 is tensor 2, which is an input, a constant or another's output"),
    ("dense", operator(0, intermediates=[9]), "intermediate tensor 0 is tensor 9 of 4"),
    ("dense", options(0, fusedActivationFunction=6), "operator 0 (FULLY_CONNECTED): fused activation function 6"),
    (
        "dense",
        tensor(1, shape=[3, 5]),
        "tensor 1 ('weights'): its shape and type ask for 60 bytes, and buffer 1 has 48",
    ),
    ("dense", shorten, "tensor 1 ('weights'): its shape and type ask for 48 bytes, and buffer 1 has 44"),
    ("dense", tensor(1, buffer=7), "tensor 1 ('weights'): buffer 7 of 3"),
    ("dense", tensor(1, type=23), "tensor 1 ('weights'): type 23, which this build does not know"),
    ("dense", tensor(1, isVariable=True), "tensor 1 ('weights'): a variable, and its values are in buffer 1"),
    ("dense", tensor(1, buffer=0), "input 1 is tensor 1, which no input, constant or operator before it makes"),
    ("dense", tensor(0, shape=[1, -4]), "tensor 0 ('x_tensor'): extent -4 on axis 1"),
    ("dense", tensor(0, shape=[1] * 9), "tensor 0 ('x_tensor'): rank 9; at most 8 is supported"),
    ("dense", tensor(0, shape=[0, 65536, 65536]), "its extents up to axis 2 make 4294967296 elements"),
    (
        "dense",
        tensor(0, shapeSignature=[-1]),
        "tensor 0 ('x_tensor'): a shape signature of rank 1 and a shape of rank 2",
    ),
    ("dense", tensor(0, shapeSignature=[-2, 4]), "extent -2 on axis 0 of its shape signature"),
    ("dense", tensor(0, type=5), "operator 0 (FULLY_CONNECTED): input 0 is tensor 0, of strings"),
    ("dense", tensor(0, type=9), "its input is tensor 0, of 8 bits without a scale"),
    ("dense", unsigned_metadata, "metadata 0 is buffer 9 of 3"),
    ("dense", signature_tensor, "signature 0: output 0 is tensor 4 of 4"),
    ("convolution", quantization(3, scale=[0.1]), "tensor 3 ('filters'): 1 scales and 2 zero points"),
    ("convolution", quantization(3, quantizedDimension=4), "tensor 3 ('filters'): quantized along axis 4 of 4"),
    ("convolution", quantization(3, quantizedDimension=1), "2 scales, and the extent on axis 1 is 3"),
    ("convolution", quantization(3, scale=[0.1, -1.0]), "tensor 3 ('filters'): scale 1 is -1"),
    ("convolution", quantization(3, scale=[float("nan"), 1.0]), "tensor 3 ('filters'): scale 0 is nan"),
    ("convolution", quantization(3, zeroPoint=[0, 128]), "tensor 3 ('filters'): zero point 1 is 128"),
    (
        "convolution",
        quantization(2, scale=[0.0]),
        "operator 1 (CONV_2D): its input is tensor 2, of 8 bits without a scale",
    ),
    ("convolution", options(1, strideW=0), "operator 1 (CONV_2D): stride_w 0"),
    ("convolution", options(1, dilationHFactor=-1), "operator 1 (CONV_2D): dilation_h_factor -1"),
    ("convolution", options(1, padding=2), "operator 1 (CONV_2D): padding 2"),
    ("convolution", operator(1, builtinOptionsType=0, builtinOptions=None), "operator 1 (CONV_2D): stride_w 0"),
    ("convolution", operator(2, inputs=[5, 6]), "operator 2 (DEPTHWISE_CONV_2D): 2 inputs; at least 3 are needed"),
    ("convolution", options(3, filterHeight=0), "operator 3 (MAX_POOL_2D): filter_height 0"),
    ("convolution", options(5, axis=2), "operator 5 (CONCATENATION): axis 2 of 2"),
    ("convolution", options(5, axis=0), "operator 5 (CONCATENATION): the stated shapes of its tensors do not agree"),
    ("convolution", pad_amount, "operator 0 (PAD): the stated shapes of its tensors do not agree (input 0, output 2)"),
    ("convolution", tensor(8, shape=[1, 1, 1, 3]), "operator 3 (MAX_POOL_2D): the stated shapes"),
    ("convolution", tensor(8, type=0, quantization=None), "operator 3 (MAX_POOL_2D): input 0 is of type 9 and output"),
    ("loop", options(0, bodySubgraphIndex=5), "operator 0 (WHILE): it calls subgraph 5 of 5"),
    ("loop", options(0, bodySubgraphIndex=0), "operator 0 (WHILE): it calls subgraph 0, which called it"),
    ("loop", operator(3, builtinOptionsType=0, builtinOptions=None), "no options that say which subgraph it calls"),
    ("sparse", sparse_index, "tensor 2 ('packed'): sparse level 1, index 1 is 4 of 4"),
    ("sparse", sparse_segments, "tensor 2 ('packed'): sparse level 1, segment 1 begins at 4"),
    ("sparse", tensor(3, shape=[2, 5]), "operator 0 (DENSIFY): the stated shapes of its tensors do not agree"),
    ("sparse", tensor(3, shape=None), "operator 0 (DENSIFY): the stated shapes of its tensors do not agree"),
    ("texts", string_offset, "tensor 1 ('known'): string 1 begins at byte 200 of 27"),
    ("texts", tensor(1, shape=[2]), "tensor 1 ('known'): 3 strings, and its shape has 2 elements"),
    ("recurrent", options(0, fusedActivationFunction=-1), "fused activation function 255"),
]


@pytest.mark.parametrize(("sample", "change", "sentence"), REFUSALS, ids=[f"{r[0]}: {r[2]}"[:70] for r in REFUSALS])
def test_refusal_names_the_part_its_index_and_the_value(
    sample: str, change: Callable[[Any], None], sentence: str
) -> None:
    changed = SAMPLES[sample]().model
    change(changed)
    assert sentence in refusal(write(changed))


def test_subgraphs_behind_the_first_are_named() -> None:
    changed = SAMPLES["loop"]().model
    changed.subgraphs[2].operators[0].inputs = [0, 9]
    assert "subgraph 2, operator 0 (ADD): input 1 is tensor 9 of 3" in refusal(write(changed))


def test_long_names_are_cut_between_characters() -> None:
    changed = dense().model
    changed.subgraphs[0].tensors[0].name = "x" + "\u00e9" * 300
    changed.subgraphs[0].tensors[0].shape = [1, -4]
    assert f"tensor 0 ('x{chr(0xE9) * 39}'): extent -4" in refusal(write(changed))


LEFT_OUT = """
import sys
from pathlib import Path
from edge_rai._native import check_tflite
check_tflite(Path(sys.argv[1]).read_bytes(), custom=["Known"])
print("accepted")
"""


def test_operator_whose_first_input_is_left_out_is_read_no_further(tmp_path: Path) -> None:
    """In a child: what was once read lies far behind the file."""
    graph = Graph()
    y = graph.tensor("y", (1, 3))
    operator = graph.operator("CUSTOM", (-1,), (y,))
    graph.model.operatorCodes[operator.opcodeIndex].customCode = "Known"
    (tmp_path / "m.tflite").write_bytes(write(graph.edges((), (y,)).model))
    assert run_python(LEFT_OUT, tmp_path / "m.tflite").stdout == "accepted\n"


def test_custom_operators_are_refused_by_name_unless_the_caller_or_litert_has_them() -> None:
    graph = Graph()
    x, y = graph.tensor("x", (1,)), graph.tensor("y", (1,))
    graph.operator("CUSTOM", [x], [y])
    graph.edges([x], [y])
    graph.model.operatorCodes[0].customCode = "FlexErf"
    data = write(graph.model)
    assert "operator code 0 is the custom operator 'FlexErf', which the runtime does not have" in refusal(data)
    check_tflite(data, custom=["Other", "FlexErf"])
    for known in ("TFLite_Detection_PostProcess", "Mfcc", "AudioSpectrogram", "NumericVerify"):
        graph.model.operatorCodes[0].customCode = known
        check_tflite(write(graph.model))
    graph.model.operatorCodes[0].customCode = None
    assert "operator code 0 is of a custom operator without a name" in refusal(write(graph.model))


def test_calls_nested_too_deep_are_refused() -> None:
    graph = Graph()
    for depth in range(32):
        if depth:
            graph.subgraph()
        graph.operator("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=depth + 1)
    graph.subgraph()
    assert "calls are nested deeper than 32" in refusal(write(graph.model))
    graph.model.subgraphs[0].operators = []
    check_tflite(write(graph.model))


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"\x1f\x8b\x08\0" + bytes(64), b"version https://git-lfs.github.com/spec"]
)
def test_what_is_no_model_is_refused_with_what_to_do(data: bytes) -> None:
    assert "bytes 4 to 7 are not TFL3; unpack an archive, and fetch again" in refusal(data)


def test_head_of_a_model_alone_is_refused() -> None:
    refusal(b"\x1c\0\0\0TFL3")


@pytest.mark.parametrize("name", SAMPLES)
def test_every_truncation_is_refused(name: str) -> None:
    data = write(SAMPLES[name]().model)
    for size in range(len(data)):
        refusal(data[:size])


def test_schema_is_the_one_that_litert_ships() -> None:
    text = (ROOT / "native/src/tflite_schema.c").read_text(encoding="utf-8")
    text = re.sub(r'"\s*\n\s*"', "", text)
    stated = {name: fields.split() for name, fields in re.findall(r'\{"(\w+)",\s*"([^"]*)"\}', text)}
    assert len(stated) > 150
    generated = Path(schema.__file__).read_text(encoding="utf-8")
    slots = dict(re.findall(r"^def (\w+)Start\(builder\):\s+builder\.StartObject\((\d+)\)", generated, re.MULTILINE))
    for name, fields in stated.items():
        assert len(fields) == int(slots[name]), name
        pattern = rf"^def {name}Add(\w+)\(builder, \w+\):\s+builder\.Prepend(\w+?)(?:Relative)?Slot\((\d+), "
        for field, kind, slot in re.findall(pattern, generated, re.MULTILINE):
            own_name, own_kind = fields[int(slot)].split(":")
            assert own_name.replace("_", "") == field.lower(), name
            width = re.search(rf"def {name}Start{field}Vector\(.*\):\s+return builder.StartVector\((\d+),", generated)
            expected = {"Bool": "b", "Int8": "b", "Uint8": "b", "Int64": "l", "Uint64": "l", "UOffsetT": ""}.get(
                kind, "i"
            )
            if width:
                expected = {"1": "B", "2": "H", "4": "I", "8": "L"}[width[1]]
            assert own_kind == expected or (own_kind[0] in "[{<s" and kind == "UOffsetT"), (name, field)
    unions = {"options": schema.BuiltinOptions, "options2": schema.BuiltinOptions2}
    for variable, union in unions.items():
        body = re.search(rf"er_flat_type {variable}\[\] = \{{(.*?)\n\}};", text, re.DOTALL)
        assert body is not None
        names = ["NONE", *re.findall(r'\{"(\w+)",', body[1])]
        assert dict(enumerate(names)) == {value: key for key, value in vars(union).items() if not key.startswith("_")}


def test_operators_are_those_that_litert_ships() -> None:
    text = (ROOT / "native/src/tflite_operators.c").read_text(encoding="utf-8")
    names = re.findall(r'^    \{"(\w+)", ', text, re.MULTILINE)
    shipped = {value: key for key, value in vars(schema.BuiltinOperator).items() if not key.startswith("_")}
    assert dict(enumerate(names)) == shipped
