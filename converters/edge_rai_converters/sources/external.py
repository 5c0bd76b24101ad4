"""Weights that an ONNX file keeps in other files: taken into the model, so that one file is the whole of it.

The file is hostile: where it points to, and how much of it, is decided before anything is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import Message
from onnx import ModelProto, TensorProto

from edge_rai.errors import BundleError, UnsupportedModelError

# Protocol buffers hold no more, and so neither does an ONNX file.
MAX_BYTES = (1 << 31) - 1


def embed(path: Path, proto: ModelProto) -> list[Path]:
    """Takes in what lies in other files.

    Args:
        path: Of the model.
        proto: The same, parsed; modified.

    Returns:
        The files, in the order of their names; none when the model is whole.

    Raises:
        BundleError: A file is not there, is too short, or lies outside the model's folder.
        UnsupportedModelError: With its weights the model has 2 GiB or more.
    """
    pieces = [_located(path, tensor) for tensor in _tensors(proto) if tensor.data_location == TensorProto.EXTERNAL]
    total = proto.ByteSize() + sum(length for _, _, _, length in pieces)
    if total > MAX_BYTES:
        raise UnsupportedModelError(
            f"{path}: with its weights the model has {total:,} bytes; one ONNX file, and so a bundle's model, holds "
            f"less than 2 GiB: store the weights as float16 or int8"
        )
    for tensor, file, offset, length in pieces:
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        tensor.ClearField("data_location")
        del tensor.external_data[:]
    return sorted({file for _, file, _, _ in pieces})


def _tensors(message: Message) -> Iterator[TensorProto]:
    """Every tensor, wherever it is: initializers, attributes, subgraphs, functions."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in (value,) if isinstance(value, Message) else value:
            if isinstance(item, TensorProto):
                yield item
            else:
                yield from _tensors(item)


def _located(path: Path, tensor: TensorProto) -> tuple[TensorProto, Path, int, int]:
    """The tensor with its file, the offset there, and its length in bytes."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    # Text that is no UTF-8 comes as bytes.
    location = str(entries.get("location", ""))
    where = f"{path}: the data of tensor {tensor.name!r} is to be in {location!r}"
    try:
        folder = path.parent.resolve()
        file = (folder / location).resolve()
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
        size = file.stat().st_size if file.is_file() else -1
    except (OSError, RuntimeError, ValueError) as error:
        raise BundleError(f"{where}, which is no usable place: {error}") from error
    if not file.is_relative_to(folder):
        raise BundleError(f"{where}, outside the model's folder; put it beside the model and export that again")
    if size < 0:
        raise BundleError(f"{where}, which is no file; copy it there, from where the model comes from")
    length = size - offset if "length" not in entries else length
    if offset < 0 or length < 0 or offset + length > size:
        raise BundleError(f"{where}, {length} bytes from {offset} on, but that file has {size}; copy it again")
    return tensor, file, offset, length
