"""Reads an ONNX file, never touching it, and refuses early what a device could not run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from edge_rai.errors import BundleError, UnsupportedModelError
from edge_rai.types import TensorSpec
from edge_rai_converters.sources.external import MAX_BYTES, embed
from edge_rai_converters.words import first_line

MIN_OPSET = 11
# Every ONNX Runtime that a device may have knows it, and no operator of an export lacks it.
EXPORT_AGAIN = "export it again with opset 17 (skl2onnx: to_onnx(model, X, target_opset=17))"
Kind = Literal["onnx", "scikit-learn", "xgboost", "lightgbm", "pytorch", "keras"]

_DTYPES: dict[int, str] = {
    TensorProto.FLOAT16: "float16",
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.UINT8: "uint8",
    TensorProto.INT8: "int8",
    TensorProto.UINT16: "uint16",
    TensorProto.INT16: "int16",
    TensorProto.UINT32: "uint32",
    TensorProto.INT32: "int32",
    TensorProto.UINT64: "uint64",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
    TensorProto.STRING: "string",
}


@dataclass(frozen=True, eq=False, slots=True)
class SourceModel:
    """A checked ONNX model; not to be modified.

    Attributes:
        path: Where it was read from; of an object its name.
        data: The model, whole in one piece: the file's bytes, unless it had data in other files.
        proto: The same, parsed; it imports each domain once.
        inputs: What a caller gives, without initializers.
        outputs: What comes back; a shape that the file does not state is inferred. A sequence, map or optional has the
            dtype "object" and no shape.
        sha256: Of what was read, hex: of the file; followed, where it has data in other files, by those in the order of
            their names; of an object, of the ONNX model that was exported.
        kind: Of what it was made with.
        features: Names of the columns that it was fitted with, in its order; none where it does not know them.
        keeps_gaps: Whether it answers missing values as the library does that it was exported from; None: nobody tried,
            or the library refuses them.
    """

    path: Path
    data: bytes
    proto: onnx.ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    sha256: str
    kind: Kind = "onnx"
    features: tuple[str, ...] = ()
    keeps_gaps: bool | None = None


def read(path: str | Path) -> SourceModel:
    """Reads and checks a model, with its data where that is in files beside it.

    Raises:
        BundleError: The file is not a valid ONNX model, or a file with its data is missing, or outside its folder.
        UnsupportedModelError: It uses something that is not supported; names it.
        OSError: It cannot be read.
    """
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        raise BundleError(f"{path}: not an ONNX model: it has 2 GiB or more, and an ONNX file has less")
    data = path.read_bytes()
    if not data:
        raise BundleError(f"{path}: not an ONNX model: the file is empty; copy it or export it again")
    proto = _parsed(path, data)
    others = embed(path, proto)
    digest = _digest(data, others)
    return checked(path, proto.SerializeToString(deterministic=True) if others else data, proto, digest, "onnx")


def checked(path: Path, data: bytes, proto: onnx.ModelProto, digest: str, kind: Kind) -> SourceModel:
    """Checks a model that is whole.

    Args:
        path: What messages name.
        data: The model.
        proto: The same, parsed.
        digest: See SourceModel.
        kind: See SourceModel.

    Raises:
        BundleError: It is not valid.
        UnsupportedModelError: It uses something that is not supported; names it.
    """
    try:
        onnx.checker.check_model(proto)
    except (onnx.checker.ValidationError, ValueError, IndexError) as error:
        raise BundleError(f"{path}: not a valid ONNX model: {first_line(error)}; export it again") from error
    _refuse_old_opset(path, proto)
    proto = _imported_once(proto)
    inputs = tuple(_specs(path, "input", _given(proto.graph)))
    outputs = tuple(_specs(path, "output", _with_shapes(proto)))
    if not inputs or not outputs:
        raise UnsupportedModelError(f"{path}: the model has no {'input' if not inputs else 'output'}")
    return SourceModel(path, data, proto, inputs, outputs, digest, kind)


def with_free_rows(source: SourceModel) -> SourceModel:
    """The same, its axis 0 stated as free, where every tensor of the model has one row there; else as it is.

    A session runs such a model row by row (native/src/model.c), and so does ``runner.Runner``. Where an output is text
    or no tensor it does not.
    """
    specs = (*source.inputs, *source.outputs)
    if not all(spec.shape and spec.shape[0] == 1 and spec.dtype not in ("string", "object") for spec in specs):
        return source
    inputs, outputs = (
        tuple(TensorSpec(spec.name, spec.dtype, (None, *spec.shape[1:])) for spec in some)
        for some in (source.inputs, source.outputs)
    )
    return replace(source, inputs=inputs, outputs=outputs)


def opset_of(proto: onnx.ModelProto) -> int | None:
    """The version of the standard operators, None when the model imports none."""
    return next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), None)


def _imported_once(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose imports are what ONNX Runtime makes of them, where some are there twice, as skl2onnx writes them.

    Of several versions the last one counts. ONNX Runtime's quantizer refuses such models.
    """
    versions = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in proto.opset_import}
    if [(entry.domain, entry.version) for entry in proto.opset_import] == list(versions.items()):
        return proto
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    del result.opset_import[:]
    result.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in versions.items())
    return result


def _parsed(path: Path, data: bytes) -> onnx.ModelProto:
    try:
        return onnx.load_model_from_string(data)
    except DecodeError as error:
        raise BundleError(
            f"{path}: not an ONNX model, or one that is cut short or damaged; copy it or export it again"
        ) from error


def _digest(data: bytes, others: Sequence[Path]) -> str:
    digest = hashlib.sha256(data)
    for file in others:
        with file.open("rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def _refuse_old_opset(path: Path, proto: onnx.ModelProto) -> None:
    opset = opset_of(proto)
    if opset is not None and opset < MIN_OPSET:
        raise UnsupportedModelError(
            f"{path}: the model uses opset {opset}; at least {MIN_OPSET} is needed: {EXPORT_AGAIN}"
        )


def _given(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    known = {initializer.name for initializer in graph.initializer}
    return [value for value in graph.input if value.name not in known]


def _with_shapes(proto: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    outputs = list(proto.graph.output)
    if all(_kind(value) != "tensor" or value.type.tensor_type.HasField("shape") for value in outputs):
        return outputs
    return list(onnx.shape_inference.infer_shapes(proto).graph.output)


def _specs(path: Path, kind: str, values: list[onnx.ValueInfoProto]) -> Iterator[TensorSpec]:
    for value in values:
        if _kind(value) != "tensor":
            if kind == "input":
                raise UnsupportedModelError(
                    f"{path}: input {value.name!r} is a {_kind(value)}; only tensors can be given to a model"
                )
            yield TensorSpec(value.name, "object", ())
            continue
        tensor = value.type.tensor_type
        if tensor.elem_type not in _DTYPES:
            known = tensor.elem_type in TensorProto.DataType.values()
            element = TensorProto.DataType.Name(tensor.elem_type).lower() if known else f"type {tensor.elem_type}"
            raise UnsupportedModelError(
                f"{path}: {kind} {value.name!r} holds {element}, which is not supported: numpy and ONNX Runtime for "
                f"Python have no data of it; let the model cast it {'from' if kind == 'input' else 'to'} float32"
            )
        if not tensor.HasField("shape"):
            raise UnsupportedModelError(
                f"{path}: {kind} {value.name!r} has no shape, not even a rank; export it with one"
            )
        shape = tuple(_extent(dimension) for dimension in tensor.shape.dim)
        yield TensorSpec(value.name, _DTYPES[tensor.elem_type], shape)


def _kind(value: onnx.ValueInfoProto) -> str:
    return (value.type.WhichOneof("value") or "untyped").removesuffix("_type")


def _extent(dimension: onnx.TensorShapeProto.Dimension) -> int | None:
    # Some exporters write 0 or -1 for a free axis.
    fixed = dimension.HasField("dim_value") and dimension.dim_value > 0
    return int(dimension.dim_value) if fixed else None
